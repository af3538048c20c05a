"""What a protocol says of one task, and the list of protocols. No protocol is applied here."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, fields

from lra_data.errors import unknown_name

_MODULES = {"lra-2020": "lra_2020", "s4": "s4", "mega": "mega", "nystromformer": "nystromformer"}
PROTOCOLS = tuple(_MODULES)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How one code base reads one task.

    exact: whether `open_protocol` gives the same ids, lengths and order as that reader; otherwise `differences` says
    what keeps it from that. reader: the file that was read for this. ids: how values become ids. vocab_size: as the
    reader counts it, or None where it depends on the data. end_mark: what stands behind the last id. max_length and
    cut: what is kept of an example. padding: value, side and length. mask: what the reader or its models hide. splits:
    where each split comes from. order: in which the examples come before any shuffle. grey: how pictures become grey.
    """

    exact: bool
    reader: str
    ids: str
    vocab_size: int | None
    end_mark: str = "none"
    max_length: int
    cut: str
    padding: str
    mask: str
    splits: str
    order: str
    grey: str = "none"
    differences: tuple[str, ...] = ()


Protocol = Mapping[str, Reading]


def get_protocol(name: str) -> Protocol:
    """The readings of a protocol by family; raises UsageError for an unknown name."""
    if name not in _MODULES:
        raise unknown_name("protocol", name, PROTOCOLS)
    return importlib.import_module(f"lra_data.interop.{_MODULES[name]}").READINGS  # type: ignore[no-any-return]


def lines_of(reading: Reading) -> dict[str, str]:
    """The entries of a reading in words."""
    texts = {field.name.replace("_", " "): getattr(reading, field.name) for field in fields(reading)}
    texts["exact"] = "exact" if reading.exact else "described; applying it is refused"
    texts["vocab size"] = "depends on the data" if reading.vocab_size is None else str(reading.vocab_size)
    texts["differences"] = "; ".join(reading.differences) or "none"
    return {name: str(text) for name, text in texts.items()}


def differences(name: str, other: str) -> dict[str, dict[str, tuple[str, str]]]:
    """For each task the entries in which two protocols differ, with what each says."""
    one, two = get_protocol(name), get_protocol(other)
    found = {}
    for family in one:
        pairs = zip(lines_of(one[family]).items(), lines_of(two[family]).values(), strict=True)
        found[family] = {
            entry: (text, text_2) for (entry, text), text_2 in pairs if text != text_2 and entry != "reader"
        }
    return found
