"""`lra-zoo table | efficiency | span`: what trained models reached, what they cost, and how far they look."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from lra_data import paths
from reference_models.commands.training import dataset_options, dataset_source, names_of, set_threads


@click.command()
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="For a machine.")
@click.option("--out", type=click.Path(path_type=Path), help="File, instead of standard output.")
def table(folders: Sequence[Path], as_json: bool, out: Path | None) -> None:
    """Set trained models' scores beside the published ones and the trivial predictors.

    FOLDERS: of `lra-zoo train` and `sweep`; the bundled models without one. What is not finished is left out, and named
    on stderr.
    """
    from reference_models.model.bundled import BUNDLED
    from reference_models.results.tables import as_json as json_of
    from reference_models.results.tables import markdown, read_cards
    from reference_models.training.unfinished import unfinished

    asked = folders or [BUNDLED]
    left = unfinished(asked)
    for folder, far in left.items():
        click.echo(f"left out {folder}, which is not finished ({far}): run its training again", err=True)
    cards = read_cards(asked, left)
    _give(json_of(cards) + "\n" if as_json else markdown(cards), out)


@click.command()
@click.option("--models", help="Such as linear,local; default: all.")
@click.option("--lengths", help="Such as 1024,4096; default: 1K to 4K, and 8K and 16K where the cost allows.")
@click.option("--quick", is_flag=True, help="1K and 2K only.")
@click.option("--device", default="cpu", show_default=True, help="cpu, or cuda (batch 32).")
@click.option("--dtype", default="float32", show_default=True, help="float32, or bfloat16 for autocast.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Of a process.")
@click.option("--cap", type=float, default=120.0, show_default=True, help="Seconds a cell.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="efficiency.jsonl",
    show_default=True,
    help="A line a measurement; what it has is not measured again.",
)
@click.option("--plot", type=click.Path(path_type=Path), help="Draw time against length into this PNG.")
def efficiency(
    models: str | None,
    lengths: str | None,
    quick: bool,
    device: str,
    dtype: str,
    threads: int,
    cap: float,
    out: Path,
    plot: Path | None,
) -> None:
    """Measure steps a second and memory by length, beside a naive and a fused Transformer, as LRA's Table 2 does.

    Prints a Markdown table; progress goes to stderr.
    """
    from lra_data import UsageError
    from reference_models.attention.catalogue import attention_names
    from reference_models.efficiency.measure import measure
    from reference_models.efficiency.plot import plot as draw
    from reference_models.efficiency.report import table as report

    try:
        asked = None if lengths is None else [int(word) for word in lengths.split(",")]
    except ValueError:
        raise UsageError(f"--lengths must be integers such as 1024,4096, got {lengths!r}") from None
    rows = measure(
        names_of(models) or attention_names(),
        asked,
        out=out,
        device=device,
        dtype=dtype,
        threads=threads,
        cap_seconds=cap,
        quick=quick,
    )
    click.echo(report(rows))
    if plot is not None:
        draw(rows, plot)
    if any(row.outcome == "failed" for row in rows):
        sys.exit(1)


@click.command()
@click.argument("checkpoint")
@click.argument("dataset")
@click.option("--split", default="validation", show_default=True)
@click.option("--examples", type=click.IntRange(1), default=1000, show_default=True, help="Drawn at random.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the draw.")
@click.option("--width", type=int, help="Pixels in a row of a picture that is not square.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--threads", type=click.IntRange(1), help="Of the CPU; default: torch's own choice.")
@click.option("--json", "as_json", is_flag=True, help="For a machine.")
@dataset_options
def span(checkpoint: str, dataset: str, split: str, as_json: bool, **options: Any) -> None:
    """Measure how far CHECKPOINT's attention looks on DATASET: LRA's required attention span, by layer and head."""
    from reference_models.attention_maps.span import attention_span
    from reference_models.devices import chosen_device
    from reference_models.model.bundled import checkpoint_folder
    from reference_models.model.checkpoint import load_model

    set_threads(options["threads"])
    model, _ = load_model(checkpoint_folder(checkpoint))
    found = attention_span(
        model,
        dataset_source(dataset, options).open(split),
        examples=options["examples"],
        seed=options["seed"],
        device=chosen_device(options["device"]),
        width=options["width"],
    )
    click.echo(json.dumps(found.to_json(), indent=1) if as_json else "\n".join(found.lines()))


def _give(text: str, out: Path | None) -> None:
    if out is None:
        click.echo(text, nl=False)
        return
    from reference_models.model.checkpoint import write_whole

    file = paths.local_path(out, "a file for the table")
    write_whole(file, text.encode())
    click.echo(str(file))
