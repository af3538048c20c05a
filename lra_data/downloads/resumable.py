"""One file from a server, resumed after a broken connection and in later processes, and published when it is right.

Received bytes are kept in PATH.part. The file gets the name PATH only when its size and digest are as expected.

A `Source` contacts the server. Locks between processes and messages for users are elsewhere.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from lra_data.downloads.patience import Patience, patiently
from lra_data.downloads.transfer_errors import (
    RANGE_NOT_SATISFIABLE,
    DifferentFileError,
    LocalDiskError,
    status_of,
)

# Called with the bytes so far, and the bytes in total.
ByteProgress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The expected file.

    size: bytes, if known.
    digest: `sha256:…` or `md5:…`, if known.
    """

    size: int | None
    digest: str | None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A piece of the file.

    start: position of its first byte; 0 from a server that does not support ranges and sends the whole file.
    total: bytes of the whole file, if the server gives them.
    is_last: whether the server's file ends with this piece.
    blocks: the bytes; reading them raises the source's error if the connection breaks.
    """

    start: int
    total: int
    is_last: bool
    blocks: Iterable[bytes]


class Source(Protocol):
    """The source of a file."""

    def ask(self, start: int, size: int | None) -> AbstractContextManager[Answer]:
        """A piece of the file from byte `start`; `size` is the size of the whole file, if known."""


def fetch_file(
    source: Source,
    path: Path,
    wanted: Wanted,
    *,
    patience: Patience,
    rounds: int = 1,
    progress: ByteProgress = lambda there, total: None,
) -> None:
    """Fetch the wanted file to `path`.

    rounds: how often the whole file is fetched if the received file is wrong.

    Raises DifferentFileError if the server has another file, FetchError if the server fails, and OSError if the file
    cannot be written. The part is kept only after a FetchError, and the next call continues it.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        # A wrong part of an earlier process is not the server's fault, so it does not count as a round.
        for rounds_left in reversed(range(rounds + (size_of(part) > 0))):
            try:
                _complete(source, part, wanted, patience, progress)
            except DifferentFileError:
                part.unlink(missing_ok=True)
                if not rounds_left:
                    raise
            else:
                break
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)  # it takes space on the full disk
        raise
    # The folder is not fsynced: if a power cut loses the name, only a download is lost.
    os.replace(part, path)


def is_whole(path: Path, wanted: Wanted) -> bool:
    """Whether the file exists and is the wanted file."""
    try:
        return path.is_file() and _difference(path, wanted) is None
    except FileNotFoundError:  # another process has just removed a damaged one
        return False


def size_of(path: Path) -> int:
    """Bytes of a file; -1 if it does not exist."""
    try:
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return -1


class _Transfer:
    """A running transfer. there: bytes so far. last_byte: time of the last byte received in this process, or None."""

    def __init__(self, source: Source, file: BinaryIO, wanted: Wanted, progress: ByteProgress) -> None:
        self._source, self._file, self._size, self._progress = source, file, wanted.size, progress
        self.there = file.seek(0, os.SEEK_END)
        self.is_complete = wanted.size is not None and self.there >= wanted.size
        self.last_byte: float | None = None

    def ask(self) -> None:
        """Fetch the next piece. Bytes received before a connection breaks are kept."""
        asked = self.there
        try:
            with self._source.ask(asked, self._size) as answer:
                self.there = answer.start
                for block in answer.blocks:
                    self._keep(block)
                    self.last_byte = time.monotonic()
                    self._progress(self.there, self._size or answer.total)
            self.is_complete = answer.is_last or self.there == self._size
        except LocalDiskError:
            raise
        except Exception as error:
            if status_of(error) == RANGE_NOT_SATISFIABLE:
                raise DifferentFileError("more bytes", f"no bytes after {asked:,}") from error
            raise

    def _keep(self, block: bytes) -> None:
        try:
            self._file.seek(self.there)
            self._file.write(block)
            self._file.flush()
        except OSError as error:
            raise LocalDiskError(error) from error
        self.there += len(block)


def _complete(source: Source, part: Path, wanted: Wanted, patience: Patience, progress: ByteProgress) -> None:
    """Append the missing bytes to `part`; raises DifferentFileError if the result is not the wanted file."""
    # The file is not truncated on opening: if locks do not work across machines, two may write the same bytes to it.
    with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as file:
        transfer = _Transfer(source, file, wanted, progress)
        try:
            while not transfer.is_complete:
                patiently(transfer.ask, patience, last_byte=lambda: transfer.last_byte)
        except LocalDiskError as error:
            raise error.reason from error
        file.truncate(transfer.there)  # the part was longer, and the server sent the whole file again
        os.fsync(file.fileno())
    if difference := _difference(part, wanted):
        raise difference


def _difference(path: Path, wanted: Wanted) -> DifferentFileError | None:
    """The difference between a file and the wanted file, or None."""
    size = path.stat().st_size
    if wanted.size is not None and size != wanted.size:
        return DifferentFileError(f"{wanted.size:,} bytes", f"{size:,} bytes")
    if wanted.digest is not None:
        algorithm, _, expected = wanted.digest.partition(":")
        with path.open("rb") as file:
            got = hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
        if got != expected:
            return DifferentFileError(f"{algorithm} {expected}", f"{algorithm} {got}")
    return None
