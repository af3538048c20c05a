"""Archives are read as one stream and not trusted; a folder gives what the archive gives."""

import bz2
import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from lra_data import SetError
from lra_data.corpora.archive import Limits, Source, stamp
from lra_data.corpora.hash_order import keyed_digest, keyed_order, keyed_share
from lra_data.corpora.tfds_order import tfds_order
from tests.support.archives import unpack
from tests.support.tiny_corpora import write_tar

LIMITS = Limits(largest=10_000, total=20_000)
FILES = {"a/one.txt": b"1" * 3000, "a/two.txt": b"2", "b/skip.bin": b"3"}


def read(path: Path, limits: Limits = LIMITS) -> dict[str, bytes]:
    return dict(Source(path, limits).members(lambda name: name.endswith(".txt")))


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_an_archive_and_its_folder_give_the_same_files(mode: str, tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "archive", FILES, mode=mode)
    expected = {name: data for name, data in FILES.items() if name.endswith(".txt")}
    source = Source(archive, LIMITS)
    assert dict(source.members(lambda name: name.endswith(".txt"))) == expected
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert source.facts == {"kind": "archive", "sha256": digest, "bytes": archive.stat().st_size}
    unpack(archive, tmp_path / "folder")
    assert read(tmp_path / "folder") == expected
    assert Source(tmp_path / "folder", LIMITS).facts == {"kind": "folder"}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9, 0.999])
def test_a_cut_off_archive_is_an_error(mode: str, kept: float, tmp_path: Path) -> None:
    files = {f"a/{number}.txt": hashlib.sha512(str(number).encode()).digest() * 20 for number in range(10)}
    archive = write_tar(tmp_path / "archive", files, mode=mode)
    data = archive.read_bytes()
    whole = len(data.rstrip(b"\0")) if mode == "w" else len(data)  # a plain tar is filled up with zeros
    archive.write_bytes(data[: int(whole * kept)])
    with pytest.raises(SetError, match=r"archive: expected a whole tar archive, got one that is damaged or cut off"):
        read(archive)


def test_the_exact_message_of_a_truncated_gzip(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "c.tar.gz", FILES)
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(SetError) as caught:
        read(archive)
    assert str(caught.value) == (
        f"{archive}: expected a whole tar archive, got one that is damaged or cut off "
        "(Compressed file ended before the end-of-stream marker was reached): fetch it again"
    )


def test_a_flipped_bit_and_a_file_that_is_no_archive(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "c.tar.gz", {"a.txt": bytes(range(256)) * 30})
    data = bytearray(archive.read_bytes())
    data[-6] ^= 1  # in the checksum at the end
    archive.write_bytes(data)
    with pytest.raises(SetError, match=r"damaged or cut off after a\.txt"):
        read(archive)
    archive.write_bytes(b"<html>403 Forbidden</html>")
    with pytest.raises(SetError, match="expected a whole tar archive"):
        read(archive)
    with pytest.raises(SetError, match=r"nothing\.tar: expected an archive or a folder, found nothing"):
        read(tmp_path / "nothing.tar")


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, bytes])
def test_an_archive_cut_off_between_two_files(compress: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """Its members are whole, and a compressed one has its checksum; only the closing blocks of the tar are missing."""
    data = write_tar(tmp_path / "whole.tar", FILES, mode="w").read_bytes()
    path = tmp_path / "cut"
    path.write_bytes(compress(data[: 512 + 3072]))
    with pytest.raises(SetError, match=r"cut off after a/one\.txt \(unexpected end of data\): fetch it again"):
        read(path)


def test_broken_headers_special_files_and_links_in_circles(tmp_path: Path) -> None:
    path = tmp_path / "pax.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("a.txt")
        member.pax_headers = {"GNU.sparse.map": "a,b"}
        tar.addfile(member)
    with pytest.raises(SetError, match="expected a whole tar archive, got one that is damaged"):
        read(path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SetError, match="expected an archive or a folder, got a special file"):
        read(tmp_path / "pipe")
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.txt").write_bytes(b"1")
    (folder / "sub" / "again").symlink_to(folder)
    (folder / "gone.bin").symlink_to(folder / "nothing")
    (folder / "linked").symlink_to(folder / "sub")
    assert set(read(folder).values()) == {b"1"}
    first = stamp(folder)
    (folder / "b.txt").write_bytes(b"2")
    assert stamp(folder) != first
    (folder / "gone.txt").symlink_to(folder / "nothing")
    with pytest.raises(
        SetError, match=r"gone\.txt: expected a readable file or folder, got: No such file or directory"
    ):
        read(folder)


def hostile(change: Callable[[tarfile.TarInfo], None]) -> dict[str, tarfile.TarInfo]:
    member = tarfile.TarInfo("a/x.txt")
    change(member)
    return {"member": member}


def link(kind: bytes, target: str) -> Callable[[tarfile.TarInfo], None]:
    def change(member: tarfile.TarInfo) -> None:
        member.type, member.linkname = kind, target

    return change


def named(name: str) -> Callable[[tarfile.TarInfo], None]:
    def change(member: tarfile.TarInfo) -> None:
        member.name = name

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (named("../../x"), "expected paths inside the archive, got '../../x': do not trust this file"),
        (named("a/../../x.txt"), "expected paths inside the archive, got 'a/../../x.txt': do not trust this file"),
        (named("/etc/passwd"), "expected paths inside the archive, got '/etc/passwd': do not trust this file"),
        (
            link(tarfile.SYMTYPE, "/etc/passwd"),
            "expected plain files, got a link or a special file, 'a/x.txt': do not trust this file",
        ),
        (
            link(tarfile.LNKTYPE, "a/one.txt"),
            "expected plain files, got a link or a special file, 'a/x.txt': do not trust this file",
        ),
        (
            link(tarfile.CHRTYPE, ""),
            "expected plain files, got a link or a special file, 'a/x.txt': do not trust this file",
        ),
    ],
)
def test_hostile_members_are_refused(change: Callable[[tarfile.TarInfo], None], message: str, tmp_path: Path) -> None:
    path = tmp_path / "evil.tar"
    with tarfile.open(path, "w") as tar:
        for member in hostile(change).values():
            tar.addfile(member)
    with pytest.raises(SetError) as caught:
        read(path)
    assert str(caught.value) == f"{path}: {message}"
    assert not (tmp_path / "x").exists()


def test_absurd_sizes_are_refused_before_they_are_read(tmp_path: Path) -> None:
    """A header that promises a petabyte; and a megabyte of gzip that holds a gigabyte, in limited memory."""
    path = tmp_path / "big.tar"
    member = tarfile.TarInfo("a.txt")
    member.size = 2**50
    path.write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    message = "expected files of at most 10,000 bytes, got 1,125,899,906,842,624 as a.txt: this is not the corpus"
    with pytest.raises(SetError) as caught:
        read(path)
    assert str(caught.value) == f"{path}: {message}"
    many = write_tar(tmp_path / "many.tar", {f"{number}.txt": bytes(9_000) for number in range(3)})
    with pytest.raises(SetError) as caught:
        read(many)
    assert str(caught.value) == (
        f"{many}: expected at most 20,000 bytes in all, got more at 2.txt: this is not the corpus"
    )
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_bytes(bytes(10_001))
    with pytest.raises(SetError, match=r"at most 10,000 bytes, got 10,001 as a\.txt"):
        read(tmp_path / "folder")


def test_a_stream_is_read_in_bounded_memory(tmp_path: Path) -> None:
    """200 MB of files that are passed over cost no memory."""
    path = tmp_path / "long.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for number in range(20):
            member = tarfile.TarInfo(f"{number}.bin")
            member.size = 10_000_000
            tar.addfile(member, io.BytesIO(bytes(10_000_000)))
    code = (
        "import resource, sys\nfrom pathlib import Path\nfrom lra_data.corpora.archive import Limits, Source, stamp\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"list(Source(Path({str(path)!r}), Limits(largest=2**24, total=100)).members(lambda name: False))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    grown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(grown) < 5_000  # kB


def test_tfds_order_is_the_published_one() -> None:
    """The beginnings that TensorFlow Datasets' own files have."""
    order = tfds_order("train", range(50_000))
    assert order[:5] == [16399, 1680, 47917, 17307, 27051]
    assert order[45_000:45_005] == [13431, 9237, 17462, 32685, 9518]


def test_keyed_choices_depend_on_key_and_purpose_alone() -> None:
    names = [f"name {number}" for number in range(200)]
    order = keyed_order(b"key", "purpose", names)
    assert sorted(order) == sorted(names)
    assert [name for name in order if name in names[:50]] == keyed_order(b"key", "purpose", names[:50])
    assert order != keyed_order(b"other", "purpose", names)
    assert order != keyed_order(b"key", "other", names)
    assert keyed_digest(b"key", "ab", "c") == hashlib.sha256(b"key\0ab\0c").digest() != keyed_digest(b"key", "a", "bc")
    shares = [keyed_share(b"key", name) for name in names]
    assert 0 <= min(shares) < 0.05
    assert 0.95 < max(shares) < 1
    assert shares[0] == (int.from_bytes(keyed_digest(b"key", names[0])[:8], "big") >> 11) / 2**53
