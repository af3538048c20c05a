"""Checks that a set agrees with its manifest, and that every label is right. The build does not use the label solvers.

Files are compared with their SHA-256. Then, unless the check is quick, each shard is decoded, its logical digest and
row numbers are compared, and the task's solver derives every label again.
"""

import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from lra_data.arrow_columns import numbers
from lra_data.catalogue import task_from_record
from lra_data.corpus import Corpus, as_corpus
from lra_data.errors import SetError, UsageError
from lra_data.paths import is_http
from lra_data.phases import Tell, of_rows
from lra_data.store.atomic_files import sha256_of
from lra_data.store.location.remote import RemoteFolder
from lra_data.store.outputs.choice import output_of_set
from lra_data.store.outputs.folder import FolderOutput
from lra_data.store.outputs.output import Output, Stored
from lra_data.store.row_access import BuiltRows, Rows, open_rows
from lra_data.store.shard_entry import Shard
from lra_data.store.shard_reading import Tally, check_batch_offsets, read_shard
from lra_data.task import Task


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault in a file of a set; `index` is the row's number in its split, if the fault is in one row."""

    file: str
    message: str
    index: int | None = None

    def __str__(self) -> str:
        row = "" if self.index is None else f" row {self.index}"
        return f"{self.file}{row}: {self.message}"


def verify(
    set_folder: Path | str,
    *,
    quick: bool = False,
    corpus: Corpus | Path | str | None = None,
    tell: Tell | None = None,
) -> list[Fault]:
    """All faults of a built set, in a folder or at an address; an empty list if it is sound. A task's name checks the
    virtual set.

    quick: compare only the digests of files; an object store is asked for its own checksums, where it has them.
    corpus: the corpus of a converted set; every row of the set is then also compared, byte for byte, with the row that
        the corpus gives now.
    tell: hears how many rows were checked.

    Raises SetError for a folder without a readable manifest.
    """
    rows = open_rows(set_folder)
    against = None
    if corpus is not None:
        if quick:
            raise UsageError("expected either a quick check or a corpus to compare with, got both: leave one out")
        if not isinstance(rows, BuiltRows):
            raise UsageError(f"expected the folder of a built set to compare with a corpus, got {set_folder}")
        description = rows.manifest.description
        against = task_from_record(description.task, description.version, description.config, corpus=as_corpus(corpus))
        against.check_corpus()
    if not isinstance(rows, BuiltRows):
        if quick:
            raise UsageError(f"expected the folder of a built set for a quick check, got {set_folder}: it has no files")
        if tell is not None:
            rows.watch = of_rows(tell, "solving")
        return _verify_virtual(rows)
    count = _Count(rows.manifest.shards, tell)
    if isinstance(set_folder, str) and is_http(set_folder):  # can neither list files nor tell their digests
        faults = []
        for shard in rows.manifest.shards:
            faults += _fetched_faults(rows, shard, against, count, quick=quick)
            count.finish(shard)
        return faults
    return _verify_built(rows, output_of_set(set_folder), count, quick=quick, against=against)


class _Count:
    """Counts the checked rows of shards. A shard with a fault may be left in the middle."""

    def __init__(self, shards: Sequence[Shard], tell: Tell | None) -> None:
        self._tell, self._total = tell, sum(shard.stop - shard.start for shard in shards)
        self._finished = 0
        self.add(0)

    def add(self, rows: int) -> None:
        """Show the finished shards, and `rows` rows of the current one."""
        if self._tell is not None:
            self._tell("verifying", self._finished + rows, self._total)

    def finish(self, shard: Shard) -> None:
        """The shard is done."""
        self._finished += shard.stop - shard.start
        self.add(0)


def _verify_built(rows: BuiltRows, output: Output, count: _Count, *, quick: bool, against: Task | None) -> list[Fault]:
    shards = rows.manifest.shards
    faults = []
    if isinstance(output, FolderOutput):
        for shard in shards:
            found = file_faults(output.folder, shard)
            faults += found
            if not found and not quick:
                faults += _content_faults(rows, output.folder / shard.file, shard, against, count)
            count.finish(shard)
    elif quick:
        with ThreadPoolExecutor(output.at_once) as pool:
            for shard, found in zip(shards, pool.map(partial(_stored_faults, output), shards), strict=True):
                faults += found
                count.finish(shard)
    else:
        for shard in shards:
            faults += _fetched_faults(rows, shard, against, count, quick=False)
            count.finish(shard)
    known = {shard.file for shard in shards}
    for name in output.shards():
        if name not in known:
            faults.append(Fault(file=name, message="expected only shards in the manifest, got another: remove it"))
    return faults


def _stored_faults(output: Output, shard: Shard) -> list[Fault]:
    """The fault of a file in an object store, as far as the store tells."""
    if output.holds(shard.file, Stored(bytes=shard.bytes, sha256=shard.sha256), thorough=True):
        return []
    message = f"expected {shard.bytes} bytes with sha256 {shard.sha256}, got other ones or none: run `lra-data repair`"
    return [Fault(file=shard.file, message=message)]


def _fetched_faults(rows: BuiltRows, shard: Shard, against: Task | None, count: _Count, *, quick: bool) -> list[Fault]:
    """The faults of a shard at an address. It is fetched again, even if it is cached, and not kept."""
    with tempfile.TemporaryDirectory(prefix="lra-data-verify-") as cache:
        try:
            path = RemoteFolder(rows.where, cache=Path(cache)).shard_path(shard)
        except SetError as error:
            return [Fault(file=shard.file, message=str(error))]
        return [] if quick else _content_faults(rows, path, shard, against, count)


def file_faults(set_folder: Path, shard: Shard) -> list[Fault]:
    """The faults of a shard file: it is missing, or its size or SHA-256 differs from the manifest."""
    path = set_folder / shard.file
    try:
        size = path.stat().st_size
        if size != shard.bytes:
            return [Fault(file=shard.file, message=f"expected {shard.bytes} bytes, got {size}: run `lra-data repair`")]
        digest = sha256_of(path)
    except OSError as error:
        reason = error.strerror or str(error)
        return [Fault(file=shard.file, message=f"expected a readable file, got: {reason}: run `lra-data repair`")]
    if digest != shard.sha256:
        return [Fault(file=shard.file, message=f"expected sha256 {shard.sha256}, got {digest}: run `lra-data repair`")]
    return []


def _content_faults(rows: BuiltRows, path: Path, shard: Shard, against: Task | None, count: _Count) -> list[Fault]:
    """The faults of a shard's rows: numbers, digests or counts that differ from the manifest, labels that the task's
    solver does not confirm, and differences from the corpus.
    """
    task = rows.task
    tally = Tally.start(task.schema, task.num_classes)
    faults = []
    expected = shard.start
    try:
        for batch in read_shard(path, shard, task):
            tally.add(batch)
            due = np.arange(expected, expected + len(batch))
            if not np.array_equal(numbers(batch["index"]), due):
                faults.append(Fault(file=shard.file, message=f"expected rows {due[0]} to {due[-1]}, got other rows"))
            if against is not None:
                faults += _differences(shard, batch, against, rows.seed)
            expected += len(batch)
            problems = (against or task).problems(batch, split=shard.split, seed=rows.seed)
            faults += [Fault(file=shard.file, index=index, message=text) for index, text in problems]
            count.add(expected - shard.start)
        check_batch_offsets(path, shard, task.schema)
    except SetError as error:
        return [Fault(file=shard.file, message=str(error))]
    for name, found in tally.figures().items():
        stored = getattr(shard, name)
        if found != stored:
            what = "logical digest" if name == "logical" else name
            faults.append(Fault(file=shard.file, message=f"expected {what} {stored}, got {found}: build the set again"))
    return faults


def _differences(shard: Shard, batch: pa.RecordBatch, task: Task, seed: int) -> list[Fault]:
    """Faults of the rows that differ from the corpus's rows with the same numbers."""
    indices = numbers(batch["index"]).tolist()
    made = task.take(shard.split, indices, seed=seed)
    if made.equals(batch):
        return []
    faults = []
    for row, index in enumerate(indices):
        names = [name for name in batch.schema.names if made[name][row] != batch[name][row]]
        if names:
            text = f"expected the corpus's row, got another value in {', '.join(names)}: build the set again"
            faults.append(Fault(file=shard.file, index=index, message=text))
    return faults


def _verify_virtual(rows: Rows) -> list[Fault]:
    return [
        Fault(file=f"{rows.task.name} {split}", index=index, message=text)
        for split in rows.sizes
        for batch in rows.batches(split)
        for index, text in rows.task.problems(batch, split=split, seed=rows.seed)
    ]
