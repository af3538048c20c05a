"""Decodes JSON files into typed structs: all entries must be present, of the right type, and known.

The structs forbid unknown fields. The meaning of the entries is documented at each struct.
"""

import re
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from lra_data.errors import SetError

Record = TypeVar("Record")

Count = Annotated[int, msgspec.Meta(ge=0)]
PositiveCount = Annotated[int, msgspec.Meta(ge=1)]

_FAULT = re.compile(r"(?P<fault>.*?)(?: - at `\$\.?(?P<place>.*)`)?", re.DOTALL)
_WORDS = {"Object missing required field": "missing entry", "Object contains unknown field": "unknown entry"}


def read_record(path: Path, kind: type[Record], *, what: str, advice: str) -> Record:
    """The struct in a JSON file.

    what: a description of the file for the error, such as "a plan".
    advice: the remedy for a faulty file, for the error.

    Raises SetError, which names the file and the entry.
    """
    return parse_record(bytes_of(path), kind, str(path), what=what, advice=advice)


def parse_record(text: bytes, kind: type[Record], where: str, *, what: str, advice: str) -> Record:
    """`read_record` for a text from `where`."""
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError as error:
        if str(error).startswith("Expected `object`") and " - at " not in str(error):
            raise SetError(f"{where}: expected a JSON object, got another value: {advice}") from error
        raise SetError(
            f"{where}: expected {what}, got one with a wrong or missing entry ({_fault(error)}): {advice}"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SetError(f"{where}: expected JSON, got damaged text ({error}): {advice}") from error


def bytes_of(path: Path) -> bytes:
    """The content of a file; raises SetError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise SetError(f"{path}: expected a readable file, got: {error.strerror}") from error


def _fault(error: msgspec.ValidationError) -> str:
    """msgspec's message with the entry first, such as `shards[2].start: expected int, got str`."""
    match = _FAULT.fullmatch(" ".join(str(error).split()))
    if match is None:
        raise AssertionError("the pattern matches every text")
    fault, place = match["fault"], match["place"]
    for theirs, ours in _WORDS.items():
        fault = fault.replace(theirs, ours)
    fault = fault[:1].lower() + fault[1:].replace("`", "")
    return f"{place}: {fault}" if place else fault
