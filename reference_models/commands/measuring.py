"""`lra-zoo table | efficiency | span`: scores of trained models, speed and memory, and the attention span."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from lra_data import UsageError, command_line, paths
from reference_models.commands import names
from reference_models.commands.progress import print_line, shown_count
from reference_models.commands.shared_options import (
    attention_option,
    dataset_options,
    dataset_source,
    finished_cards,
    load_attentions,
    names_of,
    set_threads,
    typed_command,
)


@click.command(short_help="Print scores next to published ones.")
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--format",
    "shape",
    type=click.Choice(["text", "md", "latex", "csv"]),
    help="A table for the terminal, Markdown with more columns, LaTeX with the package booktabs, or CSV.  "
    "[default: text]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--out", type=click.Path(path_type=Path), help="File for the table. Default: standard output.")
@attention_option
def table(
    folders: Sequence[Path], shape: str | None, as_json: bool, out: Path | None, attentions: Sequence[str]
) -> None:
    """Print a table of trained models' scores next to published ones and the trivial predictors.

    FOLDERS are results of `lra-zoo train` and `sweep`; the default is the bundled models. Unfinished trainings are left
    out and named on stderr. A card has all that the table needs, so that --attention may be left out.
    """
    from reference_models.model.bundled import BUNDLED
    from reference_models.results.paper_tables import as_csv, as_latex
    from reference_models.results.tables import as_json as json_of
    from reference_models.results.tables import markdown
    from reference_models.results.terminal_table import terminal

    if as_json and shape is not None:
        raise UsageError(f"expected --json or --format, got both: leave out --format {shape}")
    load_attentions(attentions)
    cards = finished_cards(folders or [BUNDLED])
    if as_json:
        text = json_of(cards) + "\n"
    elif shape == "latex":
        text = as_latex(cards, typed_command())
    else:
        text = {"text": terminal, "md": markdown, "csv": as_csv}[shape or "text"](cards)
    _give(text, out)


@click.command(short_help="Measure training speed and memory by length.")
@click.option("--models", help="Names of models, such as linear,local. Default: all.")
@click.option(
    "--lengths",
    help="Lengths in bytes, such as 1024,4096. Default: 1K to 4K; also 8K and 16K for models that cost less than L².",
)
@click.option("--quick", is_flag=True, help="Lengths 1K and 2K only.")
@click.option("--device", default="cpu", show_default=True, help="Device: cpu (batch 1) or cuda (batch 32).")
@click.option("--dtype", default="float32", show_default=True, help="Number type: float32, or bfloat16 for autocast.")
@click.option(
    "--threads", type=click.IntRange(1), default=1, show_default=True, help="Number of CPU threads of each process."
)
@click.option(
    "--cap", type=float, default=120.0, show_default=True, help="Time limit in seconds of one model at one length."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="efficiency.jsonl",
    show_default=True,
    help="JSON Lines file of measurements; those already in it are not repeated.",
)
@click.option(
    "--plot", type=click.Path(path_type=Path), help="PDF, SVG or PNG file for the figure of lra-zoo plot efficiency."
)
@attention_option
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
    attentions: Sequence[str],
) -> None:
    """Measure steps per second and memory by length, as LRA's Table 2 does.

    With --attention and without --models, only your own models are measured. Each model is compared with a naive and a
    fused Transformer. Prints a Markdown table; progress goes to stderr.
    """
    from reference_models.attention.catalogue import attention_names
    from reference_models.efficiency.measure import measure
    from reference_models.efficiency.report import table as report
    from reference_models.figures import style
    from reference_models.figures.efficiency import figure

    if plot is not None:
        plot = style.figure_file(plot)  # an unknown suffix fails before anything is measured
    try:
        asked = None if lengths is None else [int(word) for word in lengths.split(",")]
    except ValueError:
        raise UsageError(f"--lengths must be integers such as 1024,4096, got {lengths!r}") from None
    own = load_attentions(attentions)
    rows = measure(
        names_of(models) or own or attention_names(),
        asked,
        out=out,
        device=device,
        dtype=dtype,
        threads=threads,
        cap_seconds=cap,
        quick=quick,
        progress=print_line,
    )
    click.echo(report(rows))
    if plot is not None:
        style.save(figure(rows, width=style.COLUMN), plot)
    if any(row.outcome == "failed" for row in rows):
        sys.exit(1)


@click.command(short_help="Measure the attention span of a model.")
@click.argument("checkpoint", type=names.CHECKPOINT)
@click.argument("dataset", metavar="SET", type=command_line.SET)
@click.option("--split", default="validation", show_default=True, help="Split of SET.")
@click.option("--examples", type=click.IntRange(1), default=1000, show_default=True, help="Number of random examples.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the draw.")
@click.option("--width", type=int, help="Width in pixels of pictures that are not square.")
@click.option("--device", default="auto", show_default=True, help="Device: auto, cpu, cuda or cuda:N.")
@click.option("--threads", type=click.IntRange(1), help="Number of CPU threads. Default: torch's own choice.")
@click.option("--out", type=click.Path(path_type=Path), help="JSON file for the result, for lra-zoo plot span.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@attention_option
@dataset_options
def span(checkpoint: str, dataset: str, split: str, out: Path | None, as_json: bool, **options: Any) -> None:
    """Measure LRA's required attention span of CHECKPOINT on SET, by layer and head."""
    from reference_models.attention_maps.span import attention_span
    from reference_models.devices import chosen_device
    from reference_models.model.bundled import checkpoint_folder
    from reference_models.model.checkpoint import load_model, write_whole

    load_attentions(options["attentions"])
    set_threads(options["threads"])
    model, _ = load_model(checkpoint_folder(checkpoint))
    with shown_count("measuring spans", options["examples"]) as progress:
        found = attention_span(
            model,
            dataset_source(dataset, options).open(split),
            examples=options["examples"],
            seed=options["seed"],
            device=chosen_device(options["device"]),
            width=options["width"],
            progress=progress,
        )
    text = json.dumps(found.to_json(), indent=1)
    click.echo(text if as_json else "\n".join(found.lines()))
    if out is not None:
        write_whole(paths.local_path(out, "a file for the result"), f"{text}\n".encode())


def _give(text: str, out: Path | None) -> None:
    if out is None:
        click.echo(text, nl=False)
        return
    from reference_models.model.checkpoint import write_whole

    file = paths.local_path(out, "a file for the table")
    write_whole(file, text.encode())
    click.echo(str(file))
