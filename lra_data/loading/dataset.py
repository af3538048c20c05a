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
from lra_data.paths import shown_address
from lra_data.shown import Shown
from lra_data.store.digests import LogicalDigest, row_digests
from lra_data.store.row_access import BuiltRows, Rows
from lra_data.task import Task, check_seed, check_whole

# Number of rows in memory at a time while they are digested.
_ROWS_A_DIGEST = 1000


class Dataset(Shown):
    """Examples of one split. `[i]` gives a dict of NumPy arrays and numbers; `[i:j]`, and a list or an array of places,
    give a pyarrow.RecordBatch in the requested order.
    """

    def __init__(self, rows: Rows, split: str, selected: range) -> None:
        self._rows = rows
        self.split = split
        self._selected = selected

    def shown_facts(self) -> dict[str, Any]:
        """See Shown."""
        return {
            "task": self.task.name,
            "split": self.split,
            "rows": shown_rows(self._selected, self._rows.sizes[self.split]),
            "seed": str(self._rows.seed),
            "from": shown_address(self._rows.where) if isinstance(self._rows, BuiltRows) else "rows made when read",
        }

    @property
    def task(self) -> Task:
        """The task, with schema, vocabulary, number of classes and maximum length."""
        return self._rows.task

    @property
    def rows(self) -> Rows:
        """The rows of the whole set."""
        return self._rows

    @property
    def selected(self) -> range:
        """The rows of the split that are in this dataset."""
        return self._selected

    def files(self) -> list[Path]:
        """The split's shards as local files, in row order, for any library that reads them.

        The files hold the whole split, even if this dataset is a slice. Raises UsageError for a virtual set.
        """
        if not isinstance(self._rows, BuiltRows):
            raise UsageError(f"expected a built set, got {self.task.name}, which is virtual and has no files")
        return self._rows.shard_paths(self.split)

    @property
    def identity(self) -> str:
        """A digest that identifies the rows, the same for a built set and the virtual set: 32 hex digits."""
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
        """The logical digest of all columns of rows start .. stop - 1: 64 hex digits.

        It is the same for a built set of any format and the virtual set. It changes with any value of any row, while
        `identity` only identifies the rows.
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
        streams: int | None = None,
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
        """Batches of an epoch, each example in exactly one batch over all ranks; each `iter` is the next epoch.

        batch_size: examples per batch of this rank.
        shuffle: permute the examples by (seed, epoch). This seed is independent of the set's own.
        window: number of rows in a shuffle window. With it, files are read one after another, `shards_at_once` at a
            time. Required for Parquet and WebDataset, whose shards are decoded whole, and useful for remote sets
            (docs/loading.md has the cost).
        shards_at_once: number of shards that are mixed; only with `window`.
        streams: number of streams of which ranks take whole ones, for many ranks that read a remote set; only with
            `window` (`epoch/streams.py`).
        bucket_window: number of positions within which examples are sorted by length.
        epoch: the first epoch.
        epochs: number of epochs per pass; None for no end.
        fresh: draw new examples in every epoch; only for generated, virtual tasks.
        rank, world_size: by default looked up when a pass begins, in the process that iterates (`ranks.find_ranks`).
        remainder: treatment of the last, smaller step: "keep", "drop" or "pad" (`rank_shares.py`).
        shape: sequence length, padding, offset and dtype of the batches, as one value.
        max_length, pad_to, pad_to_multiple_of, offset, dtype: the parts of `shape`; see `BatchShape`.
        prefetch: number of batches prepared ahead.
        threads: number of threads that prepare batches.
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
                    "expected window=… to shuffle a set of this format, whose shards are decoded whole, got no window"
                )
        elif fresh and self.task.converted:
            raise UsageError(f"expected a generated task for fresh examples, got {self.task.name}")
        if window is not None and not isinstance(source, BuiltSource):
            raise UsageError(f"expected a built set for window={window}, got a virtual one, which has no shards")
        epoch_order = EpochOrder(
            shuffle=shuffle,
            window=window,
            at_once=shards_at_once,
            streams=streams,
            bucket_window=bucket_window,
            fresh=fresh,
            beyond=self._rows.sizes[self.split] - self._selected.start,
        )
        if window is not None and isinstance(source, BuiltSource):
            epoch_order = replace(epoch_order, starts=source.shards())
            if epoch_order.streams is not None and epoch_order.streams > len(self):
                raise UsageError(f"expected at most {len(self)} streams, one an example, got {epoch_order.streams}")
            source.opened.keep_shards(epoch_order.at_once * (epoch_order.streams or 1))
        return Batches(
            source,
            self.task,
            self.identity,
            RankShares(n=len(self), batch_size=batch_size, remainder=remainder, streams=epoch_order.streams),
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


def shown_rows(selected: range, size: int) -> str:
    """The number of rows; of a slice, also where it begins and ends."""
    if selected == range(size):
        return f"{size:,}"
    return f"{len(selected):,} of {size:,}, [{selected.start}:{selected.stop}]"


def chosen_rows(selected: range, place: Any) -> int | Sequence[int]:
    """The row or rows of `selected` for `dataset[place]`: one place, a slice, or several places.

    Raises IndexError for a place out of range, as sequences do, and UsageError for other invalid values.
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
    """An integer as a plain int; any other value is returned unchanged, for the caller to reject."""
    number = plain_int(given)
    return given if number is None else number
