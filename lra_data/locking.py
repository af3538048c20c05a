"""File locks that do without where a file system has none, as some network file systems do, and say so.

Not here: what is done under a lock.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lra_data.notices import say_once

# flock on a file system without locks: not implemented, no lock server, or not supported.
_NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP})


@contextmanager
def locked_file(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock file at `path`, which stays; gives whether there is a lock.

    wait: False raises filelock.Timeout at once if another process holds it. Raises OSError where the file cannot be
    made.
    """
    from filelock import FileLock

    lock = FileLock(path, timeout=-1 if wait else 0)
    try:
        lock.acquire()
        held = True
    except (OSError, NotImplementedError) as error:
        # filelock 3 raises NotImplementedError where flock is missing.
        if isinstance(error, OSError) and (isinstance(error, TimeoutError) or error.errno not in _NO_LOCKS):
            raise
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "no file locks"
        say_once(
            f"the file system of {path.parent} has no file locks ({reason}); going on without one: "
            "do not run two of these at once"
        )
        held = False
    try:
        yield held
    finally:
        if held:
            lock.release()
