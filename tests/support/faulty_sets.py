"""Sets of ListOps with one thing wrong, built by the package's own code, so that files, digests and manifest agree.

A fault of the data is a function of a record batch that stands between the generator and whatever asks it for rows, in
this process. A fault of the reading stands behind the collator. Labels are computed anew by an evaluator of our own.

Not here: files that are damaged, which `lra-data verify` finds by their digests.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

import lra_data
from lra_data.listops.task import ListOps
from lra_data.loading.batch_making.collate import Batch, Collator
from lra_data.task import Task

# What makes rows, where, of which split, which, and with what seed, to other rows.
RowsFault = Callable[[Callable[..., pa.RecordBatch], Any, str, Sequence[int], int], pa.RecordBatch]
DataFault = Callable[[pa.RecordBatch], pa.RecordBatch]
ReadingFault = Callable[[Batch], Batch]

# The ids of the vocabulary, from 1 on: four operators, the bracket, the digits.
MIN, MAX, MEDIAN, SUM, CLOSE, ZERO = range(1, 7)


def value(ids: Sequence[int], *, exchanged: bool = False, rounded_up: bool = False, modulo_nine: bool = False) -> int:
    """The value of an expression. exchanged: with MIN for MAX and MAX for MIN. rounded_up: medians are. modulo_nine:
    sums are.
    """
    done: list[list[int]] = [[]]
    operators: list[int] = []
    for token in ids:
        if token < CLOSE:
            operators.append(token)
            done.append([])
        elif token == CLOSE:
            arguments = sorted(done.pop())
            operator = operators.pop()
            if exchanged and operator in (MIN, MAX):
                operator = MIN + MAX - operator
            if operator == MEDIAN:
                middle = arguments[(len(arguments) - 1) // 2] + arguments[len(arguments) // 2]
                result = (middle + rounded_up) // 2
            else:
                result = {MIN: arguments[0], MAX: arguments[-1], SUM: sum(arguments) % (10 - modulo_nine)}[operator]
            done[-1].append(result)
        else:
            done[-1].append(token - ZERO)
    return done[0][0]


def solved_anew(batch: pa.RecordBatch, **rules: bool) -> pa.RecordBatch:
    """Rows whose labels follow from their tokens by other rules, those of `value`."""
    return _replaced(batch, "label", [value(ids.as_py(), **rules) for ids in batch["inputs"]])


def shuffled(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Rows whose labels are those of other rows."""
    order = np.random.default_rng(len(batch)).permutation(len(batch))
    return _replaced(batch, "label", batch["label"].to_numpy()[order])


def permuted(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Rows whose ids stand for other tokens: each for the one seven places on."""
    ids = batch["inputs"]
    values = (ids.values.to_numpy() + 6) % 15 + 1
    return _replaced(batch, "inputs", pa.ListArray.from_arrays(ids.offsets, pa.array(values, ids.type.value_type)))


DATA_FAULTS: dict[str, DataFault] = {
    "labels shuffled": shuffled,
    "ids permuted": permuted,
    "MIN and MAX exchanged": partial(solved_anew, exchanged=True),
    "medians rounded up": partial(solved_anew, rounded_up=True),
}


def one_too_long(batch: Batch) -> Batch:
    """An element of padding is taken for one of the expression."""
    return batch._replace(lengths=np.minimum(batch.lengths + 1, np.int32(batch.inputs.shape[-1])))


def one_to_the_right(batch: Batch) -> Batch:
    """Padding stands in front, and the last token where no one looks."""
    return batch._replace(inputs=np.roll(batch.inputs, 1, axis=-1))


def labels_of_the_row_before(batch: Batch) -> Batch:
    """Labels and inputs are out of step."""
    return batch._replace(labels=np.roll(batch.labels, 1))


READING_FAULTS: dict[str, ReadingFault] = {
    "lengths one too great": one_too_long,
    "inputs shifted by one": one_to_the_right,
    "labels shifted by one": labels_of_the_row_before,
}


@contextmanager
def made_with(kind: type[Task], fault: RowsFault) -> Iterator[None]:
    """Within it, whatever a class of tasks makes has the fault."""
    take = kind.take

    def faulty(self: Any, split: str, indices: Sequence[int], *, seed: int = 0) -> pa.RecordBatch:
        return fault(take, self, split, indices, seed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "take", faulty)
        yield


def of_batches(fault: DataFault) -> RowsFault:
    """A fault that is a function of the sound rows."""

    def made(take: Callable[..., pa.RecordBatch], task: Any, split: str, indices: Sequence[int], seed: int) -> Any:
        return fault(take(task, split, indices, seed=seed))

    return made


def rows_with(fault: DataFault) -> AbstractContextManager[None]:
    """Within it, whatever ListOps generates has the fault."""
    return made_with(ListOps, of_batches(fault))


@contextmanager
def batches_with(fault: ReadingFault) -> Iterator[None]:
    """Within it, whatever is read has the fault, in worker processes too: they are forked."""
    collate = Collator.__call__

    def faulty(self: Collator, *where: Any) -> Batch:
        return fault(collate(self, *where))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Collator, "__call__", faulty)
        yield


def built(root: Path, fault: DataFault | None = None, **options: Any) -> Path:
    """The folder of a listops/mini set under `root`, built in this process."""
    if fault is None:
        lra_data.build("listops/mini", root, **options)
    else:
        with rows_with(fault):
            lra_data.build("listops/mini", root, **options)
    return root / "listops" / "mini"


def _replaced(batch: pa.RecordBatch, name: str, values: Sequence[int] | NDArray[Any] | pa.Array) -> pa.RecordBatch:
    place = batch.schema.get_field_index(name)
    column = values if isinstance(values, pa.Array) else pa.array(values, batch.schema.field(name).type)
    columns = [*batch.columns[:place], column, *batch.columns[place + 1 :]]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)
