"""Remembers that a cached file was compared with its digest, for all processes of this machine.

A stamp next to the file holds its size, time and inode. It is good for a day: eight ranks of a machine read each file
once to check it, and a file that decays is still noticed. A file that changes has another time, and is checked again.
"""

import os
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

_SUFFIX = ".checked"
_GOOD_FOR_S = 86_400.0


def was_checked(path: Path) -> bool:
    """Whether some process here has compared this file with its digest lately."""
    stamp = _stamp_of(path)
    try:
        age = time.time() - stamp.stat().st_mtime
        return 0 <= age < _GOOD_FOR_S and stamp.read_text() == _identity(path)
    except (OSError, UnicodeDecodeError):
        return False


def note_checked(path: Path) -> None:
    """Remember it; a folder that cannot be written means that each process checks for itself."""
    temporary = path.with_name(f"{path.name}.{uuid4().hex}.tmp")
    with suppress(OSError):
        try:
            temporary.write_text(_identity(path))
            os.replace(temporary, _stamp_of(path))
        finally:
            temporary.unlink(missing_ok=True)


def _stamp_of(path: Path) -> Path:
    return path.with_name(path.name + _SUFFIX)


def _identity(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ino}\n"
