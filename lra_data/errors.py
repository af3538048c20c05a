"""The errors that a user can see, and the exit code of the command line for each.

    LraDataError            1
    ├── UsageError          2   a wrong option, name, split, index or configuration (also a ValueError)
    ├── BuildError          1   the build could not continue: disk, permissions, a lost worker, an unreachable window
    └── SetError            1   a folder is not a finished set, or its content differs from its manifest

Each message is one line: the expected value, the value found, what to do. An exception of any other type is a bug in
this package.
"""

import difflib
from collections.abc import Iterable


class LraDataError(Exception):
    """Base of all expected errors; `exit_code` is the status the command line ends with."""

    exit_code = 1


class UsageError(LraDataError, ValueError):
    """The caller asked for something that does not exist or is invalid."""

    exit_code = 2


class BuildError(LraDataError):
    """A build stopped for a reason outside the request; finished shards are kept."""


class SetError(LraDataError):
    """The content of a folder differs from its manifest, or the manifest is missing."""


def unknown_name(
    kind: str, name: object, known: Iterable[str], *, also: Iterable[str] = (), note: str = ""
) -> UsageError:
    """The error for a name that does not exist; it suggests the nearest and lists the known names.

    also: further names that may be suggested, and are not listed.
    note: what else could be meant, after the list.
    """
    names = list(known)
    hint = did_you_mean(name, [*names, *also])
    listed = f"{', '.join(names) or 'none'}{f'; {note}' if note else ''}"
    return UsageError(f"unknown {kind} {name!r}" + (f".{hint} Known: {listed}." if hint else f"; known: {listed}."))


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """` Did you mean 'listops'?` for the nearest of the known names, whatever its case; empty if none is near."""
    named = {word.lower(): word for word in known}
    nearest = difflib.get_close_matches(name.lower(), named, n=1) if isinstance(name, str) else []
    return f" Did you mean {named[nearest[0]]!r}?" if nearest else ""


def reason(error: Exception) -> str:
    """Why a file could not be read, in the words of the system or of the library, on one line."""
    if isinstance(error, UnicodeDecodeError):
        return f"bytes that are no UTF-8 text, the first at place {error.start:,}"
    said = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    text = " ".join(said.split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def brief(value: object) -> str:
    """The repr of a value for a message: on one line, cut off after 100 characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


_LONGEST = 100
