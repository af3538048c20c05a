"""Rows of a set, whether it lies on disk or was never written: the same calls, the same answers.

Not here: shuffling, batches for models (`lra_data/loading`), checks (`lra_data/checking`).
"""

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from lra_data.catalogue import aliases, families, get_task, task_from_record, task_names
from lra_data.errors import SetError, UsageError
from lra_data.store.arrow_stream import read_batch
from lra_data.store.manifest import MANIFEST, Manifest, Shard, read_manifest
from lra_data.store.tally import check_batch, read_shard
from lra_data.task import Task

# Rows generated at a time when a whole split of a virtual set is read.
_ROWS_A_BATCH = 1024

# What random access keeps: record batches of Arrow shards, views of memory-mapped files; and whole shards of the other
# formats, decoded.
_OPEN_BATCHES = 64
_DECODED_SHARDS = 4


class Rows(ABC):
    """The rows of a set. task, seed and sizes (examples a split) say which."""

    task: Task
    seed: int
    sizes: dict[str, int]

    @abstractmethod
    def batches(self, split: str) -> Iterator[pa.RecordBatch]:
        """All rows of a split in order."""

    @abstractmethod
    def take(self, split: str, indices: Sequence[int]) -> pa.RecordBatch:
        """The rows of these indices, in this order; raises UsageError for one outside the split."""

    def _check_indices(self, split: str, indices: Sequence[int]) -> None:
        for index in indices:
            if not 0 <= index < self.sizes[split]:
                raise UsageError(f"expected an index from 0 to {self.sizes[split] - 1} in {split}, got {index}")


class VirtualRows(Rows):
    """Rows made when asked for."""

    def __init__(self, task: Task, seed: int) -> None:
        self.task, self.seed, self.sizes = task, seed, task.split_sizes(seed)

    def batches(self, split: str) -> Iterator[pa.RecordBatch]:
        """See Rows."""
        for start in range(0, self.sizes[split], _ROWS_A_BATCH):
            stop = min(start + _ROWS_A_BATCH, self.sizes[split])
            yield self.task.generate(split, start, stop, seed=self.seed)

    def take(self, split: str, indices: Sequence[int]) -> pa.RecordBatch:
        """See Rows."""
        self._check_indices(split, indices)
        return self.task.take(split, indices, seed=self.seed)


class BuiltRows(Rows):
    """Rows of a finished set, read from its first format."""

    def __init__(self, set_folder: Path) -> None:
        self.folder = set_folder
        self.manifest: Manifest = read_manifest(set_folder)
        description = self.manifest.description
        self.task = task_from_record(description.task, description.version, description.config)
        self.seed, self.sizes = description.seed, dict(description.sizes)
        self._arrow_batch = lru_cache(maxsize=_OPEN_BATCHES)(self._read_arrow_batch)
        self._decoded = lru_cache(maxsize=_DECODED_SHARDS)(self._decode)

    def batches(self, split: str) -> Iterator[pa.RecordBatch]:
        """See Rows."""
        for shard in self.manifest.shards_of(split):
            yield from read_shard(self.folder, shard, self.task)

    def take(self, split: str, indices: Sequence[int]) -> pa.RecordBatch:
        """See Rows. Arrow shards are read at the batch that holds the row, those of other formats are decoded whole."""
        self._check_indices(split, indices)
        shards = self.manifest.shards_of(split)
        starts = [shard.start for shard in shards]
        rows = []
        for index in indices:
            shard = shards[bisect_right(starts, index) - 1]
            if shard.batch_offsets:
                number, row = divmod(index - shard.start, shard.batch_rows)
                if number >= len(shard.batch_offsets):
                    raise SetError(f"{self.folder / MANIFEST}: expected an offset for row {index} of {split}, got none")
                rows.append(self._arrow_batch(shard, number).slice(row, 1))
            else:
                rows.append(self._decoded(shard).slice(index - shard.start, 1))
            if len(rows[-1]) != 1 or rows[-1]["index"][0].as_py() != index:
                raise SetError(f"{self.folder / shard.file}: expected row {index}, got another: run `lra-data verify`")
        return pa.concat_batches(rows) if rows else pa.RecordBatch.from_pylist([], schema=self.task.schema)

    def _read_arrow_batch(self, shard: Shard, number: int) -> pa.RecordBatch:
        path = self.folder / shard.file
        batch = read_batch(path, self.task.schema, shard.batch_offsets[number])
        check_batch(path, batch, self.task)
        return batch

    def _decode(self, shard: Shard) -> pa.RecordBatch:
        return pa.concat_batches(list(read_shard(self.folder, shard, self.task)))


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name too long for the file system, a loop of links
        return False


def open_rows(where: str | Path | Task | Any, *, seed: int = 0) -> Rows:
    """The rows of a set folder, or of a task by name or configuration, virtual and with `seed`.

    Raises UsageError if `where` is neither, SetError for a folder that holds no finished set.
    """
    if isinstance(where, str | Path):
        folder = Path(where)
        known = [*families(), *aliases(), *task_names()]
        if _is_folder(folder) and ((folder / MANIFEST).exists() or str(where) not in known):
            return BuiltRows(folder)
        if str(where).partition("/")[0] not in {*families(), *aliases()}:
            raise UsageError(
                f"expected the folder of a built set or a task name, got {str(where)!r}, which is neither; "
                f"tasks: {', '.join([*families(), *aliases()])}; `lra-data list` names their presets"
            )
    return VirtualRows(get_task(str(where) if isinstance(where, Path) else where), seed)
