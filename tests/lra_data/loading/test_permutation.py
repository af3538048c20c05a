"""The keyed permutation: exact, pinned, and without structure that a simple test sees."""

from itertools import pairwise
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from lra_data import UsageError
from lra_data.loading.epoch.permutation import Permutation

# Below this a fair permutation falls once in 100,000 tests; seeds are fixed, so the tests do not flicker.
RARE = 1e-5


def whole(n: int, *, seed: int = 0, epoch: int = 0, rounds: int = 8) -> NDArray[np.int64]:
    return Permutation(n, seed=seed, epoch=epoch, rounds=rounds)(np.arange(n))


@given(n=st.integers(0, 5000), seed=st.integers(0, 2**64 - 1), epoch=st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_every_example_once(n: int, seed: int, epoch: int) -> None:
    assert np.array_equal(np.sort(whole(n, seed=seed, epoch=epoch)), np.arange(n))


def test_literal_orders() -> None:
    """A change here would reorder everybody's epochs: it needs a major version."""
    assert whole(10).tolist() == [6, 8, 1, 9, 3, 5, 4, 2, 7, 0]
    assert whole(1000)[:10].tolist() == [830, 445, 622, 899, 740, 290, 849, 271, 468, 974]
    assert Permutation(2**48, seed=1, epoch=2)(np.array([0, 1, 2**47, 2**48 - 1])).tolist() == [
        276650216874169,
        133350734590830,
        210578506644683,
        167772409516304,
    ]


def test_places_do_not_depend_on_what_is_asked_beside_them() -> None:
    order = Permutation(96_000, seed=3, epoch=1)
    everything = order(np.arange(96_000))
    some = np.random.default_rng(0).integers(0, 96_000, (20, 5))
    assert np.array_equal(order(some), everything[some])
    assert [int(order(np.array([place]))[0]) for place in (0, 17, 95_999)] == everything[[0, 17, 95_999]].tolist()


def test_seeds_epochs_and_sizes_have_orders_of_their_own() -> None:
    orders = [whole(1000, seed=seed, epoch=epoch).tolist() for seed in (0, 1, 2) for epoch in (0, 1, 2)]
    orders.append(whole(1001).tolist())
    for place, order in enumerate(orders):
        for other in orders[place + 1 :]:
            # Two unrelated orders agree in one place on average, in more than 8 once in a million.
            assert sum(one == two for one, two in zip(order, other, strict=False)) <= 8


@pytest.mark.parametrize("n", [10, 257, 1000, 160_000])
def test_where_an_example_goes_is_uniform(n: int) -> None:
    """Over 4,000 epochs the positions of the first, a middle and the last example fill ten bins evenly."""
    expected = 4000 * np.bincount(10 * np.arange(n) // n, minlength=10) / n
    asked = np.array([0, n // 3, n - 1])
    places = np.array([Permutation(n, seed=5, epoch=epoch)(asked) for epoch in range(4000)])
    for column in places.T:
        counts = np.bincount(10 * column // n, minlength=10)
        assert stats.chisquare(counts, expected).pvalue > RARE


def correlations(order: NDArray[np.int64], lags: int = 40) -> list[float]:
    """Rank correlation of each place with that `lag` further on, in standard errors."""
    n = len(order)
    centred = (order - (n - 1) / 2) / sqrt((n * n - 1) / 12)
    return [float((centred[:-lag] * centred[lag:]).mean() * sqrt(n - lag)) for lag in range(1, lags + 1)]


@pytest.mark.parametrize("n", [1000, 96_000, 160_000])
def test_neighbours_go_to_unrelated_places(n: int) -> None:
    columns = int(np.ceil(np.sqrt(n)))
    for epoch in range(3):
        order = whole(n, seed=7, epoch=epoch)
        found = correlations(order) + correlations(
            order.reshape(-1)[: n // columns * columns].reshape(-1, columns).T.ravel()
        )
        assert max(map(abs, found)) < 5
        steps = np.diff(order)
        assert len(np.unique(steps)) > 0.6 * min(len(steps), n)


def test_two_rounds_leave_structure_that_the_test_sees() -> None:
    """The test above can fail: with two rounds neighbours keep their distances."""
    steps = np.diff(whole(160_000, seed=7, rounds=2))
    assert len(np.unique(steps)) < 0.6 * len(steps)


def test_epochs_are_unrelated() -> None:
    """Rank correlation of successive epochs, and the number of neighbours that stay neighbours."""
    n = 96_000
    orders = [whole(n, seed=1, epoch=epoch) for epoch in range(5)]
    for one, two in pairwise(orders):
        assert abs(np.corrcoef(one, two)[0, 1]) * sqrt(n) < 4.5
        after = np.empty(n, dtype=np.int64)
        after[one[:-1]] = one[1:]
        assert (after[two[:-1]] == two[1:]).sum() <= 12  # one is expected


@pytest.mark.parametrize("n", [-1, 2**48 + 1])
def test_sizes_that_cannot_be(n: int) -> None:
    with pytest.raises(UsageError, match=f"expected from 0 to 281474976710656 examples in an order, got {n}"):
        Permutation(n, seed=0, epoch=0)
