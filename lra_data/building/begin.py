"""The beginning of a build: is the set there already, does the folder hold another build, which plan is it.

Several runs may begin the same build at once. The first to create the plan decides it; the others compare.
"""

import hashlib
from collections.abc import Callable
from dataclasses import replace

from msgspec import structs

from lra_data.building.card import CARD, unfinished_card_text
from lra_data.building.plan import PLAN_FILE, Plan, check_same, parse_plan, plan_of, plan_text
from lra_data.errors import BuildError, SetError
from lra_data.store.manifest import MANIFEST, Manifest
from lra_data.store.outputs.output import FinishedMeanwhileError, Output, manifest_of, publish_text
from lra_data.store.shard_table import SHARD_TABLE
from lra_data.words import counted

CROISSANT = "croissant.json"
PREVIEW = "preview.png"


def finished_set(output: Output, plan: Plan) -> Manifest | None:
    """The manifest of the set if it is finished; raises SetError if it does not fit the plan."""
    manifest = manifest_of(output)
    if manifest is None:
        return None
    # For a finished set, the versions of the libraries that wrote it may differ.
    libraries = manifest.description.libraries
    asked = replace(plan, description=structs.replace(plan.description, libraries=libraries))
    check_same(output.where, "a finished set", plan_of(manifest), asked)
    output.end_build()
    return manifest


def or_finished(output: Output, plan: Plan, work: Callable[[], Manifest]) -> Manifest:
    """What `work` gives; or, if it fails because another run has finished the set meanwhile, that set.

    The end of a build removes the plan, the markers and the scratch folders under all other runs.
    """
    try:
        return work()
    except (FinishedMeanwhileError, BuildError, SetError) as error:
        finished = finished_set(output, plan)
        if finished is not None:
            return finished
        if isinstance(error, FinishedMeanwhileError):
            raise BuildError(
                f"{output.where}: another run finished the set and it was removed: run the same command again"
            ) from error
        raise


def begin(output: Output, plan: Plan, *, alone: bool) -> str:
    """Write the plan, or check that the plan there is the same; returns the SHA-256 of its text.

    alone: whether no other run may be finishing this set.

    Raises FinishedMeanwhileError if another run has finished it, SetError if there is another plan, or shards of none.
    """
    there = output.read(PLAN_FILE)
    if there is None:
        foreign = output.shards()
        there = output.read(PLAN_FILE)  # another run may have begun, and made these shards
        if foreign and there is None:
            if output.read(MANIFEST) is not None:  # which finished a moment ago
                raise FinishedMeanwhileError
            raise SetError(
                f"{output.where} holds {counted(len(foreign), 'shard')} of an unknown build, such as {foreign[0]}: "
                "choose another --out, or add --overwrite to remove them"
            )
    if there is not None:
        _check(output, there, plan)
    # The card says "unfinished" before there is a shard. A run that was killed at the end may have written the last
    # card; but while other runs are at work, one of them may be writing it now.
    if alone:
        publish_text(output, CARD, unfinished_card_text())
    else:
        output.create(CARD, unfinished_card_text().encode())
    if there is None:
        there = output.create(PLAN_FILE, plan_text(plan).encode())
        _check(output, there, plan)
    return hashlib.sha256(there).hexdigest()


def _check(output: Output, there: bytes, plan: Plan) -> None:
    check_same(output.where, "an unfinished build", parse_plan(there, f"{output.where}/{PLAN_FILE}"), plan)


def remove_set(output: Output) -> None:
    """Remove the files of an earlier set, or of an unfinished build. Other files stay.

    The manifest goes first, and the card says "unfinished" before any shard is removed. So if the process is killed in
    between, readers do not take the rest for a set.
    """
    output.remove([MANIFEST, SHARD_TABLE, CROISSANT, PREVIEW])
    with output.run() as run:
        publish_text(run, CARD, unfinished_card_text())
    output.remove(output.shards())
    output.remove([PLAN_FILE])
    output.end_build()
