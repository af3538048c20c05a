"""The end of a build: no example in two splits, then preview, card, Croissant, and the manifest last."""

import hashlib
from collections.abc import Iterator, Sequence

from lra_data.building.begin import CROISSANT, PREVIEW
from lra_data.building.card import CARD, card_text
from lra_data.building.croissant import croissant_text
from lra_data.building.duplicates import RowDigests, find_duplicates
from lra_data.building.plan import Plan
from lra_data.building.shard_job import ShardResult, batch_rows, digests_file
from lra_data.errors import BuildError, SetError
from lra_data.picture_files import png_bytes
from lra_data.store.manifest import MANIFEST, Manifest, manifest_files
from lra_data.store.outputs.output import Output, publish, publish_text
from lra_data.task import Task

_PREVIEW_ROWS = 2
_PREVIEW_PICTURES = 24


def finish(output: Output, task: Task, plan: Plan, results: Sequence[ShardResult]) -> Manifest:
    """Complete the set. results: of every range of the plan, in its order."""
    repeated = find_duplicates(plan.description.sizes, row_digests_of(output, plan, results))
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
    shown = min(_PREVIEW_PICTURES, plan.ranges[0].stop, batch_rows(task))
    first = task.generate("train", 0, shown, seed=plan.description.seed)
    preview = task.viewer.contact_sheet(first)
    if preview is not None:
        with publish(output, PREVIEW) as file:
            file.write(png_bytes(preview))
    first_rows = first.slice(0, _PREVIEW_ROWS).to_pylist()
    card = card_text(task, manifest, first_rows, PREVIEW if preview is not None else None)
    publish_text(output, CARD, card)
    publish_text(output, CROISSANT, croissant_text(task, manifest))
    for name, data in manifest_files(manifest).items():
        if name != MANIFEST:
            with publish(output, name) as file:
                file.write(data)
        elif output.create(name, data) != data:
            raise SetError(f"{output.where}: another set was finished there meanwhile: choose another --out")
    output.end_build()  # if it cannot be removed, the next run will
    return manifest


def row_digests_of(output: Output, plan: Plan, results: Sequence[ShardResult]) -> Iterator[RowDigests]:
    """The row digests of each range, read one after another."""
    for rows, result in zip(plan.ranges, results, strict=True):
        name = digests_file(rows)
        data = output.read(name)
        if data is None or hashlib.sha256(data).hexdigest() != result.digests.sha256:
            found = "none" if data is None else "other ones"
            raise BuildError(
                f"{output.where}/{name}: expected the row digests of the build, found {found}: run the same command "
                "again"
            )
        yield RowDigests.from_bytes(rows.split, rows.start, data)
