"""Faults of every family's rows and batches, such as converters and generators of forks have had.

A fault of the rows stands between a task and whatever asks it for rows, in this process; a fault of the reading behind
the collator. Neither changes files or digests of what is already built.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from lra_data.image.task import Image
from lra_data.listops.task import ListOps
from lra_data.loading.batch_making.collate import Batch
from lra_data.pathfinder.generated_task import Pathfinder
from lra_data.retrieval.task import Retrieval
from lra_data.task import Task
from lra_data.text.task import Text
from tests.support.faulty_sets import CLOSE, ReadingFault, RowsFault, made_with, of_batches, solved_anew

Columns = dict[str, list[Any]]
_CLASSES: Mapping[str, type[Task]] = {
    "listops": ListOps, "pathfinder": Pathfinder, "text": Text, "image": Image, "retrieval": Retrieval
}  # fmt: skip


def _rebuilt(batch: pa.RecordBatch, changes: Columns) -> pa.RecordBatch:
    columns = [pa.array(changes.get(field.name, batch[field.name].to_pylist()), field.type) for field in batch.schema]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def of_columns(change: Callable[[Columns], Columns]) -> RowsFault:
    """A fault that is a function of the rows' columns, and gives those that change."""
    return of_batches(
        lambda batch: _rebuilt(batch, change({name: batch[name].to_pylist() for name in batch.schema.names}))
    )


def of_inputs(change: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]], name: str = "inputs") -> RowsFault:
    """A fault of each row's inputs."""
    return of_columns(lambda columns: {name: [change(np.array(row)).tolist() for row in columns[name]]})


def of_labels(change: Callable[[int, int], int]) -> RowsFault:
    """A fault of labels, by label and index."""
    return of_columns(
        lambda columns: {
            "label": [change(label, index) for label, index in zip(columns["label"], columns["index"], strict=True)]
        }
    )


def other_split(take: Callable[..., pa.RecordBatch], task: Any, split: str, indices: Sequence[int], seed: int) -> Any:
    """Train and test exchanged, as far as rows go."""
    other = {"train": "test", "test": "train"}.get(split, split)
    rows = take(task, other, [index % task.split_sizes(seed)[other] for index in indices], seed=seed)
    return _rebuilt(rows, {"index": list(indices)})


def reordered(take: Callable[..., pa.RecordBatch], task: Any, split: str, indices: Sequence[int], seed: int) -> Any:
    """The rows of a split the other way round."""
    last = task.split_sizes(seed)[split] - 1
    return _rebuilt(take(task, split, [last - index for index in indices], seed=seed), {"index": list(indices)})


def of_config(**changes: Any) -> RowsFault:
    """Rows of another configuration."""

    def fault(take: Callable[..., pa.RecordBatch], task: Any, split: str, indices: Sequence[int], seed: int) -> Any:
        return take(type(task)(replace(task.config, **changes)), split, indices, seed=seed)

    return fault


def _picture(change: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]) -> RowsFault:
    def whole(row: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        side = round(len(row) ** 0.5)
        return change(row.reshape(side, side)).reshape(-1)

    return of_inputs(whole)


def _characters(row: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A number a character for a number a byte."""
    return np.array([min(ord(letter), 255) for letter in bytes(row.astype(np.uint8)).decode("utf-8", "replace")])


def _last_words(columns: Columns) -> Columns:
    return {"inputs": [row[-512:] for row in columns["inputs"]]}


def _lower(row: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Letters A to Z made small."""
    small: np.ndarray[Any, Any] = row + 32 * ((row >= 65) & (row <= 90))
    return small


def _without_last_bracket(columns: Columns) -> Columns:
    return {"inputs": [row[: len(row) - 1 - row[::-1].index(CLOSE)] for row in columns["inputs"]]}


def _next_document(columns: Columns) -> Columns:
    return {"inputs_2": columns["inputs_2"][1:] + columns["inputs_2"][:1]}


def _sides(columns: Columns) -> Columns:
    return {"inputs_1": columns["inputs_2"], "inputs_2": columns["inputs_1"]}


ROWS_FAULTS: Mapping[str, Mapping[str, RowsFault]] = {
    "listops": {
        "medians rounded up": of_batches(partial(solved_anew, rounded_up=True)),
        "sums modulo 9": of_batches(partial(solved_anew, modulo_nine=True)),
        "MIN and MAX exchanged": of_batches(partial(solved_anew, exchanged=True)),
        "depth of 5 at most": of_config(max_depth=5),
        "a closing bracket lost": of_columns(_without_last_bracket),
    },
    "pathfinder": {
        "labels swapped": of_labels(lambda label, _: 1 - label),
        "half the contrast": of_inputs(lambda row: row // 2),
        "contours of 2 paddles": of_config(contour_length=2),
        "pictures transposed": _picture(np.transpose),
        "one pixel to the right": _picture(partial(np.roll, shift=1, axis=1)),
    },
    "text": {
        "characters for bytes": of_inputs(_characters),
        "the last bytes, not the first": of_columns(_last_words),
        "another order": reordered,
        "train and test exchanged": other_split,
        "one label of ten turned": of_labels(lambda label, index: 1 - label if index % 10 == 0 else label),
    },
    "image": {
        "brighter grey": of_inputs(lambda row: np.minimum(row + 8, 255)),
        "pictures transposed": _picture(np.transpose),
        "train and test exchanged": other_split,
        "labels one too great": of_labels(lambda label, _: (label + 1) % 10),
        "another order": reordered,
    },
    "retrieval": {
        "second documents of the next row": of_columns(_next_document),
        "letters made small": of_inputs(_lower, "inputs_1"),
        "first document cut to 128 bytes": of_inputs(lambda row: row[:128], "inputs_1"),
        "sides swapped": of_columns(_sides),
        "one label of fifty turned": of_labels(lambda label, index: 1 - label if index % 50 == 0 else label),
    },
}


def _without_offset(batch: Batch) -> Batch:
    """Bytes from 0 to 255 where ids from 1 to 256 are due."""
    return batch._replace(inputs=np.maximum(batch.inputs - 1, 0))


READING_FAULTS_OF_TASKS: Mapping[str, Mapping[str, ReadingFault]] = {
    "text": {"ids without their offset": _without_offset}
}


def faulty_rows(family: str, fault: RowsFault) -> AbstractContextManager[None]:
    """Within it, whatever a family makes has the fault."""
    return made_with(_CLASSES[family], fault)
