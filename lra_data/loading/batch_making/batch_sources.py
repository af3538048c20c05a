"""The sources of batches: files, a generator, or another code base's reading. All have the same interface.

A source has places 0 .. n - 1, prepares many places in one call, and makes batches from the prepared places.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lra_data.arrow_columns import sequence_names
from lra_data.errors import SetError, UsageError
from lra_data.loading.batch_making.collate import Batch, BatchShape, Collator, Located, ProtocolBatch
from lra_data.loading.batch_making.protocol_rows import ProtocolView
from lra_data.loading.batch_making.row_addresses import (
    FINE,
    ROWS,
    WRONG_LABEL,
    WRONG_NUMBER,
    locate,
    new_table,
    note,
)
from lra_data.store.record_batches import OpenBatches
from lra_data.store.row_access import BuiltRows, Rows
from lra_data.task import Task


class Prepared(Protocol):
    """Places whose rows are prepared."""

    def batch(self, first: int, last: int) -> Batch | ProtocolBatch:
        """The batch of the prepared places first .. last - 1."""


class Source(Protocol):
    """The interface that `Batches` reads from, for one split."""

    split: str

    @property
    def eager(self) -> bool:
        """Whether to prepare only the places of the next batch."""

    def prepare(self, places: NDArray[np.int64], shape: BatchShape) -> Prepared:
        """Find the rows at these places: int64 (n,)."""

    def lengths(self, places: NDArray[np.int64]) -> NDArray[np.int32]:
        """The length of the longest sequence in the row at each of these places: int32 (n,)."""


class Rowwise:
    """Located rows, with the object that makes batches from them."""

    def __init__(self, located: Located, collator: Collator) -> None:
        located.lengths = collator.shortened(located.lengths)
        self._located, self._collator = located, collator

    def batch(self, first: int, last: int) -> Batch:
        """See Prepared."""
        return self._collator(self._located, first, last)


class BuiltSource:
    """Rows of a set's files, by their addresses in record batches."""

    def __init__(self, rows: BuiltRows, split: str, selected: range) -> None:
        self._rows, self.split, self._selected = rows, split, selected
        self._task = rows.task
        self._open()

    def _open(self) -> None:
        self._opened: OpenBatches = self._rows.open_batches(self.split)
        # Keep table lines for mapped batches; other lines would outlive the memory that they point to.
        self._table = new_table(len(self._opened.starts) - 1, self._task.schema)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out open files: another process opens them again."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_opened", "_table")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    @property
    def eager(self) -> bool:
        """See Source. Remote or compressed shards should not be fetched long before they are needed."""
        return not self._opened.at_hand

    @property
    def opened(self) -> OpenBatches:
        """The split's record batches."""
        return self._opened

    def shards(self) -> NDArray[np.int64]:
        """The first place of each shard that contains selected rows, and then the number of places."""
        inside = self._opened.shard_starts - self._selected.start
        inside = inside[(inside > 0) & (inside < len(self._selected))]
        return np.array([0, *inside, len(self._selected)], dtype=np.int64)

    def prepare(self, places: NDArray[np.int64], shape: BatchShape) -> Rowwise:
        """See Source."""
        return Rowwise(self._locate(places), Collator(self._task, shape))

    def lengths(self, places: NDArray[np.int64]) -> NDArray[np.int32]:
        """See Source."""
        return longest(self._locate(places).lengths)

    def _locate(self, places: NDArray[np.int64]) -> Located:
        due = places + self._selected.start
        starts = self._opened.starts
        wanted = np.searchsorted(starts, due, side="right") - 1
        alive: list[Any] = [self._opened]
        table = self._table
        if self._opened.mapped:
            for number in np.unique(wanted[table[wanted, ROWS] == 0]).tolist():
                note(table[number], self._opened.batch(number))
        else:
            table = np.zeros_like(table)
            for number in np.unique(wanted).tolist():
                alive.append(self._opened.batch(number))
                note(table[number], alive[-1])
        return _located(
            table, wanted, due - starts[wanted], due, self._task, f"{self._rows.where}: {self.split}", alive
        )


class MadeSource:
    """Rows that are generated when they are needed; rows beyond the split's end serve as fresh examples."""

    eager = True

    def __init__(self, rows: Rows, split: str, selected: range) -> None:
        self._rows, self.split, self._selected = rows, split, selected

    def prepare(self, places: NDArray[np.int64], shape: BatchShape) -> Rowwise:
        """See Source."""
        return Rowwise(self._locate(places), Collator(self._rows.task, shape))

    def lengths(self, places: NDArray[np.int64]) -> NDArray[np.int32]:
        """See Source. The rows are generated to measure their lengths."""
        return longest(self._locate(places).lengths)

    def _locate(self, places: NDArray[np.int64]) -> Located:
        due = places + self._selected.start
        task = self._rows.task
        rows = task.take(self.split, due.tolist(), seed=self._rows.seed)
        table = new_table(1, task.schema)
        note(table[0], rows)
        zeros = np.zeros(len(due), dtype=np.int64)
        return _located(table, zeros, np.arange(len(due)), due, task, f"{task.name}: {self.split}", rows)


class ProtocolSource:
    """A split as a protocol reads it."""

    eager = True

    def __init__(self, view: ProtocolView, split: str, selected: range) -> None:
        self._view, self.split, self._selected = view, split, selected

    def prepare(self, places: NDArray[np.int64], shape: BatchShape) -> "ReadRows":
        """See Source."""
        if shape != BatchShape():
            raise UsageError(f"expected no shape: the protocol {self._view.name} sets lengths and values")
        return ReadRows(self._view, self.split, places + self._selected.start)

    def lengths(self, places: NDArray[np.int64]) -> NDArray[np.int32]:
        """See Source."""
        read = self._view.take(self.split, (places + self._selected.start).tolist())
        return longest(read.lengths)


class ReadRows:
    """Places of a protocol's split."""

    def __init__(self, view: ProtocolView, split: str, indices: NDArray[np.int64]) -> None:
        self._view, self.split, self._indices = view, split, indices

    def batch(self, first: int, last: int) -> ProtocolBatch:
        """See Prepared."""
        indices = self._indices[first:last]
        read = self._view.take(self.split, indices.tolist())
        # Labels are a read-only view of the file.
        return ProtocolBatch(read.inputs, read.lengths, read.labels.copy(), indices, read.keep)


def longest(lengths: NDArray[np.int32]) -> NDArray[np.int32]:
    """The length of the longest sequence of each example: int32 (n, S) to int32 (n,)."""
    found: NDArray[np.int32] = lengths.max(axis=1)
    return found


def _located(
    table: NDArray[np.int64],
    numbers_: NDArray[np.int64],
    inside: NDArray[np.int64],
    due: NDArray[np.int64],
    task: Task,
    where: str,
    alive: Any,
) -> Located:
    sequences = len(sequence_names(task.schema))
    addresses = np.empty((len(due), sequences), dtype=np.int64)
    lengths = np.empty((len(due), sequences), dtype=np.int32)
    labels = np.empty(len(due), dtype=np.int64)
    fault, row = locate(table, numbers_, inside, due, task.num_classes, addresses, lengths, labels)
    if fault != FINE:
        what = {WRONG_NUMBER: "another row", WRONG_LABEL: "an unknown label"}.get(fault, "offsets outside the file")
        raise SetError(f"{where}: expected row {due[row]}, got {what}: run `lra-data verify`")
    return Located(addresses, lengths, labels, due, alive)
