"""One job of a build: the shard files of one row range, as a pure function of the job.

The rows are generated once and written in every requested format. Each file is published whole, then the sorted digests
of its rows, then its marker. The marker tells that the file is finished; it holds digests and counts. A job keeps files
whose marker and bytes agree, and makes only the others.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import msgspec
import pyarrow as pa
from msgspec import Struct, structs

from lra_data.building.duplicates import RowDigests
from lra_data.building.plan import PLAN_FILE, RowRange
from lra_data.catalogue import task_from_record
from lra_data.corpus import Corpus
from lra_data.errors import BuildError, SetError
from lra_data.notices import rows_made
from lra_data.store.formats.shard_format import get_format, library_versions
from lra_data.store.manifest import BUILD_FOLDER, MANIFEST, Description
from lra_data.store.outputs.output import FinishedMeanwhileError, Output, Stored, publish, publish_text
from lra_data.store.shard_entry import Shard
from lra_data.store.shard_reading import Tally
from lra_data.store.strict_json import parse_record
from lra_data.task import Task
from lra_data.version import VERSION

# Rows per record batch. Wide rows get smaller batches, so that a batch stays a few MiB.
BATCH_ROWS = 1024
BATCH_BYTES = 2**24


@dataclass(frozen=True, kw_only=True)
class ShardJob:
    """Everything that a worker needs, on any machine that reaches the output. It contains no credentials.

    plan: SHA-256 of the build's plan.json.
    corpus: the source of converted rows.
    package: the version of lra-data that made the job.
    """

    output: Output
    plan: str
    description: Description
    rows: RowRange
    corpus: Corpus | None = None
    package: str = VERSION


@dataclass(frozen=True, kw_only=True)
class ShardResult:
    """The files of a range, the file of its row digests, and the number of files made by this job."""

    shards: tuple[Shard, ...]
    digests: Stored
    num_made: int


class Marker(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The marker of a finished file.

    plan: SHA-256 of the plan.
    shard: the manifest's entry.
    seal: see `Stored`.
    rows: the file of the range's row digests.
    check: SHA-256 of the other entries.
    """

    plan: str
    shard: Shard
    seal: str
    rows: Stored
    check: str = ""

    def checked(self) -> "Marker":
        """The same marker with the right `check`."""
        text = marker_text(structs.replace(self, check=""))
        return structs.replace(self, check=hashlib.sha256(text.encode()).hexdigest())


def marker_text(marker: Marker) -> str:
    """The file's text."""
    return msgspec.json.encode(marker).decode() + "\n"


def make_shards(job: ShardJob) -> ShardResult:
    """Make the missing or damaged files of one row range.

    Raises FinishedMeanwhileError if another process has finished the set, BuildError if another plan is there.
    """
    _check_plan(job)
    markers = find_markers(job, thorough=True)
    missing = [name for name, marker in markers.items() if marker is None]
    if missing:
        task = task_from_record(
            job.description.task, job.description.version, job.description.config, corpus=job.corpus
        )
        _check_libraries(job, task)
        try:
            markers |= _make(job, task, missing)
        except BuildError as error:
            if is_finished(job.output):  # the folder of the build has been removed
                raise FinishedMeanwhileError from error
            raise
        if job.output.read(PLAN_FILE) is None and is_finished(job.output):
            # An object store has no folder that could be missing. Leave nothing there that belongs to no build.
            job.output.remove([digests_file(job.rows), *(marker_file(job.rows, name) for name in missing)])
            raise FinishedMeanwhileError
    return result_of(job, markers, num_made=len(missing))


def find_markers(job: ShardJob, *, thorough: bool) -> dict[str, Marker | None]:
    """The marker of each format; None if the file must be made. thorough: see `Output.holds`."""
    found = {name: _found(job, name, thorough=thorough) for name in job.description.formats}
    rows = next((marker.rows for marker in found.values() if marker is not None), None)
    if rows is None or job.output.holds(digests_file(job.rows), rows, thorough=True):
        return found
    return dict.fromkeys(found)


def result_of(job: ShardJob, markers: dict[str, Marker | None], *, num_made: int) -> ShardResult:
    """The result of a range whose files all have markers."""
    whole = [markers[name] for name in job.description.formats]
    made = [marker for marker in whole if marker is not None]
    if len(made) < len(whole):
        raise AssertionError("a file is missing")
    return ShardResult(shards=tuple(m.shard for m in made), digests=made[0].rows, num_made=num_made)


def digests_file(rows: RowRange) -> str:
    """The file with the sorted row digests of a range."""
    return f"{BUILD_FOLDER}/{rows.split}-{rows.number:05d}-of-{rows.count:05d}.rows"


def marker_file(rows: RowRange, format_name: str) -> str:
    """The marker of one file."""
    return f"{BUILD_FOLDER}/{rows.file_name(format_name)}.json"


def is_finished(output: Output) -> bool:
    """Whether the set is finished."""
    return output.read(MANIFEST) is not None


def write_shards(
    output: Output, task: Task, description: Description, rows: RowRange, formats: Sequence[str]
) -> tuple[dict[str, tuple[Shard, Stored]], Tally]:
    """Generate the range once and publish it in each of `formats`, without markers."""
    tally = Tally.start(task.schema, task.num_classes)
    stored: dict[str, Stored] = {}
    with ExitStack() as stack:
        # Each publish() ends when the stack unwinds without an error.
        writers = {}
        for name in formats:
            file = stack.enter_context(publish(output, rows.file_name(name), partial(stored.__setitem__, name)))
            prefix = f"{task.family}-{task.variant}-{rows.split}"
            writers[name] = get_format(name).open_writer(file, task.schema, prefix)
        for batch in _batches(task, rows, description.seed):
            tally.add(batch)
            for writer in writers.values():
                writer.write(batch)
            rows_made(len(batch))
        for writer in writers.values():
            writer.close()
    made = {}
    for name in formats:
        shard = Shard(
            file=rows.file_name(name),
            format=name,
            split=rows.split,
            start=rows.start,
            stop=rows.stop,
            bytes=stored[name].bytes,
            sha256=stored[name].sha256,
            batch_rows=batch_rows(task),
            batch_offsets=tuple(writers[name].batch_offsets),
            **tally.figures(),
        )
        made[name] = shard, stored[name]
    return made, tally


def batch_rows(task: Task) -> int:
    """Number of rows per record batch: BATCH_ROWS, or fewer for wide rows."""
    return max(1, min(BATCH_ROWS, BATCH_BYTES // task.row_bytes))


def _batches(task: Task, rows: RowRange, seed: int) -> Iterator[pa.RecordBatch]:
    step = batch_rows(task)
    for start in range(rows.start, rows.stop, step):
        yield task.generate(rows.split, start, min(start + step, rows.stop), seed=seed)


def _make(job: ShardJob, task: Task, formats: list[str]) -> dict[str, Marker]:
    """Write the files of some formats, their row digests and their markers."""
    made, tally = write_shards(job.output, task, job.description, job.rows, formats)
    digests: list[Stored] = []
    with publish(job.output, digests_file(job.rows), digests.append) as file:
        file.write(RowDigests.of(job.rows.split, job.rows.start, tally.row_digests()).to_bytes())
    markers = {}
    for name, (shard, stored) in made.items():
        markers[name] = Marker(plan=job.plan, shard=shard, seal=stored.seal, rows=digests[0]).checked()
        publish_text(job.output, marker_file(job.rows, name), marker_text(markers[name]))
    return markers


def _found(job: ShardJob, format_name: str, *, thorough: bool) -> Marker | None:
    """The marker of a file, if the marker is sound and belongs to this plan, and the file has the marker's bytes."""
    text = job.output.read(marker_file(job.rows, format_name))
    if text is None:
        return None
    try:
        marker = parse_record(text, Marker, "", what="a marker", advice="")
    except SetError:
        return None
    shard = marker.shard
    there = (marker.plan, shard.file, shard.format, shard.split, shard.start, shard.stop)
    asked = (job.plan, job.rows.file_name(format_name), format_name, job.rows.split, job.rows.start, job.rows.stop)
    if there != asked or marker.checked() != marker:
        return None
    stored = Stored(bytes=shard.bytes, sha256=shard.sha256, seal=marker.seal)
    return marker if job.output.holds(shard.file, stored, thorough=thorough) else None


def _check_plan(job: ShardJob) -> None:
    """A job may outlive its build: another run may have finished the set, or begun another one there."""
    there = job.output.read(PLAN_FILE)
    if there is not None and hashlib.sha256(there).hexdigest() == job.plan:
        return
    if there is None and is_finished(job.output):
        raise FinishedMeanwhileError
    raise BuildError(
        f"{job.output.where}: expected the build that this job belongs to, found "
        f"{'none' if there is None else 'another one'}: it was started again, or its folder is not shared with this "
        "machine: run the same command again"
    )


def _check_libraries(job: ShardJob, task: Task) -> None:
    """Another machine may have other versions than the one that planned the build, and write other bytes."""
    here = {"lra-data": VERSION, **library_versions(job.description.formats, task.schema)}
    for name, version in {"lra-data": job.package, **job.description.libraries}.items():
        if here[name] != version:
            raise BuildError(
                f"{job.rows.file_name(job.description.formats[0])}: expected {name} {version}, as planned, got "
                f"{here[name]} on this machine: install {name}=={version} there"
            )
