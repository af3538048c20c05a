"""Decodes JSON into a typed record, strictly: unknown entries, missing ones and wrong types are refused.

A record is a frozen `Record`, or has a frozen dataclass as an entry. Not here: what the entries are (`model/card.py`,
`efficiency/row.py`, `training/state.py`).
"""

import re
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import msgspec

T = TypeVar("T", bound="Record")

_PLACE = re.compile(r" - at `\$(?P<place>[^`]*)`$")
_NAMED = re.compile(r"^Object (?P<fault>missing required|contains unknown) field `(?P<name>[^`]*)`$")


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all records: immutable, with named entries; unknown entries are refused."""


# Metadata of a dataclass's field that records of earlier versions do not have. Its default is what these versions did,
# so it may be missing, and is written only with another value.
ADDED = {"added": True}


class RecordError(ValueError):
    """JSON that does not match the record. The text names the entry, the expected value and the value found."""


def decoded(data: bytes | str, kind: type[T]) -> T:
    """The record in a JSON text; raises RecordError."""
    return converted(parsed(data), kind)


def parsed(data: bytes | str) -> Any:
    """The values in a JSON text, without a type; raises RecordError for a text that is not JSON."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError(str(error)) from error


def converted(values: Any, kind: type[T]) -> T:
    """The record made from values that were read from JSON; raises RecordError."""
    if isinstance(values, dict):
        values = {**values, **_checked_dataclasses(values, kind)}
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise RecordError(_in_words(str(error))) from error


def without_added(config: Any, values: dict[str, Any]) -> dict[str, Any]:
    """A dataclass's JSON values without the fields marked with ADDED that have their defaults."""
    idle = {
        field.name
        for field in fields(config)
        if field.metadata.get("added") and getattr(config, field.name) == field.default
    }
    return {name: value for name, value in values.items() if name not in idle}


def builtins(record: Record) -> dict[str, Any]:
    """A record as JSON values: dictionaries, lists, numbers and texts, in the order of its entries."""
    values: dict[str, Any] = msgspec.to_builtins(record)
    return values


def _checked_dataclasses(values: dict[str, Any], kind: type[Record]) -> dict[str, Any]:
    """The entries of `values` that become dataclasses, with tuples in place of lists, since JSON has no tuples.

    In a dataclass, msgspec ignores unknown names and takes the default for missing ones; a record refuses both, but for
    missing fields that are marked with ADDED.
    """
    found = {}
    for field in msgspec.structs.fields(kind):
        entry = values.get(field.name)
        if is_dataclass(field.type) and isinstance(entry, dict):
            known = {each.name for each in fields(field.type)}
            added = {each.name for each in fields(field.type) if each.metadata.get("added")}
            for name in sorted((entry.keys() ^ known) - (added - entry.keys())):
                fault = "missing entry" if name in known else "unknown entry"
                raise RecordError(f"{fault} {field.name}.{name}")
            found[field.name] = {
                name: {word: tuple(part) if isinstance(part, list) else part for word, part in value.items()}
                if isinstance(value, dict)
                else value
                for name, value in entry.items()
            }
    return found


def _in_words(message: str) -> str:
    """msgspec's message with the entry first: "test.correct: expected int, got str"."""
    match = _PLACE.search(message)
    place = match["place"].removeprefix(".") if match else ""
    text = _PLACE.sub("", message)
    named = _NAMED.match(text)
    if named:
        fault = "missing entry" if named["fault"] == "missing required" else "unknown entry"
        return f"{fault} {'.'.join(part for part in (place, named['name']) if part)}"
    text = text.replace("`", "")
    return f"{place}: {text[:1].lower()}{text[1:]}" if place else f"{text[:1].lower()}{text[1:]}"
