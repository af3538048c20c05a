"""Every error a user can cause or meet, and the exit code each gives the command line.

    LraDataError            1
    ├── UsageError          2   a wrong option, name, split, index or configuration (also a ValueError)
    ├── BuildError          1   the build could not go on: disk, permissions, a lost worker, a window never reached
    └── SetError            1   a folder is no finished set, or its content is not what its manifest says

Each message is one line: what was expected, what came, what to do. An exception of any other type is a bug here.
"""

import difflib
from collections.abc import Iterable


class LraDataError(Exception):
    """Base of all expected errors; `exit_code` is the status the command line ends with."""

    exit_code = 1


class UsageError(LraDataError, ValueError):
    """The caller asked for something that does not exist or cannot be."""

    exit_code = 2


class BuildError(LraDataError):
    """A build stopped for a reason outside the request; what was finished is kept."""


class SetError(LraDataError):
    """A folder does not hold what its manifest says, or has no manifest."""


def unknown_name(kind: str, name: object, known: Iterable[str]) -> UsageError:
    """The error for a name that does not exist: lists the known ones and the nearest."""
    names = list(known)
    nearest = difflib.get_close_matches(name, names, n=1) if isinstance(name, str) else []
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    return UsageError(f"unknown {kind} {name!r}; known: {', '.join(names)}.{hint}")


def brief(value: object) -> str:
    """A value for a message: its repr on one line, cut off where it is long, as that of an array."""
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


_LONGEST = 100
