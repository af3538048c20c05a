"""Reads one shard: its batches, and counts of their content to compare with the manifest."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lra_data.arrow_columns import numbers
from lra_data.errors import SetError
from lra_data.store.digests import LogicalDigest, row_digests
from lra_data.store.formats.arrow_stream import read_batch_at
from lra_data.store.formats.shard_format import get_format
from lra_data.store.shard_entry import Shard
from lra_data.task import Task


@dataclass(kw_only=True)
class Tally:
    """Digests of a shard's rows, and the counts that the manifest holds for the shard."""

    num_classes: int
    logical: LogicalDigest
    rows: list[NDArray[np.uint8]]
    label_counts: NDArray[np.int64]
    lengths: list[NDArray[np.int64]]

    @classmethod
    def start(cls, schema: pa.Schema, num_classes: int) -> "Tally":
        """An empty tally."""
        return cls(
            num_classes=num_classes,
            logical=LogicalDigest(schema),
            rows=[],
            label_counts=np.zeros(num_classes, dtype=np.int64),
            lengths=[],
        )

    def add(self, batch: pa.RecordBatch) -> None:
        """Count a batch whose rows are sound (see `check_batch`)."""
        digests = row_digests(batch)
        self.logical.update(batch, digests)
        self.rows.append(digests)
        self.label_counts += np.bincount(numbers(batch["label"]), minlength=self.num_classes)
        self.lengths.append(_input_lengths(batch))

    def row_digests(self) -> NDArray[np.uint8]:
        """All row digests: uint8, shape (rows, 16)."""
        return np.concatenate(self.rows)

    def figures(self) -> dict[str, Any]:
        """The entries of `Shard` that describe content."""
        lengths = np.concatenate(self.lengths)
        return {
            "logical": self.logical.hexdigest(),
            "label_counts": tuple(self.label_counts.tolist()),
            "shortest": int(lengths.min()),
            "longest": int(lengths.max()),
            "elements": int(lengths.sum()),
        }


def read_shard(path: Path, shard: Shard, task: Task) -> Iterator[pa.RecordBatch]:
    """The batches of one shard; raises SetError for a damaged file, or, at its end, for a wrong number of rows."""
    num_rows = 0
    for batch in get_format(shard.format).read(path, task.schema):
        check_batch(path, batch, task)
        num_rows += len(batch)
        yield batch
    if num_rows != shard.stop - shard.start:
        raise SetError(f"{path}: expected {shard.stop - shard.start} rows, got {num_rows}: run `lra-data repair`")


def check_batch(path: Path | str, batch: pa.RecordBatch, task: Task) -> None:
    """Raise SetError for unusable rows: bad offsets, nulls, unknown labels or ids.

    `verify` checks whether usable rows are correct.
    """
    fault = ""
    try:
        batch.validate(full=True)
    except pa.ArrowException as error:
        fault = str(error).splitlines()[0]
    if not fault and any(column.null_count for column in batch.columns):
        fault = "nulls"
    if not fault and len(batch):
        labels = numbers(batch["label"])
        if not 0 <= labels.min() <= labels.max() < task.num_classes:
            fault = f"labels from {labels.min()} to {labels.max()}"
        for name in batch.schema.names:
            if name.startswith("inputs") and numbers(batch[name].values).max(initial=0) >= task.vocab_size:
                fault = f"{name} outside the vocabulary"
    if fault:
        raise SetError(f"{path}: expected sound rows, got {fault}: run `lra-data verify`")


def check_batch_offsets(path: Path, shard: Shard, schema: pa.Schema) -> None:
    """Raise SetError unless the batch at each offset begins with the expected row."""
    num_batches = -(-(shard.stop - shard.start) // shard.batch_rows)
    if get_format(shard.format).is_mapped and len(shard.batch_offsets) != num_batches:
        raise SetError(f"{shard.file}: expected an offset for every {shard.batch_rows} rows, got {shard.batch_offsets}")
    for number, offset in enumerate(shard.batch_offsets):
        first = shard.start + number * shard.batch_rows
        found = read_batch_at(path, schema, offset)["index"][0].as_py()
        if found != first:
            raise SetError(f"{shard.file}: expected row {first} at byte {offset}, got row {found}")


def _input_lengths(batch: pa.RecordBatch) -> NDArray[np.int64]:
    """Number of elements of all `inputs` columns, per row: int64, shape (rows,)."""
    lengths = np.zeros(len(batch), dtype=np.int64)
    for name in batch.schema.names:
        if name.startswith("inputs"):
            column = batch[name]
            fixed = pa.types.is_fixed_size_list(column.type)
            lengths += column.type.list_size if fixed else np.diff(numbers(column.offsets))
    return lengths
