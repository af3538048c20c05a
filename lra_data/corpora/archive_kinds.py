"""Recognises, by its first bytes, a file that was given as an archive, and knows what to do with unreadable kinds.

File names are ignored: browsers and servers may store a web page or another archive under the requested name.
"""

import tarfile

GZIP, BZIP2, XZ = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00"
ZIP = (b"PK\x03\x04", b"PK\x05\x06")
HEAD = tarfile.BLOCKSIZE

COMPRESSED = {GZIP: "gzip", BZIP2: "bzip2", XZ: "xz"}

_UNPACK = "unpack it and name the folder"
_FETCH = "servers send this instead of a file: fetch the archive again"

# Archives that Python's standard library cannot read, or cannot read within limits.
_FOREIGN = (
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!\x1a\x07", "a rar archive", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "Zstandard data", "decompress it (zstd -d) and name the result"),
    (b"\x04\x22\x4d\x18", "LZ4 data", "decompress it (lz4 -d) and name the result"),
    (b"LZIP", "lzip data", "decompress it (lzip -d) and name the result"),
    (b"\x1f\x9d", "compress data (.Z)", "decompress it (uncompress) and name the result"),
    (b"\x1f\xa0", "compress data (.Z)", "decompress it (uncompress) and name the result"),
    (b"070701", "a cpio archive", _UNPACK),
    (b"070707", "a cpio archive", _UNPACK),
    (b"!<arch>\n", "an ar archive", _UNPACK),
    (b"MSCF", "a cabinet archive", _UNPACK),
    (b"xar!", "a xar archive", _UNPACK),
    (b"%PDF", "a PDF file", "name the archive or the unpacked folder"),
    (b"version https://git-lfs", "a Git LFS pointer", "fetch the file itself (git lfs pull)"),
)
_PAGES = (
    (b"<!doctype html", "an HTML page", _FETCH),
    (b"<html", "an HTML page", _FETCH),
    (b"<head", "an HTML page", _FETCH),
    (b"<body", "an HTML page", _FETCH),
    (b"<!--", "an HTML page", _FETCH),
    (b"<script", "an HTML page", _FETCH),
    (b"<title", "an HTML page", _FETCH),
    (b"<?xml", "an XML page", _FETCH),
    (b"{", "a JSON text", _FETCH),
)
_SKIPPABLE_ZSTD = b"\x2a\x4d\x18"


def foreign_kind(head: bytes) -> tuple[str, str] | None:
    """The kind of a file or stream that is not a tar archive, and a remedy; None if it may be one. head: HEAD bytes."""
    if not head:
        return "an empty file", "fetch the archive again"
    if is_tar(head):
        return None
    begins = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for start, known in ((head, _FOREIGN), (begins, _PAGES)):
        for magic, name, advice in known:
            if start.startswith(magic):
                return name, advice
    if 0x50 <= head[0] <= 0x5F and head[1:4] == _SKIPPABLE_ZSTD:
        return "Zstandard data", "decompress it (zstd -d) and name the result"
    # Raw LZMA has no magic number: 0x5d, a dictionary of 4 KiB to 4 GiB whose two lowest bytes are zero, a length.
    if head[:3] == b"\x5d\x00\x00" and any(head[3:5]) and len(head) > 13:
        return "LZMA data without a container", "decompress it (xz --format=lzma -d) and name the result"
    return None


def inner_kind(outer: str, head: bytes) -> tuple[str, str] | None:
    """The same for the content of compressed data; None for a tar archive."""
    if is_tar(head):
        return None
    what = f"{outer} data that holds"
    for magic, name in COMPRESSED.items():
        if head.startswith(magic):
            return f"{what} {name} data again", f"decompress it once ({outer} -d) and name the result"
    if head.startswith(ZIP):
        return f"{what} a zip archive", f"decompress it once ({outer} -d) and name the result"
    found = foreign_kind(head)
    if found is not None:
        name, advice = found if head else ("nothing", "fetch the archive again")
        return f"{what} {name}", advice
    return f"{what} other data than a tar archive (it begins with {shown(head)})", "name the corpus's own archive"


def unknown_kind(head: bytes) -> tuple[str, str]:
    """The words for an unknown file, which begins neither as an archive nor as a web page."""
    return (
        f"a file that begins neither as a tar archive nor as a compressed one ({shown(head)})",
        "name the corpus's own archive, or fetch it again",
    )


def is_tar(head: bytes) -> bool:
    """Whether the first block is from a tar archive: a header with a valid checksum, or zeros for an empty archive."""
    try:
        tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
        return True
    except tarfile.HeaderError:
        return False
    return True


def shown(head: bytes) -> str:
    """The first bytes, printable."""
    return repr(head[:16])[1:]
