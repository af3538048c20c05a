"""Reads a zip archive. Its directory gives the position of each file, so only wanted files are decompressed.

Sizes in the directory are not trusted: no more bytes than stated are read, and their checksum must be right.
"""

import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from lra_data.corpora import archive_kinds
from lra_data.corpora.ignored_files import is_hidden
from lra_data.corpora.member_checks import Guard
from lra_data.corpora.tar_archive import unreadable
from lra_data.errors import SetError

# Python raises NotImplementedError for a compression that it does not support.
_DAMAGED = (
    zipfile.BadZipFile,
    NotImplementedError,
    EOFError,
    OSError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    ValueError,
)
_ENCRYPTED = 1  # bit of the flags
_BLOCK = 2**20


def zip_files(guard: Guard, wanted: Callable[[str], bool], digest: Any) -> Iterator[tuple[str, bytes]]:
    """Path and content of each wanted file, in the archive's order. See `tar_archive.tar_files`."""
    name = ""
    try:
        with guard.path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
        with zipfile.ZipFile(guard.path) as archive:
            _check_not_an_archive(guard, archive)
            for member in archive.infolist():
                # Some Windows programs write backslashes as separators.
                name = member.filename.replace("\\", "/")
                _check_member(guard, name, member)
                if member.is_dir() or name.endswith("/") or guard.is_hidden(name):
                    continue
                is_link = _kind(member) == stat.S_IFLNK
                if wanted(name):
                    guard.check_not_behind_link(name)
                    if is_link:
                        raise guard.refuse_special(name)
                    yield name, _content(guard, archive, name, member)
                elif is_link:
                    guard.pass_over_link(name)
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise unreadable(guard.path, error) from error
        where = f" at {name}" if name else ""
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SetError(
            f"{guard.path}: expected a whole zip archive, got one that is damaged or cut off{where} ({reason}): "
            "fetch it again"
        ) from error


def _content(guard: Guard, archive: zipfile.ZipFile, name: str, member: zipfile.ZipInfo) -> bytes:
    if member.flag_bits & _ENCRYPTED:
        raise SetError(f"{guard.path}: expected files without a password, got {name}: unpack it and name the folder")
    with archive.open(member) as content:
        data = content.read(guard.limits.largest + 1)
    if len(data) != member.file_size:
        raise zipfile.BadZipFile("unexpected end of data")
    return data


def _check_member(guard: Guard, name: str, member: zipfile.ZipInfo) -> None:
    guard.check_path(name)
    # Archives from Windows do not record the kind of a file.
    if _kind(member) not in (0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
        raise guard.refuse_special(name)
    guard.check_size(name, member.file_size)


def _kind(member: zipfile.ZipInfo) -> int:
    return stat.S_IFMT(member.external_attr >> 16)


def _check_not_an_archive(guard: Guard, archive: zipfile.ZipFile) -> None:
    """Raise SetError if the only file is another archive, so that the corpus was packed twice."""
    files = [member for member in archive.infolist() if not member.is_dir() and not is_hidden(member.filename)]
    if len(files) != 1 or files[0].flag_bits & _ENCRYPTED:
        return
    with archive.open(files[0]) as content:
        head = content.read(archive_kinds.HEAD)
    packed = [*archive_kinds.COMPRESSED, *archive_kinds.ZIP]
    if any(head.startswith(magic) for magic in packed) or (any(head) and archive_kinds.is_tar(head)):
        raise SetError(
            f"{guard.path}: expected the files of the corpus in the zip archive, got another archive in it, "
            f"{files[0].filename}: unpack it once and name the result"
        )
