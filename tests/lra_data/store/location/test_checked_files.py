"""A cached shard is compared with its digest once a machine and day, and again when the file has changed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lra_data.store.location import checked_files
from lra_data.store.location.checked_files import note_checked, was_checked
from lra_data.store.location.remote import RemoteFolder
from lra_data.store.shard_entry import Shard
from tests.conftest import ROOT
from tests.support.remote_servers import FileServer

_CHILD = """
import sys
from lra_data.store.location import remote
def is_whole(*arguments):
    raise SystemExit("digested again")
remote.is_whole = is_whole
folder = remote.RemoteFolder(sys.argv[1])
print(folder.shard_path(folder.manifest().shards_of("train", "arrow")[0]))
"""


def test_another_process_does_not_digest_it_again(server: FileServer, shard: Shard) -> None:
    path = RemoteFolder(server.url).shard_path(shard)
    command = [sys.executable, "-c", _CHILD, server.url]
    for _ in range(2):
        found = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        assert (found.returncode, found.stdout.strip()) == (0, str(path)), found.stderr
    checked_files._stamp_of(path).unlink()
    found = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert (found.returncode, found.stderr.strip()) == (1, "digested again")


@pytest.mark.parametrize(
    "change", ["content", "size", "another file", "a day", "the future", "no stamp", "damaged stamp"]
)
def test_what_makes_a_stamp_void(change: str, tmp_path: Path) -> None:
    path = tmp_path / "shard.arrow"
    path.write_bytes(b"content")
    assert not was_checked(path)
    note_checked(path)
    assert was_checked(path)
    stamp = checked_files._stamp_of(path)
    status, now = path.stat(), time.time()
    if change == "content":
        path.write_bytes(b"CONTENT")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    elif change == "size":
        path.write_bytes(b"content and more")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    elif change == "another file":
        (tmp_path / "other").write_bytes(b"content")
        os.utime(tmp_path / "other", ns=(status.st_atime_ns, status.st_mtime_ns))
        (tmp_path / "other").replace(path)
    elif change == "no stamp":
        stamp.unlink()
    elif change == "damaged stamp":
        stamp.write_bytes(b"\xff\xfe")
    else:
        age = 86_500 if change == "a day" else -100
        os.utime(stamp, (now - age, now - age))
    assert not was_checked(path)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "shard.arrow"
    path.write_bytes(b"content")
    checked_files._stamp_of(path).mkdir()
    note_checked(path)
    assert not was_checked(path)
    assert sorted(found.name for found in tmp_path.iterdir()) == ["shard.arrow", "shard.arrow.checked"]


def test_a_file_that_decays_is_seen_the_next_day(
    server: FileServer, shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = RemoteFolder(server.url).shard_path(shard)
    content, status = path.read_bytes(), path.stat()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    monkeypatch.setattr(checked_files, "_GOOD_FOR_S", 0.0)
    assert RemoteFolder(server.url).shard_path(shard).read_bytes() == content
