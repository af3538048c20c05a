"""`lra-zoo train | sweep`: train models on datasets."""

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lra_data import UsageError, command_line
from reference_models.commands import names
from reference_models.commands.ending import Ending
from reference_models.commands.progress import shown_training
from reference_models.commands.ranks import say
from reference_models.commands.shared_options import (
    attention_option,
    dataset_options,
    dataset_source,
    load_attentions,
    machine_arguments,
    machine_options,
    recipe_changes,
    recipe_options,
    set_threads,
)

if TYPE_CHECKING:
    from reference_models.model.card import Card
    from reference_models.training.runs import Experiment


@click.command(short_help="Train a model, or continue a training.")
@click.argument("task", type=command_line.SET)
@click.argument("model", required=False, type=names.MODEL)
@attention_option
@recipe_options
@click.option("--head", help="Head for Retrieval: concat, four-way or cross.")
@click.option(
    "--from",
    "start",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Begin with the encoder that `lra-zoo pretrain` left in a folder.",
)
@dataset_options
@machine_options
def train(task: str, model: str | None, **options: Any) -> None:
    """Train MODEL on TASK, or continue an earlier training.

    TASK is a task name or the folder of a built set. MODEL may be left out with one --attention, which is then trained.
    Ctrl-C and SIGTERM save the training and print the command that continues it. A state is also saved at least once a
    minute, so that a killed training loses at most a minute.

    \b
    lra-zoo train listops/mini linear
    lra-zoo train listops/mini --attention my_attention.py:MyAttention
    torchrun --nproc-per-node=4 --no-python lra-zoo train listops bigbird
    """
    ending = Ending()
    from reference_models.training.runs import Experiment, run

    own = load_attentions(options["attentions"])
    if model is None:
        if len(own) != 1:
            got = f"{len(own)} of them: name the MODEL too" if own else "none: `lra-zoo list` has the names"
            raise UsageError(f"expected a MODEL, or one --attention, got {got}")
        (model,) = own
    set_threads(options["threads"])
    experiment = Experiment(
        source=dataset_source(task, options),
        attention=model,
        preset=options["preset"],
        head=options["head"],
        changes=recipe_changes(options),
        start=options["start"],
    )
    with shown_training(f"{task} {model}", ending.hear) as report:
        folder, card = run(experiment, options["out"], **machine_arguments(options), report=report)
    say(f"{folder}: {_scores(card)}")


@click.command(short_help="Pre-train an encoder on a task's own inputs.")
@click.argument("task", type=command_line.SET)
@click.argument("model", type=names.MODEL)
@attention_option
@click.option("--ratio", type=float, help="Share of vectors that are hidden. Default: that of Amos et al. 2023.")
@recipe_options
@dataset_options
@machine_options
def pretrain(task: str, model: str, ratio: float | None, **options: Any) -> None:
    """Pre-train the encoder of MODEL on the inputs of TASK, or continue an earlier pre-training.

    Some vectors are hidden, and the encoder learns to tell what they held: ids, bytes or grey values. Labels and the
    test split are not used. `lra-zoo train TASK MODEL --from FOLDER` begins with the result.

    \b
    lra-zoo pretrain listops/mini linear --steps 2000
    lra-zoo train listops/mini linear --from runs/listops/mini/linear-pretrained
    """
    ending = Ending()
    from reference_models.training.runs import Experiment, run_pretraining

    load_attentions(options["attentions"])
    set_threads(options["threads"])
    experiment = Experiment(
        source=dataset_source(task, options),
        attention=model,
        preset=options["preset"],
        changes=recipe_changes(options),
    )
    with shown_training(f"{task} {model}", ending.hear) as report:
        folder, record = run_pretraining(
            experiment, options["out"], ratio=ratio, **machine_arguments(options), report=report
        )
    score = record.validation
    say(
        f"{folder}: {score.accuracy:.2%} of {score.examples:,} hidden elements of validation told right, the best "
        f"constant {record.guess:.2%}"
    )


@click.command(short_help="Train models one after another, unattended.")
@click.argument("wanted", metavar="TASK:MODEL...", nargs=-1, required=True)
@attention_option
@recipe_options
@dataset_options
@machine_options
@click.option(
    "--part",
    metavar="I/N",
    help="Train only part I of N of the list, counted from 0; auto or auto/N asks the scheduler.",
)
def sweep(wanted: Sequence[str], part: str | None, **options: Any) -> None:
    """Train models one after another, such as listops/mini:linear; listops/mini:all trains all models.

    Each result is saved when its training finishes. Finished trainings are skipped. A training that fails does not stop
    the others. Two sweeps may run at the same time: each leaves out what the other is training, and counts it as
    failed. Ctrl-C and SIGTERM save the current training.

    With --part, a job array shares the list: part I trains the models I, I + N, I + 2N, … of it.
    """
    ending = Ending()
    from lra_data.building.parts import RANKS, parse_part
    from reference_models.training.runs import Experiment, expand, run_all

    load_attentions(options["attentions"])
    chosen = expand(wanted)
    if part is not None:
        found = parse_part(part)
        if found.source == RANKS:
            raise UsageError(
                f"expected the variables of a job array with --part {part}, got those of ranks, which train one model "
                "together: give the part as 3/64"
            )
        chosen = found.of(chosen)

    set_threads(options["threads"])
    experiments = [
        Experiment(
            source=dataset_source(task, options),
            attention=model,
            preset=options["preset"],
            changes=recipe_changes(options),
        )
        for task, model in chosen
    ]

    def shown(experiment: "Experiment") -> AbstractContextManager[Any]:
        return shown_training(f"{experiment.source.target} {experiment.attention}", ending.hear)

    failed = 0
    for experiment, outcome, error in run_all(experiments, options["out"], shown, **machine_arguments(options)):
        failed += error
        say(f"{experiment.source.target} {experiment.attention}: {outcome}")
    if failed:
        say(f"{failed} of {len(experiments)} failed")
        sys.exit(1)


def _scores(card: "Card") -> str:
    test = card.test
    return (
        f"test accuracy {test.accuracy:.2%} ({test.low:.2%} to {test.high:.2%}) with the weights of step "
        f"{card.selected_step:,}"
    )
