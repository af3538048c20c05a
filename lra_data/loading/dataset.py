"""One split of a set as a sequence of examples, on disk or virtual."""

import hashlib
import json
import operator
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import pyarrow as pa
from numpy.typing import NDArray

from lra_data.arrow_columns import numbers
from lra_data.checks import plain_int
from lra_data.errors import UsageError, brief
from lra_data.loading.batch_making.batch_sources import BuiltSource, MadeSource, Source
from lra_data.loading.batch_making.collate import BatchShape
from lra_data.loading.batches import Batches
from lra_data.loading.epoch.epoch_order import EpochOrder
from lra_data.loading.epoch.rank_shares import RankShares
from lra_data.store.digests import LogicalDigest, row_digests
from lra_data.store.row_access import BuiltRows, Rows
from lra_data.task import Task, check_seed, check_whole

# Rows held in memory at a time while they are digested.
_ROWS_A_DIGEST = 1000


class Dataset:
    """Examples of one split. `[i]` is a dict of NumPy arrays and numbers; `[i:j]` and a list or an array of places are
    a pyarrow.RecordBatch, in the order that was asked for.
    """

    def __init__(self, rows: Rows, split: str, selected: range) -> None:
        self._rows = rows
        self.split = split
        self._selected = selected

    @property
    def task(self) -> Task:
        """The task, with schema, vocabulary, number of classes and greatest length."""
        return self._rows.task

    @property
    def rows(self) -> Rows:
        """The rows of the whole set."""
        return self._rows

    @property
    def selected(self) -> range:
        """The rows of the split that this dataset is."""
        return self._selected

    def files(self) -> list[Path]:
        """The split's shards as files of this machine, in row order, for any library that reads them.

        Raises UsageError for a virtual set. They hold the whole split, whatever slice of it this is.
        """
        if not isinstance(self._rows, BuiltRows):
            raise UsageError(f"expected a built set, {self.task.name} is virtual and has no files")
        return self._rows.shard_paths(self.split)

    @property
    def identity(self) -> str:
        """A digest of which rows these are, the same for a built set and the virtual one: 32 hex digits."""
        what = {
            "task": self.task.family,
            "version": self.task.version,
            "config": self.task.identity(),
            "seed": self._rows.seed,
            "split": self.split,
            "rows": [self._selected.start, self._selected.stop, self._selected.step],
        }
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]

    def digest(self, start: int = 0, stop: int | None = None) -> str:
        """The logical digest of what rows start .. stop - 1 hold, in all columns: 64 hex digits.

        It is the same for a built set of any format and the virtual one, and changes with any value of any row;
        `identity` only says which rows are meant.
        """
        rows = self._selected[start:stop]
        total = LogicalDigest(self.task.schema)
        for first in range(0, len(rows), _ROWS_A_DIGEST):
            batch = self._rows.take(self.split, rows[first : first + _ROWS_A_DIGEST])
            total.update(batch, row_digests(batch))
        return total.hexdigest()

    def source(self) -> Source:
        """The split's rows for `batch_sources.py`."""
        if isinstance(self._rows, BuiltRows):
            return BuiltSource(self._rows, self.split, self._selected)
        return MadeSource(self._rows, self.split, self._selected)

    def batches(
        self,
        batch_size: int,
        *,
        shuffle: bool = False,
        window: int | None = None,
        shards_at_once: int = 1,
        bucket_window: int | None = None,
        seed: int = 0,
        epoch: int = 0,
        epochs: int | None = 1,
        fresh: bool = False,
        rank: int | None = None,
        world_size: int | None = None,
        remainder: str = "keep",
        shape: BatchShape | None = None,
        max_length: int | None = None,
        pad_to: int | None = None,
        pad_to_multiple_of: int = 1,
        offset: int | None = None,
        dtype: str = "int32",
        prefetch: int = 0,
        threads: int = 1,
    ) -> Batches:
        """Batches of an epoch, each example in exactly one of them over all ranks; each `iter` is the next epoch.

        batch_size: examples a batch of this rank.
        shuffle: permute the examples by (seed, epoch). This seed is independent of the set's own.
        window: shuffle so that files are read one after another, `shards_at_once` of them at a time, and rows within
            windows of this many. Needed for Parquet and WebDataset, whose shards are decoded whole, and useful for sets
            that are far away (docs/loading.md says what it costs).
        bucket_window: sort by length within windows of this many positions.
        epoch: the first epoch.
        epochs: how many epochs a pass has; None for no end.
        fresh: draw new examples in every epoch, for generated tasks that are virtual.
        rank, world_size: by default looked up when a pass begins, in the process that iterates (`ranks.find_ranks`).
        remainder: what becomes of the last, smaller step: "keep", "drop" or "pad" (`rank_shares.py`).
        shape: how long sequences are and what is added to values, as one value.
        max_length, pad_to, pad_to_multiple_of, offset, dtype: the same one by one; see `BatchShape`.
        prefetch: batches prepared ahead.
        threads: threads that prepare them.
        """
        plain = BatchShape(
            max_length=max_length, pad_to=pad_to, pad_to_multiple_of=pad_to_multiple_of, offset=offset, dtype=dtype
        )
        if shape is not None and plain != BatchShape():
            raise UsageError(f"expected either a shape or its parts, got {shape} and {plain}: leave one out")
        source = self.source()
        if isinstance(source, BuiltSource):
            if fresh:
                raise UsageError("expected a virtual set for fresh examples, got a built one: leave out root")
            if shuffle and window is None and not source.opened.mapped:
                raise UsageError(
                    "expected window=… to shuffle a set of this format, whose shards are decoded whole, got none"
                )
        elif fresh and self.task.converted:
            raise UsageError(f"expected a generated task for fresh examples, got {self.task.name}")
        if window is not None and not isinstance(source, BuiltSource):
            raise UsageError(f"expected a built set for window={window}, a virtual one has no shards")
        epoch_order = EpochOrder(
            shuffle=shuffle,
            window=window,
            at_once=shards_at_once,
            bucket_window=bucket_window,
            fresh=fresh,
            beyond=self._rows.sizes[self.split] - self._selected.start,
        )
        if window is not None and isinstance(source, BuiltSource):
            epoch_order = replace(epoch_order, starts=source.shards())
            source.opened.keep_shards(epoch_order.at_once)
        return Batches(
            source,
            self.task,
            self.identity,
            RankShares(n=len(self), batch_size=batch_size, remainder=remainder),
            shape or plain,
            epoch_order,
            rank=as_int(rank),
            world_size=as_int(world_size),
            seed=check_seed(seed),
            epoch=epoch,
            epochs=epochs,
            prefetch=prefetch,
            threads=threads,
        )

    def __len__(self) -> int:
        return len(self._selected)

    @overload
    def __getitem__(self, place: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, place: slice | Sequence[int] | NDArray[Any]) -> pa.RecordBatch: ...
    def __getitem__(self, place: int | slice | Sequence[int] | NDArray[Any]) -> dict[str, Any] | pa.RecordBatch:
        chosen = chosen_rows(self._selected, place)
        if isinstance(chosen, int):
            return example(self._rows.take(self.split, [chosen]))
        return self._rows.take(self.split, chosen)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        position = 0
        for batch in self._rows.batches(self.split):
            for row in range(len(batch)):
                if position in self._selected:
                    yield example(batch.slice(row, 1))
                position += 1
            if self._selected and position > self._selected[-1]:
                return


def chosen_rows(selected: range, place: Any) -> int | Sequence[int]:
    """The row, or the rows, of `selected` that `dataset[place]` means: one place, a slice, or several places.

    Raises IndexError for a place outside, as sequences do, and UsageError for anything else.
    """
    if isinstance(place, slice):
        bounds = (place.start, place.stop, place.step)
        if place.step == 0 or any(bound is not None and plain_int(bound) is None for bound in bounds):
            raise UsageError(f"expected integers in a slice, and a step other than 0, got {place!r}")
        return selected[place]
    number = plain_int(place)
    if number is not None:
        return _row_at(selected, number)
    if isinstance(place, str | bytes | dict | bool) or getattr(getattr(place, "dtype", None), "kind", "") == "b":
        raise UsageError(f"expected a place, a slice or a list of places, got {brief(place)}")
    check_whole(place)
    return [_row_at(selected, operator.index(item)) for item in place]


def _row_at(selected: range, place: int) -> int:
    if not -len(selected) <= place < len(selected):
        raise IndexError(f"expected a place from {-len(selected)} to {len(selected) - 1}, got {place}")
    return selected[place]


def example(batch: pa.RecordBatch) -> dict[str, Any]:
    """The only row of a batch: list columns as NumPy arrays, the others as Python numbers."""
    return {
        name: numbers(column[0].values) if pa.types.is_nested(column.type) else column[0].as_py()
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    }


def as_int(given: int | None) -> int | None:
    """A integer as a plain int; what is none is left to whoever refuses it."""
    number = plain_int(given)
    return given if number is None else number
