"""Reads a tar archive, plain or compressed, as one stream; nothing of it is written to disk.

A hard link to an earlier member is that member under another name. Its content may have gone by when the link comes, so
an archive that has wanted ones is read a second time, for the files they lead to. Symbolic links are never followed.
"""

import bz2
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from lra_data.corpora import archive_kinds
from lra_data.corpora.member_checks import Guard, plain
from lra_data.errors import SetError

# ValueError: what tarfile makes of broken extended headers.
_DAMAGED = (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError, ValueError)
_CLOSING = 2 * tarfile.BLOCKSIZE


def tar_files(guard: Guard, wanted: Callable[[str], bool], digest: Any) -> Iterator[tuple[str, bytes]]:
    """Path and content of each wanted file, in the archive's order; those that are hard links come last.

    digest: takes every byte of the file on disk. Raises SetError for a file that is damaged, hostile or not an archive.
    """
    leads_to: dict[str, str] = {}  # from each hard link to the file, over links to links
    followed: dict[int, tuple[str, str]] = {}  # place in the archive: name of a wanted link, and where it leads
    with _opened(guard, digest) as reading:
        for place, member in enumerate(reading):
            _check_member(guard, member)
            if member.isdir() or guard.is_hidden(member.name):
                continue
            is_wanted = wanted(member.name)
            if is_wanted:
                guard.check_not_behind_link(member.name)
            if member.islnk():
                name = plain(member.name)
                target = plain(member.linkname)
                leads_to[name] = leads_to.get(target, target)
                if is_wanted:
                    followed[place] = member.name, leads_to[name]
                else:
                    guard.pass_over_link(member.name)
            elif member.issym():
                if is_wanted:
                    raise guard.refuse_special(member.name)
                guard.pass_over_link(member.name)
            else:
                if leads_to:
                    leads_to.pop(plain(member.name), None)
                if is_wanted:
                    yield member.name, reading.content(member)
    if followed:
        yield from _linked_files(guard, followed)


def _linked_files(guard: Guard, followed: dict[int, tuple[str, str]]) -> Iterator[tuple[str, bytes]]:
    """The files that hard links lead to, under the links' names."""
    targets = {target for _, target in followed.values()}
    contents: dict[str, bytes] = {}
    with _opened(guard, None) as reading:
        for place, member in enumerate(reading):
            name = plain(member.name)
            if place in followed:
                link, target = followed[place]
                if target not in contents:
                    raise guard.refuse_special(link)
                yield link, contents[target]
            elif member.isreg() and name in targets:
                contents[name] = reading.content(member)
                guard.check_total(member.name, sum(map(len, contents.values())))


@contextmanager
def _opened(guard: Guard, digest: Any) -> Iterator["_Reading"]:
    """The archive as a stream, read to its end where the block ends; what is wrong with it becomes one SetError."""
    reading = _Reading()
    try:
        with guard.path.open("rb") as file:
            stream = _stream(guard.path, _Hashing(file, digest))
            with tarfile.open(fileobj=stream, mode="r|") as reading.tar:  # type: ignore[call-overload]
                yield reading
            while stream.read(2**20):
                pass  # to the end, where a compressed stream keeps its checksum
            if stream.tail.strip(b"\0") or len(stream.tail) < _CLOSING:
                raise tarfile.ReadError("unexpected end of data")
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise unreadable(guard.path, error) from error
        where = f" after {reading.last}" if reading.last else ""
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SetError(
            f"{guard.path}: expected a whole tar archive, got one that is damaged or cut off{where} ({reason}): "
            "fetch it again"
        ) from error


class _Reading:
    """The members of an open archive, and the name of the last one that was met."""

    tar: tarfile.TarFile
    last = ""

    def __iter__(self) -> Iterator[tarfile.TarInfo]:
        for member in self.tar:
            self.last = member.name
            yield member

    def content(self, member: tarfile.TarInfo) -> bytes:
        """The bytes of the regular member that was met last."""
        content = self.tar.extractfile(member)
        if content is None:
            raise AssertionError("a regular member has content")
        data = content.read()
        if len(data) != member.size:
            raise tarfile.ReadError("unexpected end of data")
        return data


def _check_member(guard: Guard, member: tarfile.TarInfo) -> None:
    guard.check_path(member.name)
    is_link = member.issym() or member.islnk()
    if not (member.isdir() or is_link) and (not member.isreg() or member.issparse()):
        raise guard.refuse_special(member.name)
    guard.check_size(member.name, member.size)


class _Hashing:
    """A file that digests what is read from it."""

    def __init__(self, file: IO[bytes], digest: Any) -> None:
        self._file, self._digest = file, digest

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        if self._digest is not None:
            self._digest.update(data)
        return data

    def peek(self, size: int) -> bytes:
        """The first bytes, unread."""
        data = self._file.read(size)
        self._file.seek(0)
        return data


class _Stream:
    """A stream that can be peeked at its beginning and keeps its last bytes: a tar ends in two blocks of zeros."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._ahead = b""
        self.tail = b""

    def head(self, size: int) -> bytes:
        """The first bytes, unread; fewer where the stream is shorter."""
        while len(self._ahead) < size and (data := self._stream.read(size - len(self._ahead))):
            self._ahead += data
        return self._ahead

    def read(self, size: int = -1) -> bytes:
        # Whole reads: tarfile then meets a cut-off beginning before it has seen a member.
        data, self._ahead = self._ahead, b""
        if size < 0 or len(data) < size:
            data += self._stream.read(size - len(data) if size >= 0 else -1)
        else:
            data, self._ahead = data[:size], data[size:]
        self.tail = (self.tail + data[-_CLOSING:])[-_CLOSING:]
        return data


def _stream(path: Path, file: _Hashing) -> _Stream:
    """The tar archive in the file, decompressed; raises SetError, naming what the file is, where it holds none."""
    head = file.peek(archive_kinds.HEAD)
    is_tar = archive_kinds.is_tar(head)
    outer = None if is_tar else next((magic for magic in archive_kinds.COMPRESSED if head.startswith(magic)), None)
    if outer is None:
        stream = _Stream(file)
        found = None if is_tar else archive_kinds.foreign_kind(head) or archive_kinds.unknown_kind(head)
    else:
        stream = _Stream(_decompressed(outer, file))
        found = archive_kinds.inner_kind(archive_kinds.COMPRESSED[outer], stream.head(archive_kinds.HEAD))
    if found is not None:
        what, advice = found
        raise SetError(f"{path}: expected a whole tar archive, got {what}: {advice}")
    return stream


def _decompressed(outer: bytes, file: _Hashing) -> Any:
    if outer == archive_kinds.GZIP:
        return gzip.GzipFile(fileobj=file, mode="rb")  # type: ignore[call-overload]
    if outer == archive_kinds.BZIP2:
        return bz2.BZ2File(file, "rb")  # type: ignore[call-overload]
    return lzma.LZMAFile(file, "rb")  # type: ignore[arg-type]


def unreadable(path: Path, error: OSError) -> SetError:
    """The error for a file or folder that the system does not give."""
    where = error.filename if isinstance(error.filename, str) else path
    return SetError(f"{where}: expected a readable file or folder, got: {error.strerror or error}: mend that")
