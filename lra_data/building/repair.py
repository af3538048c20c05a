"""Rebuilds the damaged shards of a finished set from its manifest; sound shards are left alone."""

import shutil
from collections.abc import Callable
from pathlib import Path

from lra_data.building.build_set import locked
from lra_data.building.plan import RowRange, plan_of
from lra_data.building.shard_job import ShardJob, write_shards
from lra_data.catalogue import task_from_record
from lra_data.corpus import Corpus, as_corpus
from lra_data.errors import SetError
from lra_data.paths import local_path, write_failure
from lra_data.store.atomic_files import sha256_of
from lra_data.store.formats.shard_format import library_versions
from lra_data.store.manifest import BUILD_FOLDER, Manifest, Shard, read_manifest
from lra_data.task import Task


def repair(
    set_folder: Path | str,
    *,
    corpus: Corpus | Path | str | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[str]:
    """Rebuild missing or damaged shards, and return their names.

    corpus: the corpus from which a converted set was built.
    progress: called with the name of each shard before it is rebuilt.

    Raises SetError, and leaves the file unchanged, if the bytes in the manifest cannot be produced here, such as a
    Parquet shard of another pyarrow version.
    """
    folder = local_path(set_folder, "the folder of a built set").absolute()
    manifest = read_manifest(folder)
    description = manifest.description
    given = as_corpus(corpus)
    task = task_from_record(description.task, description.version, description.config, corpus=given)
    if given is not None:
        task.check_corpus()
    with locked(folder):
        bad = [shard for shard in manifest.shards if not _sound(folder, shard)]
        for shard in bad:
            if progress is not None:
                progress(shard.file)
            _make_again(folder, manifest, shard, task)
    return [shard.file for shard in bad]


def _sound(folder: Path, shard: Shard) -> bool:
    path = folder / shard.file
    try:
        return path.is_file() and path.stat().st_size == shard.bytes and sha256_of(path) == shard.sha256
    except OSError:  # a bad sector, no permission to read
        return False


def _make_again(folder: Path, manifest: Manifest, shard: Shard, task: Task) -> None:
    description = manifest.description
    there, here = dict(description.libraries), library_versions([shard.format], task.schema)
    for library, version in here.items():
        if there[library] != version:
            raise SetError(
                f"{shard.file}: its bytes depend on {library}, expected {there[library]}, got {version}: "
                f"install {library}=={there[library]} and repair again, or build the set again with --overwrite"
            )
    rows: RowRange = next(
        rows for rows in plan_of(manifest).ranges if (rows.split, rows.start) == (shard.split, shard.start)
    )
    # Shards are made in a separate folder and moved into the set only if their digests equal the manifest's.
    workshop = folder / BUILD_FOLDER
    try:
        (workshop / BUILD_FOLDER).mkdir(parents=True, exist_ok=True)
        job = ShardJob(set_folder=workshop, description=description, rows=rows)
        made, _ = write_shards(job, task, [shard.format])
        if made[shard.format].sha256 != shard.sha256:
            raise SetError(
                f"{shard.file}: expected sha256 {shard.sha256}, made {made[shard.format].sha256}: this release of "
                "lra-data draws other rows or writes other bytes than the release that built the set: build it again"
            )
        (workshop / shard.file).replace(folder / shard.file)
    except OSError as error:
        raise write_failure(folder / shard.file, error) from error
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
