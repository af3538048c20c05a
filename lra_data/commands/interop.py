"""Commands for other code bases: `export`, and the output of `info --protocol`."""

import json
from typing import Any

import click

from lra_data.command_line import SET
from lra_data.commands.options import JSON_OPTION, opened, virtual_options
from lra_data.corpus import corpus_from_options
from lra_data.phases import of_rows, shown
from lra_data.text_tables import named_lines
from lra_data.words import counted

_NAMED_FILES = 10


def _show_layouts(context: click.Context, parameter: click.Parameter, is_asked: bool) -> None:
    if is_asked:
        from lra_data.interop.code_bases import layouts

        for line in named_lines(((name, layout.summary) for name, layout in layouts().items()), indent=""):
            click.echo(line)
        context.exit()


@click.command(short_help="Write a set as the files of another code base.")
@click.argument("where", metavar="SET", type=SET)
@click.option(
    "--layout",
    metavar="NAME",
    default="lra-release",
    show_default=True,
    help="Layout of the files, named after the code base that reads it; --layouts lists them.",
)
@click.option(
    "--layouts",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_layouts,
    help="List the layouts and exit.",
)
@click.option("--out", metavar="DIR", required=True, help="Folder for the files; new, or with other sets in it.")
@click.option(
    "--ascii",
    "ascii_only",
    is_flag=True,
    help="Write each byte that is not printable ASCII as a space, in Retrieval's TSV files.",
)
@virtual_options
@JSON_OPTION
def export(
    where: str,
    layout: str,
    out: str,
    ascii_only: bool,
    seed: int,
    corpus: str | None,
    pairs: str | None,
    allow_partial: bool,
    as_json: bool,
) -> None:
    """Write a set as the files that another code base loads. Existing files are never overwritten."""
    from lra_data.interop.export import export as write_layout

    def warn(message: str) -> None:
        click.echo(f"lra-data: warning: {message}", err=True)

    told: list[str] = []
    try:
        with shown() as tell:
            tell(f"opening {where}", 0, None)
            rows = opened(where, seed, corpus_from_options(corpus, pairs, allow_partial))
            rows.watch = of_rows(tell, "exporting")
            written = write_layout(rows, out, layout=layout, ascii_only=ascii_only, tell=told.append, warn=warn)
    finally:
        for line in told:
            click.echo(line, err=as_json)
    if as_json:
        click.echo(json.dumps({"set": where, "layout": layout, "files": [str(path) for path in written]}, indent=1))
        return
    for path in written[:_NAMED_FILES]:
        click.echo(f"wrote {path}")
    if len(written) > _NAMED_FILES:
        click.echo(f"and {counted(len(written) - _NAMED_FILES, 'more file')} in {out}")


def show_protocol(where: str | None, name: str, other: str | None, as_json: bool) -> None:
    """Print a protocol, or its differences from another, for all tasks or for the task of `where`."""
    from lra_data.interop.code_bases import differences, get_protocol, get_reading
    from lra_data.interop.protocol import lines_of

    if other is None:
        entries: dict[str, Any] = {family: lines_of(reading) for family, reading in get_protocol(name).items()}
    else:
        entries = differences(name, other)
    if where is not None:
        from lra_data.store.row_access import open_rows

        family = open_rows(where).task.family
        for protocol in (name, other or name):
            get_reading(protocol, family)  # raises an error that lists the tasks which the code base reads
        entries = {family: entries[family]}
    if as_json:
        click.echo(json.dumps(entries, indent=1))
        return
    for family, lines in entries.items():
        click.echo(f"{family}: {name}" + (f" | {other}" if other is not None else ""))
        for line in named_lines((entry, text if other is None else " | ".join(text)) for entry, text in lines.items()):
            click.echo(line)
