"""Archives of other kinds are named by their first bytes, links that nobody needs do no harm, and zip is read."""

import bz2
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from lra_data import SetError, get_task
from lra_data.corpora.archive import Limits, Source
from lra_data.corpus import Corpus
from tests.support.archives import unpack
from tests.support.tiny_corpora import imdb_files, write_tar

LIMITS = Limits(largest=10_000, total=20_000)
FILES = {"a/one.txt": b"1" * 3000, "a/two.txt": b"2", "b/skip.bin": b"3"}
WANTED = {name: data for name, data in FILES.items() if name.endswith(".txt")}


def is_text(name: str) -> bool:
    return name.endswith(".txt")


def read(path: Path, limits: Limits = LIMITS) -> dict[str, bytes]:
    return dict(Source(path, limits).members(is_text))


def message(path: Path) -> str:
    """The error of a file that cannot be read, without its path."""
    with pytest.raises(SetError) as caught:
        read(path)
    text = str(caught.value)
    assert "\n" not in text
    return text.removeprefix(f"{path}: ")


def tar_bytes(files: Mapping[str, bytes] = FILES) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def zip_bytes(files: Mapping[str, bytes] = FILES, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


PAGE = b"<!DOCTYPE html>\n<html><head><title>403 Forbidden</title></head></html>"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"7z\xbc\xaf\x27\x1c\0\4" + bytes(600), "a 7z archive: unpack it and name the folder"),
        (b"Rar!\x1a\x07\x01\0" + bytes(600), "a rar archive: unpack it and name the folder"),
        (b"Rar!\x1a\x07\0" + bytes(600), "a rar archive: unpack it and name the folder"),
        (b"\x28\xb5\x2f\xfd" + bytes(600), "Zstandard data: decompress it (zstd -d) and name the result"),
        (b"\x53\x2a\x4d\x18" + bytes(600), "Zstandard data: decompress it (zstd -d) and name the result"),
        (b"\x04\x22\x4d\x18" + bytes(600), "LZ4 data: decompress it (lz4 -d) and name the result"),
        (b"\x1f\x9d\x90" + bytes(600), "compress data (.Z): decompress it (uncompress) and name the result"),
        (
            lzma.compress(tar_bytes(), format=lzma.FORMAT_ALONE),
            "LZMA data without a container: decompress it (xz --format=lzma -d) and name the result",
        ),
        (b"", "an empty file: fetch the archive again"),
        (PAGE, "an HTML page: servers send this instead of a file: fetch the archive again"),
        (b"\xef\xbb\xbf\r\n  " + PAGE.lower(), "an HTML page: servers send this instead of a file: fetch the archive"),
        (b"<?xml version='1.0'?><Error>", "an XML page: servers send this instead of a file: fetch the archive again"),
        (b'{"message": "Not Found"}', "a JSON text: servers send this instead of a file: fetch the archive again"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer: fetch the file itself (git lfs pull)"),
        (
            b"id,label\n1,2\n",
            "a file that begins neither as a tar archive nor as a compressed one ('id,label\\n1,2\\n'): name the "
            "corpus's own archive, or fetch it again",
        ),
    ],
    ids=range(15),
)
def test_a_file_of_another_kind_is_named_with_what_to_do(data: bytes, expected: str, tmp_path: Path) -> None:
    """The name of the file says nothing: all are called .tar.gz."""
    path = tmp_path / "corpus.tar.gz"
    path.write_bytes(data)
    assert message(path).startswith(f"expected a whole tar archive, got {expected}")


COMPRESS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}


@pytest.mark.parametrize("outer", COMPRESS)
@pytest.mark.parametrize("inner", COMPRESS)
def test_data_that_was_compressed_twice(outer: str, inner: str, tmp_path: Path) -> None:
    path = tmp_path / "corpus.tar.gz.gz"
    path.write_bytes(COMPRESS[outer](COMPRESS[inner](tar_bytes())))
    assert message(path) == (
        f"expected a whole tar archive, got {outer} data that holds {inner} data again: decompress it once ({outer} "
        "-d) and name the result"
    )
    path.write_bytes(COMPRESS[outer](tar_bytes()))
    assert read(path) == WANTED


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (PAGE, "an HTML page: servers send this instead of a file: fetch the archive again"),
        (zip_bytes(), "a zip archive: decompress it once (gzip -d) and name the result"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(600), "a 7z archive: unpack it and name the folder"),
        (b"", "nothing: fetch the archive again"),
        (
            b"\x80\x02}q" + b"pickle" * 200,
            "other data than a tar archive (it begins with '\\x80\\x02}qpicklepickle'): name the corpus's own",
        ),
    ],
    ids=range(5),
)
def test_a_gzip_file_that_holds_no_tar(data: bytes, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "corpus.tar.gz"
    path.write_bytes(gzip.compress(data))
    assert message(path).startswith(f"expected a whole tar archive, got gzip data that holds {expected}")


def write_members(path: Path, *members: tuple[str, bytes, bytes | str]) -> Path:
    """A tar of (name, type, content or target of the link)."""
    with tarfile.open(path, "w:gz") as tar:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            if isinstance(content, str):
                member.linkname = content
                tar.addfile(member)
            else:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return path


REG, SYM, LNK = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


def test_links_that_no_wanted_file_needs_are_passed_over_and_counted(tmp_path: Path) -> None:
    path = write_members(
        tmp_path / "a.tar.gz",
        ("latest", SYM, "a"),
        ("a/readme", SYM, "/etc/passwd"),
        ("a/one.txt", REG, b"1"),
        ("b/same.bin", LNK, "a/one.txt"),
        ("b/nothing.bin", LNK, "never/there"),
    )
    source = Source(path, LIMITS)
    assert dict(source.members(is_text)) == {"a/one.txt": b"1"}
    assert source.facts["passed over"] == {"links": 4}


def test_hard_links_to_earlier_files_are_followed(tmp_path: Path) -> None:
    """To a wanted file, to one that is not wanted, over another link, and to the last of two files of one name."""
    path = write_members(
        tmp_path / "a.tar.gz",
        ("./a/one.txt", REG, b"1"),
        ("blobs/7f", REG, b"blob"),
        ("a/two.txt", LNK, "a/one.txt"),
        ("c/three.bin", LNK, "./blobs/7f"),
        ("a/four.txt", LNK, "c/three.bin"),
        ("a/again.bin", REG, b"old"),
        ("a/again.bin", REG, b"new"),
        ("a/five.txt", LNK, "a/again.bin"),
    )
    assert read(path) == {
        "./a/one.txt": b"1",
        "a/two.txt": b"1",
        "a/four.txt": b"blob",
        "a/five.txt": b"new",
    }
    unpack(path, tmp_path / "folder")
    unpacked = {name: (tmp_path / "folder" / name).read_bytes() for name in read(path)}
    assert unpacked == read(path)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ([("a/x.txt", SYM, "/etc/passwd")], "got a link or a special file, 'a/x.txt'"),
        ([("a/one.txt", REG, b"1"), ("a/x.txt", SYM, "one.txt")], "got a link or a special file, 'a/x.txt'"),
        ([("a/x.txt", LNK, "a/one.txt"), ("a/one.txt", REG, b"1")], "got a link or a special file, 'a/x.txt'"),
        ([("a/x.txt", LNK, "/etc/passwd")], "got a link or a special file, 'a/x.txt'"),
        ([("a/x.txt", LNK, "../../etc/passwd")], "got a link or a special file, 'a/x.txt'"),
        ([("a/x.txt", LNK, "a/x.txt")], "got a link or a special file, 'a/x.txt'"),
        ([("l", SYM, "/etc"), ("a/x.txt", LNK, "l")], "got a link or a special file, 'a/x.txt'"),
        ([("../l", SYM, "a")], "expected paths inside the archive, got '../l'"),
        ([("a", SYM, "/tmp"), ("a/x.txt", REG, b"1")], "got 'a/x.txt' below the link 'a'"),
        ([("a", SYM, "/tmp"), ("a/b/x.txt", LNK, "one")], "got 'a/b/x.txt' below the link 'a'"),
        ([("a/tty", tarfile.CHRTYPE, b"")], "got a link or a special file, 'a/tty'"),
        ([("a/disk", tarfile.BLKTYPE, b"")], "got a link or a special file, 'a/disk'"),
        ([("a/pipe", tarfile.FIFOTYPE, b"")], "got a link or a special file, 'a/pipe'"),
        ([("a/._pipe", tarfile.FIFOTYPE, b"")], "got a link or a special file, 'a/._pipe'"),
    ],
    ids=range(14),
)
def test_what_is_hostile_stays_refused(
    members: list[tuple[str, bytes, bytes | str]], expected: str, tmp_path: Path
) -> None:
    text = message(write_members(tmp_path / "evil.tar", *members))
    assert expected in text
    assert text.endswith(": do not trust this file")


def test_links_are_no_bomb(tmp_path: Path) -> None:
    """A thousand names for nine kilobytes count a thousand times."""
    links: list[tuple[str, bytes, bytes | str]] = [(f"a/{n}.txt", LNK, "a/one.txt") for n in range(1000)]
    path = write_members(tmp_path / "a.tar", ("a/one.txt", REG, bytes(9_000)), *links)
    assert message(path).startswith("expected at most 20,000 bytes in all, got more at a/1.txt")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_archive_gives_what_its_tar_gives(method: int, tmp_path: Path) -> None:
    path = tmp_path / "corpus.tar.gz"
    path.write_bytes(zip_bytes(FILES | {"a\\three.txt": b"3", "__MACOSX/a/._one.txt": b"x", "a/": b""}, method))
    source = Source(path, LIMITS)
    assert dict(source.members(is_text)) == WANTED | {"a/three.txt": b"3"}
    assert source.facts["kind"] == "archive"
    assert source.facts["bytes"] == path.stat().st_size
    assert source.facts["passed over"] == {"hidden files": 1}


def test_a_corpus_in_a_zip_archive_has_the_tars_content(tmp_path: Path) -> None:
    path = tmp_path / "aclImdb.zip"
    path.write_bytes(zip_bytes(imdb_files()))
    tar = write_tar(tmp_path / "aclImdb.tar.gz", imdb_files())
    tasks = [get_task("text").over(Corpus(raw, allow_partial=True)) for raw in (path, tar)]
    assert tasks[0].identity() == tasks[1].identity()
    assert tasks[0].generate("train", 0, 40).equals(tasks[1].generate("train", 0, 40))


def with_mode(name: str, mode: int, content: bytes = b"x") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        member = zipfile.ZipInfo(name)
        member.create_system = 3
        member.external_attr = (mode | 0o644) << 16
        archive.writestr(member, content)
    return buffer.getvalue()


def patched(data: bytes, change: Callable[[bytearray], None]) -> bytes:
    changed = bytearray(data)
    change(changed)
    return bytes(changed)


def lie_about_size(data: bytearray) -> None:
    """The directory promises 100 bytes of a file that has 3,000."""
    place = data.index(b"PK\x01\x02") + 24
    data[place : place + 4] = struct.pack("<I", 100)
    data[22:26] = struct.pack("<I", 100)


def encrypt(data: bytearray) -> None:
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (zip_bytes({"../x.txt": b"1"}), "expected paths inside the archive, got '../x.txt': do not trust this file"),
        (zip_bytes({"..\\x.bin": b"1"}), "expected paths inside the archive, got '../x.bin': do not trust this file"),
        (zip_bytes({"/etc/x.txt": b"1"}), "expected paths inside the archive, got '/etc/x.txt': do not trust this"),
        (with_mode("a/x.txt", stat.S_IFLNK, b"/etc/passwd"), "expected plain files, got a link or a special file"),
        (with_mode("a/tty", stat.S_IFCHR), "expected plain files, got a link or a special file, 'a/tty'"),
        (zip_bytes({"x.bin": bytes(10_001)}), "expected files of at most 10,000 bytes, got 10,001 as x.bin"),
        (
            zip_bytes({f"{n}.txt": bytes(9_000) for n in range(3)}),
            "expected at most 20,000 bytes in all, got more at 2",
        ),
        (
            patched(zip_bytes(), lie_about_size),
            "expected a whole zip archive, got one that is damaged or cut off at a/",
        ),
        (patched(zip_bytes(), encrypt), "expected files without a password, got a/one.txt: unpack it and name the"),
        (zip_bytes()[:-30], "expected a whole zip archive, got one that is damaged or cut off (File is not a zip"),
        (
            zip_bytes({"corpus.tar.gz": gzip.compress(tar_bytes())}),
            "expected the files of the corpus in the zip archive, got another archive in it, corpus.tar.gz: unpack",
        ),
        (zip_bytes({"corpus.tar": tar_bytes()}), "expected the files of the corpus in the zip archive, got another"),
    ],
    ids=range(12),
)
def test_zip_archives_are_not_trusted(data: bytes, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "corpus.zip"
    path.write_bytes(data)
    assert message(path).startswith(expected)


def test_a_flipped_bit_in_a_zip_archive(tmp_path: Path) -> None:
    data = zip_bytes(method=zipfile.ZIP_STORED)
    path = tmp_path / "corpus.zip"
    path.write_bytes(patched(data, lambda changed: changed.__setitem__(data.index(b"111"), 50)))
    assert message(path).startswith("expected a whole zip archive, got one that is damaged or cut off at a/one.txt")


def test_links_in_a_zip_archive_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "corpus.zip"
    path.write_bytes(with_mode("latest", stat.S_IFLNK, b"a"))
    source = Source(path, LIMITS)
    assert dict(source.members(is_text)) == {}
    assert source.facts["passed over"] == {"links": 1}
    assert not os.path.lexists("latest")
