"""Batches against a plain restatement of the order: every kind of order, format, rank and remainder."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lra_data
from lra_data.loading.epoch.windowed import Bucketed, Windowed
from tests.conftest import ALL_FORMATS
from tests.oracles import loading_oracle as oracle
from tests.support.orders_of_batches import (
    MINI,
    TRAIN,
    Options,
    Sets,
    check_contents,
    fixtures_are_shared,
    indices,
    made,
    order_of,
    order_options,
    slices,
)

pytestmark = pytest.mark.long


cases = given(
    bounds=slices(),
    format_name=st.sampled_from(ALL_FORMATS),
    data=st.data(),
    batch_size=st.one_of(st.integers(1, 40), st.sampled_from([100, 400, 2**40])),
    world_size=st.one_of(st.integers(1, 6), st.just(400)),
    remainder=st.sampled_from(["keep", "drop", "pad"]),
    epoch=st.integers(0, 3),
    epochs=st.integers(1, 3),
)


def check_batches(
    sets: Sets,
    rows: list[dict[str, Any]],
    bounds: tuple[int, int],
    format_name: str,
    data: st.DataObject,
    batch_size: int,
    world_size: int,
    remainder: str,
    epoch: int,
    epochs: int,
) -> None:
    if remainder == "pad":
        batch_size, world_size = min(batch_size, 100), min(world_size, 6)
    options = data.draw(order_options(window=None if format_name == "arrow" else True))
    split = lra_data.load(MINI, split=f"train[{bounds[0]}:{bounds[1]}]", root=sets["many"], format_name=format_name)
    order = order_of(sets["many"], split, rows, options)
    seen = Counter[int]()
    ranks = range(world_size) if world_size <= 6 else (0, 1, 2, 199, 330, 331, 399)
    for rank in ranks:
        batches = split.batches(
            batch_size,
            **options,
            remainder=remainder,
            rank=rank,
            world_size=world_size,
            epoch=epoch,
            epochs=epochs,
        )
        due = oracle.stream(
            order,
            len(split),
            batch_size=batch_size,
            rank=rank,
            world_size=world_size,
            remainder=remainder,
            epoch=epoch,
            epochs=epochs,
            first_index=bounds[0],
        )
        assert len(batches) == len(due)
        found = list(batches)
        assert indices(found) == due
        for batch in found[:3] + found[-2:]:
            check_contents(batch, rows)
        seen.update(index for batch in due for index in batch)
    if remainder == "keep" and len(ranks) == world_size:
        assert seen == Counter(dict.fromkeys(range(*bounds), epochs))


@settings(fixtures_are_shared, max_examples=25)
@cases
def test_batches_are_the_oracles(sets: Sets, rows: list[dict[str, Any]], **case: Any) -> None:
    check_batches(sets, rows, **case)


@pytest.mark.slow
@settings(fixtures_are_shared, max_examples=100)
@cases
def test_batches_are_the_oracles_in_many_cases(sets: Sets, rows: list[dict[str, Any]], **case: Any) -> None:
    check_batches(sets, rows, **case)


@given(data=st.data(), format_name=st.sampled_from(ALL_FORMATS), bounds=st.tuples(*[st.integers(0, 1500)] * 2))
@settings(fixtures_are_shared, max_examples=12)
def test_batches_of_two_shards_are_the_oracles(
    sets: Sets, rows: list[dict[str, Any]], data: st.DataObject, format_name: str, bounds: tuple[int, int]
) -> None:
    options = data.draw(order_options(window=None if format_name == "arrow" else True))
    name = f"train[{min(bounds)}:{max(bounds)}]"
    split = lra_data.load(MINI, split=name, root=sets["small"], format_name=format_name)
    order = order_of(sets["small"], split, rows, options)
    found = list(split.batches(97, **options, epoch=5, prefetch=2, threads=2))
    assert indices(found) == oracle.stream(order, len(split), batch_size=97, epoch=5, first_index=min(bounds))
    for batch in found:
        check_contents(batch, rows)


@given(
    first=st.sampled_from([0, 40, 1000]),
    n=st.integers(0, 60),
    options=order_options(window=False),
    batch_size=st.integers(1, 30),
    world_size=st.integers(1, 3),
    fresh=st.booleans(),
)
@settings(fixtures_are_shared, max_examples=20)
def test_virtual_batches_and_fresh_ones_are_the_oracles(
    rows: list[dict[str, Any]], first: int, n: int, options: Options, batch_size: int, world_size: int, fresh: bool
) -> None:
    split = lra_data.load(MINI, split=f"train[{first}:{first + n}]")
    numbered: dict[int, dict[str, Any]] = {}
    for rank in range(world_size):
        ranks: Options = {"rank": rank, "world_size": world_size}
        due = []
        for epoch in (1, 2):
            begin = TRAIN + (epoch - 1) * n if fresh else first
            numbered.update(zip(range(begin, begin + n), made(begin, n) if fresh else rows[begin:], strict=False))
            lengths = tuple(len(numbered[index]["inputs"]) for index in range(begin, begin + n))
            order = oracle.Order(**options, lengths=lengths)
            due += oracle.stream(order, n, batch_size=batch_size, **ranks, epoch=epoch, first_index=begin)
        found = list(split.batches(batch_size, **options, **ranks, epoch=1, epochs=2, fresh=fresh))
        assert indices(found) == due
        for batch in found:
            check_contents(batch, numbered)


@given(
    shards=st.lists(st.integers(1, 30), max_size=8),
    block=st.integers(1, 12),
    window=st.integers(1, 80),
    at_once=st.integers(1, 9),
    bucket_window=st.integers(1, 90),
    epoch=st.integers(0, 2**40),
    data=st.data(),
)
@settings(deadline=None, max_examples=60)
def test_any_shards_and_blocks(
    shards: list[int], block: int, window: int, at_once: int, bucket_window: int, epoch: int, data: st.DataObject
) -> None:
    """The two orders by themselves, for shards that no build has, at positions in any sequence."""
    n = sum(shards)
    lengths = data.draw(st.lists(st.integers(1, 5), min_size=n, max_size=n))
    asked = np.array(data.draw(st.permutations(range(n)))[:20], dtype=np.int64)
    starts = np.cumsum([0, *shards])
    order = Windowed(starts, block=block, window=window, at_once=at_once, seed=1, epoch=epoch)
    due = oracle.windowed(shards, block, window, at_once, 1, epoch)
    assert order(asked).tolist() == [due[position] for position in asked.tolist()]
    table = np.array(lengths, dtype=np.int32)
    sorted_order = Bucketed(order, lambda places: table[places], n=n, window=bucket_window, seed=1, epoch=epoch)
    due = oracle.bucketed(due, lengths, bucket_window, 1, epoch)
    assert sorted(due) == list(range(n))
    assert sorted_order(asked).tolist() == [due[position] for position in asked.tolist()]


@pytest.mark.parametrize(("remainder", "rank"), [("keep", 0), ("drop", 1), ("pad", 2)])
@pytest.mark.slow
def test_an_epoch_of_many_blocks_of_positions(remainder: str, rank: int) -> None:
    """More positions than are put in order at a time, with whole steps and a last one."""
    split = lra_data.load(MINI, split="train[7:9_507]")
    share: Options = {"remainder": remainder, "rank": rank, "world_size": 3, "epoch": 1}
    due = oracle.stream(oracle.Order(shuffle=True, seed=9), 9_500, batch_size=700, **share, first_index=7)
    assert len(due) == 4 + (remainder != "drop")
    assert indices(split.batches(700, shuffle=True, seed=9, **share)) == due
