"""`lra-zoo evaluate | check`: score trained models on a dataset, and check a dataset with trained models."""

import json
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import click

from lra_data import command_line
from reference_models.commands import names
from reference_models.commands.progress import shown_count
from reference_models.commands.ranks import say
from reference_models.commands.shared_options import (
    attention_option,
    dataset_options,
    dataset_source,
    load_attentions,
    machine_options,
    names_of,
    set_threads,
)


@click.command(short_help="Score a trained model on a dataset.")
@click.argument("checkpoint", type=names.CHECKPOINT)
@click.argument("dataset", metavar="SET", type=command_line.SET)
@click.option("--split", default="test", show_default=True, help="Split, or a slice such as test[:1000].")
@click.option("--predictions", metavar="FILE.npy", help="File for the logits, as `lra-data score` reads them.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@attention_option
@dataset_options
@machine_options
def evaluate(checkpoint: str, dataset: str, split: str, predictions: str | None, as_json: bool, **options: Any) -> None:
    """Score CHECKPOINT on every example of SET, with a 95 % interval.

    CHECKPOINT is a folder, or the name of a bundled model. SET is a task name or the folder of a built set.

    \b
    lra-zoo evaluate listops/mini/linear listops/mini
    lra-zoo evaluate listops/mini/linear listops/mini --predictions linear.npy
    """
    import numpy as np
    import torch

    from lra_data import UsageError
    from reference_models.devices import chosen_device
    from reference_models.evaluation.scoring import evaluate as score
    from reference_models.model.bundled import checkpoint_folder
    from reference_models.model.checkpoint import load_model, write_whole

    if predictions is not None and not predictions.endswith(".npy"):
        raise UsageError(f"--predictions must be a file that ends in .npy, got {predictions!r}")
    load_attentions(options["attentions"])
    set_threads(options["threads"])
    model, card = load_model(checkpoint_folder(checkpoint))
    rows = dataset_source(dataset, options).open(split)
    if rows.task.family != card.task.partition("/")[0]:
        raise UsageError(f"expected a dataset of the task that {checkpoint} learned, {card.task}, got {rows.task.name}")
    answers: list[torch.Tensor] = []
    with shown_count("evaluating", len(rows)) as progress:
        found = score(
            model.to(chosen_device(options["device"])),
            rows,
            num_workers=options["workers"],
            progress=progress,
            answers=answers.append if predictions else None,
        ).record()
    if predictions:
        buffer = BytesIO()
        np.save(buffer, torch.cat(answers).numpy())
        write_whole(Path(predictions), buffer.getvalue())
    if as_json:
        click.echo(json.dumps({"checkpoint": checkpoint, "dataset": rows.task.name, "split": split, **found}, indent=1))
        return
    say(
        f"{card.attention} on {rows.task.name} {split}: {found['accuracy']:.2%} "
        f"({found['low']:.2%} to {found['high']:.2%}), {found['correct']:,} of {found['examples']:,}, "
        f"loss {found['loss']:.4f}"
    )


@click.command(short_help="Check a dataset with models that learned it.")
@click.argument("dataset", metavar="SET", type=command_line.SET)
@click.option("--checkpoints", metavar="DIR", help="Folder of trained models. Default: the bundled ones.")
@click.option("--models", help="Names of the models to use, such as linear,local. Default: all.")
@click.option("--other-seed", type=int, default=2, show_default=True, help="Seed of further examples to compare.")
@click.option("--thorough", is_flag=True, help="Let every model answer every row, not only its share of them.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@attention_option
@dataset_options
@machine_options
def check(
    dataset: str,
    checkpoints: str | None,
    models: str | None,
    other_seed: int,
    thorough: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Check SET with models that learned it: do they still give the recorded answers?

    Prints whether the data, the batches made from it, or the models changed. The exit code is 1 if any of them did.
    """
    from lra_data import phases, words
    from reference_models.devices import chosen_device
    from reference_models.drift.check import check as compare
    from reference_models.drift.trained import trained_on
    from reference_models.model.bundled import BUNDLED

    load_attentions(options["attentions"])
    set_threads(options["threads"])
    source = dataset_source(dataset, options)
    test = source.open("test")
    device = chosen_device(options["device"])
    chosen = trained_on(test.task, Path(checkpoints) if checkpoints else BUNDLED, names_of(models), device)
    own = test.rows.seed
    who = words.counted(len(chosen), "model")
    with phases.shown() as tell:
        report = compare(
            chosen,
            lambda split, seed: source.open(split) if seed == own else source.open_other(split, seed),
            seed=own,
            other_seed=other_seed,
            device=device,
            thorough=thorough,
            num_workers=options["workers"],
            tell=tell,
        )
    if as_json:
        found = [{"cause": finding.cause, "text": finding.text} for finding in report.findings]
        click.echo(json.dumps({"findings": found, "compared": report.lines, "models": report.measured}, indent=1))
    else:
        for line in report.lines:
            click.echo(line)
        for finding in report.findings:
            click.echo(f"{finding.cause}: {finding.text}")
        if not report.findings:
            click.echo(f"{test.task.name}: as {who} learned it")
    if report.findings:
        sys.exit(1)
