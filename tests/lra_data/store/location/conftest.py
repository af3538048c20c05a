"""A published set, a server for it, and a proxy that spoils connections."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lra_data.downloads import patience
from lra_data.store.location import address_reader, remote
from lra_data.store.location.remote import RemoteFolder
from lra_data.store.manifest import read_manifest
from lra_data.store.shard_entry import Shard
from tests.support.remote_servers import HOST, FileServer, Proxy

RANGE = 4096


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Many small ranges, short waits, a cache of its own, no proxy between the test and its server."""
    monkeypatch.setattr(address_reader, "RANGE_BYTES", RANGE)
    monkeypatch.setattr(patience, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(patience, "LONGEST_WAIT_S", 0.1)
    monkeypatch.setattr(remote, "PATIENCE_S", 20.0)
    monkeypatch.setenv("LRA_DATA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", HOST)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PATIENCE_S", 0.2)


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
    return sorted(path.name for path in folder.glob("*") if path.suffix not in {".lock", ".part", ".checked"})
