"""Files that are digested as they are written, and reach the disk before anybody is told."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import RawIOBase
from pathlib import Path
from typing import BinaryIO, Protocol

from lra_data.paths import write_failure


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
def written(path: Path) -> Iterator[HashingFile]:
    """Write a new file, whose bytes are on the disk when the block ends."""
    with path.open("wb") as file:
        hashing = HashingFile(file)
        try:
            yield hashing
        finally:
            hashing.abandon()
        file.flush()
        os.fsync(file.fileno())


def write_whole(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all, and its folder if need be; an older file of this name is replaced.

    Raises BuildError for a place that cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with written(temporary) as file:
                file.write(data)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise write_failure(path, error) from error


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Make a rename durable. Windows has no such call and does not need it."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
