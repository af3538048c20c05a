"""One split of a set as a sequence of examples, on disk or virtual."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import pyarrow as pa

from lra_data.catalogue import aliases, families, get_task, task_names
from lra_data.columns import numbers
from lra_data.errors import SetError, UsageError
from lra_data.loading.batches import Batches, from_environment
from lra_data.loading.collate import Form
from lra_data.loading.shares import Sharing
from lra_data.splits import parse_split
from lra_data.store.manifest import MANIFEST
from lra_data.store.rows import BuiltRows, Rows, VirtualRows, open_rows
from lra_data.task import Task


class Dataset:
    """Examples of one split. `[i]` is a dict of NumPy arrays and numbers, `[i:j]` a pyarrow.RecordBatch."""

    def __init__(self, rows: Rows, split: str, selected: range) -> None:
        self._rows = rows
        self.split = split
        self._selected = selected

    @property
    def task(self) -> Task:
        """The task, with schema, vocabulary, number of classes and greatest length."""
        return self._rows.task

    @property
    def identity(self) -> str:
        """A digest of which rows these are, the same for a built set and the virtual one: 32 hex digits."""
        record = self.task.record()
        corpus = {name: value for name, value in record.get("corpus", {}).items() if name != "source"}
        what = {
            "task": self.task.family,
            "version": self.task.version,
            "config": record | ({"corpus": corpus} if corpus else {}),
            "seed": self._rows.seed,
            "split": self.split,
            "rows": [self._selected.start, self._selected.stop, self._selected.step],
        }
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]

    def batches(
        self,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        epoch: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        remainder: str = "keep",
        max_length: int | None = None,
        pad_to: int | None = None,
        pad_to_multiple_of: int = 1,
        offset: int | None = None,
    ) -> Batches:
        """Batches of one epoch, each example in exactly one of them over all ranks.

        batch_size: of this rank. shuffle: in the order of (seed, epoch), which has nothing to do with the set's own
        seed. rank, world_size: by default from RANK and WORLD_SIZE, as torchrun sets them, else 0 and 1. remainder:
        what becomes of the last, smaller step: see `shares.py`. The others say how long sequences are: see
        `collate.Form`. The iterator has `len`, `state_dict` and `load_state_dict`.
        """
        own_rank, ranks = from_environment(rank, world_size)
        return Batches(
            self._at,
            self.task,
            self.identity,
            Sharing(n=len(self), batch_size=batch_size, world_size=ranks, remainder=remainder),
            own_rank,
            Form(max_length=max_length, pad_to=pad_to, pad_to_multiple_of=pad_to_multiple_of, offset=offset),
            shuffle=shuffle,
            seed=seed,
            epoch=epoch,
        )

    def _at(self, places: Sequence[int]) -> pa.RecordBatch:
        return self._rows.take(self.split, [self._selected[place] for place in places])

    def __len__(self) -> int:
        return len(self._selected)

    @overload
    def __getitem__(self, place: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, place: slice) -> pa.RecordBatch: ...
    def __getitem__(self, place: int | slice) -> dict[str, Any] | pa.RecordBatch:
        if isinstance(place, slice):
            return self._rows.take(self.split, self._selected[place])
        return example(self._rows.take(self.split, [self._selected[place]]))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        position = 0
        for batch in self._rows.batches(self.split):
            for row in range(len(batch)):
                if position in self._selected:
                    yield example(batch.slice(row, 1))
                position += 1
            if self._selected and position > self._selected[-1]:
                return


def example(batch: pa.RecordBatch) -> dict[str, Any]:
    """The only row of a batch: list columns as NumPy arrays, the others as Python numbers."""
    return {
        name: numbers(column[0].values) if pa.types.is_nested(column.type) else column[0].as_py()
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    }


def load(task: Any, *, split: str, root: Path | str | None = None, seed: int = 0) -> Dataset:
    """Open one split of a task's set; `split` may be a slice such as "train[:10%]".

    task: a name, a task, a configuration, or the folder of a built set, for which root and seed are left out. root: the
    folder under which `lra-data build --out ROOT` wrote the set; without it the set is virtual and its rows are made
    when asked for. Raises SetError if ROOT holds no such set, UsageError if its seed is another.
    """
    rows: Rows
    # A name stands for the virtual set, whatever lies in the current folder.
    is_folder = isinstance(task, Path) or (
        isinstance(task, str) and task not in {*families(), *aliases(), *task_names()}
    )
    if root is None and is_folder:
        rows = BuiltRows(task) if isinstance(task, Path) else open_rows(task, seed=seed)
        if seed not in (0, rows.seed):
            raise UsageError(f"expected no seed beside a set's folder, {task} holds seed {rows.seed}, got {seed}")
        name, selected = parse_split(split, rows.sizes)
        return Dataset(rows, name, selected)
    chosen = get_task(task)
    if root is None:
        rows = VirtualRows(chosen, seed)
    else:
        folder = Path(root) / chosen.family / chosen.variant
        part = folder.with_name(f"{folder.name}-partial")
        if not (folder / MANIFEST).exists() and (part / MANIFEST).exists():
            raise SetError(
                f"{folder}: expected a built set, found one of a partial corpus beside it: load {str(part)!r}"
            )
        rows = BuiltRows(folder)
        if chosen.raw is not None:
            rows.task.reopened(chosen.raw.corpus, chosen.raw.pairs)  # the same corpus, or an error
        if rows.seed != seed:
            raise UsageError(
                f"expected a set of seed {seed}, {rows.folder} holds seed {rows.seed}: pass seed={rows.seed}"
            )
    name, selected = parse_split(split, rows.sizes)
    return Dataset(rows, name, selected)
