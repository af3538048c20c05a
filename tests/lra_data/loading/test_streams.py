"""Streams: every example once, whole streams for each rank, only its own shards, and any number of ranks later on."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import lra_data
from lra_data import UsageError
from lra_data.loading.epoch.rank_shares import RankShares
from lra_data.loading.epoch.streams import Streams
from lra_data.store.location.set_folder import LocalFolder
from tests.support.small_builds import MINI

STREAMS = 8
SHARDS = 16
ROWS = 16 * 30 + 5


def order(n: int, shards: int, count: int, epoch: int = 0, **options: int) -> NDArray[np.int64]:
    """The places of all positions of an epoch."""
    starts = np.arange(shards + 1, dtype=np.int64) * n // shards
    given = {"window": 50, "at_once": 1, "seed": 3, **options}
    return Streams(starts, count=count, epoch=epoch, **given)(np.arange(n, dtype=np.int64))


@pytest.mark.parametrize("n", [8, 9, 480, 1001])
@pytest.mark.parametrize(("shards", "count"), [(8, 8), (8, 4), (8, 1), (7, 4), (3, 5)])
def test_every_place_once_and_another_order_each_epoch(n: int, shards: int, count: int) -> None:
    orders = [order(n, shards, count, epoch) for epoch in range(3)]
    for places in orders:
        assert sorted(places.tolist()) == list(range(n))
    if n > 100:
        assert not np.array_equal(orders[0], orders[1])
    assert np.array_equal(orders[0], order(n, shards, count))


def test_positions_belong_to_the_streams_that_the_documentation_says() -> None:
    """Stream s of S holds the rows from s n / S to (s + 1) n / S, and has the positions that are s modulo S."""
    n, count = 1000, 8
    places = order(n, 16, count)
    for position in range(n // count * count):
        stream = position % count
        assert stream * n // count <= places[position] < (stream + 1) * n // count


def test_rows_near_in_a_stream_are_mixed() -> None:
    """A window of a stream is shuffled: neighbours in the order are not neighbours in the file."""
    places = order(8 * 4000, 8, 8, window=1000)[::8]
    assert np.mean(np.abs(np.diff(places)) == 1) < 0.01
    # A window takes blocks from the whole shard.
    assert places[:1000].max() - places[:1000].min() > 3000


@pytest.mark.parametrize("world_size", [1, 2, 4, 8, 16, 32])
def test_a_rank_takes_whole_streams(world_size: int) -> None:
    n = 997
    shares = RankShares(n=n, batch_size=3, world_size=world_size, streams=STREAMS)
    taken = Counter[int]()
    for step in range(shares.steps_from(0)):
        sizes = []
        for rank in range(world_size):
            positions = shares.positions(step * shares.step, rank)
            assert all(position % world_size == rank for position in positions)
            taken.update(positions)
            sizes.append(len(positions))
        assert max(sizes) - min(sizes) <= 1
    assert taken == Counter(range(n))


@pytest.mark.parametrize("remainder", ["drop", "pad"])
def test_other_remainders(remainder: str) -> None:
    shares = RankShares(n=101, batch_size=3, world_size=4, remainder=remainder, streams=STREAMS)
    steps = shares.steps_from(0)
    for step in range(steps):
        assert {len(shares.positions(step * shares.step, rank)) for rank in range(4)} == {3}
    assert steps == (8 if remainder == "drop" else 9)


@pytest.mark.parametrize("world_size", [3, 6, 12])
def test_ranks_that_would_read_every_shard_are_refused(world_size: int) -> None:
    with pytest.raises(UsageError, match=rf"divides the 8 streams, or is a multiple of it, got {world_size} ranks"):
        RankShares(n=100, batch_size=3, world_size=world_size, streams=STREAMS)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("streams")
    lra_data.build(MINI, folder, num_shards=SHARDS, sizes={"train": ROWS, "validation": 2, "test": 2})
    return folder


def batches(root: Path, rank: int, world_size: int, **options: Any) -> Any:
    train = lra_data.load(MINI, split="train", root=root)
    given = {"shuffle": True, "window": 16, "streams": STREAMS, **options}
    return train.batches(4, rank=rank, world_size=world_size, **given)


@pytest.mark.parametrize("world_size", [2, 8, 16])
def test_a_rank_reads_its_own_shards(root: Path, world_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two shards a stream; the last 485 mod 8 rows may lie in streams of other ranks."""
    asked: set[str] = set()
    original = LocalFolder.shard_path

    def watched(folder: LocalFolder, shard: Any) -> Path:
        asked.add(shard.file)
        return original(folder, shard)

    monkeypatch.setattr(LocalFolder, "shard_path", watched)
    rows = Counter[int]()
    for rank in range(world_size):
        asked.clear()
        for batch in batches(root, rank, world_size, remainder="drop"):
            rows.update(batch.indices.tolist())
        streams = max(STREAMS // world_size, 1)
        assert len(asked) <= streams * SHARDS // STREAMS + 1
    assert max(rows.values()) == 1


def test_exactly_once_when_the_ranks_change_on_the_way(root: Path) -> None:
    state: dict[str, Any] | None = None
    rows = Counter[int]()
    for world_size, steps in ((8, 3), (2, 11), (16, 1), (4, 7), (1, 10**6)):
        for rank in range(world_size):
            loader = batches(root, rank, world_size)
            if state is not None:
                loader.load_state_dict(state)
            for step, batch in enumerate(loader, start=1):
                rows.update(batch.indices.tolist())
                if step == steps:
                    break
            last = loader.state_dict()
        state = last
    assert rows == Counter(range(ROWS))


def test_the_state_names_the_streams(root: Path) -> None:
    state = batches(root, 0, 2).state_dict()
    assert "in 8 streams" in state["order"]
    for options in ({"streams": 4}, {"streams": None}, {"window": 17}):
        with pytest.raises(UsageError, match="order"):
            batches(root, 0, 2, **options).load_state_dict(state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": None}, r"expected window=… with streams=8, got no window"),
        ({"streams": 0}, "streams must be an integer >= 1, got 0"),
        ({"streams": ROWS + 1}, "expected at most 485 streams, one an example, got 486"),
        ({"bucket_window": 64}, "expected either streams or bucket_window"),
    ],
)
def test_wrong_options(root: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        batches(root, 0, 1, **options)


def test_a_wrong_number_of_ranks_is_told_at_the_latest_when_the_pass_begins(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="divides the 8 streams"):
        batches(root, 2, 3)
    loader = lra_data.load(MINI, split="train", root=root).batches(4, shuffle=True, window=16, streams=STREAMS)
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(UsageError, match="divides the 8 streams"):
        next(iter(loader))
