"""The cache of shards: shared by processes, never wrong, continued after a kill, one line if it cannot be written."""

import multiprocessing
import pickle
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from lra_data.errors import SetError
from lra_data.store.atomic_files import sha256_of
from lra_data.store.location.remote import RemoteFolder
from lra_data.store.manifest import MANIFEST
from lra_data.store.shard_entry import Shard
from tests.conftest import ROOT
from tests.lra_data.store.location.conftest import RANGE, cached, through
from tests.support.remote_servers import FileServer, Proxy

CHILD = """
import resource, sys
from lra_data.errors import LraDataError
from lra_data.store.location import address_reader, remote
if len(sys.argv) > 2:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
    sys.dont_write_bytecode = True  # it would be cut off
address_reader.RANGE_BYTES = 4096
folder = remote.RemoteFolder(sys.argv[1])
try:
    print(folder.shard_path(folder.manifest().shards_of("train", "arrow")[0]))
except LraDataError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize("damage", ["a bit", "the end", "more"])
def test_a_damaged_file_in_the_cache_is_fetched_again(server: FileServer, shard: Shard, damage: str) -> None:
    folder = RemoteFolder(server.url)
    path = folder.shard_path(shard)
    content = path.read_bytes()
    damaged = {"a bit": content[:-1] + bytes([content[-1] ^ 1]), "the end": content[:-1], "more": content + b"x"}
    path.write_bytes(damaged[damage])
    if damage != "a bit":  # which an object that has digested it once does not look for
        assert folder.shard_path(shard).read_bytes() == content
        path.write_bytes(damaged[damage])
    assert RemoteFolder(server.url).shard_path(shard).read_bytes() == content
    path.unlink()
    assert folder.shard_path(shard).read_bytes() == content


def test_a_full_cache_needs_no_writing(server: FileServer, shard: Shard, tmp_path: Path) -> None:
    """A cache that others filled may be read-only, and its folder takes no lock then."""
    path = RemoteFolder(server.url).shard_path(shard)
    for other in (tmp_path / "cache" / "shards").glob("*.lock"):
        other.unlink()
    before = path.parent.stat().st_mtime_ns
    assert RemoteFolder(server.url).shard_path(shard) == path
    assert path.parent.stat().st_mtime_ns == before


def test_a_cache_that_cannot_be_written(
    server: FileServer, shard: Shard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("LRA_DATA_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(SetError) as caught:
        RemoteFolder(server.url).shard_path(shard)
    assert str(caught.value) == (
        f"cannot write {tmp_path / 'file' / 'cache' / 'shards'}: Not a directory; mend that, then run the same command "
        "again, or set LRA_DATA_CACHE to another folder"
    )


def test_a_disk_that_is_full(server: FileServer, shard: Shard, tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk."""
    command = [sys.executable, "-c", CHILD, server.url, "20000"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    path = tmp_path / "cache" / "shards" / f"{shard.sha256}.arrow"
    assert result.stderr == (
        f"cannot write {path}: File too large; the file size limit is reached: raise it (ulimit -f), or ask for more "
        "shards, then run the same command again, or set LRA_DATA_CACHE to another folder\n"
    )
    assert list(path.parent.iterdir()) == [path.with_name(f"{path.name}.lock")]


def test_two_processes_fetch_a_shard_once(server: FileServer, shard: Shard, tmp_path: Path) -> None:
    server.delay_s = 0.05
    command = [sys.executable, "-c", CHILD, server.url]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(2)]
    said = [child.communicate()[0].strip() for child in children]
    assert said == [str(tmp_path / "cache" / "shards" / f"{shard.sha256}.arrow")] * 2
    assert sha256_of(Path(said[0])) == shard.sha256
    assert len(server.asked_for(MANIFEST)) == 2
    asked = server.asked_for(shard.file)
    assert len(asked) == len(set(asked)) == -(-shard.bytes // RANGE)


def test_a_kill_leaves_a_part_which_the_next_run_continues(
    server: FileServer, shard: Shard, small_set: Path, tmp_path: Path
) -> None:
    server.delay_s = 0.1
    reached = multiprocessing.get_context("spawn").Event()
    server.when_asked = lambda _: reached.set() if len(server.asked_for(shard.file)) == 8 else None
    with subprocess.Popen([sys.executable, "-c", CHILD, server.url], cwd=ROOT) as child:
        assert reached.wait(30)
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    assert cached(tmp_path) == []
    part = tmp_path / "cache" / "shards" / f"{shard.sha256}.arrow.part"
    assert part.exists()
    server.delay_s, server.when_asked, server.asked = 0, lambda _: None, []
    assert RemoteFolder(server.url).shard_path(shard).read_bytes() == (small_set / shard.file).read_bytes()
    assert "bytes=0-4095" not in server.asked_for(shard.file)
    assert not part.exists()


@pytest.mark.parametrize("length", [20, 62_200, 100_000])
def test_a_part_that_is_wrong_costs_no_round(server: FileServer, shard: Shard, proxy: Proxy, length: int) -> None:
    """The first round ends what an earlier process left, the second meets a flipped bit, and there is a third."""
    path = through(proxy).shard_path(shard)
    path.rename(path.with_name(f"{path.name}.part")).write_bytes(b"x" * length)
    server.asked = []

    def spoil_the_first_start(_: int) -> None:
        if server.asked[-1][1] == "bytes=0-4095":
            proxy.flips = int(server.asked_for(shard.file).count("bytes=0-4095") == 1)

    server.when_asked = spoil_the_first_start
    assert sha256_of(through(proxy).shard_path(shard)) == shard.sha256
    assert server.asked_for(shard.file).count("bytes=0-4095") == 2


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_after_a_fork(server: FileServer, shard: Shard) -> None:
    folder = RemoteFolder(server.url)
    folder.manifest()  # the parent has connections and a thread that serves them

    def fetch() -> None:
        assert sha256_of(folder.shard_path(shard)) == shard.sha256

    child = multiprocessing.get_context("fork").Process(target=fetch)
    child.start()
    child.join(20)
    try:
        assert child.exitcode == 0
    finally:
        child.kill()
    assert server.asked_for(shard.file)


def test_in_a_spawned_worker(server: FileServer, shard: Shard) -> None:
    folder = RemoteFolder(server.url, storage_options={"headers": {"X-Token": "1"}})
    folder.manifest()
    assert b"HTTPFileSystem" not in pickle.dumps(folder)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        path = pool.submit(folder.shard_path, shard).result(timeout=30)
    assert sha256_of(path) == shard.sha256
