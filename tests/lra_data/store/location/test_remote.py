"""Sets behind an address: exact shards over bad connections, nothing wrong in the cache, errors of one line."""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lra_data.downloads import patience
from lra_data.errors import SetError
from lra_data.store.atomic_files import sha256_of
from lra_data.store.location.remote import RemoteFolder
from lra_data.store.manifest import MANIFEST, read_manifest
from lra_data.store.shard_entry import Shard
from tests.lra_data.store.location.conftest import RANGE, cached, through
from tests.support.remote_servers import HOST, FileServer, Proxy

pytestmark = pytest.mark.long


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


@pytest.mark.slow
@pytest.mark.parametrize("when", ["at the start", "midway"])
def test_a_server_that_is_away_for_five_seconds(
    server: FileServer, proxy: Proxy, shard: Shard, small_set: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    monkeypatch.setattr(patience, "LONGEST_WAIT_S", 1.0)
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
            f"{server.url}/{name}: expected to read it, got: the server answered {status} {reason}, retrying will not "
            "help: check the address, the credentials and storage_options"
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
        f"{hashlib.sha256(content).hexdigest()} several times: copy the set there again, or name another address"
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
    expected = "3,616 of 4,096 bytes" if length % RANGE else "got no bytes after 20,480"
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
    with pytest.raises(SetError, match=rf"with {shard.bytes:,} bytes, got {shard.bytes + 4:,} bytes several times"):
        RemoteFolder(server.url).shard_path(shard)
    assert cached(tmp_path) == []
