"""Compiled code that finds rows by address in Arrow buffers, and copies and widens them into a model's input array.

The rows of one batch are far apart, in many record batches. Slicing and joining Arrow arrays would cost more per row
than copying its bytes; an address and a length are enough. `locate` looks both up for thousands of rows in one call,
and compares each row's number with the requested one. `fill` copies the rows of one batch. Both release the GIL.

Nothing outside the buffers is ever read: `note` takes their sizes from Arrow, and `locate` checks against them.

This module loads numba.
"""

from typing import Any

import numpy as np
import pyarrow as pa
from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from lra_data.arrow_columns import sequence_names
from lra_data.kernel_cache import compiled

# The faults that `locate` reports for a row.
FINE, WRONG_NUMBER, WRONG_BOUNDS, WRONG_LABEL = range(4)

# Columns of a table: address of the labels, address of the row numbers, number of rows. Then for each sequence: address
# of its offsets (0 for rows of one length), address of its values, and number of values (per row if of one length).
_LABELS, _INDICES, ROWS, _FIRST = 0, 1, 2, 3
_OFFSETS, _VALUES, _COUNT, _EACH = 0, 1, 2, 3


def new_table(batches: int, schema: pa.Schema) -> NDArray[np.int64]:
    """A table for that many record batches: int64 (batches, columns), all 0. A line with 0 rows is not filled yet."""
    return np.zeros((batches, _FIRST + _EACH * len(sequence_names(schema))), dtype=np.int64)


def note(line: NDArray[np.int64], batch: pa.RecordBatch) -> None:
    """Fill in a table's line. The batch's buffers must outlive the table; Arrow has validated its sizes."""
    line[_LABELS] = _start(batch["label"], 8)
    line[_INDICES] = _start(batch["index"], 8)
    for place, name in enumerate(sequence_names(batch.schema)):
        column, entry = batch[name], line[_FIRST + _EACH * place :]
        if pa.types.is_fixed_size_list(column.type):
            entry[_OFFSETS], entry[_COUNT] = 0, column.type.list_size
            entry[_VALUES] = _start(column.values, 1) + column.offset * column.type.list_size
        else:
            entry[_OFFSETS] = column.buffers()[1].address + 4 * column.offset
            entry[_VALUES], entry[_COUNT] = _start(column.values, 1), len(column.values)
    line[ROWS] = len(batch)  # set last: another thread treats a line with rows as complete


def _start(column: pa.Array, width: int) -> int:
    """The address of the values of a column of numbers of `width` bytes."""
    buffer = column.buffers()[1]
    return 0 if buffer is None else int(buffer.address) + width * column.offset


@intrinsic
def _pointer(typing_context: Any, address: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), emit


@compiled(nogil=True, _nrt=True)  # numba cannot make an array from an address without its runtime
def locate(
    table: NDArray[np.int64],
    numbers: NDArray[np.int64],
    inside: NDArray[np.int64],
    due: NDArray[np.int64],
    num_classes: int,
    addresses: NDArray[np.int64],
    lengths: NDArray[np.int32],
    labels: NDArray[np.int64],
) -> tuple[int, int]:
    """Addresses int64 (n, S), lengths int32 (n, S) and labels int64 (n,) of rows inside[i] of record batch numbers[i].

    due: the expected row numbers. Returns a fault, or FINE, and the row with the fault.
    """
    for row in range(len(numbers)):
        line = table[numbers[row]]
        here = inside[row]
        if not 0 <= here < line[ROWS]:
            return WRONG_BOUNDS, row
        if carray(_pointer(line[_INDICES] + 8 * here), (1,), np.int64)[0] != due[row]:
            return WRONG_NUMBER, row
        label = carray(_pointer(line[_LABELS] + 8 * here), (1,), np.int64)[0]
        if not 0 <= label < num_classes:
            return WRONG_LABEL, row
        labels[row] = label
        for place in range(lengths.shape[1]):
            entry = _FIRST + _EACH * place
            count = line[entry + _COUNT]
            if line[entry + _OFFSETS] == 0:
                addresses[row, place] = line[entry + _VALUES] + here * count
                lengths[row, place] = count
            else:
                bounds = carray(_pointer(line[entry + _OFFSETS] + 4 * here), (2,), np.int32)
                start, stop = np.int64(bounds[0]), np.int64(bounds[1])
                if not 0 <= start <= stop <= count:
                    return WRONG_BOUNDS, row
                addresses[row, place] = line[entry + _VALUES] + start
                lengths[row, place] = stop - start
    return FINE, 0


@compiled(nogil=True, _nrt=True)
def fill(addresses: NDArray[np.int64], lengths: NDArray[np.int32], offset: int, out: NDArray[Any]) -> int:
    """Copy rows of uint8 into out (n, S, L), of int32 or uint8; add `offset` to each value, and pad with 0.

    lengths: number of elements to copy of each row, at most L. Returns the greatest value before adding the offset.
    """
    greatest = np.uint8(0)
    for row in range(out.shape[0]):
        for place in range(out.shape[1]):
            length = lengths[row, place]
            source = carray(_pointer(addresses[row, place]), (length,), np.uint8)
            target = out[row, place]
            most = np.uint8(0)
            for here in range(length):
                value = source[here]
                most = max(most, value)
                target[here] = value + offset
            for here in range(length, out.shape[2]):
                target[here] = 0
            greatest = max(greatest, most)
    return np.int64(greatest)
