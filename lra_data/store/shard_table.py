"""The shards of a large set: columns of an Arrow file next to manifest.json, mapped into memory instead of parsed.

`shards.arrow` has one row a shard, in the order of the manifest, with the entries of `Shard`; digests are 32 bytes. A
`Shard` is made when it is asked for, so opening 100,000 shards costs no more than comparing the file's digest.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lra_data.arrow_columns import numbers
from lra_data.errors import SetError
from lra_data.store.shard_entry import Shard

SHARD_TABLE = "shards.arrow"

_DIGESTS = ("sha256", "logical")

_SCHEMA = pa.schema(
    [
        ("file", pa.string()),
        ("format", pa.dictionary(pa.int8(), pa.string())),
        ("split", pa.dictionary(pa.int8(), pa.string())),
        ("start", pa.int64()),
        ("stop", pa.int64()),
        ("bytes", pa.int64()),
        ("sha256", pa.binary(32)),
        ("logical", pa.binary(32)),
        ("batch_rows", pa.int64()),
        ("batch_offsets", pa.list_(pa.int64())),
        ("label_counts", pa.list_(pa.int64())),
        ("shortest", pa.int64()),
        ("longest", pa.int64()),
        ("elements", pa.int64()),
    ]
)


class ShardTable(Sequence[Shard]):
    """Some of the shards of a table, which behave like a list of `Shard`.

    path: the table's file, if it is a local one; a pickle then holds the path and not the rows.
    rows: first row and number of rows; by default all.
    """

    def __init__(self, table: pa.Table, path: Path | None = None, rows: tuple[int, int] | None = None) -> None:
        self._table, self._path = table, path
        self._first, self._count = rows or (0, len(table))

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Shard: ...
    @overload
    def __getitem__(self, index: slice) -> list[Shard]: ...
    def __getitem__(self, index: int | slice) -> Shard | list[Shard]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return _shard(self._table.slice(self._first + index % len(self), 1).to_pylist()[0])

    def __iter__(self) -> Iterator[Shard]:
        for batch in self._table.slice(self._first, self._count).to_batches(max_chunksize=1024):
            yield from map(_shard, batch.to_pylist())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(Shard.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        rows = (self._first, self._count)
        if self._path is not None:
            return _reopened, (self._path, rows)
        return _unpickled, (table_bytes(self[:]),)

    def numbers(self, name: str) -> NDArray[np.int64]:
        """One entry of all shards, such as `start`: int64 (shards,)."""
        column = self._table[name].slice(self._first, self._count).combine_chunks()
        return numbers(column).astype(np.int64)

    def of(self, split: str, format_name: str) -> "ShardTable":
        """The shards of one split in one format."""
        chosen = self._is("split", split) & self._is("format", format_name)
        places = np.flatnonzero(chosen)
        if not len(places):
            return ShardTable(self._table, self._path, (0, 0))
        first, last = int(places[0]), int(places[-1])
        if last - first + 1 != len(places):
            raise SetError(
                f"{SHARD_TABLE}: expected the {format_name} shards of {split} next to each other, got others between"
            )
        return ShardTable(self._table, self._path, (first, len(places)))

    def _is(self, name: str, value: str) -> NDArray[np.bool_]:
        """For each row of the whole table, whether an entry has this value. Arrow's own comparison imports pandas."""
        column = self._table[name].combine_chunks()
        names = column.dictionary.to_pylist()
        code = names.index(value) if value in names else -1
        return np.asarray(numbers(column.indices) == code)


def numbers_of(shards: Sequence[Shard], name: str) -> NDArray[np.int64]:
    """One entry of some shards, such as `start`: int64 (shards,)."""
    if isinstance(shards, ShardTable):
        return shards.numbers(name)
    return np.array([getattr(shard, name) for shard in shards], dtype=np.int64)


def table_bytes(shards: Sequence[Shard]) -> bytes:
    """The bytes of `shards.arrow`, the same for equal shards."""
    columns: dict[str, list[Any]] = {name: [getattr(shard, name) for shard in shards] for name in _SCHEMA.names}
    for name in _DIGESTS:
        columns[name] = [bytes.fromhex(text) for text in columns[name]]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, _SCHEMA) as writer:
        writer.write_batch(pa.RecordBatch.from_pydict(columns, schema=_SCHEMA))
    return bytes(sink.getvalue())


def open_table(path: Path, sha256: str) -> ShardTable:
    """The table in a local file, mapped into memory; raises SetError if it is missing or has another digest."""
    try:
        with pa.memory_map(str(path)) as source:
            return _read(source.read_buffer(), sha256, str(path), path)
    except OSError as error:
        raise SetError(f"{path}: expected a readable file, got: {error.strerror or error}: {_ADVICE}") from error


def parse_table(data: bytes, sha256: str, where: str) -> ShardTable:
    """The table with these bytes; raises SetError, naming its origin `where`, if they have another digest."""
    return _read(pa.py_buffer(data), sha256, where, None)


_ADVICE = "copy the set again, or build it again with --overwrite"


def _read(buffer: pa.Buffer, sha256: str, where: str, path: Path | None) -> ShardTable:
    found = hashlib.sha256(buffer).hexdigest()
    if found != sha256:
        raise SetError(f"{where}: expected sha256 {sha256}, got {found}: {_ADVICE}")
    try:
        table = pa.ipc.open_file(buffer).read_all()
    except pa.ArrowException as error:
        raise SetError(f"{where}: expected an Arrow file, got: {str(error).splitlines()[0]}: {_ADVICE}") from error
    if table.schema != _SCHEMA:
        raise SetError(f"{where}: expected the columns {', '.join(_SCHEMA.names)}, got others: {_ADVICE}")
    return ShardTable(table, path)


def _shard(row: dict[str, Any]) -> Shard:
    for name in _DIGESTS:
        row[name] = row[name].hex()
    for name in ("batch_offsets", "label_counts"):
        row[name] = tuple(row[name])
    return Shard(**row)


def _reopened(path: Path, rows: tuple[int, int]) -> ShardTable:
    with pa.memory_map(str(path)) as source:
        return ShardTable(pa.ipc.open_file(source.read_buffer()).read_all(), path, rows)


def _unpickled(data: bytes) -> ShardTable:
    return parse_table(data, hashlib.sha256(data).hexdigest(), "a pickle")
