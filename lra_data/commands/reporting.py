"""`lra-data report`: the page of scores, tasks and models."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from lra_data.commands.options import opened, virtual_options
from lra_data.corpus import corpus_from_options
from lra_data.errors import UsageError


@click.command(short_help="Write a page of scores, tasks and models.")
@click.argument("where", metavar="[SET]", required=False)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="site",
    show_default=True,
    help="Folder for the page, index.html.",
)
@click.option(
    "--results",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Result file of `lra-data score --out`, or a folder of them, named after a model; may be repeated.",
)
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="SET",
    help="Built set, or task, in place of the full one of its family; may be repeated.",
)
@click.option(
    "--rows",
    type=click.IntRange(0),
    default=2000,
    show_default=True,
    help="Number of rows read of each split of a set; 0 for all.",
)
@click.option("--date", default="", metavar="TEXT", help="Date that the page names; by default none.")
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

    shared: dict[str, Any] = {"results": results, "limit": rows, "date": date}
    shared["command"] = f"lra-data {shlex.join(sys.argv[1:])}"
    corpus = corpus_from_options(options["corpus"], options["pairs"], options["allow_partial"])
    if where is not None:
        if sets:
            raise UsageError("expected SET or --set, got both: --set is for the page of all tasks")
        click.echo(f"wrote {write_set_page(opened(where, options['seed'], corpus), out, **shared)}")
        return
    if corpus is not None:
        raise UsageError("expected --corpus with a SET, got none: name the set, or use --set with a built one")
    click.echo(f"wrote {write_site(out, sets=[opened(name, options['seed'], None) for name in sets], **shared)}")
