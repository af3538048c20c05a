"""Commands that check sets: verify, repair, audit. The exit status is 1 if something is wrong."""

import json
import sys

import click

from lra_data.command_line import SET
from lra_data.commands.options import CORPUS_OPTION, JSON_OPTION, PAIRS_OPTION, one_line
from lra_data.corpus import corpus_from_options
from lra_data.phases import shown
from lra_data.text_tables import named_lines
from lra_data.words import counted


@click.command(short_help="Check every digest and every label of a set.")
@click.argument("where", metavar="SET", type=SET)
@click.option("--quick", is_flag=True, help="Compare only the digests of the files; decode and solve nothing.")
@CORPUS_OPTION
@PAIRS_OPTION
@JSON_OPTION
def verify(where: str, quick: bool, corpus: str | None, pairs: str | None, as_json: bool) -> None:
    """Compare the digest of every file and derive the label of every row again; exit 1 if anything is wrong.

    With --corpus, every row of a converted set is also compared with the corpus.
    """
    from lra_data.checking.verify import verify as find_faults
    from lra_data.store.row_access import BuiltRows, open_rows

    with shown() as tell:
        faults = find_faults(where, quick=quick, corpus=corpus_from_options(corpus, pairs), tell=tell)
    if as_json:
        click.echo(json.dumps([{"file": f.file, "index": f.index, "message": f.message} for f in faults], indent=1))
    else:
        for fault in faults:
            click.echo(str(fault))
        rows = open_rows(where)
        solved = "every label" if rows.task.derives_labels else "every row (labels cannot be derived)"
        if not isinstance(rows, BuiltRows):
            checked = solved
        elif corpus is not None:
            checked = "digests, and every row compared with the corpus,"
        else:
            checked = "digests" if quick else f"digests and {solved}"
        click.echo(f"{where}: {counted(len(faults), 'fault') if faults else f'{checked} as they should be'}")
    sys.exit(1 if faults else 0)


@click.command(short_help="Say how far a build is, and which parts are missing.")
@click.argument("where", metavar="SET", type=SET)
@JSON_OPTION
def status(where: str, as_json: bool) -> None:
    """Say how far the build of a set is, from the markers of its finished row ranges; no shard is read.

    The list of missing parts is in the form that `sbatch --array` takes. Exit 1 if anything is missing.
    """
    from lra_data.building.part_builds import build_status

    found = build_status(where)
    done = found.ranges - len(found.missing)
    if as_json:
        facts = {"complete": found.complete, "row_ranges": found.ranges, "done": done, "parts": found.parts}
        click.echo(json.dumps(facts | {"missing_parts": found.missing_parts}))
    elif found.complete:
        click.echo(f"{where}: complete, {counted(found.ranges, 'row range')}")
    else:
        click.echo(f"{where}: unfinished, {done} of {counted(found.ranges, 'row range')} done")
        if found.missing_parts:
            click.echo(f"missing parts of {found.parts}: --array={found.missing_parts}")
        elif not found.missing:
            click.echo("all row ranges are there: run the build with --finish")
    sys.exit(0 if found.complete else 1)


@click.command(short_help="Rebuild damaged or missing shards of a set.")
@click.argument("set_folder", metavar="SET", type=SET)
@CORPUS_OPTION
@PAIRS_OPTION
@JSON_OPTION
def repair(set_folder: str, corpus: str | None, pairs: str | None, as_json: bool) -> None:
    """Rebuild the damaged or missing shards of a built set, byte for byte."""
    from lra_data.building.repair import repair as make_again

    def tell(name: str) -> None:
        click.echo(f"making {name} again", err=True)

    with shown():
        repaired = make_again(set_folder, corpus=corpus_from_options(corpus, pairs), progress=tell)
    click.echo(json.dumps(repaired) if as_json else f"{set_folder}: {counted(len(repaired), 'shard')} made again")


@click.command(short_help="List the faults of a copy of the original Pathfinder.")
@click.argument("folder", metavar="DIR")
@click.option("--res", type=int, help="Resolution in pixels, if DIR holds several.")
@click.option("--difficulty", help="Difficulty, if DIR holds several: easy, intermediate or hard.")
@click.option(
    "--traced", type=click.IntRange(0), default=1000, show_default=True, help="Number of pictures to solve; may be 0."
)
@JSON_OPTION
def audit(folder: str, res: int | None, difficulty: str | None, traced: int, as_json: bool) -> None:
    """Check a copy of the original Pathfinder release and list every fault; exit 1 if there are any."""
    from lra_data.pathfinder.released.audit import audit as find_faults

    with shown() as tell:
        tell("checking pictures", 0, None)
        found = find_faults(folder, resolution=res, difficulty=difficulty, traced=traced)
    if as_json:
        click.echo(json.dumps({"folder": str(found.folder), **found.facts, "faults": found.faults}, indent=1))
    else:
        for fault in found.faults:
            click.echo(fault)
        for line in named_lines((name, one_line(value)) for name, value in found.facts.items()):
            click.echo(line)
        click.echo(f"{found.folder}: {counted(len(found.faults), 'fault') if found.faults else 'as it should be'}")
    sys.exit(1 if found.faults else 0)
