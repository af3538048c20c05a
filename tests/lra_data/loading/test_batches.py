"""Batches: every example once an epoch, resumed at every step on other ranks, padded and shifted as documented."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lra_data
from lra_data import UsageError, get_task
from lra_data.loading.batch_making.collate import Batch
from lra_data.loading.batches import Batches
from lra_data.loading.dataset import Dataset
from lra_data.loading.epoch.ranks import find_ranks
from tests.conftest import SMALL_SIZES

SPLIT = "validation"
SIZE = SMALL_SIZES[SPLIT]


@pytest.fixture(scope="module")
def small(small_root: Path) -> Dataset:
    return lra_data.load("listops/mini", split=SPLIT, root=small_root)


def indices(batches: Batches) -> list[int]:
    return [index for batch in batches for index in batch.indices.tolist()]


ranks = st.integers(1, 5)
sizes = st.integers(1, 70)


@given(batch_size=sizes, world_size=ranks, shuffle=st.booleans(), seed=st.integers(0, 3), epoch=st.integers(0, 3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
def test_every_example_once(
    small: Dataset, batch_size: int, world_size: int, shuffle: bool, seed: int, epoch: int
) -> None:
    seen = Counter[int]()
    lengths = set()
    for rank in range(world_size):
        options = {"shuffle": shuffle, "seed": seed, "epoch": epoch, "rank": rank, "world_size": world_size}
        batches = small.batches(batch_size, **options)  # type: ignore[arg-type]
        expected = len(batches)
        lengths.add(expected)
        found = list(batches)
        assert (len(found), len(batches), batches.remaining) == (expected, expected, 0)
        seen.update(index for batch in found for index in batch.indices.tolist())
    assert len(lengths) == 1
    assert seen == Counter(range(SIZE))


@given(first=st.tuples(sizes, ranks), second=st.tuples(sizes, ranks), steps=st.integers(0, 20), shuffle=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
def test_a_stopped_epoch_goes_on_with_other_ranks_and_batch_sizes(
    small: Dataset, first: tuple[int, int], second: tuple[int, int], steps: int, shuffle: bool
) -> None:
    seen = Counter[int]()
    states = []
    for rank in range(first[1]):
        batches = small.batches(first[0], shuffle=shuffle, seed=5, epoch=2, rank=rank, world_size=first[1])
        for _ in range(min(steps, len(batches))):
            seen.update(next(batches).indices.tolist())
        states.append(json.loads(json.dumps(batches.state_dict())))
    assert all(state == states[0] for state in states)
    for rank in range(second[1] if states[0]["taken"] < SIZE else 0):  # where nothing is left, the next epoch begins
        batches = small.batches(second[0], shuffle=shuffle, rank=rank, world_size=second[1])
        batches.load_state_dict(states[0])
        seen.update(indices(batches))
    assert seen == Counter(range(SIZE))


def test_resuming_at_every_step_gives_the_uninterrupted_tail(small: Dataset) -> None:
    whole = [batch.indices.tolist() for batch in small.batches(7, shuffle=True, seed=1)]
    after = [batch.indices.tolist() for batch in small.batches(7, shuffle=True, seed=1, epoch=1)]
    for step in range(len(whole) + 1):
        batches = small.batches(7, shuffle=True, seed=1)
        for _ in range(step):
            next(batches)
        again = small.batches(7, shuffle=True)
        again.load_state_dict(batches.state_dict())
        assert [batch.indices.tolist() for batch in again] == (whole[step:] or after)


def test_orders_longer_than_a_block_and_slices() -> None:
    """160,000 virtual positions, of which only the indices are looked at."""
    train = lra_data.load("listops/mini", split="train[100:9_100]")
    batches = train.batches(4096 + 17, shuffle=True, seed=3)
    order: list[int] = []
    while (places := batches.places(0)) is not None:
        order += places.tolist()
        batches.skip(1)
    assert sorted(order) == list(range(9_000))
    assert order != list(range(9_000))
    assert [train[place]["index"] for place in (0, 8_999)] == [100, 9_099]


def test_what_a_batch_holds(small: Dataset) -> None:
    rows = small[:].to_pylist()
    for batch in small.batches(16):
        arrays = (batch.inputs, batch.lengths, batch.labels, batch.indices)
        assert [str(array.dtype) for array in arrays] == ["int32", "int32", "int64", "int64"]
        assert batch.inputs.shape == (len(batch.labels), 1, batch.lengths.max())
        for place, index in enumerate(batch.indices.tolist()):
            length = len(rows[index]["inputs"])
            assert batch.lengths[place].tolist() == [length]
            assert batch.inputs[place, 0, :length].tolist() == rows[index]["inputs"]
            assert not batch.inputs[place, 0, length:].any()
            assert batch.labels[place] == rows[index]["label"]


@pytest.mark.parametrize("name", ["text/holdout", "image/lra", "image/rgb", "retrieval/by-pair", "pathfinder/32-hard"])
@pytest.mark.parametrize(
    "options", [{}, {"max_length": 300}, {"pad_to_multiple_of": 128}, {"max_length": 50, "pad_to": 64, "offset": 7}]
)
def test_every_task_and_form(name: str, options: dict[str, Any], corpora: dict[str, Path]) -> None:
    task = get_task(name)
    given_corpus: dict[str, Any] = (
        {"corpus": lra_data.Corpus(corpora[task.family], allow_partial=True)} if task.family in corpora else {}
    )
    data = lra_data.load(name, split="test[:9]", **given_corpus)
    (batch,) = data.batches(9, **options)
    rows = data[:].to_pylist()
    names = [column for column in task.schema.names if column.startswith("inputs")]
    offset = options.get("offset", int(task.family in ("text", "retrieval")))
    cut = options.get("max_length", 10**9)
    longest = max(min(len(row[column]), cut) for row in rows for column in names)
    multiple = options.get("pad_to_multiple_of", 1)
    width = options.get("pad_to", -(-longest // multiple) * multiple)
    assert batch.inputs.shape == (9, len(names), width)
    for row, inputs, lengths in zip(rows, batch.inputs, batch.lengths, strict=True):
        for column, values, length in zip(names, inputs, lengths, strict=True):
            expected = [value + offset for value in row[column][:cut]]
            assert length == len(expected)
            assert values.tolist() == expected + [0] * (width - len(expected))


def test_virtual_and_built_give_the_same_stream(small: Dataset) -> None:
    virtual = lra_data.load("listops/mini", split=f"{SPLIT}[:{SIZE}]")
    for one, two in zip(small.batches(8, shuffle=True), virtual.batches(8, shuffle=True), strict=True):
        assert isinstance(one, Batch)
        assert np.array_equal(one.inputs, two.inputs)
        assert np.array_equal(one.indices, two.indices)
    assert small.identity == virtual.identity
    state = small.batches(8, shuffle=True).state_dict()
    virtual.batches(8, shuffle=True).load_state_dict(state)


def test_empty_batches_keep_their_form(small: Dataset) -> None:
    last = list(small.batches(1, rank=4, world_size=SIZE - 1 + 2))[-1]
    assert len(last.labels) == 1
    (empty,) = small.batches(1, rank=SIZE, world_size=SIZE + 1)
    assert (empty.inputs.shape, empty.lengths.shape) == ((0, 1, 0), (0, 1))


def test_states_that_do_not_belong(small: Dataset, small_root: Path) -> None:
    batches = small.batches(8)
    state = batches.state_dict()
    other = lra_data.load("listops/mini", split=f"{SPLIT}[:10]", root=small_root).batches(8).state_dict()
    for wrong, message in (
        (other, "expected a state of the data .*, got the data .*: another set, split or slice"),
        ({**state, "taken": SIZE + 1}, f"expected a state with taken from 0 to {SIZE}, got {SIZE + 1}"),
        ({**state, "taken": "3"}, f"expected a state with taken from 0 to {SIZE}, got '3'"),
        (
            {**state, "order": "shuffled"},
            "expected a state of the order 'rows', got 'shuffled'",
        ),
        ({**state, "seed": -1}, "expected a seed from 0"),
        ({**state, "epoch": -1}, "epoch must be an integer >= 0, got -1"),
        ({"seed": 1}, "expected a state with data, order, seed, epoch, taken, got seed"),
        ({}, "expected a state with data, order, seed, epoch, taken, got nothing"),
    ):
        with pytest.raises(UsageError, match=message):
            batches.load_state_dict(wrong)
    assert batches.state_dict() == state


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 2, "world_size": 2}, "expected a rank from 0 to 1 of world size 2, got 2"),
        ({"rank": 2}, "expected both rank and world_size or neither, got 2 and None"),
        ({"epoch": -1}, "epoch must be an integer >= 0, got -1"),
        ({"seed": 1.5}, "expected a seed from 0 to"),
        ({"max_length": 0}, "max_length must be an integer >= 1, got 0"),
        ({"pad_to": True}, "pad_to must be an integer >= 1, got True"),
        ({"offset": -1}, "offset must be an integer >= 0, got -1"),
        ({"remainder": "lose"}, "unknown remainder 'lose'; known: keep, drop, pad"),
    ],
)
def test_impossible_requests(small: Dataset, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        small.batches(4, **options)
    with pytest.raises(UsageError, match="batch_size must be an integer >= 1, got 0"):
        small.batches(0)


def test_too_long_for_pad_to(small: Dataset) -> None:
    with pytest.raises(UsageError, match=r"at most pad_to = 5 elements, got \d+ in example \d+: raise pad_to, or cut"):
        next(small.batches(4, pad_to=5))


def test_ranks_from_the_environment(monkeypatch: pytest.MonkeyPatch, small: Dataset) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert find_ranks()[:2] == (0, 1)
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(UsageError, match="expected integers in RANK and WORLD_SIZE, got '1' and None"):
        small.batches(4)
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert find_ranks()[:2] == (1, 3)
    assert indices(small.batches(4)) == indices(small.batches(4, rank=1, world_size=3))


def test_threads_share_a_source_that_is_not_open_yet(small_root: Path) -> None:
    """Rows are found by address: two mappings of a file, of which one is let go, would end the process."""
    for _ in range(20):
        batches = lra_data.load("listops/mini", split="train", root=small_root).batches(50, shuffle=True)
        expected = [sorted(places.tolist()) for step in range(30) if (places := batches.places(step)) is not None]
        prepare = partial(batches._source.prepare, shape=batches._shape)
        with ThreadPoolExecutor(8) as pool:
            found = [prepared.batch(0, 50) for prepared in pool.map(prepare, map(np.array, expected))]
        assert [batch.indices.tolist() for batch in found] == expected
