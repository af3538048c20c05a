"""Foreign code bases: how each reads the tasks (its protocol), and the layouts that its loaders open.

A code base is one module of this folder that defines `CODE_BASE`; `code_bases.py` finds it. This module only describes:
`loading/batch_making/protocol_rows.py` reads a set through a `View`, and `export.py` writes a layout.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lra_data.interop.layouts import Layout
from lra_data.splits import SPLITS
from lra_data.store.row_access import Rows
from lra_data.task import Task

# For each split of a code base: our split and index of each of its examples.
Order = Mapping[str, Sequence[tuple[str, int]]]


@dataclass(frozen=True)
class Read:
    """Examples as a code base reads them; S sequences per example, L their padded length.

    inputs: int32 (n, S, L), or float32 if the code base has no ids.
    lengths: int32 (n, S), without padding.
    keep: bool (n, S, L), False for padding and other elements that the code base masks, in its reader or its models.
    labels: int64 (n,).
    """

    inputs: NDArray[Any]
    lengths: NDArray[np.int32]
    keep: NDArray[np.bool_]
    labels: NDArray[np.int64]


def set_order(rows: Rows) -> Order:
    """The splits and the order of the set itself."""
    return {split: [(split, index) for index in range(rows.sizes[split])] for split in SPLITS}


def learn_nothing(rows: Rows) -> None:
    """Learns nothing, for ids that depend only on the row."""


def reads_every_set(task: Task) -> str:
    """The refusal of a view that reads every set of its task: always empty."""
    return ""


@dataclass(frozen=True, kw_only=True)
class View:
    """Reads a set as a code base reads it. Views are sent to worker processes, so their functions must be picklable.

    encode: makes examples from our rows and the result of `learn`.
    learn: computes the data on which ids depend besides the row, such as a vocabulary counted over train; called once
        per set.
    order: the splits and the order of the code base.
    refusal: the reason why the code base does not read this set, as "reads ..."; empty if it does.
    """

    encode: Callable[[pa.RecordBatch, Any], Read]
    learn: Callable[[Rows], Any] = learn_nothing
    order: Callable[[Rows], Order] = set_order
    refusal: Callable[[Task], str] = reads_every_set


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How one code base reads one task, in words, and as a view if our reading is exact.

    reader: the source file that this follows.
    ids: how values become ids.
    vocab_size: the reader's number of ids, or None if it depends on the data.
    end_mark: the mark after the last id.
    max_length: the longest sequence.
    cut: the part that is kept of a longer sequence.
    padding: value, side and length.
    mask: the elements that the reader or its models mask.
    splits: the source of each split.
    order: the order of the examples before any shuffle.
    grey: how pictures become grey.
    differences: the reasons why a reading without a view is not exact.
    view: gives the reader's ids, lengths and order; None for a reading that is only described.
    """

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
    view: View | None = None

    @property
    def exact(self) -> bool:
        """Whether a set can be read with the same ids, lengths and order."""
        return self.view is not None


Protocol = Mapping[str, Reading]


@dataclass(frozen=True, kw_only=True)
class CodeBase:
    """A repository that reads the benchmark in its own way.

    name: the name of its protocol.
    readings: its protocol, by family; empty if the code base has only a layout here.
    layouts: the files that its loaders open.
    """

    name: str
    readings: Protocol = field(default_factory=dict)
    layouts: tuple[Layout, ...] = ()


def lines_of(reading: Reading) -> dict[str, str]:
    """The entries of a reading in words."""
    texts = {"exact": "exact" if reading.exact else "described only: it cannot be applied"}
    for entry in fields(reading):
        if entry.name != "view":
            texts[entry.name.replace("_", " ")] = str(getattr(reading, entry.name))
    texts["vocab size"] = "depends on the data" if reading.vocab_size is None else str(reading.vocab_size)
    texts["differences"] = "; ".join(reading.differences) or "none"
    return texts
