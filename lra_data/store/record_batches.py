"""The record batches of one split of a built set, each opened when one of its rows is first needed.

Each shard of a mapped format (Arrow) is mapped into memory once; a batch is a view of the file. Other shards are
decoded, one batch at a time if the format allows (Parquet), otherwise one shard at a time (tar files). The last few
decoded pieces are kept.
"""

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lra_data.errors import SetError
from lra_data.store.formats.shard_format import get_format
from lra_data.store.location.set_folder import LocalFolder, SetFolder
from lra_data.store.manifest import MANIFEST
from lra_data.store.shard_entry import Shard
from lra_data.store.shard_reading import check_batch
from lra_data.store.shard_table import numbers_of
from lra_data.task import Task

# Number of decoded pieces that are kept: row groups of 1,024 rows or 1 MiB, shards of 32 MiB.
_KEPT_GROUPS = 64
_KEPT_SHARDS = 4


class OpenBatches:
    """The batches of one split; batch `number` holds rows starts[number] .. starts[number + 1] - 1.

    starts: first row of each batch, and the number of rows, int64.
    shard_starts: first row of each shard, and the number of rows, int64 (shards + 1,).
    mapped: whether batches are views of files that stay mapped, so that their memory outlives them.
    """

    def __init__(self, folder: SetFolder, shards: Sequence[Shard], task: Task) -> None:
        self._folder, self._shards, self._task = folder, shards, task
        self._format = get_format(shards[0].format)
        self.mapped = self._format.is_mapped
        begins, ends = numbers_of(shards, "start"), numbers_of(shards, "stop")
        batch_rows = numbers_of(shards, "batch_rows")
        counts = -(-(ends - begins) // batch_rows)
        self._first = np.concatenate([[0], np.cumsum(counts)])
        inside = np.arange(self._first[-1]) - np.repeat(self._first[:-1], counts)
        starts = np.repeat(begins, counts) + inside * np.repeat(batch_rows, counts)
        self.starts: NDArray[np.int64] = np.append(starts, ends[-1])
        self.shard_starts: NDArray[np.int64] = np.append(begins, ends[-1])
        self._files = dict[int, tuple[pa.Buffer, str]]()  # a mapping takes address space, but no memory
        self._process, self._lock = os.getpid(), Lock()
        self._groups = lru_cache(maxsize=_KEPT_GROUPS)(self._read_group)
        self._decoded = lru_cache(maxsize=_KEPT_SHARDS)(self._decode)

    @property
    def at_hand(self) -> bool:
        """Whether every batch is a view of a mapped file, without decoding."""
        return self.mapped and (isinstance(self._folder, LocalFolder) or len(self._files) == len(self._shards))

    def keep_shards(self, count: int) -> None:
        """Keep decoded pieces of that many shards, as an order needs at a time."""
        groups = int(np.diff(self._first).max()) * (count + 1)
        self._groups = lru_cache(maxsize=max(_KEPT_GROUPS, groups))(self._read_group)
        self._decoded = lru_cache(maxsize=max(_KEPT_SHARDS, count + 1))(self._decode)

    def batch(self, number: int) -> pa.RecordBatch:
        """A record batch with usable rows, not compared with its digest; raises SetError for an unusable batch."""
        place = int(np.searchsorted(self._first, number, side="right")) - 1
        shard, inside = self._shards[place], number - int(self._first[place])
        if not self.mapped and not self._format.reads_one_batch:
            return self._decoded(place)[inside]
        batch = self._read_mapped(place, inside) if self.mapped else self._groups(place, inside)
        expected = int(self.starts[number + 1] - self.starts[number])
        if len(batch) != expected:
            raise SetError(f"{shard.file}: expected {expected} rows in batch {inside}, got {len(batch)}: {_VERIFY}")
        return batch

    def _mapped(self, place: int) -> tuple[pa.Buffer, str]:
        """A shard's file. Rows are found by address in it, so all threads must share the same mapping."""
        if self._process != os.getpid():  # forked, perhaps while another thread held the lock
            self._process, self._lock = os.getpid(), Lock()
        with self._lock:
            if place not in self._files:
                path = self._folder.shard_path(self._shards[place])
                self._files[place] = self._map(path), str(path)
            return self._files[place]

    def _map(self, path: Path) -> pa.Buffer:
        try:
            with pa.memory_map(str(path)) as source:
                return source.read_buffer(source.size())
        except (pa.ArrowException, OSError) as error:
            raise SetError(f"{path}: expected an Arrow IPC stream, got: {str(error).splitlines()[0]}") from error

    def _read_mapped(self, place: int, inside: int) -> pa.RecordBatch:
        buffer, path = self._mapped(place)
        offsets = self._shards[place].batch_offsets
        if inside >= len(offsets):
            raise SetError(
                f"{path}: expected in {MANIFEST} an offset for batch {inside}, got {len(offsets)}: {_VERIFY}"
            )
        try:
            with pa.BufferReader(buffer) as source:
                source.seek(offsets[inside])
                batch = pa.ipc.read_record_batch(pa.ipc.read_message(source), self._task.schema)
            batch.validate()
        except (pa.ArrowException, OSError) as error:
            raise SetError(
                f"{path}: expected a record batch at byte {offsets[inside]}, got: {str(error).splitlines()[0]}"
            ) from error
        if any(column.null_count for column in batch.columns):
            raise SetError(f"{path}: expected sound rows, got nulls: {_VERIFY}")
        first, last = buffer.address, buffer.address + buffer.size
        pieces = [piece for column in batch.columns for piece in column.buffers() if piece is not None and piece.size]
        if any(piece.address < first or piece.address + piece.size > last for piece in pieces):
            # Addresses of a copy, as of a compressed batch, would outlive its memory.
            raise SetError(f"{path}: expected uncompressed record batches, got compressed ones: {_VERIFY}")
        return batch

    def _read_group(self, place: int, inside: int) -> pa.RecordBatch:
        path = self._folder.shard_path(self._shards[place])
        batch = self._format.read_batch(path, self._task.schema, inside)
        check_batch(path, batch, self._task)
        return batch

    def _decode(self, place: int) -> list[pa.RecordBatch]:
        shard = self._shards[place]
        path = self._folder.shard_path(shard)
        batches = list(self._format.read(path, self._task.schema))
        whole = pa.concat_batches(batches) if batches else pa.RecordBatch.from_pylist([], schema=self._task.schema)
        check_batch(path, whole, self._task)
        if len(whole) != shard.stop - shard.start:
            raise SetError(f"{path}: expected {shard.stop - shard.start} rows, got {len(whole)}: {_VERIFY}")
        return [whole.slice(start, shard.batch_rows) for start in range(0, len(whole), shard.batch_rows)]


_VERIFY = "run `lra-data verify`"
