"""Resuming exactly: after kills, with other ranks and batch sizes, at every step, and after looking ahead."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lra_data
from lra_data import UsageError
from lra_data.loading.dataset import Dataset
from tests.conftest import ALL_FORMATS
from tests.support.orders_of_batches import (
    KINDS,
    MINI,
    Options,
    Sets,
    check_contents,
    exact,
    fixtures_are_shared,
    order_of,
    order_options,
    slices,
    through_json,
)


@given(
    bounds=slices(),
    options=order_options(),
    turns=st.lists(
        st.tuples(st.integers(1, 6), st.integers(1, 30), st.integers(0, 4), st.sampled_from(ALL_FORMATS)), max_size=5
    ),
    last=st.tuples(st.integers(1, 6), st.integers(1, 40), st.sampled_from(ALL_FORMATS)),
    prefetch=st.sampled_from([0, 2]),
)
@settings(fixtures_are_shared, max_examples=40)
def test_exactly_once_over_kills_new_ranks_batch_sizes_and_formats(
    sets: Sets,
    rows: list[dict[str, Any]],
    bounds: tuple[int, int],
    options: Options,
    turns: list[tuple[int, int, int, str]],
    last: tuple[int, int, str],
    prefetch: int,
) -> None:
    state: dict[str, Any] | None = None
    seen: list[int] = []
    order: list[int] = []
    for world_size, batch_size, steps, wanted in [*turns, (last[0], last[1], 10**6, last[2])]:
        format_name = wanted if "window" in options else "arrow"
        name = f"train[{bounds[0]}:{bounds[1]}]"
        split = lra_data.load(MINI, split=name, root=sets["many"], format_name=format_name)
        order = [bounds[0] + place for place in order_of(sets["many"], split, rows, options).epoch(len(split), 2)]
        ranks = [
            split.batches(batch_size, **options, epoch=2, rank=rank, world_size=world_size, prefetch=prefetch)
            for rank in range(world_size)
        ]
        if seen and len(seen) == len(order):
            break  # a state with nothing left starts the next epoch
        for batches in ranks:
            if state is not None:
                batches.load_state_dict(state)
        for _ in range(min(steps, ranks[0].remaining)):
            parts = [next(batches) for batches in ranks]
            check_contents(parts[0], rows)
            seen += [index for batch in parts for index in batch.indices.tolist()]
            states = [batches.state_dict() for batches in ranks]
            assert all(one == states[0] for one in states)
        assert {batches.remaining for batches in ranks} == {ranks[0].remaining}
        state = through_json(ranks[0].state_dict())
        assert seen == order[: len(seen)]
    assert seen == order


@pytest.mark.parametrize(("prefetch", "remainder"), [(0, "keep"), (3, "keep"), (2, "drop"), (1, "pad")])
@pytest.mark.parametrize("kind", KINDS)
def test_resuming_at_every_step_gives_the_same_bytes(part: Dataset, kind: str, prefetch: int, remainder: str) -> None:
    options: Options = {**KINDS[kind], "rank": 1, "world_size": 2, "epochs": 2, "remainder": remainder}
    whole = [exact(batch) for batch in part.batches(7, **options)]
    after = [exact(batch) for batch in part.batches(7, **options, epoch=2)]
    ahead: Options = {"prefetch": prefetch, "threads": 2 if prefetch else 1}
    running = part.batches(7, **options, **ahead)
    for step in range(len(whole) + 1):
        again = part.batches(7, **options, **ahead)
        again.load_state_dict(through_json(running.state_dict()))
        assert (len(again), again.remaining) == (len(whole), len(whole) - step or len(after))
        assert [exact(batch) for batch in again] == (whole[step:] or after)
        if step < len(whole):
            assert exact(next(running)) == whole[step]
    assert next(running, None) is None


@pytest.mark.parametrize("prefetch", [0, 3])
def test_going_back_and_forth_leaves_nothing_of_the_past(part: Dataset, prefetch: int) -> None:
    """load_state_dict, skip and set_epoch while batches are prepared ahead."""
    whole = [[exact(batch) for batch in part.batches(7, shuffle=True, epoch=epoch)] for epoch in range(2)]
    batches = part.batches(7, shuffle=True, prefetch=prefetch, threads=2)
    start = batches.state_dict()
    for step in (3, 1, 8, 0):
        for due in whole[0][:step]:
            assert exact(next(batches)) == due
        batches.skip(2)
        assert exact(next(batches)) == whole[0][step + 2]
        batches.set_epoch(1)
        assert exact(next(batches)) == whole[1][0]
        assert batches.epoch == 1
        batches.load_state_dict(start)


@given(
    options=order_options(),
    n=st.integers(0, 30),
    batch_size=st.integers(1, 12),
    remainder=st.sampled_from(["keep", "drop", "pad"]),
    epochs=st.sampled_from([1, 3, None]),
    moves=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5)), max_size=8),
    prefetch=st.sampled_from([0, 2]),
)
@settings(fixtures_are_shared, max_examples=60)
def test_ahead_places_and_skip_agree_with_next(
    sets: Sets,
    options: Options,
    n: int,
    batch_size: int,
    remainder: str,
    epochs: int | None,
    moves: list[tuple[int, int]],
    prefetch: int,
) -> None:
    split = lra_data.load(MINI, split=f"train[40:{40 + n}]", root=sets["many"])
    same: Options = {**options, "remainder": remainder, "rank": 1, "world_size": 2, "epoch": 1}
    finite = [exact(batch) for batch in split.batches(batch_size, **same, epochs=epochs or 120)]
    batches = split.batches(batch_size, **same, epochs=epochs, prefetch=prefetch)
    at = 0
    for look, move in moves:
        before = batches.state_dict()
        found, places = batches.ahead(look), batches.places(look)
        assert batches.state_dict() == before
        if at + look < len(finite):
            assert found is not None
            assert places is not None
            assert exact(found) == finite[at + look]
            assert (places + 40).tolist() == found.indices.tolist()
        else:
            assert (found, places) == (None, None)
        if at + move > len(finite):
            with pytest.raises(UsageError, match=r"expected to skip (at most|no batch)"):
                batches.skip(move)
            assert batches.state_dict() == before
            continue
        batches.skip(move)
        at += move
        one = next(batches, None)
        assert (one is not None) == (at < len(finite))
        if one is not None:
            assert exact(one) == finite[at]
            at += 1
        elif epochs is not None:
            assert batches.remaining == 0
