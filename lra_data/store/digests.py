"""Digests of rows, independent of the format and of batch boundaries.

`row_digests` identifies an example by its `inputs`. Equal examples have equal digests, which are used to find
duplicates. `LogicalDigest` identifies a sequence of rows with all columns. It is the same for all formats, also for
those whose bytes change with a library's version.
"""

import hashlib
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lra_data.arrow_columns import numbers

ROW_DIGEST_BYTES = 16


def row_digests(batch: pa.RecordBatch) -> NDArray[np.uint8]:
    """The first 16 bytes of SHA-256 over each row's `inputs` columns: uint8, shape (rows, 16)."""
    names = [name for name in batch.schema.names if name.startswith("inputs")]
    parts = [_row_buffers(batch[name]) for name in names]
    digests = bytearray()
    for row in zip(*parts, strict=True):
        digest = hashlib.sha256(row[0]) if len(row) == 1 else _joined(row)
        digests += digest.digest()[:ROW_DIGEST_BYTES]
    return np.frombuffer(bytes(digests), dtype=np.uint8).reshape(len(batch), ROW_DIGEST_BYTES)


class LogicalDigest:
    """Takes batches in row order; the digest depends only on the rows, not on where batches begin or end."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._columns = {name: hashlib.sha256() for name in schema.names}

    def update(self, batch: pa.RecordBatch, rows: NDArray[np.uint8]) -> None:
        """Add a batch; `rows` are its row digests, which represent the `inputs` columns."""
        first_inputs = next(name for name in self._schema.names if name.startswith("inputs"))
        for name, digest in self._columns.items():
            if name == first_inputs:
                digest.update(rows.tobytes())
            elif not name.startswith("inputs"):
                for data in _column_bytes(batch[name]):
                    digest.update(data)

    def hexdigest(self) -> str:
        """SHA-256 over the columns' names, types and digests."""
        total = hashlib.sha256()
        for field in self._schema:
            total.update(f"{field.name}:{field.type}:{self._columns[field.name].hexdigest()}\n".encode())
        return total.hexdigest()


def _joined(row: tuple[memoryview, ...]) -> Any:
    digest = hashlib.sha256()
    for part in row:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest


def _row_buffers(column: pa.Array) -> list[memoryview]:
    """The bytes of each row of a list column of uint8."""
    if pa.types.is_fixed_size_list(column.type):
        width = column.type.list_size
        offsets: NDArray[Any] = (np.arange(len(column) + 1) + column.offset) * width
    else:
        offsets = numbers(column.offsets)
    data = memoryview(numbers(column.values).data)
    return [data[start:stop] for start, stop in pairwise(offsets.tolist())]


def _column_bytes(column: pa.Array) -> list[bytes]:
    """A column as little-endian bytes: values; for lists and strings, the length comes first."""
    if pa.types.is_list(column.type):
        # Row by row, length first, so that the digest does not depend on where batches begin.
        return [part for row in column for part in (len(row.values).to_bytes(4, "little"), *_column_bytes(row.values))]
    if pa.types.is_fixed_size_list(column.type):
        return _column_bytes(column.flatten())
    if pa.types.is_string(column.type):
        words = [word.encode() for word in column.to_pylist()]
        return [part for word in words for part in (len(word).to_bytes(4, "little"), word)]
    values = numbers(column)
    return [values.astype(values.dtype.newbyteorder("<")).tobytes()]
