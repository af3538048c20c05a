"""Files that appear whole or not at all: written under a temporary name, fsynced, renamed, and the folder fsynced."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import RawIOBase
from pathlib import Path
from typing import BinaryIO, Protocol
from uuid import uuid4

from lra_data.paths import write_failure

_READ_BLOCK = 2**20


class Sink(Protocol):
    """The file that a format writes to."""

    def write(self, data: bytes, /) -> int:
        """Append all of `data`."""

    def tell(self) -> int:
        """Bytes written so far."""


class HashingFile(RawIOBase):
    """A file opened for writing that digests the bytes as they are written, so that no second read is needed."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()
        self._size = 0
        self._abandoned = False

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Write all of `data`."""
        if self._abandoned:
            return len(data)
        self._file.write(data)
        self._sha256.update(data)
        self._size += len(data)
        return len(data)

    def tell(self) -> int:
        """Bytes written so far."""
        return self._size

    def writable(self) -> bool:
        """Always."""
        return True

    def abandon(self) -> None:
        """Discard all further writes: a writer that failed halfway may write a footer when it is closed much later."""
        self._abandoned = True

    @property
    def sha256(self) -> str:
        """Hex digest of the bytes written so far."""
        return self._sha256.hexdigest()


@contextmanager
def publish(path: Path, scratch: Path) -> Iterator[HashingFile]:
    """Write `path` through a temporary file in the folder `scratch` (same file system); renamed if the block succeeds.

    A full disk, a quota or a missing permission raises BuildError; the temporary file is removed on any error.
    """
    # The name is unique: on a cluster, two machines may make the same shard at once, with the same process id.
    temporary = scratch / f"{path.name}.{uuid4().hex}.tmp"
    try:
        with temporary.open("wb") as file:
            hashing = HashingFile(file)
            try:
                yield hashing
            finally:
                hashing.abandon()
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise write_failure(path, error) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def publish_text(path: Path, text: str, scratch: Path) -> None:
    """Publish a small text file as UTF-8."""
    with publish(path, scratch) as file:
        file.write(text.encode())


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    """Make a rename durable. Windows has no such call and does not need it."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
