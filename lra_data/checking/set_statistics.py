"""Statistics of a set, and the scores of trivial predictors.

A trivial predictor uses one feature. For each value, it answers the label that is most frequent with that value in
train; its accuracy is measured on the other splits. If a trivial predictor scores high, the set has a shortcut.
"""

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lra_data.arrow_columns import numbers
from lra_data.confidence import wilson_interval
from lra_data.splits import SPLITS
from lra_data.store.row_access import Rows

_PERCENTILES = (1, 5, 25, 50, 75, 95, 99)

# Half-width of a 95 % interval in standard errors.
_Z_95 = 1.959964


def statistics(rows: Rows) -> dict[str, Any]:
    """Counts, label shares, distributions of the task's measures, and the trivial predictors, as JSON values."""
    labels: dict[str, NDArray[np.int64]] = {}
    looked_at: dict[str, dict[str, NDArray[np.int64]]] = {}
    splits: dict[str, Any] = {}
    for split in SPLITS:
        gathered: dict[str, list[NDArray[np.int64]]] = {}
        seen: dict[str, list[NDArray[np.int64]]] = {}
        for batch in rows.batches(split):
            for name, values in {"label": numbers(batch["label"]), **rows.task.statistics.measures(batch)}.items():
                gathered.setdefault(name, []).append(values)
            for name, values in rows.task.statistics.shortcuts(batch).items():
                seen.setdefault(name, []).append(values)
        measures = {name: np.concatenate(parts) for name, parts in gathered.items()}
        labels[split] = measures.pop("label")
        looked_at[split] = {"majority class": np.zeros_like(labels[split])}
        looked_at[split] |= {name: np.concatenate(parts) for name, parts in seen.items()}
        counts = np.bincount(labels[split], minlength=rows.task.num_classes)
        splits[split] = {
            "examples": len(labels[split]),
            "label_shares": dict(zip(rows.task.card.label_names, (counts / counts.sum()).tolist(), strict=True)),
            "measures": {name: _distribution(values) for name, values in measures.items()},
        }
    return {
        "task": rows.task.name,
        "seed": rows.seed,
        "splits": splits,
        "trivial_predictors": _scores(looked_at, labels),
        "figures": rows.task.statistics.figures(rows.batches),
    }


def trivial_predictors(rows: Rows) -> dict[str, dict[str, float]]:
    """Accuracy of each trivial predictor on validation and test, with a 95 % interval and the number of examples."""
    labels: dict[str, NDArray[np.int64]] = {}
    looked_at: dict[str, dict[str, NDArray[np.int64]]] = {}
    for split in SPLITS:
        seen: dict[str, list[NDArray[np.int64]]] = {"label": []}
        for batch in rows.batches(split):
            seen["label"].append(numbers(batch["label"]))
            for name, values in rows.task.statistics.shortcuts(batch).items():
                seen.setdefault(name, []).append(values)
        joined = {name: np.concatenate(parts) for name, parts in seen.items()}
        labels[split] = joined.pop("label")
        looked_at[split] = {"majority class": np.zeros_like(labels[split]), **joined}
    return _scores(looked_at, labels)


def _scores(
    looked_at: dict[str, dict[str, NDArray[np.int64]]], labels: dict[str, NDArray[np.int64]]
) -> dict[str, dict[str, float]]:
    return {
        name: _score(
            looked_at["train"][name],
            labels["train"],
            np.concatenate([looked_at[split][name] for split in SPLITS[1:]]),
            np.concatenate([labels[split] for split in SPLITS[1:]]),
        )
        for name in looked_at["train"]
    }


def _distribution(values: NDArray[np.int64]) -> dict[str, float]:
    shares = {
        f"p{percent}": float(value)
        for percent, value in zip(_PERCENTILES, np.percentile(values, _PERCENTILES), strict=True)
    }
    return {
        "min": float(values.min()),
        "mean": float(values.mean()),
        "sd": float(values.std()),
        **shares,
        "max": float(values.max()),
    }


def _score(
    seen: NDArray[np.int64], labels: NDArray[np.int64], new: NDArray[np.int64], truth: NDArray[np.int64]
) -> dict[str, float]:
    """Accuracy on (new, truth) of the best guesses learned from (seen, labels), with a 95 % Wilson interval."""
    counts: dict[int, Counter[int]] = {}
    for value, label in zip(seen.tolist(), labels.tolist(), strict=True):
        counts.setdefault(value, Counter())[label] += 1
    overall = Counter(labels.tolist()).most_common(1)[0][0]
    best = {value: counter.most_common(1)[0][0] for value, counter in counts.items()}
    guesses = np.array([best.get(value, overall) for value in new.tolist()])
    n, share = len(truth), float((guesses == truth).mean())
    low, high = wilson_interval(share, n, _Z_95)
    return {"accuracy": share, "low": low, "high": high, "examples": n}
