"""Predictions of a model on a split: a label or logits for each example, from arrays or files.

    .npy       integers (N,), labels; or floats (N, C), logits; in the split's order
    .csv       a header and a line an example: `label`, or `logit_0` to `logit_C-1`; with `index`, in any order
    .jsonl     {"index": 7, "label": 1} or {"index": 7, "logits": [0.2, 0.8]} a line; `index` may be left out
    .parquet   columns `label`, or `logits` (lists), or `logit_0` …; with `index`, in any order

An index is the example's place in the split, as in the column `index` of a set. Every example of the split needs one
prediction: missing, doubled and foreign indices are refused with their counts.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from lra_data.errors import UsageError, reason
from lra_data.paths import local_path

SUFFIXES = (".npy", ".csv", ".jsonl", ".parquet")


@dataclass(frozen=True)
class Predictions:
    """labels: int64 (N,), of the examples in the split's order. logits: float64 (N, C), or None."""

    labels: NDArray[np.int64]
    logits: NDArray[np.float64] | None


def predictions_of(given: Any, expected: range, classes: int, what: str) -> Predictions:
    """Predictions for the examples `expected`, in that order.

    given: a path, an array of labels (N,) or logits (N, C) in the split's order, a mapping from index to label or
        logits, or a pyarrow.Table or RecordBatch with the columns of a Parquet file.
    expected: the indices of the examples.
    what: the name of the split, for errors.

    Raises UsageError for indices that are missing, doubled or foreign, and for values that are no labels or logits.
    """
    name = str(given) if isinstance(given, str | Path) else "predictions"
    indices, values = _read(given, name)
    if indices is not None:
        values = values[_places(indices, expected, name, what)]
    elif len(values) != len(expected):
        raise UsageError(
            f"{name}: expected {len(expected):,} predictions, one for each example of {what}, got {len(values):,}"
        )
    if values.ndim == 2:
        return _of_logits(values, classes, name)
    return Predictions(_checked_labels(values, classes, name), None)


def _read(given: Any, name: str) -> tuple[NDArray[np.int64] | None, NDArray[Any]]:
    if isinstance(given, str | Path):
        path = local_path(given, "a file of predictions")
        if path.suffix not in SUFFIXES:
            raise UsageError(
                f"{name}: expected a file that ends with {', '.join(SUFFIXES)}, got {path.suffix or 'none'}"
            )
        if not path.is_file():
            raise UsageError(f"{name}: expected a file of predictions, found no file there")
        try:
            return _READERS[path.suffix](path, name)
        except UsageError:
            raise  # it is a ValueError, too
        except OSError as error:
            raise UsageError(f"{name}: expected a file of predictions, got: {reason(error)}") from error
        except (EOFError, ValueError, pa.ArrowInvalid) as error:
            raise UsageError(f"{name}: expected predictions as {path.suffix}, got: {reason(error)}") from error
    if isinstance(given, pa.Table | pa.RecordBatch):
        return _of_table(given, name)
    if isinstance(given, Mapping):
        return np.array(list(given), dtype=np.int64), _array(list(given.values()), name)
    return None, _array(given, name)


def _array(values: Any, name: str) -> NDArray[Any]:
    try:
        found = np.asarray(values)
    except ValueError as error:
        raise UsageError(f"{name}: expected labels (N,) or logits (N, C), got rows of unequal length") from error
    if found.ndim not in (1, 2):
        raise UsageError(f"{name}: expected labels (N,) or logits (N, C), got an array of shape {found.shape}")
    return found


def _of_npy(path: Path, name: str) -> tuple[None, NDArray[Any]]:
    return None, _array(np.load(path, allow_pickle=False), name)


def _of_csv(path: Path, name: str) -> tuple[NDArray[np.int64] | None, NDArray[Any]]:
    return _of_table(pyarrow.csv.read_csv(path), name)


def _of_parquet(path: Path, name: str) -> tuple[NDArray[np.int64] | None, NDArray[Any]]:
    return _of_table(pyarrow.parquet.read_table(path), name)


def _of_jsonl(path: Path, name: str) -> tuple[NDArray[np.int64] | None, NDArray[Any]]:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    for number, line in enumerate(lines, start=1):
        if not isinstance(line, dict) or line.keys() != lines[0].keys():
            raise UsageError(
                f"{name}: expected an object with the entries of line 1 in line {number}, got {line!r:.60}"
            )
    columns = {key: _array([line[key] for line in lines], name) for key in (lines[0] if lines else {})}
    return _of_columns(columns, name)


def _of_table(table: pa.Table | pa.RecordBatch, name: str) -> tuple[NDArray[np.int64] | None, NDArray[Any]]:
    return _of_columns({column: _numbers(table[column], name) for column in table.schema.names}, name)


def _numbers(column: Any, name: str) -> NDArray[Any]:
    """A column as an array: (N,), or (N, C) for lists of equal length."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_list(whole.type) or pa.types.is_large_list(whole.type) or pa.types.is_fixed_size_list(whole.type):
        flat = whole.flatten().to_numpy(zero_copy_only=False)
        if len(whole) and len(flat) % len(whole):
            raise UsageError(f"{name}: expected logits of one length in all rows, got several")
        lists: NDArray[Any] = flat.reshape(len(whole), -1)
        return lists
    found: NDArray[Any] = whole.to_numpy(zero_copy_only=False)
    return found


def _of_columns(columns: Mapping[str, NDArray[Any]], name: str) -> tuple[NDArray[np.int64] | None, NDArray[Any]]:
    """index, and label, logits or logit_0 ….: other columns are refused, since one of them may be meant."""
    rest = dict(columns)
    indices = rest.pop("index", None)
    if indices is not None and indices.dtype.kind not in "iu":
        raise UsageError(f"{name}: expected whole numbers in the column index, got {indices.dtype}")
    if rest.keys() == {"label"} or rest.keys() == {"logits"}:
        return indices, next(iter(rest.values()))
    several = [f"logit_{number}" for number in range(len(rest))]
    if not rest or sorted(rest) != sorted(several):
        raise UsageError(
            f"{name}: expected the columns label, or logits, or logit_0 to logit_C-1, with or without index, got "
            f"{', '.join(columns) or 'none'}"
        )
    return indices, np.stack([rest[column] for column in several], axis=1)


_READERS = {".npy": _of_npy, ".csv": _of_csv, ".jsonl": _of_jsonl, ".parquet": _of_parquet}


def _places(indices: NDArray[np.int64], expected: range, name: str, what: str) -> NDArray[np.int64]:
    """Where in the predictions each expected index is."""
    offsets, remainders = np.divmod(indices.astype(np.int64) - expected.start, expected.step)
    own = (remainders == 0) & (offsets >= 0) & (offsets < len(expected))
    counts = np.bincount(offsets[own], minlength=len(expected))
    found = {
        "missing": np.flatnonzero(counts == 0) * expected.step + expected.start,
        "doubled": np.flatnonzero(counts > 1) * expected.step + expected.start,
        "foreign": np.unique(indices[~own]),
    }
    if any(map(len, found.values())):
        said = [f"{len(which):,} {word} (the first {which[0]:,})" for word, which in found.items() if len(which)]
        raise UsageError(
            f"{name}: expected one prediction for each of the {len(expected):,} examples of {what}, got "
            f"{', '.join(said)}"
        )
    places = np.empty(len(expected), dtype=np.int64)
    places[offsets] = np.arange(len(expected))
    return places


def _checked_labels(values: NDArray[Any], classes: int, name: str) -> NDArray[np.int64]:
    if values.dtype.kind not in "iu":
        raise UsageError(
            f"{name}: expected labels as whole numbers from 0 to {classes - 1}, or logits (N, {classes}), got "
            f"{values.dtype} {values.shape}"
        )
    wrong = (values < 0) | (values >= classes)
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise UsageError(
            f"{name}: expected labels from 0 to {classes - 1}, got {int(wrong.sum()):,} others, the first "
            f"{values[first]} at place {first:,}"
        )
    return values.astype(np.int64)


def _of_logits(values: NDArray[Any], classes: int, name: str) -> Predictions:
    if values.shape[1] != classes or values.dtype.kind not in "iuf":
        raise UsageError(f"{name}: expected logits (N, {classes}), got {values.dtype} {values.shape}")
    logits = values.astype(np.float64)
    unknown = ~np.isfinite(logits).all(axis=1)
    if unknown.any():
        raise UsageError(
            f"{name}: expected finite logits, got {int(unknown.sum()):,} rows that are not, the first at place "
            f"{int(np.flatnonzero(unknown)[0]):,}"
        )
    return Predictions(logits.argmax(axis=1), logits)
