"""Rebuilds the damaged shards of a finished set from its manifest; sound shards are left alone."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lra_data.building.plan import RowRange
from lra_data.building.shard_job import write_shards
from lra_data.catalogue import task_from_record
from lra_data.corpus import Corpus, as_corpus
from lra_data.errors import SetError
from lra_data.store.formats.shard_format import library_versions
from lra_data.store.location.set_folder import set_folder as folder_at
from lra_data.store.manifest import Manifest
from lra_data.store.outputs.choice import output_of_set
from lra_data.store.outputs.folder import FolderOutput
from lra_data.store.outputs.output import Output, Stored
from lra_data.store.shard_entry import Shard
from lra_data.task import Task


def repair(
    set_folder: Path | str,
    *,
    corpus: Corpus | Path | str | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[str]:
    """Rebuild missing or damaged shards of the set in a folder or at an address, and return their names.

    corpus: the corpus from which a converted set was built.
    progress: called with the name of each shard before it is rebuilt.

    Raises SetError, and leaves the file unchanged, if the bytes in the manifest cannot be produced here, such as a
    Parquet shard of another pyarrow version.
    """
    output = output_of_set(set_folder)
    manifest = folder_at(set_folder).manifest()
    description = manifest.description
    given = as_corpus(corpus)
    task = task_from_record(description.task, description.version, description.config, corpus=given)
    if given is not None:
        task.check_corpus()
    with output.exclusive():
        with ThreadPoolExecutor(output.at_once) as pool:
            sound = list(pool.map(lambda shard: is_sound(output, shard), manifest.shards))
        bad = [shard for shard, is_good in zip(manifest.shards, sound, strict=True) if not is_good]
        for shard in bad:
            if progress is not None:
                progress(shard.file)
            _make_again(output, manifest, shard, task)
    return [shard.file for shard in bad]


def is_sound(output: Output, shard: Shard) -> bool:
    """Whether the file has the manifest's bytes."""
    return output.holds(shard.file, Stored(bytes=shard.bytes, sha256=shard.sha256), thorough=True)


def _make_again(output: Output, manifest: Manifest, shard: Shard, task: Task) -> None:
    description = manifest.description
    there, here = dict(description.libraries), library_versions([shard.format], task.schema)
    for library, version in here.items():
        if there[library] != version:
            raise SetError(
                f"{shard.file}: its bytes depend on {library}, expected {there[library]}, got {version}: "
                f"install {library}=={there[library]} and repair again, or build the set again with --overwrite"
            )
    of_split = manifest.shards_of(shard.split, shard.format)
    rows = RowRange(
        split=shard.split, number=of_split.index(shard), count=len(of_split), start=shard.start, stop=shard.stop
    )
    # The shard is made in a separate folder and moved into the set only if its digest equals the manifest's.
    with output.run() as run, run.scratch() as scratch:
        workshop = FolderOutput(scratch / "repair")
        with workshop.run() as at_work:
            made, _ = write_shards(at_work, task, description, rows, [shard.format])
        sha256 = made[shard.format][0].sha256
        if sha256 != shard.sha256:
            raise SetError(
                f"{shard.file}: expected sha256 {shard.sha256}, made {sha256}: this release of lra-data draws other "
                "rows or writes other bytes than the release that built the set: build it again"
            )
        run.adopt(workshop.folder / shard.file, shard.file, sha256)
    output.end_build()
