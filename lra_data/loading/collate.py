"""Rows to the arrays that a model takes. Padding is 0, on the right, and only behind `lengths`."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lra_data.columns import numbers, rows_of
from lra_data.errors import UsageError
from lra_data.task import Task


@dataclass(frozen=True)
class Batch:
    """B examples of S sequences (2 for Retrieval, else 1) of up to L elements.

    inputs: int32 (B, S, L). lengths: int32 (B, S), elements without padding. labels: int64 (B,). indices: int64 (B,),
    the examples' numbers in their split.
    """

    inputs: NDArray[np.int32]
    lengths: NDArray[np.int32]
    labels: NDArray[np.int64]
    indices: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, kw_only=True)
class Form:
    """How long the sequences of a batch are, and what is added to their values.

    max_length: elements that are kept of each. pad_to: L; without it L is the longest of the batch, rounded up to
    pad_to_multiple_of. offset: added to every value, so that 0 is left for padding; without it 1 for bytes (Text,
    Retrieval) and 0 for token ids and pixels, which have no padding.
    """

    max_length: int | None = None
    pad_to: int | None = None
    pad_to_multiple_of: int = 1
    offset: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_length", "pad_to", "pad_to_multiple_of"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise UsageError(f"expected as {name} a whole number from 1 on, got {value!r}")
        if self.offset is not None and (not isinstance(self.offset, int) or not 0 <= self.offset < 2**31 - 256):
            raise UsageError(f"expected as offset a whole number from 0 on, got {self.offset!r}")


def collate(rows: pa.RecordBatch, task: Task, form: Form) -> Batch:
    """The rows as one batch; raises UsageError for a sequence longer than `pad_to`."""
    columns = [rows[name] for name in rows.schema.names if name.startswith("inputs")]
    offset = _standard_offset(task, columns[0]) if form.offset is None else form.offset
    lengths = np.stack([_lengths(column) for column in columns], axis=1)  # (B, S)
    if form.max_length is not None:
        lengths = np.minimum(lengths, np.int32(form.max_length))
    longest = int(lengths.max(initial=0))
    width = form.pad_to or -(-longest // form.pad_to_multiple_of) * form.pad_to_multiple_of
    if longest > width:
        row, place = np.argwhere(lengths == longest)[0]
        raise UsageError(
            f"expected sequences of at most pad_to = {width} elements, got {longest} in example "
            f"{rows['index'][int(row)]}: raise pad_to, or cut with max_length"
        )
    inputs = np.zeros((len(rows), len(columns), width), dtype=np.int32)
    for place, column in enumerate(columns):
        _fill(inputs[:, place], column, lengths[:, place], offset)
    return Batch(inputs, lengths, numbers(rows["label"]), numbers(rows["index"]))


def _standard_offset(task: Task, column: pa.Array) -> int:
    return int(task.vocabulary is None and pa.types.is_list(column.type))


def _lengths(column: pa.Array) -> NDArray[np.int32]:
    if pa.types.is_fixed_size_list(column.type):
        return np.full(len(column), column.type.list_size, dtype=np.int32)
    lengths: NDArray[np.int32] = np.diff(numbers(column.offsets)).astype(np.int32)
    return lengths


def _fill(target: NDArray[np.int32], column: pa.Array, lengths: NDArray[np.int32], offset: int) -> None:
    """Copy the rows of a list column, widened, into target (B, L)."""
    if pa.types.is_fixed_size_list(column.type):
        kept = int(lengths[0]) if len(lengths) else 0
        np.add(rows_of(column)[:, :kept], offset, out=target[:, :kept], dtype=np.int32)
        return
    values: NDArray[Any] = numbers(column.values)
    for row, (start, length) in enumerate(zip(numbers(column.offsets)[:-1].tolist(), lengths.tolist(), strict=True)):
        np.add(values[start : start + length], offset, out=target[row, :length], dtype=np.int32)
