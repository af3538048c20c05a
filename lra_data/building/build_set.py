"""The order of events of a build by one process and its workers. `part_builds.py` has the same events for parts.

    lock ─▶ plan.json ─▶ (shard ─▶ its row digests ─▶ its marker) … ─▶ no example in two splits ─▶ README, Croissant
      ─▶ manifest.json ─▶ SET/.build removed

If a build is killed at any point, the folder has no manifest, and the next run of the same build continues there.
"""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lra_data.building.begin import begin, finished_set, or_finished, remove_set
from lra_data.building.engines.engine import Engine
from lra_data.building.engines.local_processes import LocalProcesses
from lra_data.building.finish import finish
from lra_data.building.plan import Plan, RowRange, make_plan
from lra_data.building.shard_job import ShardJob, ShardResult, make_shards
from lra_data.catalogue import get_task
from lra_data.errors import LraDataError
from lra_data.notices import rows_planned
from lra_data.store.manifest import Manifest
from lra_data.store.outputs.choice import output_at, set_place
from lra_data.store.outputs.output import Output
from lra_data.task import Task
from lra_data.words import counted


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One range of a build is done. rows counts all examples so far; the shards of a kept range already existed."""

    file: str
    kept: bool
    ranges_done: int
    ranges: int
    rows_done: int
    rows: int
    seconds: float


TellProgress = Callable[[Progress], None]


def build(
    task: Any,
    root: Path | str,
    *,
    formats: Sequence[str] = ("arrow",),
    num_shards: int | None = None,
    workers: int = 1,
    seed: int = 0,
    sizes: Mapping[str, int] | None = None,
    overwrite: bool = False,
    engine: Engine | None = None,
    progress: TellProgress | None = None,
) -> Manifest:
    """Write the set of `task` under `root`, or finish what an earlier run of the same build left.

    task: a name such as "listops/lra", a configuration or a Task.
    root: a folder, or an address that fsspec can write to, such as s3://bucket/data.
    formats: any of "arrow", "parquet", "webdataset".
    num_shards: number of train shards; by default, shard sizes follow from split size and row width.
    sizes: number of examples by split, instead of the task's.
    overwrite: first remove the files of an earlier set from the folder.
    engine: runs the jobs; by default `workers` local processes.
    progress: called after each row range.

    The files do not depend on workers, engine, or how often the build was interrupted. Raises UsageError for an invalid
    request, SetError if the folder holds another set, BuildError if the build cannot continue.
    """
    chosen = get_task(task)
    plan = make_plan(chosen, formats=formats, num_shards=num_shards, seed=seed, sizes=sizes)
    engine = engine or LocalProcesses(workers)
    output = output_at(set_place(root, chosen))
    if not overwrite and (finished := finished_set(output, plan)) is not None:
        return finished  # without a lock, which a read-only set does not allow
    with output.exclusive() as alone:
        if overwrite:
            remove_set(output)
        if (finished := finished_set(output, plan)) is not None:  # another process finished it meanwhile
            return finished

        def work() -> Manifest:
            with output.run() as run:
                jobs = jobs_of(run, begin(run, plan, alone=alone), chosen, plan, plan.ranges)
                return finish(run, chosen, plan, run_jobs(engine, jobs, progress))

        return or_finished(output, plan, work)


def jobs_of(output: Output, plan_sha256: str, task: Task, plan: Plan, ranges: Sequence[RowRange]) -> list[ShardJob]:
    """The jobs of some ranges."""
    return [
        ShardJob(output=output, plan=plan_sha256, description=plan.description, rows=rows, corpus=task.corpus)
        for rows in ranges
    ]


def run_jobs(engine: Engine, jobs: Sequence[ShardJob], progress: TellProgress | None) -> list[ShardResult]:
    """The results of all jobs, in the order of the jobs."""
    total = sum(job.rows.stop - job.rows.start for job in jobs)
    rows_planned(total)
    began, rows_done = time.monotonic(), 0
    results: dict[tuple[str, int], ShardResult] = {}
    running = engine.run(make_shards, jobs)
    try:
        for result in running:
            shard = result.shards[0]
            if (shard.split, shard.start) in results:  # a cluster that lost sight of a job may run it twice
                continue
            results[shard.split, shard.start] = result
            rows_done += shard.stop - shard.start
            if progress is not None:
                progress(
                    Progress(
                        file=shard.file,
                        kept=result.num_made == 0,
                        ranges_done=len(results),
                        ranges=len(jobs),
                        rows_done=rows_done,
                        rows=total,
                        seconds=time.monotonic() - began,
                    )
                )
    except LraDataError as error:
        raise type(error)(f"{error} ({len(results)} of {counted(len(jobs), 'row range')} finished and kept)") from error
    finally:
        # After an interrupt in this function, the engine is still suspended, with its workers running.
        if isinstance(running, Generator):
            running.close()
    return [results[job.rows.split, job.rows.start] for job in jobs]
