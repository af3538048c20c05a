"""The order of events of a build: plan, shards, duplicates, card, manifest. Everything else is in the other modules.

    lock ─▶ plan.json ─▶ (shard ─▶ its marker) … ─▶ no example in two splits ─▶ README, Croissant ─▶ manifest.json
      ─▶ SET/.build removed

If a build is killed at any point, the folder has no manifest, and the next run of the same build continues there.
"""

import shutil
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import Timeout
from msgspec import structs

from lra_data.building.card import card_text, unfinished_card_text
from lra_data.building.croissant import croissant_text
from lra_data.building.duplicates import find_duplicates
from lra_data.building.engines.local import Engine, LocalProcesses
from lra_data.building.plan import PLAN, Plan, check_same, make_plan, plan_of, plan_text, read_plan
from lra_data.building.shard_job import ShardJob, ShardResult, make_shards
from lra_data.catalogue import get_task
from lra_data.errors import BuildError, LraDataError, SetError, UsageError
from lra_data.locking import locked_file
from lra_data.paths import local_path, write_failure
from lra_data.picture_files import png_bytes
from lra_data.store.atomic_files import publish, publish_text
from lra_data.store.manifest import BUILD_FOLDER, MANIFEST, SHARD_NAME, Manifest, manifest_text, read_manifest
from lra_data.store.shard_reading import read_shard
from lra_data.task import Task

LOCK = ".lock"
CARD = "README.md"
CROISSANT = "croissant.json"
PREVIEW = "preview.png"

_PREVIEW_ROWS = 2
_PREVIEW_PICTURES = 24


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
    progress: Callable[[Progress], None] | None = None,
) -> Manifest:
    """Write the set of `task` under `root`, or finish what an earlier run of the same build left.

    task: a name such as "listops/lra", a configuration or a Task.
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
    set_folder = set_path(root, chosen).absolute()  # the current folder may change during the build
    if not overwrite and (finished := _finished(set_folder, plan)) is not None:
        return finished  # without a lock, which a read-only set does not allow
    with locked(set_folder):
        if overwrite:
            _remove_set(set_folder)
        if (finished := _finished(set_folder, plan)) is not None:  # another process finished it meanwhile
            return finished
        _begin(set_folder, plan)
        try:
            results = _run(set_folder, chosen, plan, engine, progress)
        except KeyboardInterrupt:
            _remove_halves(set_folder / BUILD_FOLDER)  # left by killed workers
            raise
        return _finish(set_folder, chosen, plan, results)


def _finished(set_folder: Path, plan: Plan) -> Manifest | None:
    """The manifest of the set if it is finished; raises SetError if it does not fit the plan."""
    try:
        if not (set_folder / MANIFEST).exists():
            return None
    except OSError as error:
        raise write_failure(set_folder, error) from error
    manifest = read_manifest(set_folder)
    # For a finished set, the versions of the libraries that wrote it may differ.
    libraries = manifest.description.libraries
    asked = replace(plan, description=structs.replace(plan.description, libraries=libraries))
    check_same(set_folder, "a finished set", plan_of(manifest), asked)
    shutil.rmtree(set_folder / BUILD_FOLDER, ignore_errors=True)
    return manifest


def set_path(root: Path | str, task: Task) -> Path:
    """SET = ROOT/<task>/<preset or custom-hash>; UsageError for a root that is not a local folder, or whose name is not
    UTF-8, since Arrow cannot open it.
    """
    folder = local_path(root, "a folder for the set")
    try:
        str(folder).encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"expected a folder whose name is UTF-8, got {str(root)!r}: choose another --out") from error
    return folder / task.family / task.variant


@contextmanager
def locked(set_folder: Path) -> Iterator[None]:
    """Hold the set's lock, creating the folder; raises BuildError if another process holds it."""
    with ExitStack() as stack:
        try:
            set_folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked_file(set_folder / LOCK, wait=False))
        except Timeout as error:
            raise BuildError(
                f"another process is building in {set_folder}: wait for it, or choose another --out"
            ) from error
        except OSError as error:
            raise write_failure(set_folder, error) from error
        yield


def _begin(set_folder: Path, plan: Plan) -> None:
    """Write the plan, or check that an existing plan is the same; remove half-written files of a killed run."""
    build_folder = set_folder / BUILD_FOLDER
    has_plan = (build_folder / PLAN).exists()
    if has_plan:
        check_same(set_folder, "an unfinished build", read_plan(build_folder / PLAN), plan)
    else:
        foreign = sorted(path.name for path in set_folder.iterdir() if SHARD_NAME.fullmatch(path.name))
        if foreign:
            raise SetError(
                f"{set_folder} holds {len(foreign)} shards of an unknown build, such as {foreign[0]}: "
                "choose another --out, or add --overwrite to remove them"
            )
    try:
        build_folder.mkdir(exist_ok=True)
        _remove_halves(build_folder)
    except OSError as error:
        raise write_failure(build_folder, error) from error
    # Also for a continued build: the last run may have been killed between the final card and the manifest.
    publish_text(set_folder / CARD, unfinished_card_text(), build_folder)
    if not has_plan:
        publish_text(build_folder / PLAN, plan_text(plan), build_folder)


def _remove_halves(build_folder: Path) -> None:
    """Remove half-written files of a killed run or worker."""
    for leftover in build_folder.glob("*.tmp"):
        leftover.unlink(missing_ok=True)  # a worker of a killed run may be renaming it


def _run(
    set_folder: Path, task: Task, plan: Plan, engine: Engine, progress: Callable[[Progress], None] | None
) -> list[ShardResult]:
    jobs = [
        ShardJob(set_folder=set_folder, description=plan.description, rows=rows, corpus=task.corpus)
        for rows in plan.ranges
    ]
    total = sum(plan.description.sizes.values())
    began = time.monotonic()
    results: list[ShardResult] = []
    running = engine.run(make_shards, jobs)
    try:
        for result in running:
            results.append(result)
            if progress is not None:
                progress(
                    Progress(
                        file=result.shards[0].file,
                        kept=result.num_made == 0,
                        ranges_done=len(results),
                        ranges=len(jobs),
                        rows_done=sum(len(done.row_digests) for done in results),
                        rows=total,
                        seconds=time.monotonic() - began,
                    )
                )
    except LraDataError as error:
        raise type(error)(f"{error} ({len(results)} of {len(jobs)} row ranges finished and kept)") from error
    finally:
        # After an interrupt in this function, the engine is still suspended, with its workers running.
        if isinstance(running, Generator):
            running.close()
    by_place = {(result.shards[0].split, result.shards[0].start): result for result in results}
    return [by_place[rows.split, rows.start] for rows in plan.ranges]


def _finish(set_folder: Path, task: Task, plan: Plan, results: list[ShardResult]) -> Manifest:
    digests = {
        split: np.concatenate([result.row_digests for result in results if result.shards[0].split == split])
        for split in plan.description.sizes
    }
    repeated = find_duplicates(digests)
    if repeated.across and not task.converted:
        raise BuildError(
            f"the same example appears in two splits, as {repeated.first} (of {sum(repeated.across.values())} such "
            "pairs): build with another --seed"
        )
    shards = [shard for result in results for shard in result.shards]
    manifest = Manifest(
        description=plan.description,
        duplicates=repeated.within,
        overlaps=repeated.across,
        shards=tuple(sorted(shards, key=lambda shard: plan.description.formats.index(shard.format))),
    )
    build_folder = set_folder / BUILD_FOLDER
    shard = manifest.shards_of("train")[0]
    first = next(read_shard(set_folder / shard.file, shard, task))
    preview = task.viewer.contact_sheet(first.slice(0, _PREVIEW_PICTURES))
    if preview is not None:
        with publish(set_folder / PREVIEW, build_folder) as file:
            file.write(png_bytes(preview))
    first_rows = first.slice(0, _PREVIEW_ROWS).to_pylist()
    card = card_text(task, manifest, first_rows, PREVIEW if preview is not None else None)
    publish_text(set_folder / CARD, card, build_folder)
    publish_text(set_folder / CROISSANT, croissant_text(task, manifest), build_folder)
    publish_text(set_folder / MANIFEST, manifest_text(manifest), build_folder)
    shutil.rmtree(build_folder, ignore_errors=True)  # if it cannot be removed, the next run will
    return manifest


def _remove_set(set_folder: Path) -> None:
    """Remove the files of an earlier set. Other files stay.

    The manifest is removed first, and the card says "unfinished" before any shard is removed. So if the process is
    killed in between, readers do not take the rest for a set.
    """
    build_folder = set_folder / BUILD_FOLDER
    try:
        (set_folder / MANIFEST).unlink(missing_ok=True)
        (set_folder / CROISSANT).unlink(missing_ok=True)
        (set_folder / PREVIEW).unlink(missing_ok=True)
        if build_folder.exists():
            shutil.rmtree(build_folder)
        build_folder.mkdir()
        publish_text(set_folder / CARD, unfinished_card_text(), build_folder)
        for path in set_folder.iterdir():
            if SHARD_NAME.fullmatch(path.name):
                path.unlink()
    except OSError as error:
        raise write_failure(set_folder, error) from error
