"""`lra-zoo plot scores | curves | efficiency | span`: figures for papers, from results that exist."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reference_models.commands.shared_options import finished_cards

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Decorated = Callable[..., Any]


def _figure_options(command: Decorated) -> Decorated:
    """Options of every figure."""
    for option in reversed(
        [
            click.option(
                "--out",
                type=click.Path(path_type=Path),
                required=True,
                metavar="FILE",
                help="File for the figure; its suffix .pdf, .svg or .png is the format.",
            ),
            click.option(
                "--width",
                type=float,
                default=3.25,
                show_default=True,
                help="Width in inches: one column; 6.75 for two columns.",
            ),
            click.option(
                "--dpi",
                type=click.IntRange(50, 1200),
                default=200,
                show_default=True,
                help="Dots per inch of PNG.",
            ),
        ]
    ):
        command = option(command)
    return command


@click.group(no_args_is_help=False, short_help="Draw figures for papers.")
def plot() -> None:
    """Draw figures for papers as PDF, SVG or PNG, from results that exist.

    Nothing is trained or measured. The same input gives the same bytes.
    """


@plot.command(short_help="Draw scores with their intervals.")
@click.argument("sets", nargs=-1, metavar="[SET]...")
@click.option("--runs", multiple=True, metavar="[NAME=]DIR", help="Folder of your own trainings. Repeatable.")
@click.option(
    "--result", "results", multiple=True, metavar="[NAME=]FILE", help="Result file of lra-data score. Repeatable."
)
@click.option("--models", help="Names of bundled models, such as linear,local. Default: all.")
@click.option("--no-bundled", is_flag=True, help="Leave out the bundled models.")
@click.option("--highlight", help="Names in the accent colour, such as full. Default: your own results.")
@_figure_options
def scores(
    sets: Sequence[str],
    runs: Sequence[str],
    results: Sequence[str],
    models: str | None,
    no_bundled: bool,
    highlight: str | None,
    out: Path,
    width: float,
    dpi: int,
) -> None:
    """Draw test accuracies with 95 % intervals, a panel for each SET.

    SET is a name such as listops/mini. Without one, the sets of your own results are drawn, or else all of the bundled
    models.

    \b
    lra-zoo plot scores listops/mini --out scores.pdf
    lra-zoo plot scores --runs runs --result "Ours=result.json" --out scores.pdf
    """
    from lra_data import UsageError
    from reference_models.figures import points, scores, style
    from reference_models.model.bundled import BUNDLED

    style.figure_file(out)
    own = []
    for text in runs:
        name, folder = points.named_path(text)
        own += points.of_cards(finished_cards([folder]), name=name, own=True)
    for text in results:
        name, path = points.named_path(text)
        own.append(points.of_result_file(path, name or path.stem))
    zoo = [] if no_bundled else points.of_cards(finished_cards([BUNDLED]))
    asked = list(sets) or list(dict.fromkeys(point.task for point in own))
    for point in own:
        if point.task not in asked:
            raise UsageError(
                f"expected results of {', '.join(asked)}, got {point.name} of {point.task}: name its set, too"
            )
    drawn = points.together([*zoo, *own], asked, _names("--models", models))
    _give(scores.figure(drawn, width=width, highlight=_names("--highlight", highlight)), out, dpi)


@plot.command(short_help="Draw training curves.")
@click.argument("trainings", nargs=-1, required=True, metavar="[NAME=]DIR...")
@click.option("--models", help="Names of trainings to draw, such as linear,local. Default: all.")
@click.option("--metrics", default="accuracy,loss", show_default=True, help="Panels: accuracy, loss or both.")
@click.option("--highlight", help="Names in the accent colour, such as full.")
@_figure_options
def curves(
    trainings: Sequence[str],
    models: str | None,
    metrics: str,
    highlight: str | None,
    out: Path,
    width: float,
    dpi: int,
) -> None:
    """Draw validation accuracy and loss over the steps of trainings, finished or not.

    DIR is a folder with trainings, or the name of bundled models such as listops/mini or listops/mini/full.

    \b
    lra-zoo plot curves runs --highlight MyAttention --out curves.pdf
    lra-zoo plot curves Ours=runs/mine listops/mini/full --out curves.pdf
    """
    from reference_models.figures import curves as drawing
    from reference_models.figures import points, style
    from reference_models.model.bundled import BUNDLED

    style.figure_file(out)
    found = []
    for text in trainings:
        name, folder = points.named_path(text)
        bundled = BUNDLED / folder
        found += drawing.read_curves(bundled if not folder.exists() and bundled.is_dir() else folder, name)
    drawn = drawing.chosen(drawing.together(found), _names("--models", models))
    figure = drawing.figure(
        drawn,
        width=width,
        highlight=_names("--highlight", highlight),
        metrics=_names("--metrics", metrics) or (),
    )
    _give(figure, out, dpi)


@plot.command(short_help="Draw speed or memory by length.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("--measure", default="speed", show_default=True, help="Measure to draw: speed or memory.")
@click.option(
    "--baseline",
    default="sdpa",
    show_default=True,
    help="Transformer that values are relative to: sdpa (fused), naive, or none for seconds and MiB.",
)
@click.option("--models", help="Names of models to draw, such as linear,local. Default: all.")
@click.option(
    "--only", multiple=True, metavar="NAME=VALUE", help="Entry that a row must have, such as device=cuda. Repeatable."
)
@click.option("--highlight", help="Names in the accent colour, such as full. Default: your own attentions.")
@_figure_options
def efficiency(
    files: Sequence[Path],
    measure: str,
    baseline: str,
    models: str | None,
    only: Sequence[str],
    highlight: str | None,
    out: Path,
    width: float,
    dpi: int,
) -> None:
    """Draw rows that lra-zoo efficiency measured, from its JSON Lines files; nothing is measured.

    \b
    lra-zoo plot efficiency efficiency.jsonl --highlight linear --out speed.pdf
    lra-zoo plot efficiency efficiency.jsonl --measure memory --out memory.pdf
    """
    from lra_data import UsageError
    from reference_models.figures import efficiency as drawing
    from reference_models.figures import style

    style.figure_file(out)
    entries = [text.partition("=") for text in only]
    for text, (name, _, value) in zip(only, entries, strict=True):
        if not name or not value:
            raise UsageError(f"--only must be NAME=VALUE such as device=cuda, got {text!r}")
    rows = drawing.rows_of(files, [(name, value) for name, _, value in entries])
    figure = drawing.figure(
        rows,
        width=width,
        measure=measure,
        baseline=baseline,
        models=_names("--models", models),
        highlight=_names("--highlight", highlight),
    )
    _give(figure, out, dpi)


@plot.command(short_help="Draw attention spans.")
@click.argument("files", nargs=-1, required=True, metavar="[NAME=]FILE...")
@click.option("--distance", default="tokens", show_default=True, help="Distance: tokens, or pixels for pictures.")
@click.option("--highlight", help="Names in the accent colour, such as full.")
@_figure_options
def span(files: Sequence[str], distance: str, highlight: str | None, out: Path, width: float, dpi: int) -> None:
    """Draw the spans of heads and layers that lra-zoo span saved.

    \b
    lra-zoo span listops/mini/full listops/mini --out full.json
    lra-zoo plot span full.json --out span.pdf
    """
    from reference_models.attention_maps.span_result import read_span
    from reference_models.figures import points, style
    from reference_models.figures import span as drawing

    style.figure_file(out)
    found = []
    for text in files:
        name, path = points.named_path(text)
        result = read_span(path)
        found.append((name or result.attention, result))
    _give(drawing.figure(found, width=width, distance=distance, highlight=_names("--highlight", highlight)), out, dpi)


def _names(option: str, words: str | None) -> list[str] | None:
    """The names in a text with commas; None for None. A name that has a comma itself is in quotes."""
    import csv

    from lra_data import UsageError

    if words is None:
        return None
    names = next(csv.reader([words], skipinitialspace=True), [])
    if not names or not all(name.strip() for name in names):
        raise UsageError(f"{option} must be names such as linear,local, got {words!r}")
    return [name.strip() for name in names]


def _give(figure: "Figure", out: Path, dpi: int) -> None:
    from reference_models.figures import style

    click.echo(str(style.save(figure, out, dots_per_inch=dpi)))
