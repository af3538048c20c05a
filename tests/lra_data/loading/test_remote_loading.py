"""Whole epochs from a set that is far away: exact over broken connections, or one clear error, and nothing twice."""

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lra_data
from lra_data import SetError
from lra_data.downloads import patience
from lra_data.loading.dataset import Dataset
from lra_data.store.location import address_reader, remote
from tests.conftest import SMALL_SIZES
from tests.support.remote_servers import BUCKET, HOST, S3_KEYS, FileServer, Proxy, s3_server

SIZE = SMALL_SIZES["train"]
SHARDS = 6
# What shuffles each format as it should be shuffled: Arrow also as a whole.
ORDERS: list[tuple[str, dict[str, Any]]] = [
    ("arrow", {"shuffle": True}),
    ("arrow", {"shuffle": True, "window": 64}),
    ("parquet", {"shuffle": True, "window": 64}),
    ("webdataset", {"shuffle": True, "window": 64}),
    ("webdataset", {}),
]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(address_reader, "RANGE_BYTES", 8192)
    monkeypatch.setattr(patience, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(patience, "LONGEST_WAIT_S", 0.2)
    monkeypatch.setenv("LRA_DATA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", HOST)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("far")
    formats = ("arrow", "parquet", "webdataset")
    lra_data.build("listops/mini", root, formats=formats, num_shards=SHARDS, sizes=SMALL_SIZES)
    return root / "listops" / "mini"


@pytest.fixture
def published(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "published"))


@pytest.fixture
def server(published: Path) -> Iterator[FileServer]:
    with FileServer(published) as http:
        yield http


@pytest.fixture
def proxy(server: FileServer) -> Iterator[Proxy]:
    with Proxy(server.port) as between:
        yield between


def far(port: int, format_name: str = "arrow") -> Dataset:
    return lra_data.load(f"http://{HOST}:{port}/set", split="train", format_name=format_name)


def same(one: Any, two: Any) -> bool:
    """Whether two batches hold the same."""
    return all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def cached(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache").rglob("*") if len(path.stem) == 64 and path.is_file())


@pytest.mark.parametrize(
    ("format_name", "options"), [*ORDERS[:2], *(pytest.param(*order, marks=pytest.mark.slow) for order in ORDERS[2:])]
)
def test_an_epoch_over_connections_that_break(
    proxy: Proxy, built: Path, format_name: str, options: dict[str, Any]
) -> None:
    proxy.cuts = (4_000, 200_000) if format_name == "webdataset" else (500, 12_000)  # tars are long
    found = far(proxy.port, format_name).batches(50, **options)
    near = lra_data.load(built, split="train", format_name=format_name).batches(50, **options)
    assert all(same(one, two) for one, two in zip(found, near, strict=True))
    assert proxy.connections > SHARDS


@pytest.mark.parametrize("every", [19, pytest.param(7, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("format_name", "options"),  # a full shuffle needs every shard at once
    [*ORDERS[1:2], *(pytest.param(*order, marks=pytest.mark.slow) for order in ORDERS[2:])],
)
def test_a_run_that_goes_on_elsewhere_reads_one_shard_again_at_most(
    server: FileServer,
    built: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    format_name: str,
    options: dict[str, Any],
    every: int,
) -> None:
    near = list(lra_data.load(built, split="train", format_name=format_name).batches(40, **options))
    for stop in range(1, len(near), every):
        server.asked.clear()
        for part in ("begun", "gone on"):
            monkeypatch.setenv("LRA_DATA_CACHE", str(tmp_path / f"{stop} {part}"))  # another machine each
            batches = far(server.port, format_name).batches(40, **options)
            if part == "begun":
                seen = [next(batches) for _ in range(stop)]
                state = batches.state_dict()
            else:
                batches.load_state_dict(state)
                seen += list(batches)
        assert all(same(one, two) for one, two in zip(seen, near, strict=True))
        fetched = Counter(name for name, asked in server.asked if asked.startswith("bytes=0-"))
        del fetched["manifest.json"]
        assert len(fetched) == SHARDS
        assert sum(fetched.values()) <= SHARDS + 1, fetched


@pytest.mark.slow
def test_ranks_and_workers_from_afar(server: FileServer, built: Path) -> None:
    from lra_data.loading.frameworks.torch_batches import TorchLoader

    seen = Counter[int]()
    for rank, workers in enumerate((0, 0, 2)):
        batches = far(server.port).batches(32, shuffle=True, window=128, shards_at_once=2, rank=rank, world_size=3)
        # Workers are started afresh: a thread of fsspec in this process would be lost in a fork.
        loader = TorchLoader(batches, num_workers=workers, multiprocessing_context="spawn" if workers else None)
        seen.update(index for batch in loader for index in batch.indices.tolist())
    assert seen == Counter(range(SIZE))


@pytest.mark.slow
def test_a_server_that_is_away_for_five_seconds(proxy: Proxy, built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "LONGEST_WAIT_S", 1.0)
    near = list(lra_data.load(built, split="train").batches(50, shuffle=True, window=64))
    batches = far(proxy.port).batches(50, shuffle=True, window=64)
    one = iter(batches)
    found = [next(one) for _ in range(8)]
    proxy.leave_for(5)
    found += list(one)
    assert all(same(one, two) for one, two in zip(found, near, strict=True))


def test_a_server_that_stays_away_is_one_line(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PATIENCE_S", 0.5)
    batches = far(proxy.port).batches(50, shuffle=True, window=64)
    begun = [next(batches) for _ in range(3)]
    state = batches.state_dict()
    proxy.leave()
    with pytest.raises(
        SetError, match=r"train-0000\d-of-00006.arrow: expected to read it, got: .*after \d+ tries"
    ) as one:
        list(batches)
    assert "\n" not in str(one.value)
    assert state["taken"] == sum(len(batch.labels) for batch in begun)


@pytest.mark.parametrize("prefetch", [0, 3])
def test_a_corrupted_shard_is_named_and_never_kept(
    server: FileServer, published: Path, tmp_path: Path, prefetch: int
) -> None:
    data = far(server.port)
    shard = data.rows.manifest.shards_of("train")[3]  # type: ignore[attr-defined]
    damaged = bytearray((published / shard.file).read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (published / shard.file).write_bytes(damaged)
    with pytest.raises(SetError, match=rf"{shard.file}: expected .*sha256 {shard.sha256}, got sha256 [0-9a-f]{{64}}"):
        list(data.batches(50, prefetch=prefetch))
    assert len(cached(tmp_path)) == 3
    assert not any(shard.sha256 in name for name in cached(tmp_path))


# botocore closes its connections when it is collected, moto's server says so in passing
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_epoch_from_s3(built: Path) -> None:
    near = lra_data.load(built, split="train")
    with s3_server(built) as port:
        options = {"endpoint_url": f"http://{HOST}:{port}", **S3_KEYS}
        data = lra_data.load("listops/mini", split="train", root=f"s3://{BUCKET}", storage_options=options)
        assert data.identity == near.identity
        found = list(data.batches(50, shuffle=True))
        read = lra_data.load_as(
            "lra-2020", "listops/mini", split="test", root=f"s3://{BUCKET}", storage_options=options
        )
        assert len(list(read.batches(10))) == 4
    assert all(same(one, two) for one, two in zip(found, near.batches(50, shuffle=True), strict=True))
