"""`lra-zoo report`: the page of `lra-data report` with what needs the models."""

from collections.abc import Sequence
from pathlib import Path

import click

from lra_data.commands.reporting import page_command, page_options, page_written
from reference_models.commands.progress import print_line


@click.command(short_help="Write lra-data's page with spans and patterns.")
@page_options
@click.option(
    "--examples",
    type=click.IntRange(0),
    default=200,
    show_default=True,
    help="Number of validation examples for a model's span; 0 leaves spans out.",
)
@click.option(
    "--efficiency",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Measurements of `lra-zoo efficiency`, for its charts. Default: none.",
)
def report(
    out: Path,
    results: Sequence[Path],
    sets: Sequence[str],
    rows: int,
    date: str,
    examples: int,
    efficiency: Path | None,
) -> None:
    """Write the page of `lra-data report`, OUT/index.html, with the attention spans and patterns of the models.

    Models of a corpus have spans if their set is among --set.
    """
    from lra_data.report.contents import write_site
    from reference_models.results.figures import zoo_figures

    figures = zoo_figures(examples=examples, sets=sets, efficiency=efficiency, progress=print_line)
    command = page_command("lra-zoo report")
    written = write_site(out, results=results, sets=sets, limit=rows, date=date, command=command, figures=figures)
    page_written(results, written)
