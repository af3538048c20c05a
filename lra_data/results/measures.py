"""Figures of a set of answers: accuracy by group, calibration, and the comparison with other answers.

Wilson's interval: "Probable inference", JASA 1927. McNemar's test in its exact form: of the examples on which exactly
one of two models is right, each is as likely to be right under the hypothesis that they do not differ; two-sided p is
twice the lesser tail of the binomial distribution, at most 1 (McNemar, Psychometrika 1947). Calibration error: Guo et
al. 2017, "On calibration of modern neural networks", equation 3, with 15 bins of equal width.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lra_data.confidence import wilson_interval

_Z_95 = 1.959964
_BINS = 15
# A feature with more values than that is cut into groups of about equal size.
_MOST_VALUES = 12
_GROUPS = 8


def share(correct: int, examples: int) -> dict[str, Any]:
    """Counts, accuracy and its 95 % interval, as JSON values; without an accuracy for no example."""
    found: dict[str, Any] = {"examples": examples, "correct": correct}
    if examples:
        low, high = wilson_interval(correct / examples, examples, _Z_95)
        found |= {"accuracy": correct / examples, "low": max(0.0, low), "high": min(1.0, high)}
    return found


def by_group(
    right: NDArray[np.bool_], values: NDArray[np.int64], names: Mapping[int, str] | None
) -> list[dict[str, Any]]:
    """The accuracy in each group of examples, in the order of the values.

    right: (N,). values: int64 (N,), a feature. names: of its values; without them they are numbers, of which many are
    cut into at most eight ranges at quantiles.
    """
    known = np.unique(values)
    if names is None and len(known) > _MOST_VALUES:
        edges = np.unique(np.quantile(values, np.linspace(0, 1, _GROUPS + 1)[1:-1], method="higher"))
        group = np.searchsorted(edges, values, side="right")
        found = []
        for number in np.unique(group):
            inside = group == number
            least, most = int(values[inside].min()), int(values[inside].max())
            text = f"{least:,}" if least == most else f"{least:,} to {most:,}"
            found.append({"group": text, **share(int(right[inside].sum()), int(inside.sum()))})
        return found
    # Counted in one pass over values that are a few.
    place = np.searchsorted(known, values)
    examples, correct = np.bincount(place, minlength=len(known)), np.bincount(place[right], minlength=len(known))
    return [
        {"group": f"{value:,}" if names is None else names[int(value)], **share(int(c), int(n))}
        for value, n, c in zip(known.tolist(), examples, correct, strict=True)
    ]


def calibration(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> dict[str, Any]:
    """Mean negative log-likelihood in nats, Brier score (sum over the classes), calibration error, and its bins."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    shares, rows = np.exp(logs), np.arange(len(labels))
    brier = (shares**2).sum(axis=1) - 2 * shares[rows, labels] + 1
    confidence, right = shares.max(axis=1), logits.argmax(axis=1) == labels
    bins = np.minimum((confidence * _BINS).astype(np.int64), _BINS - 1)
    counts = np.bincount(bins, minlength=_BINS)
    sums = [np.bincount(bins, weights=weights, minlength=_BINS) for weights in (confidence, right.astype(np.float64))]
    found = [
        {"from": number / _BINS, "examples": int(n), "confidence": float(c / n), "accuracy": float(a / n)}
        for number, (n, c, a) in enumerate(zip(counts, *sums, strict=True))
        if n
    ]
    return {
        "negative_log_likelihood": float(-logs[rows, labels].mean()),
        "brier": float(brier.mean()),
        "expected_calibration_error": float(np.abs(sums[0] - sums[1]).sum() / len(labels)),
        "bins": found,
    }


def mcnemar(right: NDArray[np.bool_], other: NDArray[np.bool_]) -> dict[str, Any]:
    """How two sets of answers to the same examples differ: counts and the exact two-sided p."""
    only_first, only_second = int((right & ~other).sum()), int((other & ~right).sum())
    n, least = only_first + only_second, min(only_first, only_second)
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    choices = np.arange(least + 1)
    tail = np.exp(logs[n] - logs[choices] - logs[n - choices] - n * np.log(2.0)).sum()
    return {
        "both": int((right & other).sum()),
        "only_this": only_first,
        "only_other": only_second,
        "neither": int((~right & ~other).sum()),
        "p": min(1.0, float(2 * tail)),
    }
