"""Commands that look at tasks and sets: list, info, show, explain, stats."""

import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import click

from lra_data.command_line import SET
from lra_data.commands.interop import show_protocol
from lra_data.commands.options import JSON_OPTION, one_line, opened, virtual_options
from lra_data.corpus import corpus_from_options
from lra_data.errors import UsageError
from lra_data.paths import png_path
from lra_data.phases import of_rows, shown
from lra_data.text_tables import columns, named_lines, table_lines


@click.command(short_help="Describe a task, a set, or how a code base reads a task.")
@click.argument("where", metavar="[SET]", required=False, type=SET)
@click.option("--protocol", metavar="NAME", help="Code base whose reading of the tasks is shown: lra-2020, s4, ….")
@click.option("--diff", metavar="NAME", help="Second code base; only differences between the two are shown.")
@JSON_OPTION
def info(where: str | None, protocol: str | None, diff: str | None, as_json: bool) -> None:
    """Describe a task or a built set, or how another code base reads the tasks."""
    if protocol is not None:
        show_protocol(where, protocol, diff, as_json)
        return
    if where is None or diff is not None:
        raise UsageError("expected a SET, or --protocol NAME with or without --diff NAME")
    from lra_data.store.row_access import BuiltRows, open_rows

    rows = open_rows(where)
    task = rows.task
    facts: dict[str, Any] = {
        "name": task.name,
        "version": task.version,
        "config": task.record(),
        "sizes": rows.sizes,
        "columns": {field.name: str(field.type) for field in task.schema},
        "vocabulary": task.vocabulary,
        "vocab_size": task.vocab_size,
        "num_classes": task.num_classes,
        "max_length": task.max_length,
        "label": task.card.label_meaning,
        "source": task.card.source,
        **({"archives": task.card.archives} if task.card.archives else {}),
        "citation": task.card.citation,
        "license": f"{task.card.license} {task.card.license_page}".strip(),
        "history": task.card.history,
    }
    if isinstance(rows, BuiltRows):
        facts |= {"seed": rows.seed, "formats": rows.manifest.description.formats, "shards": len(rows.manifest.shards)}
    if as_json:
        click.echo(json.dumps(facts, indent=1))
        return
    for line in textwrap.wrap(f"{task.card.title}: {task.card.description}", columns()):
        click.echo(line)
    for line in named_lines((name, one_line(value)) for name, value in facts.items()):
        click.echo(line)


@click.command(short_help="Print examples, or write a contact sheet of pictures.")
@click.argument("where", metavar="SET", type=SET)
@click.option("--split", default="train", show_default=True, help="Split: train, validation or test.")
@click.option("--start", type=click.IntRange(0), default=0, show_default=True, help="Index of the first example.")
@click.option("--num", type=click.IntRange(1), help="Number of examples.  [default: 24 for pictures, 3 for others]")
@click.option("--out", help="File for the contact sheet of pictures.  [default: TASK-PRESET-SPLIT-START.png]")
@virtual_options
@JSON_OPTION
def show(
    where: str,
    split: str,
    start: int,
    num: int | None,
    out: str | None,
    seed: int,
    corpus: str | None,
    pairs: str | None,
    allow_partial: bool,
    as_json: bool,
) -> None:
    """Print examples; if they are pictures, also write a contact sheet."""
    from lra_data.arrow_columns import picture_shapes
    from lra_data.splits import split_name

    if out is not None:
        png_path(out)
    with shown() as tell:
        tell(f"opening {where}", 0, None)
        rows = opened(where, seed, corpus_from_options(corpus, pairs, allow_partial))
        name = split_name(split)
        has_pictures = bool(picture_shapes(rows.task.schema))
        count = num or (24 if has_pictures else 3)
        tell("reading examples", 0, None)
        batch = rows.take(name, range(start, min(start + count, rows.sizes[name])) or [start])
    if out is not None and not has_pictures:
        raise UsageError(f"expected no --out for {rows.task.name}, whose examples are text, got {out}")
    for row in batch.to_pylist():
        click.echo(json.dumps(row) if as_json else f"{name} {row['index']}: {rows.task.viewer.show(row)}")
    if has_pictures and not as_json:
        _write_picture(out or _picture_name(rows.task.name, name, start), rows.task.viewer.contact_sheet(batch))


@click.command(short_help="Show how the label of one example follows.")
@click.argument("where", metavar="SET", type=SET)
@click.argument("split")
@click.argument("index", type=int)
@click.option("--out", help="File for the drawing of a picture.  [default: TASK-PRESET-SPLIT-INDEX-explained.png]")
@virtual_options
@JSON_OPTION
def explain(
    where: str,
    split: str,
    index: int,
    out: str | None,
    seed: int,
    corpus: str | None,
    pairs: str | None,
    allow_partial: bool,
    as_json: bool,
) -> None:
    """Show how the label of one example follows from it; for a picture, also write an enlarged drawing.

    With --json, the drawing is written only if --out names its file.
    """
    from lra_data.splits import split_name

    if out is not None:
        png_path(out)
    with shown() as tell:
        tell(f"opening {where}", 0, None)
        rows = opened(where, seed, corpus_from_options(corpus, pairs, allow_partial))
        name = split_name(split)
        tell("reading the example", 0, None)
        row = rows.take(name, [index]).to_pylist()[0]
    explained = rows.task.viewer.explain(row)
    if as_json:
        facts = {"task": rows.task.name, "split": name, "index": index, "label": row["label"]}
        facts["label_name"] = rows.task.card.label_names[row["label"]]
        click.echo(json.dumps(facts | {"explanation": explained.splitlines()}, indent=1, ensure_ascii=False))
        if out is None:
            return
    else:
        click.echo(explained)
    drawing = rows.task.viewer.drawing(row)
    if drawing is not None:
        place = out or _picture_name(rows.task.name, name, index, "explained")
        _write_picture(place, drawing, quiet=as_json)
    elif out is not None:
        raise UsageError(f"expected no --out for {rows.task.name}, whose examples are text, got {out}")


@click.command(short_help="Print distributions and the scores of trivial predictors.")
@click.argument("where", metavar="SET", type=SET)
@click.option("--plot", metavar="FILE", help="PNG file for a plot of the same figures; needs matplotlib.")
@virtual_options
@JSON_OPTION
def stats(
    where: str,
    plot: str | None,
    seed: int,
    corpus: str | None,
    pairs: str | None,
    allow_partial: bool,
    as_json: bool,
) -> None:
    """Print distributions, the duplicates of a corpus, and the accuracy of trivial predictors."""
    from lra_data.checking.set_statistics import statistics
    from lra_data.checking.statistics_plot import plot as write_plot
    from lra_data.optional_import import require

    if plot is not None:
        require("matplotlib", "plots")  # before the work, not after it
        png_path(plot)
    with shown() as tell:
        tell(f"opening {where}", 0, None)
        rows = opened(where, seed, corpus_from_options(corpus, pairs, allow_partial))
        rows.watch = of_rows(tell, "measuring")
        figures = statistics(rows)
        written = None if plot is None else write_plot(figures, plot)
    if as_json:
        click.echo(json.dumps(figures, indent=1))
        return
    click.echo(f"{figures['task']}, seed {figures['seed']}")
    for line in _stats_lines(figures):
        click.echo(line)
    if written is not None:
        click.echo(f"wrote {written}")


def _stats_lines(figures: Mapping[str, Any]) -> Iterator[str]:
    splits = figures["splits"]
    shares = {split: facts["label_shares"] for split, facts in splits.items()}
    labels = next(iter(shares.values()))
    rows = [[label, *(f"{shares[split][label]:.2%}" for split in splits)] for label in labels]
    examples = ["examples", *(f"{facts['examples']:,}" for facts in splits.values())]
    yield from table_lines(["label", *splits], [*rows, examples], right=[*splits])
    for name, first in next(iter(splits.values()))["measures"].items():
        rows = [
            [split, *(_short(value) for value in facts["measures"][name].values())] for split, facts in splits.items()
        ]
        yield ""
        yield from table_lines([name, *first], rows, right=[*first])
    yield "\ntrivial predictors, learned on train, measured on validation and test (95 %\ninterval):"
    yield from named_lines(
        (name, f"{score['accuracy']:.2%} ({score['low']:.2%} to {score['high']:.2%})")
        for name, score in figures["trivial_predictors"].items()
    )
    for name, value in figures["figures"].items():
        yield f"{name}: {one_line(value) or 'none'}"


def _short(value: float) -> str:
    """At most one digit after the point, and none where the value is whole or large."""
    short = round(value, 1)
    return f"{short:,.0f}" if short == int(short) or abs(short) >= 1000 else f"{short:,.1f}"


def _picture_name(task_name: str, *rest: str | int) -> str:
    return "-".join([task_name.replace("/", "-"), *map(str, rest)]) + ".png"


def _write_picture(path: str, picture: Any, *, quiet: bool = False) -> None:
    from lra_data.picture_files import png_bytes
    from lra_data.store.atomic_files import write_whole

    file = png_path(path)
    write_whole(file, png_bytes(picture))
    if not quiet:
        click.echo(f"wrote {file}")
