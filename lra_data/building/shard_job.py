"""One job of a build: the shard files of one row range, as a pure function of the job.

The rows are generated once and written in every requested format. Each file is published whole, and then its marker.
The marker tells that the file is finished, and holds its digests and counts. A job checks the digests of files with
markers, and makes only the other files.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from msgspec import structs
from numpy.typing import NDArray

from lra_data.building.plan import RowRange
from lra_data.catalogue import task_from_record
from lra_data.corpus import Corpus
from lra_data.errors import SetError
from lra_data.store.atomic_files import publish, publish_text, sha256_of
from lra_data.store.formats.shard_format import get_format
from lra_data.store.manifest import BUILD_FOLDER, Description, Shard
from lra_data.store.shard_reading import Tally, check_batch_offsets, read_shard
from lra_data.store.strict_json import read_record
from lra_data.task import Task

# Rows per record batch. Wide rows get smaller batches, so that a batch stays a few MiB.
BATCH_ROWS = 1024
BATCH_BYTES = 2**24


@dataclass(frozen=True, kw_only=True)
class ShardJob:
    """Everything that a worker needs, on any machine with the folder. corpus: the source of converted rows."""

    set_folder: Path
    description: Description
    rows: RowRange
    corpus: Corpus | None = None


@dataclass(frozen=True, kw_only=True)
class ShardResult:
    """The files of a range, their row digests (uint8, shape (rows, 16)), and the number of files made by this job."""

    shards: tuple[Shard, ...]
    row_digests: NDArray[np.uint8]
    num_made: int


def make_shards(job: ShardJob) -> ShardResult:
    """Make the missing or damaged files of one row range."""
    description = job.description
    task = task_from_record(description.task, description.version, description.config, corpus=job.corpus)
    kept = {}
    digests = None
    for name in job.description.formats:
        found = _finished(job, name, task)
        if found is not None:
            kept[name], digests = found
    missing = [name for name in job.description.formats if name not in kept]
    if missing:
        made, digests = write_shards(job, task, missing)
        kept |= made
    if digests is None:
        raise AssertionError("a range has at least one format")
    return ShardResult(
        shards=tuple(kept[name] for name in job.description.formats), row_digests=digests, num_made=len(missing)
    )


def write_shards(job: ShardJob, task: Task, formats: list[str]) -> tuple[dict[str, Shard], NDArray[np.uint8]]:
    """Generate the range once and publish it, with markers, in each of `formats`."""
    build_folder = job.set_folder / BUILD_FOLDER
    tally = Tally.start(task.schema, task.num_classes)
    files = {}
    with ExitStack() as stack:
        # Each publish() renames its file when the stack unwinds without an error.
        writers = {}
        for name in formats:
            files[name] = stack.enter_context(publish(job.set_folder / job.rows.file_name(name), build_folder))
            prefix = f"{task.family}-{task.variant}-{job.rows.split}"
            writers[name] = get_format(name).open_writer(files[name], task.schema, prefix)
        for batch in _batches(task, job.rows, job.description.seed):
            tally.add(batch)
            for writer in writers.values():
                writer.write(batch)
        for writer in writers.values():
            writer.close()
    shards = {}
    for name in formats:
        shards[name] = Shard(
            file=job.rows.file_name(name),
            format=name,
            split=job.rows.split,
            start=job.rows.start,
            stop=job.rows.stop,
            bytes=files[name].tell(),
            sha256=files[name].sha256,
            batch_rows=batch_rows(task),
            batch_offsets=tuple(writers[name].batch_offsets),
            **tally.figures(),
        )
        publish_text(_marker(job, name), json.dumps(structs.asdict(shards[name])) + "\n", build_folder)
    return shards, tally.row_digests()


def batch_rows(task: Task) -> int:
    """Number of rows per record batch: BATCH_ROWS, or fewer for wide rows."""
    return max(1, min(BATCH_ROWS, BATCH_BYTES // task.row_bytes))


def _batches(task: Task, rows: RowRange, seed: int) -> Iterator[pa.RecordBatch]:
    step = batch_rows(task)
    for start in range(rows.start, rows.stop, step):
        yield task.generate(rows.split, start, min(start + step, rows.stop), seed=seed)


def _marker(job: ShardJob, format_name: str) -> Path:
    return job.set_folder / BUILD_FOLDER / f"{job.rows.file_name(format_name)}.json"


def _finished(job: ShardJob, format_name: str, task: Task) -> tuple[Shard, NDArray[np.uint8]] | None:
    """The shard and its row digests if a marker exists and the file agrees with it; None if it must be made."""
    path = job.set_folder / job.rows.file_name(format_name)
    try:
        shard = read_record(_marker(job, format_name), Shard, what="a marker", advice="remove it")
        found = (shard.file, shard.format, shard.split, shard.start, shard.stop)
        if found != (path.name, format_name, job.rows.split, job.rows.start, job.rows.stop):
            return None
        if path.stat().st_size != shard.bytes or sha256_of(path) != shard.sha256:
            return None
        tally = Tally.start(task.schema, task.num_classes)
        for batch in read_shard(path, shard, task):
            tally.add(batch)
        # All figures go into the manifest, so all are computed again and compared with the marker.
        if structs.replace(shard, batch_rows=batch_rows(task), **tally.figures()) != shard:
            return None
        check_batch_offsets(job.set_folder, shard, task.schema)
        return shard, tally.row_digests()
    except (OSError, SetError, KeyError, TypeError, ValueError, pa.ArrowException):
        return None
