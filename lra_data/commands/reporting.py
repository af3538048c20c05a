"""`lra-data report`: the page of scores, tasks and models."""

import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

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


def page_command(command: str) -> str:
    """The running command as the page prints it: `command`, every argument and option that was given, and --rows.

    The folder that it writes to is left out, and absolute folders are.
    """
    context = click.get_current_context()
    words = command.split()
    for parameter in context.command.params:
        name = str(parameter.name)
        given = context.get_parameter_source(name) is not ParameterSource.DEFAULT
        if name == "rows" or (given and name != "out"):
            words += _words(parameter, context.params[name])
    return shlex.join(words)


def _words(parameter: click.Parameter, value: Any) -> Iterator[str]:
    """An argument or option as it is written on the command line."""
    for one in value if parameter.multiple else [value]:
        if isinstance(parameter, click.Option):
            yield parameter.opts[0]
            if parameter.is_flag:
                continue
        yield _named(str(one))


def page_written(results: Sequence[Path], written: Path) -> None:
    """Print what became of the user's results, a line for each file or folder, and where the page is."""
    from lra_data.results.comparable import said
    from lra_data.results.result_files import read_results

    for place, entry in zip(results, read_results(results), strict=True):
        click.echo(f"{place}: {said(entry)}")
    click.echo(f"wrote {written}")


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

    command = page_command("lra-data report")
    corpus = corpus_from_options(options["corpus"], options["pairs"], options["allow_partial"])
    if where is not None:
        if sets:
            raise UsageError("expected SET or --set, got both: --set is for the page of all tasks")
        found = opened(where, options["seed"], corpus)
        written = write_set_page(found, out, results=results, limit=rows, date=date, command=command)
        page_written(results, written)
        return
    if corpus is not None or options["seed"]:
        raise UsageError("expected --corpus, --pairs, --allow-partial and --seed with a SET, got no SET: name one")
    written = write_site(out, results=results, sets=sets, limit=rows, date=date, command=command)
    page_written(results, written)
