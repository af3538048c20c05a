"""Rows of a set, on disk or virtual, through the same methods and with the same results.

Shuffling and batches for models are in `lra_data/loading`, checks in `lra_data/checking`.
"""

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from lra_data.catalogue import aliases, families, get_task, task_from_record, task_names
from lra_data.corpus import Corpus
from lra_data.errors import SetError, UsageError, did_you_mean
from lra_data.paths import is_address, local_path
from lra_data.store.location.set_folder import set_folder
from lra_data.store.manifest import MANIFEST, Manifest
from lra_data.store.record_batches import OpenBatches
from lra_data.store.shard_reading import check_batch, read_shard
from lra_data.task import Task, check_seed, check_whole

# Number of rows generated at a time when a whole split of a virtual set is read.
_ROWS_A_BATCH = 1024

# Number of record batches whose rows have been checked and are kept.
_OPEN_BATCHES = 64


class Rows(ABC):
    """The rows of a set, given by task, seed and sizes (number of examples by split)."""

    task: Task
    seed: int
    sizes: dict[str, int]
    # Hears how far each pass over a split is: (split, rows done, rows). It stays in this process.
    watch: Callable[[str, int, int], None] | None = None

    def batches(self, split: str) -> Iterator[pa.RecordBatch]:
        """All rows of a split in order."""
        watch, done = self.watch, 0
        if watch is not None:
            watch(split, done, self.sizes[split])
        for batch in self._read(split):
            yield batch
            done += len(batch)
            if watch is not None:
                watch(split, done, self.sizes[split])

    @abstractmethod
    def _read(self, split: str) -> Iterator[pa.RecordBatch]:
        """The batches of `batches`."""

    @abstractmethod
    def take(self, split: str, indices: Sequence[int]) -> pa.RecordBatch:
        """The rows with these indices, in this order; raises UsageError for an index outside the split."""

    def _checked(self, split: str, indices: Sequence[int]) -> Sequence[int]:
        """The indices as plain ints."""
        check_whole(indices)
        for index in indices:
            if not 0 <= index < self.sizes[split]:
                raise UsageError(f"expected an index from 0 to {self.sizes[split] - 1} in {split}, got {index}")
        return indices if isinstance(indices, range) else [int(index) for index in indices]


class VirtualRows(Rows):
    """Rows that are generated when they are read."""

    def __init__(self, task: Task, seed: int) -> None:
        self.task, self.sizes = task, task.split_sizes(seed)
        self.seed = check_seed(seed)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the task's record instead of the task, so that no whole corpus is sent to a worker process."""
        task = self.task
        return _virtual_rows, (task.family, task.version, task.record(), task.corpus, self.seed)

    def _read(self, split: str) -> Iterator[pa.RecordBatch]:
        for start in range(0, self.sizes[split], _ROWS_A_BATCH):
            stop = min(start + _ROWS_A_BATCH, self.sizes[split])
            yield self.task.generate(split, start, stop, seed=self.seed)

    def take(self, split: str, indices: Sequence[int]) -> pa.RecordBatch:
        """See Rows."""
        return self.task.take(split, self._checked(split, indices), seed=self.seed)


def _virtual_rows(
    family: str, version: int, record: Mapping[str, Any], corpus: Corpus | None, seed: int
) -> VirtualRows:
    return VirtualRows(task_from_record(family, version, record, corpus=corpus), seed)


class BuiltRows(Rows):
    """Rows of a finished set, in a folder or at an address that fsspec understands."""

    def __init__(
        self,
        where: Path | str,
        *,
        check_digests: bool = True,
        storage_options: Mapping[str, Any] | None = None,
        format_name: str | None = None,
    ) -> None:
        """See `set_folder.py` for the other arguments.

        check_digests: whether each shard is compared with its digest when its first row is read.
        format_name: the format to read, for a set in several formats; by default arrow, or else the first.
        """
        self.where = str(where)
        self._files = set_folder(where, check_digests=check_digests, storage_options=storage_options)
        self.manifest: Manifest = self._files.manifest()
        description = self.manifest.description
        if format_name is not None and format_name not in description.formats:
            raise UsageError(
                f"{where}: expected one of the set's formats, {', '.join(description.formats)}, got {format_name!r}"
            )
        # Rows of Arrow files need no decoding, so they come first.
        self.format = format_name or ("arrow" if "arrow" in description.formats else description.formats[0])
        self.task = task_from_record(description.task, description.version, description.config)
        self.seed, self.sizes = description.seed, dict(description.sizes)
        self._forget()

    def _forget(self) -> None:
        self._opened = lru_cache(maxsize=None)(self.open_batches)
        self._batch = lru_cache(maxsize=_OPEN_BATCHES)(self._checked_batch)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out open files: a worker process opens its own."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_opened", "_batch", "watch")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def shard_paths(self, split: str) -> list[Path]:
        """The shards of a split as local files, in row order."""
        return [self._files.shard_path(shard) for shard in self.manifest.shards_of(split, self.format)]

    def open_batches(self, split: str) -> OpenBatches:
        """The split's record batches; files are opened when they are needed."""
        return OpenBatches(self._files, self.manifest.shards_of(split, self.format), self.task)

    def _read(self, split: str) -> Iterator[pa.RecordBatch]:
        for shard in self.manifest.shards_of(split, self.format):
            yield from read_shard(self._files.shard_path(shard), shard, self.task)

    def take(self, split: str, indices: Sequence[int]) -> pa.RecordBatch:
        """See Rows."""
        indices = self._checked(split, indices)
        starts = self._opened(split).starts
        rows = []
        for index in indices:
            number = bisect_right(starts, index) - 1
            rows.append(self._batch(split, number).slice(index - int(starts[number]), 1))
            if rows[-1]["index"][0].as_py() != index:
                raise SetError(f"{self.where}: expected row {index} of {split}, got another: run `lra-data verify`")
        return pa.concat_batches(rows) if rows else pa.RecordBatch.from_pylist([], schema=self.task.schema)

    def _checked_batch(self, split: str, number: int) -> pa.RecordBatch:
        batch = self._opened(split).batch(number)
        check_batch(f"{self.where}: {split}", batch, self.task)
        return batch


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name too long for the file system, a loop of links
        return False


def open_rows(where: str | Path | Task | Any, *, seed: int = 0) -> Rows:
    """The rows of a set folder, or the virtual rows of a task, by name or configuration, with `seed`.

    where: also the address of a set, such as s3://bucket/data/listops/lra.

    Raises UsageError if `where` is neither, SetError for a folder or address without a finished set.
    """
    if isinstance(where, str) and is_address(where):
        return BuiltRows(where)
    if isinstance(where, str | Path):
        folder = local_path(where, "the folder of a built set or a task name")
        known = [*families(), *aliases(), *task_names()]
        if _is_folder(folder) and ((folder / MANIFEST).exists() or str(where) not in known):
            return BuiltRows(folder)
        if str(where).partition("/")[0] not in {*families(), *aliases()}:
            raise UsageError(
                f"expected the folder of a built set or a task name, got {str(where)!r}, which is neither."
                f"{did_you_mean(str(where), known)} Tasks: {', '.join([*families(), *aliases()])}; `lra-data list` "
                "names their presets"
            )
    return VirtualRows(get_task(str(where) if isinstance(where, Path) else where), seed)
