"""`lra-zoo train | sweep | evaluate | check`: from datasets to trained models, and back."""

import json
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lra_data import interrupts

if TYPE_CHECKING:
    from reference_models.model.card import Card
    from reference_models.training.runs import Experiment, Source

Decorated = Callable[..., Any]


def dataset_options(command: Decorated) -> Decorated:
    """Where a dataset comes from."""
    for option in reversed(
        [
            click.option(
                "--root", metavar="ROOT", help="Folder or address of built sets; without it rows are made now."
            ),
            click.option(
                "--data-seed", type=int, default=0, help="Seed of the virtual set, or that a built one must have."
            ),
            click.option("--corpus", metavar="PATH", help="The corpus of a converted task: its archive or folder."),
            click.option("--pairs", metavar="DIR", help="The id lists of Retrieval, if its pairs are those."),
            click.option("--allow-partial", is_flag=True, help="Also from a corpus that is not whole."),
        ]
    ):
        command = option(command)
    return command


def machine_options(command: Decorated) -> Decorated:
    """What changes speed, not results."""
    for option in reversed(
        [
            click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."),
            click.option("--threads", type=click.IntRange(1), help="Of the CPU; default: torch's own choice."),
            click.option("--workers", type=click.IntRange(0), default=0, show_default=True, help="That make batches."),
        ]
    ):
        command = option(command)
    return command


def recipe_options(command: Decorated) -> Decorated:
    """What a recipe of the preset is changed in."""
    for option in reversed(
        [
            click.option("--preset", default="mini", show_default=True, help="lra-paper, lra-release, xiong or mini."),
            click.option("--steps", type=int, help="Optimiser steps."),
            click.option("--batch-size", type=int, help="Examples a step, over all processes."),
            click.option("--learning-rate", type=float, help="Peak of the schedule."),
            click.option("--schedule", help="inverse-sqrt, cosine, linear or constant."),
            click.option("--warmup", type=int, help="Steps in which the rate climbs."),
            click.option("--weight-decay", type=float),
            click.option("--beta1", type=float),
            click.option("--beta2", type=float),
            click.option("--epsilon", type=float),
            click.option("--clip-norm", metavar="NORM|none", help="Greatest norm of the gradient."),
            click.option("--accumulate", type=int, help="Micro-batches a step, where memory is short."),
            click.option("--seed", type=int, help="Of initial weights, order of examples and dropout."),
            click.option("--fresh/--no-fresh", default=None, help="New examples in every epoch, if generated."),
            click.option("--evaluate-every", type=int, help="Steps between two looks at validation."),
            click.option("--precision", help="float32 or bfloat16."),
            click.option("--out", type=click.Path(path_type=Path), default="runs", show_default=True, help="Folder."),
            click.option("--save-every", type=click.IntRange(1), help="Steps between two states to go on from."),
            click.option("--window", type=int, help="Shuffle within windows of so many rows: see docs/loading.md."),
        ]
    ):
        command = option(command)
    return command


@click.command()
@click.argument("task")
@click.argument("model")
@recipe_options
@click.option("--head", help="For Retrieval: concat, four-way or cross.")
@dataset_options
@machine_options
def train(task: str, model: str, **options: Any) -> None:
    """Train MODEL on TASK (a task's name, or a built set's folder), or go on with what an earlier run left.

    Ctrl-C and SIGTERM save the training, and say how to go on; so does a state at least once a minute for a kill.

    \b
    lra-zoo train listops/mini linear
    torchrun --nproc-per-node=4 --no-python lra-zoo train pathfinder/32-hard bigbird --preset xiong
    """
    ending = _Ending()
    from reference_models.training.runs import Experiment, run

    set_threads(options["threads"])
    experiment = Experiment(
        source=dataset_source(task, options),
        attention=model,
        preset=options["preset"],
        head=options["head"],
        changes=_changes(options),
    )
    with shown_training(f"{task} {model}", ending) as report:
        folder, card = run(experiment, options["out"], **_machine(options), report=report)
    _say(f"{folder}: {_scores(card)}")


@click.command()
@click.argument("wanted", metavar="TASK:MODEL...", nargs=-1, required=True)
@recipe_options
@dataset_options
@machine_options
def sweep(wanted: Sequence[str], **options: Any) -> None:
    """Train one after another, such as listops/mini:linear, or listops/mini:all for all sixteen.

    Each result is kept as it finishes; what is finished is passed over; one that fails does not stop the others. Run it
    twice at once, and each takes what the other is not at. Ctrl-C and SIGTERM save the training under way.
    """
    ending = _Ending()
    from reference_models.training.runs import Experiment, expand, run_all

    set_threads(options["threads"])
    experiments = [
        Experiment(
            source=dataset_source(task, options), attention=model, preset=options["preset"], changes=_changes(options)
        )
        for task, model in expand(wanted)
    ]

    def shown(experiment: "Experiment") -> AbstractContextManager[Any]:
        return shown_training(f"{experiment.source.target} {experiment.attention}", ending)

    failed = 0
    for experiment, outcome, error in run_all(experiments, options["out"], shown, **_machine(options)):
        failed += error
        _say(f"{experiment.source.target} {experiment.attention}: {outcome}")
    if failed:
        _say(f"{failed} of {len(experiments)} failed")
        sys.exit(1)


@click.command()
@click.argument("checkpoint")
@click.argument("dataset")
@click.option("--split", default="test", show_default=True, help="Or a slice of one, such as test[:1000].")
@click.option("--json", "as_json", is_flag=True, help="For a machine.")
@dataset_options
@machine_options
def evaluate(checkpoint: str, dataset: str, split: str, as_json: bool, **options: Any) -> None:
    """Score CHECKPOINT (a folder, or a bundled one's name) on DATASET: every example, and a 95 % interval.

    \b
    lra-zoo evaluate listops/mini/linear listops/mini
    """
    from lra_data import UsageError
    from reference_models.devices import chosen_device
    from reference_models.evaluation.scoring import evaluate as score
    from reference_models.model.bundled import checkpoint_folder
    from reference_models.model.checkpoint import load_model

    set_threads(options["threads"])
    model, card = load_model(checkpoint_folder(checkpoint))
    rows = dataset_source(dataset, options).open(split)
    if rows.task.family != card.task.partition("/")[0]:
        raise UsageError(f"expected a dataset of the task that {checkpoint} learned, {card.task}, got {rows.task.name}")
    with _counted(len(rows), "evaluating") as progress:
        found = score(
            model.to(chosen_device(options["device"])), rows, num_workers=options["workers"], progress=progress
        ).record()
    if as_json:
        click.echo(json.dumps({"checkpoint": checkpoint, "dataset": rows.task.name, "split": split, **found}, indent=1))
        return
    _say(
        f"{card.attention} on {rows.task.name} {split}: {found['accuracy']:.2%} "
        f"({found['low']:.2%} to {found['high']:.2%}), {found['correct']:,} of {found['examples']:,}, "
        f"loss {found['loss']:.4f}"
    )


@click.command()
@click.argument("dataset")
@click.option("--checkpoints", metavar="DIR", help="Folder of trained models; default: the bundled ones.")
@click.option("--models", help="Some of them, such as linear,local.")
@click.option("--other-seed", type=int, default=2, show_default=True, help="Whose rows are answered and counted.")
@click.option("--json", "as_json", is_flag=True, help="For a machine.")
@dataset_options
@machine_options
def check(
    dataset: str, checkpoints: str | None, models: str | None, other_seed: int, as_json: bool, **options: Any
) -> None:
    """Check DATASET with models that learned it: do they still answer what they answered, and as well?

    Says whether data, reading or models changed. Exit code 1 if any did.
    """
    from reference_models.devices import chosen_device
    from reference_models.drift.check import check as compare
    from reference_models.drift.check import trained_on
    from reference_models.model.bundled import BUNDLED

    set_threads(options["threads"])
    source = dataset_source(dataset, options)
    test = source.open("test")
    device = chosen_device(options["device"])
    chosen = trained_on(test.task, Path(checkpoints) if checkpoints else BUNDLED, names_of(models), device)
    own = test.rows.seed
    who = "1 model" if len(chosen) == 1 else f"{len(chosen)} models"
    with _counted(None, f"checking with {who}") as progress:
        report = compare(
            chosen,
            lambda split, seed: source.open(split) if seed == own else source.open_other(split, seed),
            seed=own,
            other_seed=other_seed,
            device=device,
            num_workers=options["workers"],
            progress=progress,
        )
    if as_json:
        found = [{"door": finding.door, "text": finding.text} for finding in report.findings]
        click.echo(json.dumps({"findings": found, "compared": report.lines, "models": report.measured}, indent=1))
    else:
        for line in report.lines:
            click.echo(line)
        for finding in report.findings:
            click.echo(f"{finding.door}: {finding.text}")
        if not report.findings:
            click.echo(f"{test.task.name}: as {who} learned it")
    if report.findings:
        sys.exit(1)


def dataset_source(target: str, options: Mapping[str, Any]) -> "Source":
    """The dataset that `dataset_options` name."""
    from lra_data.corpus import corpus_from_options
    from reference_models.training.runs import Source

    corpus = corpus_from_options(options["corpus"], options["pairs"], options["allow_partial"])
    return Source(target=target, root=options["root"], seed=options["data_seed"], corpus=corpus)


def names_of(words: str | None) -> list[str] | None:
    """Names with commas between them; None stands for all."""
    from lra_data import UsageError

    if words is None:
        return None
    names = [word.strip() for word in words.split(",")]
    if not all(names):
        raise UsageError(f"--models must be names such as linear,local, got {words!r}")
    return names


def _changes(options: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe's fields that were given."""
    from lra_data import UsageError
    from reference_models.model.train_config import TrainConfig

    given = {field.name: options[field.name] for field in fields(TrainConfig) if options[field.name] is not None}
    if "clip_norm" in given:
        text = given["clip_norm"]
        try:
            given["clip_norm"] = None if text == "none" else float(text)
        except ValueError:
            raise UsageError(f"--clip-norm must be a number or none, got {text!r}") from None
    return given


def _machine(options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "device": options["device"],
        "num_workers": options["workers"],
        "window": options["window"],
        "save_every": options["save_every"],
    }


def set_threads(threads: int | None) -> None:
    """Of the CPU, for torch; None leaves it."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def _first() -> bool:
    """Whether this process speaks for all."""
    return os.environ.get("RANK", "0") == "0"


def _say(text: str) -> None:
    if _first():
        click.echo(text)


def _scores(card: "Card") -> str:
    test = card.test
    return (
        f"test accuracy {test.accuracy:.2%} ({test.low:.2%} to {test.high:.2%}) with the weights of step "
        f"{card.selected_step:,}"
    )


class _Ending:
    """What a command says that a signal ended: what is saved, and how to go on.

    The files say what is saved. Whatever of the training's objects a signal found half-way is not asked.
    """

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.steps = 0
        interrupts.answer_also(signal.SIGTERM)
        interrupts.say_when_interrupted(self.words)

    def hear(self, event: Mapping[str, Any]) -> None:
        """Of the training that begins."""
        if "folder" in event:
            self.folder, self.steps = Path(event["folder"]), event["steps"]

    def words(self) -> str | None:
        if not _first():
            return None
        command = f"{_torchrun()}lra-zoo {shlex.join(sys.argv[1:])}"
        if self.folder is None:
            return f"nothing was trained yet: start again with: {command}"
        from reference_models.model.checkpoint import CARD, STATE
        from reference_models.training.state import saved_step

        step = saved_step(self.folder / STATE)
        if (self.folder / CARD).exists():
            return f"the weights in {self.folder} are final: go on with: {command}"
        if step is None:
            return f"no step of {self.folder} was finished: start again with: {command}"
        return f"step {step:,} of {self.steps:,} is saved in {self.folder}: go on with: {command}"


def _torchrun() -> str:
    """The words before a command that torchrun started."""
    size, here = (os.environ.get(name, "1") for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    if size == "1":
        return ""
    return f"torchrun --nproc-per-node={here} --no-python " if size == here else "the same torchrun command, of "


@contextmanager
def shown_training(title: str, ending: _Ending | None = None) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Shows how a training goes: a bar on a terminal, a line an evaluation elsewhere. Both go to stderr."""
    latest: dict[str, str] = {}

    def line(event: Mapping[str, Any]) -> str | None:
        if ending is not None:
            ending.hear(event)
        if "loss" in event:
            latest["loss"] = f"loss {event['loss']:.4f}"
        if "validation" not in event:
            return None
        latest["validation"] = f"validation {event['validation']['accuracy']:.2%}"
        return f"{title}: step {event['step']:,}, {', '.join(latest.values())}, {event['seconds']:.0f} s"

    if not (sys.stderr.isatty() and _first()):
        yield lambda event: None if (text := line(event)) is None else print(text, file=sys.stderr, flush=True)
        return
    from rich import progress as rich_progress
    from rich.console import Console

    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TextColumn("{task.fields[latest]}"),
        rich_progress.TimeElapsedColumn(),
        rich_progress.TimeRemainingColumn(),
    )
    with rich_progress.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=None, latest="")

        def show(event: Mapping[str, Any]) -> None:
            line(event)
            place = {"total": event["steps"]} if "steps" in event else {"completed": event["step"]}
            bar.update(task, latest=", ".join(latest.values()), **place)

        yield show


@contextmanager
def _counted(total: int | None, title: str) -> Iterator[Callable[[int], None] | None]:
    """A bar that counts examples, on a terminal only."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich import progress as rich_progress
    from rich.console import Console

    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TimeElapsedColumn(),
    )
    with rich_progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda examples: bar.advance(task, examples)
