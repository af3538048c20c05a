"""A build in parts, by processes that share only the output: each part makes its row ranges, and one run finishes.

Parts need no lock and no order. They may run twice, at the same time, and with different numbers of parts. Finishing
reads the markers and the row digests of the parts, but no shard.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from lra_data.building.begin import begin, finished_set, or_finished
from lra_data.building.build_set import TellProgress, jobs_of, run_jobs
from lra_data.building.engines.engine import Engine
from lra_data.building.engines.local_processes import LocalProcesses
from lra_data.building.finish import finish
from lra_data.building.parts import Part, compact
from lra_data.building.plan import PLAN_FILE, Plan, SetOptions, make_plan, parse_plan
from lra_data.building.shard_job import ShardJob, ShardResult, find_markers, is_finished, marker_file, result_of
from lra_data.catalogue import get_task
from lra_data.errors import BuildError, SetError
from lra_data.store.manifest import BUILD_FOLDER, Manifest
from lra_data.store.outputs.choice import output_at, output_of_set, set_place
from lra_data.store.outputs.output import FinishedMeanwhileError, Output, manifest_of

# Remembers with how many parts the build began, for the list of parts to run again.
_PARTS_FILE = f"{BUILD_FOLDER}/parts"


@dataclass(frozen=True, kw_only=True)
class PartReport:
    """What one part did. ranges: row ranges of the part; made: those that it made; complete: the set is finished."""

    ranges: int
    made: int
    complete: bool


@dataclass(frozen=True, kw_only=True)
class BuildStatus:
    """The state of a build.

    complete: whether the set is finished.
    ranges: number of row ranges; missing: the numbers of those that are not finished.
    parts: number of parts that the build began with; None if it has no parts.
    """

    complete: bool
    ranges: int
    missing: tuple[int, ...]
    parts: int | None

    @property
    def missing_parts(self) -> str:
        """The parts to run again, such as `5,17,40-43`; empty if there are none."""
        return compact(number % self.parts for number in self.missing) if self.parts else ""


def build_part(
    task: Any,
    root: Path | str,
    part: Part,
    *,
    workers: int = 1,
    engine: Engine | None = None,
    progress: TellProgress | None = None,
    **options: Unpack[SetOptions],
) -> PartReport:
    """Make the row ranges of one part of a build; `finish_build` completes the set. See `build` for the arguments.

    Raises UsageError for an invalid request, SetError if the folder holds another set, BuildError if the build cannot
    continue.
    """
    chosen = get_task(task)
    plan = make_plan(chosen, **options)
    output = output_at(set_place(root, chosen))
    ranges = part.of(plan.ranges)
    complete = PartReport(ranges=len(ranges), made=0, complete=True)
    if finished_set(output, plan) is not None:
        return complete
    try:
        with output.run() as run:
            jobs = jobs_of(run, begin(run, plan, alone=False), chosen, plan, ranges)
            run.create(_PARTS_FILE, f"{part.count}\n".encode())
            results = run_jobs(engine or LocalProcesses(workers), jobs, progress)
    except (FinishedMeanwhileError, BuildError):
        if not is_finished(output):
            raise
    if is_finished(output):
        output.end_build()  # what this part wrote there after the end
        return complete
    return PartReport(ranges=len(ranges), made=sum(result.num_made > 0 for result in results), complete=False)


def finish_build(
    task: Any,
    root: Path | str,
    *,
    workers: int | None = None,
    engine: Engine | None = None,
    progress: TellProgress | None = None,
    **options: Unpack[SetOptions],
) -> Manifest:
    """Complete a set whose parts were made by `build_part`, with the same request.

    workers, engine: what makes missing row ranges; with neither, missing ranges are an error.

    In a folder, the sizes of finished shards are compared, and not their digests, which each part computed as it wrote.
    Raises the errors of `build`, and BuildError that names the missing parts.
    """
    chosen = get_task(task)
    plan = make_plan(chosen, **options)
    output = output_at(set_place(root, chosen))
    if (finished := finished_set(output, plan)) is not None:
        return finished
    if output.read(PLAN_FILE) is None:
        raise SetError(f"{output.where}: expected a build to finish, found none: build its parts first, with --part")

    def work() -> Manifest:
        with output.run() as run:
            jobs = jobs_of(run, begin(run, plan, alone=False), chosen, plan, plan.ranges)
            results = kept_results(jobs)
            missing = [number for number, result in enumerate(results) if result is None]
            if missing:
                if workers is None and engine is None:
                    raise BuildError(_missing_line(output, plan, missing))
                made = run_jobs(engine or LocalProcesses(workers or 1), [jobs[number] for number in missing], progress)
                for number, result in zip(missing, made, strict=True):
                    results[number] = result
            return finish(run, chosen, plan, [result for result in results if result is not None])

    with output.exclusive():
        return or_finished(output, plan, work)


def build_status(where: Path | str) -> BuildStatus:
    """The state of the set, or unfinished build, in a folder or at an address; raises SetError if there is neither."""
    output = output_of_set(where)
    if (manifest := manifest_of(output)) is not None:
        ranges = len(manifest.shards) // len(manifest.description.formats)
        return BuildStatus(complete=True, ranges=ranges, missing=(), parts=None)
    text = output.read(PLAN_FILE)
    if text is None:
        raise SetError(f"{output.where}: expected a set or an unfinished build, found neither: name ROOT/TASK/PRESET")
    plan = parse_plan(text, f"{output.where}/{PLAN_FILE}")
    there = output.build_files()
    missing = tuple(
        number
        for number, rows in enumerate(plan.ranges)
        if not all(
            marker_file(rows, name).removeprefix(f"{BUILD_FOLDER}/") in there for name in plan.description.formats
        )
    )
    return BuildStatus(complete=False, ranges=len(plan.ranges), missing=missing, parts=_num_parts(output))


def kept_results(jobs: Sequence[ShardJob]) -> list[ShardResult | None]:
    """The result of each job that needs no work; None for the others."""

    def kept(job: ShardJob) -> ShardResult | None:
        markers = find_markers(job, thorough=False)
        return None if None in markers.values() else result_of(job, markers, num_made=0)

    with ThreadPoolExecutor(jobs[0].output.at_once) as pool:
        found = list(pool.map(kept, jobs))
        # A network file system may show for a few seconds that a new file is not there, until the folder is listed.
        if None in found:
            jobs[0].output.build_files()
            found = [result if result is not None else kept(job) for result, job in zip(found, jobs, strict=True)]
    return found


def _missing_line(output: Output, plan: Plan, missing: Sequence[int]) -> str:
    verb = "is" if len(missing) == 1 else "are"
    counted = f"{output.where}: expected all {len(plan.ranges)} row ranges, {len(missing)} {verb} missing"
    parts = _num_parts(output)
    if parts is None:
        return f"{counted}: run the build without --finish, or add --workers to make them"
    again = compact(number % parts for number in missing)
    return (
        f"{counted}, of parts {again} of {parts}: run these parts again, such as with sbatch --array={again}, or add "
        "--workers to make them here"
    )


def _num_parts(output: Output) -> int | None:
    text = output.read(_PARTS_FILE)
    return int(text) if text is not None and text.strip().isdigit() else None
