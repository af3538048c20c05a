"""Rows to the arrays that a model takes. Padding is 0, on the right, and only after `lengths` elements."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lra_data.checks import whole_number
from lra_data.errors import SetError, UsageError, unknown_name
from lra_data.loading.batch_making.row_addresses import fill
from lra_data.shown import array_facts, as_html, as_text
from lra_data.task import Task

DTYPES = ("int32", "uint8")

_MOST_OFFSET = 2**31 - 256


class Batch(NamedTuple):
    """B examples of S sequences (2 for Retrieval, else 1) of up to L elements.

    inputs: int32 (B, S, L), or uint8 on request.
    lengths: int32 (B, S), elements without padding.
    labels: int64 (B,).
    indices: int64 (B,), the examples' indices in their split.
    """

    inputs: NDArray[Any]
    lengths: NDArray[np.int32]
    labels: NDArray[np.int64]
    indices: NDArray[np.int64]

    def __repr__(self) -> str:
        return as_text(type(self).__name__, array_facts(self))

    def _repr_html_(self) -> str:
        """Dtypes and shapes, for notebooks."""
        return as_html(type(self).__name__, array_facts(self))


class ProtocolBatch(NamedTuple):
    """A batch as another code base reads it (`load_as`): the fields of `Batch`, and a mask.

    inputs: int32 or float32 (B, S, L).
    indices: places in the protocol's split.
    keep: bool (B, S, L), False for padding and for other elements that the code base masks.
    """

    inputs: NDArray[Any]
    lengths: NDArray[np.int32]
    labels: NDArray[np.int64]
    indices: NDArray[np.int64]
    keep: NDArray[np.bool_]

    def __repr__(self) -> str:
        return as_text(type(self).__name__, array_facts(self))

    def _repr_html_(self) -> str:
        """Dtypes and shapes, for notebooks."""
        return as_html(type(self).__name__, array_facts(self))


@dataclass(frozen=True, kw_only=True)
class BatchShape:
    """The length of a batch's sequences, the offset of their values, and their dtype.

    max_length: number of elements kept of each sequence.
    pad_to: L; without it, L is the longest length in the batch, rounded up to a multiple of pad_to_multiple_of.
    offset: number added to every value, so that 0 means padding. The default is 1 for bytes (Text, Retrieval) and 0
        for token ids, which never use 0, and for pixels, which have no padding.
    dtype: "int32", or "uint8" for a quarter of the bytes. With uint8 the offset is added when the batch is widened on
        the device, not here.
    """

    max_length: int | None = None
    pad_to: int | None = None
    pad_to_multiple_of: int = 1
    offset: int | None = None
    dtype: str = "int32"

    def __post_init__(self) -> None:
        for name in ("max_length", "pad_to", "pad_to_multiple_of"):
            value = getattr(self, name)
            if value is not None or name == "pad_to_multiple_of":
                object.__setattr__(self, name, whole_number(name, value, 1))
        if self.offset is not None:
            object.__setattr__(self, "offset", whole_number("offset", self.offset, 0))
            if self.offset > _MOST_OFFSET:
                raise UsageError(f"offset must be at most {_MOST_OFFSET}, for int32, got {self.offset}")
        if self.dtype not in DTYPES:
            raise unknown_name("dtype", self.dtype, DTYPES)

    def width(self, longest: int) -> int:
        """L of a batch whose longest sequence has `longest` elements."""
        return self.pad_to or -(-longest // self.pad_to_multiple_of) * self.pad_to_multiple_of

    def offset_for(self, task: Task) -> int:
        """The number to add to the values of a task's sequences, here or on the device."""
        if self.offset is not None:
            return self.offset
        first = next(name for name in task.schema.names if name.startswith("inputs"))
        return int(task.vocabulary is None and pa.types.is_list(task.schema.field(first).type))


@dataclass(slots=True)
class Located:
    """Located rows, not yet copied: n rows of S sequences.

    addresses: int64 (n, S).
    lengths: int32 (n, S).
    labels, indices: int64 (n,).
    alive: the owner of the memory at the addresses.
    """

    addresses: NDArray[np.int64]
    lengths: NDArray[np.int32]
    labels: NDArray[np.int64]
    indices: NDArray[np.int64]
    alive: Any


class Collator:
    """Makes batches of one shape from located rows."""

    def __init__(self, task: Task, shape: BatchShape) -> None:
        self._task, self._shape = task, shape
        self._dtype = np.dtype(shape.dtype)
        self._offset = 0 if shape.dtype == "uint8" else shape.offset_for(task)
        first = next(field for field in task.schema if field.name.startswith("inputs"))
        # All pictures have the same length, so the longest length of a batch need not be computed.
        self._fixed = first.type.list_size if pa.types.is_fixed_size_list(first.type) else None
        if self._fixed is not None and shape.max_length is not None:
            self._fixed = min(self._fixed, shape.max_length)

    def shortened(self, lengths: NDArray[np.int32]) -> NDArray[np.int32]:
        """The lengths after cutting to `max_length`."""
        return lengths if self._shape.max_length is None else np.minimum(lengths, np.int32(self._shape.max_length))

    def __call__(self, located: Located, first: int, last: int) -> Batch:
        """The batch of rows first .. last - 1, with `shortened` lengths; UsageError for a row longer than `pad_to`."""
        lengths, indices = located.lengths[first:last], located.indices[first:last]
        longest = self._fixed if self._fixed is not None else int(lengths.max()) if last > first else 0
        width = self._shape.width(longest)
        if longest > width:
            row = np.argwhere(lengths == longest)[0][0]
            raise UsageError(
                f"expected sequences of at most pad_to = {width} elements, got {longest} in example "
                f"{indices[row]}: raise pad_to, or cut with max_length"
            )
        inputs = np.empty((last - first, lengths.shape[1], width), dtype=self._dtype)
        greatest = fill(located.addresses[first:last], lengths, self._offset, inputs)
        if greatest >= self._task.vocab_size:
            raise SetError(
                f"expected ids below {self._task.vocab_size}, got {greatest} in one of the examples "
                f"{indices.tolist()}: run `lra-data verify`"
            )
        return Batch(inputs, lengths, located.labels[first:last], indices)
