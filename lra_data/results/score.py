"""Scores predictions on a split: how many are right, against what, and where they are not.

The result is one record of JSON values, with the identity of the rows, the versions and the command, so that a paper's
number can be made again. Nothing is dropped and nothing is drawn: the same predictions give the same record but for the
date.
"""

import json
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lra_data.arrow_columns import numbers
from lra_data.checking.set_statistics import trivial_predictors
from lra_data.errors import UsageError
from lra_data.paths import local_path
from lra_data.results.measures import by_group, calibration, mcnemar, share
from lra_data.results.predictions import predictions_of
from lra_data.store.atomic_files import write_whole
from lra_data.version import VERSION

if TYPE_CHECKING:
    from lra_data.loading.dataset import Dataset

FORMAT = 1
_A_TIME = 10_000


@dataclass(frozen=True)
class Score:
    """The score of predictions on a split.

    record: JSON values: format, task, version, seed, split, rows (first and end of a slice), identity (of the rows),
        examples, correct, accuracy, low, high (95 %), trivial, against, groups, calibration, versions, command, date.
        trivial is None if it was not asked for, against without a second file, calibration without logits, and a group
        where the rows do not have the feature.
    """

    record: dict[str, Any]

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return float(self.record["accuracy"])

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval."""
        return self.record["low"], self.record["high"]

    def to_json(self) -> str:
        """The record, as it is in a result file."""
        return json.dumps(self.record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def write(self, path: Path | str) -> None:
        """Write a result file, whole or not at all, and its folder; raises BuildError if it cannot be written."""
        write_whole(local_path(path, "a result file"), self.to_json().encode())


def score(
    dataset: "Dataset", predictions: Any, *, against: Any = None, trivial: bool = True, command: str | None = None
) -> Score:
    """Score predictions on a split, or a slice of one.

    predictions, against: see `predictions.predictions_of`; `against` are another model's, to compare with.
    trivial: whether to measure the trivial predictors of the whole set, for which every row of train is read.
    command: how the predictions were made or scored, for the record.

    Raises UsageError for predictions that do not fit, or a split without examples.
    """
    task, what = dataset.task, f"{dataset.task.name} {dataset.split}"
    if len(dataset) == 0:
        raise UsageError(f"expected at least one example in {what}, got none: choose another split or slice")
    labels, features = _read(dataset)
    given = predictions_of(predictions, dataset.selected, task.num_classes, what)
    right = given.labels == labels
    classes = dict(enumerate(task.card.label_names))
    record: dict[str, Any] = {
        "format": FORMAT,
        "task": task.name,
        "version": task.version,
        "seed": dataset.rows.seed,
        "split": dataset.split,
        "rows": [dataset.selected.start, dataset.selected.stop],
        "identity": dataset.identity,
        **share(int(right.sum()), len(labels)),
        "trivial": _trivial(dataset) if trivial else None,
        "against": None,
        "groups": {"class": by_group(right, labels, classes), **_groups(dataset, right, features)},
        "calibration": None if given.logits is None else calibration(given.logits, labels),
        "versions": {"lra_data": VERSION, "numpy": np.__version__, "python": platform.python_version()},
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
    }
    if against is not None:
        other = predictions_of(against, dataset.selected, task.num_classes, what).labels == labels
        record["against"] = {**share(int(other.sum()), len(labels)), **mcnemar(right, other)}
    return Score(record)


def _read(dataset: "Dataset") -> tuple[NDArray[np.int64], dict[str, NDArray[np.int64]]]:
    """The labels and the features by which answers are grouped, each int64 (N,)."""
    labels: list[NDArray[np.int64]] = []
    features: dict[str, list[NDArray[np.int64]]] = {}
    for start in range(0, len(dataset), _A_TIME):
        batch: pa.RecordBatch = dataset[start : start + _A_TIME]
        labels.append(numbers(batch["label"]).astype(np.int64))
        for name, values in dataset.task.statistics.groups(batch).items():
            features.setdefault(name, []).append(values)
    return np.concatenate(labels), {name: np.concatenate(parts) for name, parts in features.items()}


def _groups(
    dataset: "Dataset", right: NDArray[np.bool_], features: dict[str, NDArray[np.int64]]
) -> dict[str, list[dict[str, Any]] | None]:
    """The accuracies by each feature; None for one that the rows do not have, such as the geometry of a picture."""
    statistics = dataset.task.statistics
    return {
        name: by_group(right, features[name], statistics.group_names(name)) if name in features else None
        for name in statistics.group_features
    }


def _trivial(dataset: "Dataset") -> dict[str, dict[str, float]]:
    """The accuracies of the trivial predictors with their intervals, from the best."""
    found = trivial_predictors(dataset.rows)
    return dict(sorted(found.items(), key=lambda entry: -entry[1]["accuracy"]))
