"""Parts of encoders that several code bases share: sequences with padding, and pictures as integers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lra_data.arrow_columns import numbers, picture_shapes, rows_of, sequence_names
from lra_data.interop.protocol import Read
from lra_data.task import Task


def sequences_of(batch: pa.RecordBatch) -> list[list[NDArray[np.uint8]]]:
    """The sequences of each example."""
    names = sequence_names(batch.schema)
    return [[numbers(batch[name][row].values) for name in names] for row in range(len(batch))]


def padded(batch: pa.RecordBatch, sequences: Sequence[Sequence[NDArray[Any]]], length: int | None) -> Read:
    """Ids padded with 0 on the right, to `length` or to the longest sequence."""
    num_sequences = len(sequence_names(batch.schema))
    lengths = np.array([[len(ids) for ids in row] for row in sequences], dtype=np.int32).reshape(-1, num_sequences)
    longest = length if length is not None else int(lengths.max(initial=0))
    inputs = np.zeros((*lengths.shape, longest), dtype=np.int32)
    for row, some in enumerate(sequences):
        for place, ids in enumerate(some):
            inputs[row, place, : len(ids)] = ids
    return Read(inputs, lengths, np.arange(longest) < lengths[..., None], numbers(batch["label"]))


def pixels_without_black(batch: pa.RecordBatch, learned: None) -> Read:
    """Grey values as ids; 0, black, is masked as if it were padding."""
    inputs = rows_of(batch["inputs"]).astype(np.int32)[:, None]
    lengths = np.full(inputs.shape[:2], inputs.shape[2], dtype=np.int32)
    return Read(inputs, lengths, inputs != 0, numbers(batch["label"]))


def has_colour(task: Task) -> bool:
    """Whether a task's pictures have channels."""
    return len(picture_shapes(task.schema)["inputs"]) == 3


def has_32_pixels(task: Task) -> bool:
    """Whether a task's pictures have 32 x 32 pixels."""
    return picture_shapes(task.schema)["inputs"][:2] == (32, 32)


def only_grey(task: Task) -> str:
    """The refusal of readers whose pictures were already grey."""
    return "reads a set in grey, such as image/lra" if has_colour(task) else ""
