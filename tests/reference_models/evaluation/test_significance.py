"""Intervals of proportions: published values, a second solution, and coverage over drawn samples."""

import math
import subprocess
import sys
from functools import cache

import numpy as np
import pytest

from reference_models.evaluation.significance import Interval, differ, difference, wilson

Z_95 = 1.959963984540054  # published everywhere; not computed here


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    # Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 1998, table I.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_published_intervals_of_one_share(correct: int, total: int, low: float, high: float) -> None:
    assert wilson(correct, total) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("a", "b", "low", "high"),
    # Newcombe 1998 ("… for the difference between independent proportions"), table II, method 10.
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((0, 10), (0, 10), -0.2775, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_published_intervals_of_a_difference(a: tuple[int, int], b: tuple[int, int], low: float, high: float) -> None:
    assert difference(*a, *b) == pytest.approx((low, high), abs=5e-5)


def root(correct: int, total: int, low: float, high: float, z: float) -> float:
    """The p between low and high at which the measured share is z deviations away, by halving."""
    share = correct / total
    rising = share < high
    for _ in range(200):
        middle = (low + high) / 2
        beyond = (middle - share) ** 2 > z * z * middle * (1 - middle) / total
        low, high = (low, middle) if beyond == rising else (middle, high)
    return (low + high) / 2


@pytest.mark.parametrize(("correct", "total"), [(1, 3), (7, 10), (1, 2), (359, 2000), (19_999, 20_000), (1, 10**6)])
def test_limits_are_where_the_share_is_z_deviations_away(correct: int, total: int) -> None:
    share = correct / total
    expected = root(correct, total, 0.0, share, Z_95), root(correct, total, share, 1.0, Z_95)
    assert wilson(correct, total) == pytest.approx(expected, rel=1e-9)
    # 99 of 100: z = 2.5758293035489
    wide = root(correct, total, 0.0, share, 2.5758293035489004), root(correct, total, share, 1.0, 2.5758293035489004)
    assert wilson(correct, total, level=0.99) == pytest.approx(wide, rel=1e-9)


@pytest.mark.parametrize("total", [1, 2, 7, 500, 20_000])
def test_none_and_all(total: int) -> None:
    """The closed forms z^2 / (n + z^2) and n / (n + z^2); the other end is exactly 0 or 1."""
    none, every = wilson(0, total), wilson(total, total)
    assert (none.low, every.high) == (0.0, 1.0)
    assert none.high == pytest.approx(Z_95**2 / (total + Z_95**2), rel=1e-12)
    assert every.low == pytest.approx(total / (total + Z_95**2), rel=1e-12)
    assert difference(total, total, 0, total).high == 1.0
    assert difference(0, total, total, total).low == -1.0
    assert not differ(0, total, 0, total)
    assert not differ(total, total, total, total)


@pytest.mark.parametrize(("correct", "total"), [(0, 5), (3, 10), (40, 41), (700, 2000)])
def test_wrong_ones_have_the_mirrored_interval(correct: int, total: int) -> None:
    right, wrong = wilson(correct, total, level=0.9), wilson(total - correct, total, level=0.9)
    assert wrong == pytest.approx((1 - right.high, 1 - right.low), abs=1e-12)


def test_none_and_all_reach_the_end_at_any_total() -> None:
    """Rounding would leave some ends a little inside, or outside of 0 and 1."""
    for total in range(1, 3000):
        for level in (0.8, 0.95, 0.999):
            assert wilson(0, total, level=level).low == 0.0
            assert wilson(total, total, level=level).high == 1.0


def test_a_difference_is_turned_round_with_its_samples() -> None:
    one, other = difference(700, 2000, 36, 120), difference(36, 120, 700, 2000)
    assert one == pytest.approx((-other.high, -other.low), abs=1e-15)
    both_mirrored = difference(1300, 2000, 84, 120)  # wrong ones in place of right ones
    assert one == pytest.approx((-both_mirrored.high, -both_mirrored.low), abs=1e-12)
    for a, b in [((1200, 2000), (1000, 2000)), ((1000, 2000), (1200, 2000))]:
        assert differ(*a, *b)


@cache
def table(total: int, level: float) -> list[Interval]:
    return [wilson(correct, total, level=level) for correct in range(total + 1)]


@pytest.mark.parametrize("total", [20, 400])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_an_interval_covers_the_truth_as_often_as_it_says(total: int, level: float) -> None:
    """Over truths from everywhere: for a single one it is a little more or less, as counts are whole."""
    rng = np.random.default_rng(0)
    truths = rng.uniform(0.05, 0.95, size=40_000)
    intervals = [table(total, level)[correct] for correct in rng.binomial(total, truths)]
    covered = np.mean([low <= truth <= high for (low, high), truth in zip(intervals, truths, strict=True)])
    # 40,000 draws have a deviation of at most 0.002.
    assert covered == pytest.approx(level, abs=0.006)


@pytest.mark.parametrize(
    ("sizes", "level", "comparisons"), [((300, 300), 0.95, 1), ((200, 500), 0.9, 1), ((400, 400), 0.8, 10)]
)
def test_equal_models_differ_as_often_as_the_level_lets_them(
    sizes: tuple[int, int], level: float, comparisons: int
) -> None:
    rng = np.random.default_rng(1)
    a, b = (rng.binomial(size, 0.4, size=15_000).tolist() for size in sizes)
    wrong = [differ(x, sizes[0], y, sizes[1], level=level, comparisons=comparisons) for x, y in zip(a, b, strict=True)]
    expected = (1 - level) / comparisons
    assert np.mean(wrong) == pytest.approx(expected, abs=4 * math.sqrt(expected / 15_000) + 0.1 * expected)


def test_more_comparisons_ask_for_more() -> None:
    """1,060 and 1,000 of 2,000 are 1.9 deviations apart, 1,130 are 4.1: z is 3.29 for one comparison, 4.42 for 100."""
    assert not differ(1060, 2000, 1000, 2000)
    assert differ(1130, 2000, 1000, 2000)
    assert not differ(1130, 2000, 1000, 2000, comparisons=100)
    assert differ(1160, 2000, 1000, 2000, comparisons=100)
    each = difference(1130, 2000, 1000, 2000, level=1 - 0.001 / 100)
    assert each.low < 0 < each.high
    assert differ(1060, 2000, 1000, 2000, level=0.9)


def test_what_is_no_count_or_level_is_refused() -> None:
    for total in (0, -1):
        with pytest.raises(ValueError, match=f"expected a total >= 1, got {total}: give at least one example"):
            wilson(0, total)
    for correct in (-1, 11):
        with pytest.raises(ValueError, match=f"correct must be from 0 to 10, got {correct}"):
            wilson(correct, 10)
    for level in (0.0, 1.0, 95, -1):
        with pytest.raises(ValueError, match=f"expected a level between 0 and 1, got {level}"):
            wilson(5, 10, level=level)
    for place in range(2):
        counts = [(0, 0) if place == number else (1, 2) for number in range(2)]
        with pytest.raises(ValueError, match="expected a total >= 1, got 0"):
            differ(*counts[0], *counts[1])
    with pytest.raises(ValueError, match="comparisons must be an integer >= 1, got 0"):
        differ(1, 2, 1, 2, comparisons=0)


def test_needs_no_torch() -> None:
    code = (
        "import sys, reference_models.evaluation.significance\nsys.exit(bool({'torch', 'numpy'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
