"""Options that several commands of `lra-zoo` share, and the objects made from them."""

import json
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reference_models.commands import names

if TYPE_CHECKING:
    from reference_models.model.card import Card
    from reference_models.training.runs import Machine, Source

Decorated = Callable[..., Any]


def dataset_options(command: Decorated) -> Decorated:
    """Options that say where a dataset comes from."""
    for option in reversed(
        [
            click.option(
                "--root",
                metavar="ROOT",
                help="Folder or address of built sets. Default: generate on the fly.",
            ),
            click.option(
                "--data-seed",
                type=int,
                default=0,
                show_default=True,
                help="Seed of the generated set; a built set must have the same seed.",
            ),
            click.option("--corpus", metavar="PATH", help="Archive or folder of the corpus of a converted task."),
            click.option("--pairs", metavar="DIR", help="Folder of Retrieval's id lists. Default: pairs are drawn."),
            click.option("--allow-partial", is_flag=True, help="Accept an incomplete corpus."),
        ]
    ):
        command = option(command)
    return command


def attention_option(command: Decorated) -> Decorated:
    """`--attention`: the user's own models, by file or module. `load_attentions` makes them known."""
    option = click.option(
        "--attention",
        "attentions",
        metavar="FILE.py:CLASS",
        multiple=True,
        help="Your own attention, as FILE.py:CLASS or PACKAGE.MODULE:CLASS; its name is CLASS. Repeatable.",
    )
    decorated: Decorated = option(command)
    return decorated


def load_attentions(places: Sequence[str]) -> list[str]:
    """Import the attentions that `--attention` names, and return their names."""
    if not places:
        return []
    from reference_models.attention.registration import load

    return [load(place) for place in places]


def machine_options(command: Decorated) -> Decorated:
    """Options that change speed, not results."""
    for option in reversed(
        [
            click.option("--device", default="auto", show_default=True, help="Device: auto, cpu, cuda or cuda:N."),
            click.option(
                "--threads",
                type=click.IntRange(1),
                help="Number of CPU threads. Default: torch's own choice; in trainings, the fastest one measured.",
            ),
            click.option(
                "--workers",
                type=click.IntRange(0),
                default=0,
                show_default=True,
                help="Number of loader processes; 0 loads in the main process.",
            ),
        ]
    ):
        command = option(command)
    return command


def recipe_options(command: Decorated) -> Decorated:
    """Options that change the preset's recipe."""
    for option in reversed(
        [
            click.option(
                "--preset",
                type=names.PRESET,
                default="mini",
                show_default=True,
                help="Preset: lra-paper, lra-release, xiong, mini, mini-pixels, mini-bytes or published.",
            ),
            click.option("--steps", type=int, help="Number of optimiser steps."),
            click.option("--batch-size", type=int, help="Number of examples per step, over all processes."),
            click.option("--learning-rate", type=float, help="Learning rate at the peak of the schedule."),
            click.option("--schedule", help="Schedule of the learning rate: inverse-sqrt, cosine, linear or constant."),
            click.option("--warmup", type=int, help="Number of steps until the learning rate is at its peak."),
            click.option("--weight-decay", type=float, help="Weight decay of AdamW."),
            click.option("--beta1", type=float, help="Beta 1 of AdamW."),
            click.option("--beta2", type=float, help="Beta 2 of AdamW."),
            click.option("--epsilon", type=float, help="Epsilon of AdamW."),
            click.option("--clip-norm", metavar="NORM|none", help="Maximum norm of the gradient, or none."),
            click.option("--accumulate", type=int, help="Number of micro-batches per step; more need less memory."),
            click.option("--seed", type=int, help="Seed of initial weights, order of examples and dropout."),
            click.option(
                "--easier",
                metavar="NAME=VALUE,…",
                multiple=True,
                default=None,
                help="Fields of the task's configuration that differ in the first steps; repeated, rung after rung.",
            ),
            click.option("--easier-steps", type=int, help="Number of these steps."),
            click.option("--fresh/--no-fresh", default=None, help="New examples in every epoch."),
            click.option("--evaluate-every", type=int, help="Number of steps between two evaluations on validation."),
            click.option("--precision", help="Precision of matrix products: float32 or bfloat16."),
            click.option(
                "--compile/--no-compile",
                default=None,
                help="Compile the steps by torch.compile, which takes some seconds and a C++ compiler.",
            ),
            click.option(
                "--out",
                type=click.Path(path_type=Path),
                default="runs",
                show_default=True,
                help="Folder for the results.",
            ),
            click.option("--save-every", type=click.IntRange(1), help="Number of steps between two saved states."),
            click.option("--window", type=int, help="Size of the shuffle window in rows (docs/loading.md)."),
        ]
    ):
        command = option(command)
    return command


def dataset_source(target: str, options: Mapping[str, Any]) -> "Source":
    """The dataset that the options of `dataset_options` name."""
    from lra_data.corpus import corpus_from_options
    from reference_models.training.runs import Source

    corpus = corpus_from_options(options["corpus"], options["pairs"], options["allow_partial"])
    return Source(target=target, root=options["root"], seed=options["data_seed"], corpus=corpus)


def typed_command() -> str:
    """The command that runs, as a shell takes it."""
    return shlex.join(["lra-zoo", *sys.argv[1:]])


def finished_cards(folders: Sequence[Path]) -> list["Card"]:
    """The cards of the finished models in folders; those that are not finished are named on stderr."""
    from reference_models.results.rows import read_cards
    from reference_models.training.unfinished import unfinished

    left = unfinished(folders)
    for folder, far in left.items():
        click.echo(f"left out {folder}, which is not finished ({far}): run its training again", err=True)
    return read_cards(folders, left)


def names_of(words: str | None) -> list[str] | None:
    """The names in a text with commas; None, which means all, for None."""
    from lra_data import UsageError

    if words is None:
        return None
    names = [word.strip() for word in words.split(",")]
    if not all(names):
        raise UsageError(f"--models must be names such as linear,local, got {words!r}")
    return names


def recipe_changes(options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the recipe that the command line sets."""
    from lra_data import UsageError
    from reference_models.model.train_config import TrainConfig

    given = {field.name: options[field.name] for field in fields(TrainConfig) if options[field.name] is not None}
    if given.pop("easier", None):
        given["easier"] = tuple(map(_named_values, options["easier"]))
    elif given.get("easier_steps") == 0:
        given["easier"] = None
    if "clip_norm" in given:
        text = given["clip_norm"]
        try:
            given["clip_norm"] = None if text == "none" else float(text)
        except ValueError:
            raise UsageError(f"--clip-norm must be a number or none, got {text!r}") from None
    return given


def _named_values(text: str) -> dict[str, Any]:
    """The names and the values in NAME=VALUE,NAME=VALUE; a value that is no JSON is a text."""
    from lra_data import UsageError

    found: dict[str, Any] = {}
    for part in re.split(r",(?=\s*\w+=)", text):
        name, equals, value = part.strip().partition("=")
        if not name or not equals:
            raise UsageError(f"--easier must be NAME=VALUE such as contour_length=2, got {text!r}")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def machine_arguments(options: Mapping[str, Any]) -> "Machine":
    """The arguments of `training.runs.run` for device, threads, loader and saving."""
    return {
        "device": options["device"],
        "num_workers": options["workers"],
        "window": options["window"],
        "save_every": options["save_every"],
        "choose_threads": options["threads"] is None,
    }


def set_threads(threads: int | None) -> None:
    """Set how many CPU threads torch uses; None leaves torch's own choice."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
