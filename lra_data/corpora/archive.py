"""Reads a corpus from an archive or from the folder someone unpacked it to; the tasks see one stream of files.

An archive is read once from its beginning, nothing of it is written to disk, and it is not trusted: a member that would
lie outside, that is a link or a device, or that is larger than any file of the corpus, ends the reading with an error.
"""

import bz2
import gzip
import hashlib
import lzma
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from lra_data.errors import SetError

_GZIP, _BZIP2, _XZ = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00"

# ValueError: what tarfile makes of broken extended headers.
_DAMAGED = (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError, ValueError)
_CLOSING = 2 * tarfile.BLOCKSIZE


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a sound copy of a corpus stays within: bytes of its largest file, and of all files together."""

    largest: int
    total: int


def stamp(path: Path) -> tuple[int, int]:
    """What changes when an archive, or a file of a folder, is replaced: newest change in ns, and size or file count."""
    try:
        if not path.exists():
            return 0, 0
        if not path.is_dir():
            found = path.stat()
            return found.st_mtime_ns, found.st_size
        times = [file.lstat().st_mtime_ns for _, file in _files_below(path)]
    except OSError as error:
        raise _unreadable(path, error) from error
    return max(times, default=0), len(times)


class Source:
    """An archive (tar, also compressed with gzip, bzip2 or xz) or a folder. `members` reads it."""

    def __init__(self, path: Path, limits: Limits) -> None:
        if not path.exists():
            raise SetError(f"{path}: expected an archive or a folder, found nothing: name another --raw")
        if not path.is_file() and not path.is_dir():
            raise SetError(f"{path}: expected an archive or a folder, got a special file: name another --raw")
        self.path = path
        self._limits = limits
        self._sha256: str | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """How the corpus was given, once `members` has come to its end: an archive with its SHA-256, or a folder."""
        if self._sha256 is None:
            return {"kind": "folder"}
        return {"kind": "archive", "sha256": self._sha256, "bytes": self.path.stat().st_size}

    def members(self, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
        """Path and content of each file whose path is wanted. In an archive its own order, in a folder that of names.

        Raises SetError for an archive that is damaged, cut off or hostile, naming the member.
        """
        total = 0
        files = self._folder_files(wanted) if self.path.is_dir() else self._archive_files(wanted)
        for name, data in files:
            total += len(data)
            if total > self._limits.total:
                raise SetError(
                    f"{self.path}: expected at most {self._limits.total:,} bytes in all, got more at {name}: "
                    "this is not the corpus"
                )
            yield name, data

    def _folder_files(self, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
        try:
            for name, path in sorted(_files_below(self.path)):
                if wanted(name):
                    self._check_size(name, path.stat().st_size)
                    yield name, path.read_bytes()
        except OSError as error:
            raise _unreadable(self.path, error) from error

    def _archive_files(self, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
        digest = hashlib.sha256()
        name = ""
        try:
            with self.path.open("rb") as file:
                stream: Any = _Tail(_decompressed(_Hashing(file, digest)))
                with tarfile.open(fileobj=stream, mode="r|") as tar:
                    for member in tar:
                        name = member.name
                        self._check_member(member)
                        if member.isdir() or not wanted(name):
                            continue
                        content = tar.extractfile(member)
                        if content is None:
                            raise AssertionError("a regular member has content")
                        data = content.read()
                        if len(data) != member.size:
                            raise tarfile.ReadError("unexpected end of data")
                        yield name, data
                while stream.read(2**20):
                    pass  # to the end, where a compressed stream keeps its checksum
                if stream.tail.strip(b"\0") or len(stream.tail) < _CLOSING:
                    raise tarfile.ReadError("unexpected end of data")
        except _DAMAGED as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise _unreadable(self.path, error) from error
            where = f" after {name}" if name else ""
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise SetError(
                f"{self.path}: expected a whole tar archive, got one that is damaged or cut off{where} ({reason}): "
                "fetch it again"
            ) from error
        self._sha256 = digest.hexdigest()

    def _check_member(self, member: tarfile.TarInfo) -> None:
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts:
            raise SetError(
                f"{self.path}: expected paths inside the archive, got {member.name!r}: do not trust this file"
            )
        if not member.isdir() and (not member.isreg() or member.issparse()):
            raise SetError(
                f"{self.path}: expected plain files, got a link or a special file, {member.name!r}: do not trust this "
                "file"
            )
        self._check_size(member.name, member.size)

    def _check_size(self, name: str, size: int) -> None:
        if size > self._limits.largest:
            raise SetError(
                f"{self.path}: expected files of at most {self._limits.largest:,} bytes, got {size:,} as {name}: "
                "this is not the corpus"
            )


class _Hashing:
    """A file that digests what is read from it."""

    def __init__(self, file: IO[bytes], digest: Any) -> None:
        self._file, self._digest = file, digest

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._digest.update(data)
        return data

    def peek(self, size: int) -> bytes:
        """The first bytes, unread."""
        data = self._file.read(size)
        self._file.seek(0)
        return data


class _Tail:
    """A stream that remembers the end of what was read from it: a tar ends in two blocks of zeros."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.tail = b""

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._stream.read(size)
        self.tail = (self.tail + data[-_CLOSING:])[-_CLOSING:]
        return data


def _decompressed(file: _Hashing) -> Any:
    head = file.peek(len(_XZ))
    if head.startswith(_GZIP):
        return gzip.GzipFile(fileobj=file, mode="rb")  # type: ignore[call-overload]
    if head.startswith(_BZIP2):
        return bz2.BZ2File(file, "rb")  # type: ignore[call-overload]
    if head.startswith(_XZ):
        return lzma.LZMAFile(file, "rb")  # type: ignore[arg-type]
    return file


def _files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    """Files with their paths below the folder; links to folders are followed, but not in circles."""

    def fail(error: OSError) -> None:
        raise error

    seen = set()
    for place, folders, names in os.walk(folder, onerror=fail, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        for name in names:
            path = Path(place, name)
            yield path.relative_to(folder).as_posix(), path


def _unreadable(path: Path, error: OSError) -> SetError:
    where = error.filename if isinstance(error.filename, str) else path
    return SetError(f"{where}: expected a readable file or folder, got: {error.strerror or error}: mend that")
