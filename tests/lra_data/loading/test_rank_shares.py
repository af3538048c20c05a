"""Every position of an epoch exactly once, for any ranks, batch sizes, kills and changes of either on the way."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lra_data import UsageError
from lra_data.loading.epoch.rank_shares import RankShares

SMALL = st.integers(1, 9)


@given(n=st.integers(0, 300), batch_size=SMALL, world_size=SMALL)
@settings(deadline=None)
def test_every_position_once(n: int, batch_size: int, world_size: int) -> None:
    shares = RankShares(n=n, batch_size=batch_size, world_size=world_size)
    start, taken, steps = 0, Counter[int](), 0
    while start < n:
        assert shares.steps_from(start) == shares.steps_from(0) - steps
        parts = [shares.positions(start, rank) for rank in range(world_size)]
        assert [place for part in parts for place in part] == list(range(start, shares.after(start)))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        assert max(map(len, parts)) <= batch_size
        taken.update(place for part in parts for place in part)
        start, steps = shares.after(start), steps + 1
    assert taken == Counter(range(n))
    assert shares.steps_from(0) == steps


@given(
    n=st.integers(1, 300),
    turns=st.lists(st.tuples(SMALL, SMALL, st.integers(1, 4)), max_size=12),
    last=st.tuples(SMALL, SMALL),
)
@settings(deadline=None)
def test_exactly_once_over_kills_and_new_numbers_of_ranks(
    n: int, turns: list[tuple[int, int, int]], last: tuple[int, int]
) -> None:
    """Each turn runs some steps with its own batch size and ranks and is killed; the next goes on from the position."""
    start, taken = 0, Counter[int]()
    for batch_size, world_size, steps in [*turns, (*last, n)]:
        shares = RankShares(n=n, batch_size=batch_size, world_size=world_size)
        for _ in range(min(steps, shares.steps_from(start))):
            for rank in range(world_size):
                taken.update(shares.positions(start, rank))
            start = shares.after(start)
    assert taken == Counter(range(n))


@given(n=st.integers(1, 300), batch_size=SMALL, world_size=SMALL)
@settings(deadline=None)
def test_drop_and_pad_do_what_they_are_called(n: int, batch_size: int, world_size: int) -> None:
    whole = n // (batch_size * world_size)
    for remainder, steps in (("drop", whole), ("pad", -(-n // (batch_size * world_size)))):
        shares = RankShares(n=n, batch_size=batch_size, world_size=world_size, remainder=remainder)
        assert shares.steps_from(0) == steps
        taken = Counter[int]()
        for number in range(steps):
            for rank in range(world_size):
                places = shares.positions(number * shares.step, rank)
                assert len(places) == batch_size
                taken.update(place % n for place in places)
        if remainder == "drop":
            assert taken == Counter(range(whole * batch_size * world_size))
        else:
            assert set(taken) == set(range(n))
            assert sum(taken.values()) - n < batch_size * world_size


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be an integer >= 1, got 0"),
        ({"batch_size": True}, "batch_size must be an integer >= 1, got True"),
        ({"batch_size": 2, "world_size": 0}, "world_size must be an integer >= 1, got 0"),
        (
            {"batch_size": 2, "remainder": "crop"},
            "unknown remainder 'crop'. Did you mean 'drop'? Known: keep, drop, pad.",
        ),
    ],
)
def test_impossible_shares(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        RankShares(n=10, **options)  # type: ignore[arg-type]
    assert str(caught.value) == message


@pytest.mark.parametrize("rank", [-1, 2, True, 0.5])
def test_ranks_that_there_are_not(rank: int) -> None:
    with pytest.raises(UsageError, match=f"expected a rank from 0 to 1 of world size 2, got {rank}"):
        RankShares(n=10, batch_size=1, world_size=2).positions(0, rank)
