"""Sets behind an address: exact shards over bad connections, nothing wrong in the cache, errors of one line."""

import base64
import errno
import hashlib
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lra_data.errors import SetError, UsageError
from lra_data.store.atomic_files import sha256_of
from lra_data.store.location import remote, remote_errors
from lra_data.store.location.remote import RemoteFolder, is_remote
from lra_data.store.manifest import MANIFEST, Shard, read_manifest
from tests.conftest import ROOT
from tests.support.remote_servers import BUCKET, HOST, S3_KEYS, FileServer, Proxy, s3_server

RANGE = 4096

CHILD = """
import resource, sys
from lra_data.errors import LraDataError
from lra_data.store.location import remote
if len(sys.argv) > 2:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
remote._RANGE_BYTES = 4096
folder = remote.RemoteFolder(sys.argv[1])
try:
    print(folder.shard_path(folder.manifest().shards_of("train", "arrow")[0]))
except LraDataError as error:
    sys.exit(str(error))
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Many small ranges, short waits, a cache of its own, no proxy between the test and its server."""
    monkeypatch.setattr(remote, "_RANGE_BYTES", RANGE)
    monkeypatch.setattr(remote, "_FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(remote, "_LONGEST_WAIT_S", 0.1)
    monkeypatch.setattr(remote, "_PATIENCE_S", 20.0)
    monkeypatch.setenv("LRA_DATA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", HOST)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_PATIENCE_S", 0.2)


@pytest.fixture
def published(tmp_path: Path, small_set: Path) -> Path:
    """The set's Arrow and Parquet files in a folder that a test may change."""
    folder = tmp_path / "published"
    folder.mkdir()
    for path in small_set.iterdir():
        if path.suffix in {".arrow", ".parquet", ".json"}:
            shutil.copy(path, folder)
    return folder


@pytest.fixture
def server(published: Path) -> Iterator[FileServer]:
    with FileServer(published) as http:
        yield http


@pytest.fixture
def proxy(server: FileServer) -> Iterator[Proxy]:
    with Proxy(server.port) as between:
        yield between


@pytest.fixture
def shard(small_set: Path) -> Shard:
    """The first train shard, of about 60 kB."""
    return read_manifest(small_set).shards_of("train", "arrow")[0]


def through(proxy: Proxy) -> RemoteFolder:
    return RemoteFolder(f"http://{HOST}:{proxy.port}/set")


def cached(tmp_path: Path) -> list[str]:
    """Names of shards in the cache."""
    folder = tmp_path / "cache" / "shards"
    return sorted(path.name for path in folder.glob("*") if path.suffix not in {".lock", ".part"})


def test_what_an_address_is() -> None:
    for address in ("https://host/set", "HTTP://host", "s3://bucket/set", "gs://b", "file:///set", "zip::s3://b/f.zip"):
        assert is_remote(address)
    for path in ("data/listops/mini", "/data/set", "C:\\data", "c://data", "https:/host", "a:b", "", "data/s3://b"):
        assert not is_remote(path)


@pytest.mark.parametrize("format_name", ["arrow", "parquet"])
def test_a_set_over_http(server: FileServer, small_set: Path, tmp_path: Path, format_name: str) -> None:
    folder = RemoteFolder(server.url + "/")
    manifest = folder.manifest()
    assert manifest == read_manifest(small_set)
    shards = manifest.shards_of("train", format_name)
    for shard in shards:
        path = folder.shard_path(shard)
        assert path == tmp_path / "cache" / "shards" / f"{shard.sha256}.{format_name}"
        assert path.read_bytes() == (small_set / shard.file).read_bytes()
        ranges = [f"bytes={start}-{min(start + RANGE, shard.bytes) - 1}" for start in range(0, shard.bytes, RANGE)]
        assert server.asked_for(shard.file) == ranges
    # Once more, and from another mirror: nothing is asked.
    asked = len(server.asked)
    assert folder.shard_path(shards[0]) == RemoteFolder(f"http://{HOST}:9/set").shard_path(shards[0])
    assert len(server.asked) == asked


def test_a_folder_of_the_users_choice(server: FileServer, shard: Shard, tmp_path: Path) -> None:
    path = RemoteFolder(server.url, cache=tmp_path / "mine").shard_path(shard)
    assert path.parent == tmp_path / "mine" / "shards"
    assert not (tmp_path / "cache").exists()


def test_other_schemes(published: Path, shard: Shard) -> None:
    folder = RemoteFolder(f"file://{published}")
    assert folder.manifest() == read_manifest(published)
    assert folder.shard_path(shard).read_bytes() == (published / shard.file).read_bytes()


@pytest.mark.parametrize("seed", range(3))
def test_exact_bytes_over_a_connection_that_breaks(server: FileServer, small_set: Path, seed: int) -> None:
    with Proxy(server.port, seed=seed) as proxy:
        proxy.cuts = (100, 12_000)
        folder = through(proxy)
        for shard in folder.manifest().shards_of("train", "arrow"):
            assert folder.shard_path(shard).read_bytes() == (small_set / shard.file).read_bytes()
            asked = server.asked_for(shard.file)
            assert sorted(set(asked), key=asked.index) == [
                f"bytes={start}-{min(start + RANGE, shard.bytes) - 1}" for start in range(0, shard.bytes, RANGE)
            ], "a range that came is not asked for again"
        assert proxy.connections > 10


@pytest.mark.parametrize("when", ["at the start", "midway"])
def test_a_server_that_is_away_for_five_seconds(
    server: FileServer, proxy: Proxy, shard: Shard, small_set: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    monkeypatch.setattr(remote, "_LONGEST_WAIT_S", 1.0)
    start = time.monotonic()
    if when == "at the start":
        proxy.leave_for(5)
    else:
        server.when_asked = lambda number: proxy.leave_for(5) if number == 8 else None
    folder = through(proxy)
    assert folder.manifest() == read_manifest(small_set)
    assert folder.shard_path(shard).read_bytes() == (small_set / shard.file).read_bytes()
    assert time.monotonic() - start > 5
    assert len(server.asked_for(shard.file)) == -(-shard.bytes // RANGE) + (when == "midway")


@pytest.mark.usefixtures("impatient")
def test_a_server_that_stays_away(server: FileServer, proxy: Proxy, shard: Shard, tmp_path: Path) -> None:
    server.when_asked = lambda number: proxy.leave() if number == 3 else None
    with pytest.raises(SetError) as caught:
        through(proxy).shard_path(shard)
    message = str(caught.value)
    assert message.startswith(
        f"http://{HOST}:{proxy.port}/set/{shard.file}: expected to read it, got: ClientConnectorError: "
    )
    assert message.endswith(" tries: run the same command again when the server is back")
    assert "\n" not in message
    assert cached(tmp_path) == []


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_a_server_that_is_overloaded(server: FileServer, shard: Shard, status: int) -> None:
    server.statuses = [status] * 3
    assert sha256_of(RemoteFolder(server.url).shard_path(shard)) == shard.sha256
    server.statuses = [status] * 2
    RemoteFolder(server.url).manifest()
    assert len(server.asked_for(MANIFEST)) == 3


@pytest.mark.parametrize(("status", "reason"), [(401, "Unauthorized"), (403, "Forbidden"), (410, "Gone")])
def test_a_refusal_is_final(server: FileServer, shard: Shard, status: int, reason: str) -> None:
    server.statuses = [status] * 2
    folder = RemoteFolder(server.url)
    asks: dict[str, Callable[[], object]] = {MANIFEST: folder.manifest, shard.file: lambda: folder.shard_path(shard)}
    for name, ask in asks.items():
        with pytest.raises(SetError) as caught:
            ask()
        assert str(caught.value) == (
            f"{server.url}/{name}: expected to read it, got: the server answered {status} {reason}, which no second "
            "try mends: check the address, the credentials and storage_options"
        )
        assert len(server.asked_for(name)) == 1


def test_no_manifest(server: FileServer, published: Path) -> None:
    (published / MANIFEST).unlink()
    with pytest.raises(SetError) as caught:
        RemoteFolder(server.url).manifest()
    assert str(caught.value) == (
        f"{server.url}: expected a built set, found no manifest.json: name the address of the folder ROOT/TASK/PRESET"
    )
    assert len(server.asked) == 1


@pytest.mark.parametrize("content", [b"<html>Please log in</html>", b""])
def test_a_damaged_manifest(server: FileServer, published: Path, content: bytes) -> None:
    (published / MANIFEST).write_bytes(content)
    with pytest.raises(SetError, match="expected JSON, got damaged text") as caught:
        RemoteFolder(server.url).manifest()
    assert str(caught.value).startswith(f"{server.url}/manifest.json: ")
    assert len(server.asked) == 2


def test_a_manifest_that_is_damaged_once_on_its_way(server: FileServer, proxy: Proxy, small_set: Path) -> None:
    proxy.cuts, proxy.flips = None, 1
    assert through(proxy).manifest() == read_manifest(small_set)
    assert (proxy.flips, len(server.asked)) == (0, 2)


def test_a_manifest_cannot_name_files_outside_the_cache(server: FileServer, published: Path, shard: Shard) -> None:
    text = (published / MANIFEST).read_text()
    (published / MANIFEST).write_text(text.replace(shard.sha256, "../../outside"))
    folder = RemoteFolder(server.url)
    with pytest.raises(SetError, match=r"expected 64 hex digits as sha256 of .*, got '../../outside'"):
        folder.shard_path(folder.manifest().shards_of("train", "arrow")[0])


def test_a_shard_that_is_not_there(server: FileServer, published: Path, shard: Shard, tmp_path: Path) -> None:
    (published / shard.file).unlink()
    with pytest.raises(SetError) as caught:
        RemoteFolder(server.url).shard_path(shard)
    assert str(caught.value) == (
        f"{server.url}/{shard.file}: expected {shard.file} of the manifest, found no such file: copy the whole set "
        "there"
    )
    assert len(server.asked) == 1
    assert cached(tmp_path) == []


def test_a_shard_that_is_wrong_at_the_server(server: FileServer, published: Path, shard: Shard, tmp_path: Path) -> None:
    content = bytearray((published / shard.file).read_bytes())
    content[30_000] ^= 1
    (published / shard.file).write_bytes(content)
    with pytest.raises(SetError) as caught:
        RemoteFolder(server.url).shard_path(shard)
    assert str(caught.value) == (
        f"{server.url}/{shard.file}: expected {shard.file} with sha256 {shard.sha256}, got sha256 "
        f"{hashlib.sha256(content).hexdigest()}, again and again: copy the set there anew, or name another address"
    )
    assert len(server.asked) == 2 * -(-shard.bytes // RANGE)
    assert [path.name for path in (tmp_path / "cache" / "shards").iterdir()] == [f"{shard.sha256}.arrow.lock"]


@pytest.mark.parametrize("format_name", ["arrow", "parquet"])
def test_bytes_that_change_on_their_way(server: FileServer, proxy: Proxy, small_set: Path, format_name: str) -> None:
    shard = read_manifest(small_set).shards_of("train", format_name)[0]
    proxy.flips = 1
    path = through(proxy).shard_path(shard)
    assert path.read_bytes() == (small_set / shard.file).read_bytes()
    assert proxy.flips == 0
    assert len(server.asked) == 2 * -(-shard.bytes // RANGE)


@pytest.mark.parametrize("length", [20_000, 5 * RANGE])
@pytest.mark.usefixtures("impatient")
def test_a_shard_that_is_too_short_at_the_server(
    server: FileServer, published: Path, shard: Shard, tmp_path: Path, length: int
) -> None:
    """Its last range is short again and again; where it ends with a range, the server knows nothing of the next."""
    os.truncate(published / shard.file, length)
    with pytest.raises(SetError) as caught:
        RemoteFolder(server.url).shard_path(shard)
    assert str(caught.value).startswith(f"{server.url}/{shard.file}: expected ")
    expected = "3,616 of 4,096 bytes" if length % RANGE else "got no bytes from 20,480 on"
    assert expected in str(caught.value)
    assert cached(tmp_path) == []


@pytest.mark.usefixtures("impatient")
def test_short_answers_are_not_taken(server: FileServer, shard: Shard, tmp_path: Path) -> None:
    server.shortened = 10
    with pytest.raises(SetError, match=r"got: ShortError: 4,086 of 4,096 bytes, after \d+ tries"):
        RemoteFolder(server.url).shard_path(shard)
    assert cached(tmp_path) == []
    server.when_asked = lambda number: setattr(server, "shortened", 10 if number % 2 else 0)
    assert sha256_of(RemoteFolder(server.url).shard_path(shard)) == shard.sha256


def test_a_server_without_ranges(
    server: FileServer, proxy: Proxy, shard: Shard, published: Path, tmp_path: Path
) -> None:
    server.with_ranges = False
    proxy.cuts = (50_000, 100_000)
    assert through(proxy).manifest() == read_manifest(published)
    path = through(proxy).shard_path(shard)
    assert path.read_bytes() == (published / shard.file).read_bytes()
    # A part of an earlier process is not what the answer begins after.
    path.rename(path.with_name(f"{path.name}.part"))
    os.truncate(path.with_name(f"{path.name}.part"), 10_000)
    assert RemoteFolder(server.url).shard_path(shard).read_bytes() == (published / shard.file).read_bytes()
    # A longer file than that of the manifest.
    path.unlink()
    with (published / shard.file).open("ab") as file:
        file.write(b"more")
    with pytest.raises(SetError, match=rf"with {shard.bytes:,} bytes, got {shard.bytes + 4:,} bytes, again and again"):
        RemoteFolder(server.url).shard_path(shard)
    assert cached(tmp_path) == []


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
def test_a_part_that_is_wrong_costs_no_go(server: FileServer, shard: Shard, proxy: Proxy, length: int) -> None:
    """The first go ends what an earlier process left, the second meets a flipped bit, and there is a third."""
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


def test_storage_options_reach_the_server(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    import aiohttp

    chosen = aiohttp.ClientTimeout(total=1)
    options = {"headers": {"X-Token": "1"}, "client_kwargs": {"timeout": chosen}}
    passed = remote._with_patience(server.url, options)
    assert passed["headers"] == {"Accept-Encoding": "identity", "X-Token": "1"}
    assert passed["client_kwargs"] == {"timeout": chosen, "trust_env": True}
    assert remote._with_patience(server.url, {})["client_kwargs"]["timeout"].sock_read == 30
    assert remote._with_patience("s3://bucket", {"key": "1"}) == {"key": "1"}


@pytest.mark.usefixtures("impatient")
def test_a_server_that_stalls(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_STALLED_S", 0.2)
    server.delay_s = 5.0
    start = time.monotonic()
    with pytest.raises(SetError, match="after 3 tries"):
        RemoteFolder(server.url).manifest()
    assert time.monotonic() - start < 3
    server.delay_s = 0


def test_passwords_and_signatures_are_sent_but_not_shown(server: FileServer, shard: Shard) -> None:
    address = server.url.replace("//", "//user:secret@") + "?signature=secret"
    assert sha256_of(RemoteFolder(address).shard_path(shard)) == shard.sha256
    assert server.last is not None
    assert server.last.query_string == "signature=secret"
    assert server.last.headers["Authorization"] == f"Basic {base64.b64encode(b'user:secret').decode()}"
    assert "secret" not in repr(RemoteFolder(address))
    server.statuses = [403]
    with pytest.raises(SetError) as caught:
        RemoteFolder(address).manifest()
    assert str(caught.value).startswith(f"{server.url}/manifest.json: expected to read it")
    assert "secret" not in str(caught.value)


def test_an_unknown_scheme() -> None:
    with pytest.raises(UsageError) as caught:
        RemoteFolder("nowhere://set").manifest()
    assert str(caught.value) == (
        "nowhere://set: expected an address that fsspec knows, such as https://, s3:// or gs://, got: Protocol not "
        "known: nowhere"
    )


@pytest.mark.parametrize(
    ("module", "address"), [("s3fs", "s3://sets/mini"), ("fsspec.core", "s3://sets/mini"), ("tenacity", "file:///set")]
)
def test_a_library_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, module: str, address: str) -> None:
    from fsspec.registry import _registry

    monkeypatch.delitem(_registry, "s3", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError) as caught:
        RemoteFolder(address).manifest()
    message = str(caught.value)
    assert message.startswith(f"{address}: expected the libraries that read it, got: ")
    assert message.endswith("pip install 'lra-data[remote]'")
    assert "\n" not in message


@pytest.fixture(scope="module")
def s3_port(small_set: Path) -> Iterator[int]:
    with s3_server(small_set) as port:
        yield port


def s3_folder(port: int, url: str = f"s3://{BUCKET}/listops/mini", **options: Any) -> RemoteFolder:
    return RemoteFolder(url, storage_options={"endpoint_url": f"http://{HOST}:{port}", **S3_KEYS, **options})


def test_a_set_on_s3(s3_port: int, small_set: Path, shard: Shard) -> None:
    folder = s3_folder(s3_port)
    assert folder.manifest() == read_manifest(small_set)
    assert folder.shard_path(shard).read_bytes() == (small_set / shard.file).read_bytes()


def test_s3_over_a_connection_that_breaks_and_is_away(s3_port: int, small_set: Path, shard: Shard) -> None:
    with Proxy(s3_port, seed=5) as proxy:
        proxy.cuts = (2_000, 30_000)
        proxy.leave_for(1)
        assert s3_folder(proxy.port).shard_path(shard).read_bytes() == (small_set / shard.file).read_bytes()
        assert proxy.connections > 2


@pytest.mark.usefixtures("impatient")
def test_what_s3_refuses(s3_port: int, shard: Shard, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(SetError, match=r"s3://no-such-bucket/set: expected a built set, found no manifest\.json"):
        s3_folder(s3_port, "s3://no-such-bucket/set").manifest()
    with pytest.raises(SetError, match=rf"{shard.file} of the manifest, found no such file"):
        s3_folder(s3_port, f"s3://{BUCKET}/other").shard_path(shard)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(SetError, match=r"NoCredentialsError: .*, which no second try mends") as caught:
        RemoteFolder(f"s3://{BUCKET}/listops/mini", storage_options={"endpoint_url": f"http://{HOST}:9"}).manifest()
    assert "\n" not in str(caught.value)
    with pytest.raises(SetError, match=r"unexpected keyword argument.*check the address, the credentials and storage"):
        s3_folder(s3_port, no_such_option=1).manifest()


def boto_error(code: str, status: int) -> BaseException:
    from botocore.exceptions import ClientError
    from s3fs.errors import translate_boto_error

    answer: Any = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error: BaseException = translate_boto_error(ClientError(answer, "GetObject"))
    return error


def errors_by_what_they_are() -> list[tuple[BaseException, bool]]:
    import aiohttp
    from botocore import exceptions as boto
    from fsspec.exceptions import FSTimeoutError

    request: Any = None
    return [
        (aiohttp.ClientPayloadError("cut"), True),
        (aiohttp.ServerDisconnectedError(), True),
        (aiohttp.SocketTimeoutError(), True),
        (aiohttp.InvalidURL("http://"), False),
        *((aiohttp.ClientResponseError(request, (), status=status), True) for status in (500, 503, 504, 429, 408)),
        *((aiohttp.ClientResponseError(request, (), status=status), False) for status in (400, 401, 403, 410, 416)),
        (FSTimeoutError(), True),
        (TimeoutError(), True),
        (ConnectionResetError(), True),
        (OSError("no number"), True),
        (OSError(errno.EIO, "read"), True),
        (FileNotFoundError(), False),
        (PermissionError(), False),
        (boto.EndpointConnectionError(endpoint_url="u"), True),
        (boto.ConnectTimeoutError(endpoint_url="u"), True),
        (boto.ReadTimeoutError(endpoint_url="u"), True),
        (boto.ConnectionClosedError(endpoint_url="u"), True),
        (boto.IncompleteReadError(actual_bytes=1, expected_bytes=2), True),
        (boto.NoCredentialsError(), False),
        (boto_error("SlowDown", 503), True),
        (boto_error("InternalError", 500), True),
        (boto_error("RequestTimeout", 400), True),
        (boto_error("TooManyRequests", 429), True),
        (boto_error("AccessDenied", 403), False),
        (boto_error("InvalidAccessKeyId", 403), False),
        (boto_error("ExpiredToken", 400), False),
        (boto_error("NoSuchKey", 404), False),
        (boto_error("InvalidBucketName", 400), False),
        (boto_error("PermanentRedirect", 301), False),
        (TypeError("a slip"), False),
        (ValueError("a wrong option"), False),
    ]


@pytest.mark.parametrize(("error", "may_pass"), errors_by_what_they_are(), ids=lambda value: type(value).__name__)
def test_which_errors_may_pass(error: BaseException, may_pass: bool) -> None:
    assert remote_errors.may_pass(error) is may_pass
