"""Confidence of accuracies: the interval of one, the interval of the difference of two, and whether two differ.

    (c / n - p)^2 = z^2 p (1 - p) / n       Wilson: its two roots in p are the limits for c correct of n
    d - sqrt((p1 - l1)^2 + (u2 - p2)^2)     Newcombe: the limits of a difference, whose measured value is d = p1 - p2;
    d + sqrt((u1 - p1)^2 + (p2 - l2)^2)     l, u are the Wilson limits of each share

Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927; Newcombe, "Interval
estimation for the difference between independent proportions", Statistics in Medicine 1998, method 10.

Both samples use the z of the requested level. A limit's distance (p1 - l1) is z times the deviation of p1 if the true
share is that limit. Independent deviations add in squares, so the root is z times the deviation of p1 - p2. Dividing z
by sqrt(2) first, as in the rule that two intervals must not overlap, would count the second sample twice.

Not here: paired comparison of two models on the same examples, which needs the answers to each example, not counts.
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
    # For 0 or all correct a root is exactly 0 or 1, which rounding would miss.
    return Interval(0.0 if correct == 0 else max(0.0, low), 1.0 if correct == total else min(1.0, high))


def difference(correct_a: int, total_a: int, correct_b: int, total_b: int, *, level: float = 0.95) -> Interval:
    """The interval of a's share less b's, within -1 and 1, from two independent samples. Raises as `wilson` does."""
    a, b = correct_a / max(total_a, 1), correct_b / max(total_b, 1)  # `wilson` refuses a total of 0
    of_a, of_b = wilson(correct_a, total_a, level=level), wilson(correct_b, total_b, level=level)
    return Interval(a - b - math.hypot(a - of_a.low, of_b.high - b), a - b + math.hypot(of_a.high - a, b - of_b.low))


def differ(
    correct_a: int, total_a: int, correct_b: int, total_b: int, *, comparisons: int = 1, level: float = 0.999
) -> bool:
    """Whether two shares differ: 0 is outside the interval of their difference.

    comparisons: number of comparisons made together. Each has the level 1 - (1 - level) / comparisons (Bonferroni), so
    that all of them together hold at `level`, whatever their dependence.
    """
    of_each = _level_of_each(comparisons, level)
    low, high = difference(correct_a, total_a, correct_b, total_b, level=of_each)
    return low > 0 or high < 0


def means_differ(a: Sequence[int], b: Sequence[int], *, comparisons: int = 1, level: float = 0.999) -> bool:
    """Whether two means differ: their difference is larger than its standard error allows.

    The statistic is Welch's, which is normal for the numbers here. The result is False for a sample of fewer than two
    values.

    a, b: (number, sum, sum of squares) of independent values.
    comparisons: see `differ`.
    """
    of_each = _level_of_each(comparisons, level)
    if min(a[0], b[0]) < 2:
        return False
    apart = abs(a[1] / a[0] - b[1] / b[0])
    variances = [(squares - total**2 / n) / (n - 1) / n for n, total, squares in (a, b)]
    return apart > _quantile(of_each) * math.sqrt(sum(variances))


def pooled_means_differ(
    pairs: Sequence[tuple[Sequence[int], Sequence[int]]], *, comparisons: int = 1, level: float = 0.999
) -> bool:
    """Whether values of many kinds differ together from what was recorded of each kind.

    D = sum_k n_k (mean of the new values of kind k - their recorded mean). Its variance is that of the new values,
    which are independent, and at most (sum_k n_k s_k / sqrt(N_k))² for the recorded means, whose N_k values may be of
    the same rows for all kinds, and so move together.

    pairs: of each kind (number, sum, sum of squares) of new values, and of recorded ones. Kinds with fewer than two
        values are left out; without any kind the result is False.
    comparisons: see `differ`.
    """
    of_each = _level_of_each(comparisons, level)
    apart = new = recorded = 0.0
    for (n, total, squares), (of, sum_of, squares_of) in pairs:
        if min(n, of) < 2:
            continue
        apart += total - n * sum_of / of
        new += n * (squares - total**2 / n) / (n - 1)
        recorded += n * math.sqrt((squares_of - sum_of**2 / of) / (of - 1) / of)
    return abs(apart) > _quantile(of_each) * math.sqrt(new + recorded**2)


def _level_of_each(comparisons: int, level: float) -> float:
    comparisons = checks.whole_number("comparisons", comparisons, 1)
    return 1 - (1 - level) / comparisons


def _quantile(level: float) -> float:
    """z: a standard normal variable is between -z and z with this probability."""
    if not 0 < level < 1:
        raise UsageError(f"expected a level between 0 and 1, got {level!r}")
    return -NormalDist().inv_cdf((1 - level) / 2)


def _check_counts(correct: int, total: int) -> None:
    if total < 1:
        raise UsageError(f"expected a total >= 1, got {total!r}: give at least one example")
    if not 0 <= correct <= total:
        raise UsageError(f"correct must be from 0 to {total}, got {correct!r}")
