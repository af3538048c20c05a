"""Reads a tar archive, plain or compressed, as one stream; nothing is written to disk.

A hard link is another name of an earlier member, whose content has already passed when the link comes. So an archive
with wanted hard links is read a second time, for their target files. Symbolic links are never followed.
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

# tarfile raises ValueError for broken extended headers.
_DAMAGED = (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError, ValueError)
_CLOSING = 2 * tarfile.BLOCKSIZE


def tar_files(guard: Guard, wanted: Callable[[str], bool], digest: Any) -> Iterator[tuple[str, bytes]]:
    """Path and content of each wanted file, in the archive's order; hard links come last.

    digest: is updated with every byte of the archive. Raises SetError for a damaged, hostile or foreign file.
    """
    leads_to: dict[str, str] = {}  # from each hard link to its file, also through links to links
    followed: dict[int, tuple[str, str]] = {}  # place in the archive: name of a wanted link, and its target
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
    """The target files of hard links, under the links' names."""
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
    """The archive as a stream, read to its end when the `with` block ends; every fault becomes one SetError."""
    reading = _Reading()
    try:
        with guard.path.open("rb") as file:
            stream = _stream(guard.path, _Hashing(file, digest))
            with tarfile.open(fileobj=stream, mode="r|") as reading.tar:  # type: ignore[call-overload]
                yield reading
            while stream.read(2**20):
                pass  # to the end, since the checksum of a compressed stream is there
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
    """The members of an open archive, and the name of the last member read."""

    tar: tarfile.TarFile
    last = ""

    def __iter__(self) -> Iterator[tarfile.TarInfo]:
        for member in self.tar:
            self.last = member.name
            yield member

    def content(self, member: tarfile.TarInfo) -> bytes:
        """The bytes of the last regular member."""
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
    """A file that digests the bytes as they are read."""

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
    """A stream that can be peeked at its beginning and keeps its last bytes, as a tar ends with two blocks of zeros."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._ahead = b""
        self.tail = b""

    def head(self, size: int) -> bytes:
        """The first bytes, without consuming them; fewer if the stream is shorter."""
        while len(self._ahead) < size and (data := self._stream.read(size - len(self._ahead))):
            self._ahead += data
        return self._ahead

    def read(self, size: int = -1) -> bytes:
        # With whole reads, tarfile notices a truncated beginning before it has read a member.
        data, self._ahead = self._ahead, b""
        if size < 0 or len(data) < size:
            data += self._stream.read(size - len(data) if size >= 0 else -1)
        else:
            data, self._ahead = data[:size], data[size:]
        self.tail = (self.tail + data[-_CLOSING:])[-_CLOSING:]
        return data


def _stream(path: Path, file: _Hashing) -> _Stream:
    """The tar archive in the file, decompressed; raises SetError, naming the kind of the file, for another file."""
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
    """The error for a file or folder that cannot be read."""
    where = error.filename if isinstance(error.filename, str) else path
    return SetError(f"{where}: expected a readable file or folder, got: {error.strerror or error}: make it readable")
