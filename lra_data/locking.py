"""File locks. On a file system without locks, such as some network file systems, work continues, with a notice."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lra_data.notices import say_once

# flock on a file system without locks: not implemented, no lock server, or not supported.
_NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP})


@contextmanager
def locked_file(path: Path, *, wait: bool = True, notice: bool = True) -> Iterator[bool]:
    """Hold the lock file at `path`, which is not removed; yields whether the file system has locks.

    wait: False raises filelock.Timeout at once if another process holds the lock.
    notice: whether to say that there are no locks.

    Raises OSError if the file cannot be created.
    """
    from filelock import FileLock

    lock = FileLock(path, timeout=-1 if wait else 0)
    try:
        lock.acquire()
        held = True
    except (OSError, NotImplementedError) as error:
        # filelock 3 raises NotImplementedError if flock is missing.
        if isinstance(error, OSError) and (isinstance(error, TimeoutError) or error.errno not in _NO_LOCKS):
            raise
        if notice:
            reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "no file locks"
            say_once(
                f"the file system of {path.parent} has no file locks ({reason}); continuing without a lock: "
                "do not run two such commands at the same time"
            )
        held = False
    try:
        yield held
    finally:
        if held:
            lock.release()
