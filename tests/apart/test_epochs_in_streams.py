"""Which epoch and place comes next in streams of Hugging Face: the habits of test_epochs.py, row by row.

Written from the specification alone, by someone who had not read the code that keeps count. Apart, and not with JAX
and TensorFlow: PyTorch forks here.
"""

import json
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from torch.utils.data import DataLoader

import lra_data
from lra_data.loading.batches import Batches
from lra_data.loading.dataset import Dataset
from lra_data.loading.frameworks.hf_datasets import stream_hf
from tests.support.epoch_loaders import BATCH, ROWS, due, epoch_of, state_at

Found = list[int]


@pytest.fixture(scope="module")
def data(small_root: Path) -> Dataset:
    return lra_data.load("listops/mini", split=f"train[:{ROWS}]", root=small_root)


def number_and_size(row: dict[str, Any]) -> dict[str, Any]:
    return {"index": row["index"], "size": len(row["inputs"])}


def always(_: dict[str, Any]) -> bool:
    return True


def as_it_is(row: Any) -> Any:
    return row


def in_a_worker(batches: Batches, **options: Any) -> Any:
    stream: Any = stream_hf(batches).with_format("numpy")
    return DataLoader(stream, batch_size=None, num_workers=1, collate_fn=as_it_is, **options)


HERE: dict[str, Callable[[Batches], Any]] = {
    "stream": stream_hf,
    "with_format": lambda batches: stream_hf(batches).with_format("numpy"),
    "map": lambda batches: stream_hf(batches).map(number_and_size),
    "filter": lambda batches: stream_hf(batches).filter(always),
    "map, filter, with_format": lambda batches: (
        stream_hf(batches).map(number_and_size).filter(always).with_format("numpy")
    ),
}
IN_A_WORKER: dict[str, Callable[[Batches], Any]] = {
    "1 new worker": in_a_worker,
    "1 kept worker": lambda batches: in_a_worker(batches, persistent_workers=True),
}
KINDS = {**HERE, **IN_A_WORKER}
all_kinds = pytest.mark.parametrize(
    "kind", [*HERE, *(pytest.param(kind, marks=pytest.mark.slow) for kind in IN_A_WORKER)]
)
here = pytest.mark.parametrize("kind", HERE)
in_workers = pytest.mark.parametrize("kind", IN_A_WORKER)


def loader_of(kind: str, data: Dataset, **options: Any) -> Any:
    return KINDS[kind](data.batches(BATCH, shuffle=True, **options))


def rows(found: Iterable[Any], count: int | None = None) -> Found:
    return [int(row["index"]) for row in islice(found, count)]


def flat(data: Dataset, epoch: int) -> Found:
    return [index for batch in due(data, epoch) for index in batch]


def epoch(data: Dataset, found: Found) -> int | str:
    return epoch_of(data, [found[first : first + BATCH] for first in range(0, max(len(found), 1), BATCH)])


def chooser(loader: Any) -> Callable[[int], None]:
    dataset: Any = loader.dataset if isinstance(loader, DataLoader) else loader
    found: Callable[[int], None] = dataset.set_epoch
    return found


@all_kinds
def test_passes_that_are_finished_left_and_taken_by_count(kind: str, data: Dataset) -> None:
    loader = loader_of(kind, data)
    assert epoch(data, rows(loader)) == 0
    for by_count in (1, 2):
        assert epoch(data, rows(loader, ROWS)) == by_count
    assert rows(loader, 11) == flat(data, 3)[:11]
    assert epoch(data, rows(loader)) == 4
    for _ in loader:
        break
    assert epoch(data, rows(loader)) == 6


@here
def test_an_iterator_that_nothing_is_drawn_from_uses_up_no_epoch(kind: str, data: Dataset) -> None:
    loader = loader_of(kind, data)
    iter(loader)
    assert epoch(data, rows(loader)) == 0
    kept = [iter(loader), iter(loader)]
    assert epoch(data, rows(loader)) == 1
    del kept


@in_workers
def test_where_asking_may_count_each_pass_still_is_a_whole_epoch(kind: str, data: Dataset) -> None:
    loader = loader_of(kind, data)
    iter(loader)
    first = epoch(data, rows(loader))
    assert first in (0, 1)
    assert epoch(data, rows(loader)) == int(first) + 1


@pytest.mark.parametrize("kind", [*HERE, "1 new worker"])
def test_two_iterators_at_once_are_two_whole_epochs(kind: str, data: Dataset) -> None:
    loader = loader_of(kind, data)
    one = iter(loader)
    begun = rows(one, 11)
    two = iter(loader)
    other = rows(two, 23)
    begun += rows(one, 9)
    other += rows(two)
    begun += rows(one)
    assert [epoch(data, begun), epoch(data, other)] == [0, 1]
    assert epoch(data, rows(loader)) == 2


# Not in new worker processes: both iterators are made before either has begun an epoch (docs/loading.md).
@pytest.mark.parametrize("kind", HERE)
def test_a_stream_zipped_with_itself(kind: str, data: Dataset) -> None:
    loader = loader_of(kind, data)
    pairs = list(zip(loader, loader, strict=True))
    assert [epoch(data, rows(pair[side] for pair in pairs)) for side in (0, 1)] == [0, 1]


@all_kinds
def test_several_epochs_and_no_end(kind: str, data: Dataset) -> None:
    loader = loader_of(kind, data, epochs=2)
    for first in (0, 2):
        assert rows(loader) == flat(data, first) + flat(data, first + 1)
    endless = loader_of(kind, data, epochs=None)
    assert rows(endless, 2 * ROWS + 11) == flat(data, 0) + flat(data, 1) + flat(data, 2)[:11]


@all_kinds
def test_chosen_epochs(kind: str, data: Dataset) -> None:
    loader = loader_of(kind, data)
    choose, found = chooser(loader), []
    for chosen in (5, 5, 2):
        choose(chosen)
        found.append(epoch(data, rows(loader)))
    assert found == [5, 5, 2]
    assert epoch(data, rows(loader)) == 3
    for chosen in (0, 1, 5):
        choose(chosen)
        assert epoch(data, rows(loader, ROWS)) == chosen


@all_kinds
def test_choosing_an_epoch_leaves_the_pass_that_runs(kind: str, data: Dataset) -> None:
    loader = loader_of(kind, data)
    one = iter(loader)
    begun = rows(one, 11)
    chooser(loader)(4)
    assert epoch(data, begun + rows(one)) == 0
    assert epoch(data, rows(loader)) == 4
    assert epoch(data, rows(loader)) == 5


@pytest.mark.parametrize("kind", ["stream", "map", "1 kept worker"])
def test_streams_begin_where_their_batches_would(kind: str, data: Dataset) -> None:
    for state, first, then in (
        (state_at(2, 4 * BATCH, data), flat(data, 2)[4 * BATCH :], 3),
        (state_at(2, ROWS, data), flat(data, 3), 4),
        (state_at(3, 0, data), flat(data, 3), 4),
    ):
        batches = data.batches(BATCH, shuffle=True)
        batches.load_state_dict(state)
        loader = KINDS[kind](batches)
        assert rows(loader) == first
        assert epoch(data, rows(loader)) == then
        assert batches.state_dict()["taken"] == state["taken"] % ROWS  # it does not move
    batches = data.batches(BATCH, shuffle=True)
    batches.set_epoch(3)
    loader = KINDS[kind](batches)
    assert epoch(data, rows(loader)) == 3
    chooser(loader)(6)
    assert epoch(data, rows(loader)) == 6
    assert epoch(data, rows(loader)) == 7


@here
@pytest.mark.parametrize("passes", [0, 2])
def test_states(kind: str, passes: int, data: Dataset) -> None:
    """In the middle of a batch, of a first and of a third pass."""
    running = loader_of(kind, data)
    for _ in range(passes):
        rows(running)
    one = iter(running)
    found = rows(one, 11)
    state = json.loads(json.dumps(running.state_dict()))
    again = loader_of(kind, data)
    again.load_state_dict(state)
    assert epoch(data, found + rows(again)) == passes
    assert epoch(data, rows(again)) == passes + 1
    assert epoch(data, found + rows(one)) == passes


@here
def test_states_at_the_end(kind: str, data: Dataset) -> None:
    running = loader_of(kind, data)
    one = iter(running)
    rows(one, ROWS)
    states = [running.state_dict()]
    assert rows(one) == []
    states.append(running.state_dict())
    for state in states:
        again = loader_of(kind, data)
        again.load_state_dict(json.loads(json.dumps(state)))
        assert epoch(data, rows(again)) == 1
        assert epoch(data, rows(again)) == 2


@pytest.mark.parametrize(("shard", "place"), [(0, 11), (0, ROWS), (1, 0)])
def test_states_in_their_old_form(shard: int, place: int, data: Dataset) -> None:
    """Literally what ef67265 saved after eleven rows, after the last and at StopIteration, of an epoch's stream."""
    again = stream_hf(data.batches(BATCH, shuffle=True, epoch=2))
    part = {"shard_idx": shard, "shard_example_idx": place, "type": "ExamplesIterable"}
    again.load_state_dict({"examples_iterable": part, "epoch": 0})
    rest = flat(data, 2)[11:] if place == 11 else flat(data, 3)
    assert rows(again) == rest
    assert epoch(data, rows(again)) == (3 if place == 11 else 4)
