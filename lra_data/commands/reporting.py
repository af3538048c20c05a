"""`lra-data report`: the page of scores, tasks and models."""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from lra_data.commands.options import opened, virtual_options
from lra_data.corpus import corpus_from_options
from lra_data.errors import UsageError


def page_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add what every page takes: --out, --results, --set, --rows and --date; `lra-zoo report` has them too."""
    options = (
        click.option(
            "--out",
            type=click.Path(path_type=Path),
            default="site",
            show_default=True,
            help="Folder for the page, index.html.",
        ),
        click.option(
            "--results",
            multiple=True,
            type=click.Path(path_type=Path),
            metavar="PATH",
            help="Result file of `lra-data score --out`, or a folder of one model's; repeatable.",
        ),
        click.option(
            "--set",
            "sets",
            multiple=True,
            metavar="SET",
            help="Built set or task, in place of the full one of its family; repeatable.",
        ),
        click.option(
            "--rows",
            type=click.IntRange(0),
            default=2000,
            show_default=True,
            help="Number of rows read of each split of a set; 0 for all.",
        ),
        click.option("--date", default="", metavar="TEXT", help="Date that the page names. Default: none."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def page_command(command: str, where: str | None, results: Sequence[Path], sets: Sequence[str], rows: int) -> str:
    """The command as the page prints it: without the folder that it writes to, and without absolute folders."""
    given = [("--results", str(place)) for place in results] + [("--set", name) for name in sets]
    words = [*command.split(), *([_named(where)] if where is not None else [])]
    words += [word for option, place in given for word in (option, _named(place))]
    return shlex.join([*words, "--rows", str(rows)])


def _named(place: str) -> str:
    """A place on this machine by its last part; others as they are."""
    return Path(place).name if Path(place).is_absolute() else place


@click.command(short_help="Write a page of scores, tasks and models.")
@click.argument("where", metavar="[SET]", required=False)
@page_options
@virtual_options
def report(
    where: str | None,
    out: Path,
    results: Sequence[Path],
    sets: Sequence[str],
    rows: int,
    date: str,
    **options: Any,
) -> None:
    """Write one page, OUT/index.html, that needs no network: published scores and yours, the tasks, and the models.

    With SET, the page is about that set alone.

    \b
    lra-data report --out site --results my-model.json
    lra-data report data/listops/lra --rows 0 --out listops
    """
    from lra_data.report.contents import write_set_page, write_site

    command = page_command("lra-data report", where, results, sets, rows)
    corpus = corpus_from_options(options["corpus"], options["pairs"], options["allow_partial"])
    if where is not None:
        if sets:
            raise UsageError("expected SET or --set, got both: --set is for the page of all tasks")
        found = opened(where, options["seed"], corpus)
        click.echo(f"wrote {write_set_page(found, out, results=results, limit=rows, date=date, command=command)}")
        return
    if corpus is not None or options["seed"]:
        raise UsageError("expected --corpus, --pairs, --allow-partial and --seed with a SET, got no SET: name one")
    written = write_site(out, results=results, sets=sets, limit=rows, date=date, command=command)
    click.echo(f"wrote {written}")
