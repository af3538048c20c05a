"""How sure an accuracy is: an interval for one, one for the difference of two, and whether two differ.

    (c / n - p)^2 = z^2 p (1 - p) / n       Wilson: its two roots in p are the limits for c correct of n
    d - sqrt((p1 - l1)^2 + (u2 - p2)^2)     Newcombe: the limits of a difference, whose measured value is d = p1 - p2;
    d + sqrt((u1 - p1)^2 + (p2 - l2)^2)     l, u are the Wilson limits of each share

Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927; Newcombe, "Interval
estimation for the difference between independent proportions", Statistics in Medicine 1998, method 10.

Both samples have the z of the level asked for. A limit's distance (p1 - l1) is z times the deviation that p1 has if the
truth is that limit; independent deviations add in squares, so the root is z times the deviation of p1 - p2. To divide z
by sqrt(2) first, as where two intervals are not to overlap, would count the second sample twice.

Not here: two models on the same examples as pairs. That takes the answers to each example, not counts.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

from lra_data import UsageError, checks
from lra_data.confidence import wilson_interval


class Interval(NamedTuple):
    """From low to high, both included."""

    low: float
    high: float


def wilson(correct: int, total: int, *, level: float = 0.95) -> Interval:
    """The interval of a share, within 0 and 1, of `correct` among `total` at a two-sided confidence level.

    Raises UsageError for a total below 1, counts that do not fit, or a level not between 0 and 1.
    """
    _check_counts(correct, total)
    low, high = wilson_interval(correct / total, total, _quantile(level))
    # At the ends a root is 0 or 1, which rounding would miss.
    return Interval(0.0 if correct == 0 else max(0.0, low), 1.0 if correct == total else min(1.0, high))


def difference(correct_a: int, total_a: int, correct_b: int, total_b: int, *, level: float = 0.95) -> Interval:
    """The interval of a's share less b's, within -1 and 1, from two independent samples. Raises as `wilson` does."""
    a, b = correct_a / max(total_a, 1), correct_b / max(total_b, 1)  # a total of 0 is `wilson`'s to refuse
    of_a, of_b = wilson(correct_a, total_a, level=level), wilson(correct_b, total_b, level=level)
    return Interval(a - b - math.hypot(a - of_a.low, of_b.high - b), a - b + math.hypot(of_a.high - a, b - of_b.low))


def differ(
    correct_a: int, total_a: int, correct_b: int, total_b: int, *, comparisons: int = 1, level: float = 0.999
) -> bool:
    """Whether two shares differ: 0 lies outside the interval of their difference.

    comparisons: how many are made side by side. Each has the level 1 - (1 - level) / comparisons (Bonferroni), so that
    all of them together are right with the level, however they depend on one another.
    """
    of_each = _level_of_each(comparisons, level)
    low, high = difference(correct_a, total_a, correct_b, total_b, level=of_each)
    return low > 0 or high < 0


def means_differ(a: Sequence[int], b: Sequence[int], *, comparisons: int = 1, level: float = 0.999) -> bool:
    """Whether two means differ, each given as (number, sum, sum of squares) of independent values: their difference is
    larger than its standard error allows (Welch's statistic, normal for the numbers here). comparisons: see `differ`.

    Samples of fewer than two values say nothing.
    """
    of_each = _level_of_each(comparisons, level)
    if min(a[0], b[0]) < 2:
        return False
    apart = abs(a[1] / a[0] - b[1] / b[0])
    variances = [(squares - total**2 / n) / (n - 1) / n for n, total, squares in (a, b)]
    return apart > _quantile(of_each) * math.sqrt(sum(variances))


def _level_of_each(comparisons: int, level: float) -> float:
    comparisons = checks.whole_number("comparisons", comparisons, 1)
    return 1 - (1 - level) / comparisons


def _quantile(level: float) -> float:
    """z: a normal variable is within -z and z with this probability."""
    if not 0 < level < 1:
        raise UsageError(f"expected a level between 0 and 1, got {level!r}")
    return -NormalDist().inv_cdf((1 - level) / 2)


def _check_counts(correct: int, total: int) -> None:
    if total < 1:
        raise UsageError(f"expected a total >= 1, got {total!r}: no examples say nothing")
    if not 0 <= correct <= total:
        raise UsageError(f"expected from 0 to {total} correct ones, got {correct!r}")
