"""Trainings as users name them, by task, model and preset, one at a time or a list that runs unattended.

    OUT/listops/mini/linear/     model.safetensors, card.json, log.jsonl

A finished training is left as it is; an interrupted one continues; one that another process is running is an error, and
a list then continues with the next. A card is complete when it also has the model's answers (`fingerprint.py`) and the
accuracies of the trivial predictors.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

import torch
from filelock import Timeout
from msgspec.structs import replace as changed

import lra_data
from lra_data import Corpus, UsageError, locking, paths
from lra_data.loading.dataset import Dataset
from reference_models.attention.catalogue import attention_names
from reference_models.devices import chosen_device
from reference_models.drift.fingerprint import FRESH_EXAMPLES, FRESH_SEEDS_ON, record
from reference_models.model.card import Card
from reference_models.model.checkpoint import load_model, write_card
from reference_models.model.config import Head, ModelConfig
from reference_models.model.presets import preset
from reference_models.model.train_config import TrainConfig
from reference_models.pretraining.pretrained import Pretraining, read_pretrained
from reference_models.training.pretraining import RATIOS, pretrain
from reference_models.training.recipes import recipe_for, with_changes
from reference_models.training.run_log import Report
from reference_models.training.splits import Splits
from reference_models.training.trainer import train


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a dataset comes from.

    target: a task's name, or the folder or address of a built set.
    root, seed, corpus: as in `lra_data.load`.
    """

    target: str
    root: str | None = None
    seed: int = 0
    corpus: Corpus | None = None

    def open(self, split: str) -> Dataset:
        """A split, or a slice of one."""
        return lra_data.load(self.target, split=split, root=self.root, seed=self.seed, corpus=self.corpus)

    def open_other(self, split: str, seed: int) -> Dataset:
        """A split of the same generated task under another seed, generated on the fly."""
        return lra_data.load(self.open("test").task, split=split, seed=seed)


class Machine(TypedDict, total=False):
    """Arguments of `train` that hardly change results, if they do at all."""

    device: str
    num_workers: int
    window: int | None
    save_every: int | None
    choose_threads: bool


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A training before it is run.

    source: dataset to train on.
    attention: name of the X-former.
    preset: name in `presets.py` and `recipes.py`.
    head: head for Retrieval; None is the preset's.
    changes: fields of the recipe that differ from the preset's.
    start: folder of the pre-trained encoder to begin with; None for drawn weights.
    """

    source: Source
    attention: str
    preset: str = "mini"
    head: Head | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    start: Path | None = None

    def configs(self, data: Dataset) -> tuple[ModelConfig, TrainConfig]:
        """The model and the recipe for a split's task."""
        family, pixels = data.task.family, None if data.task.picture_shape is None else data.task.max_length
        model = preset(self.preset, task=family, attention=self.attention, pixels=pixels)
        if self.head is not None:
            model = replace(model, head=self.head)
        usual = recipe_for(self.preset, data.task, self.attention)
        training = with_changes(usual, self.changes, generated=not data.task.converted)
        return replace(model, seed=training.seed), training


def run(
    experiment: Experiment,
    out: Path,
    *,
    report: Report | None = None,
    **machine: Unpack[Machine],
) -> tuple[Path, Card]:
    """Train, and complete the card; returns the folder and the card.

    report: called with {"steps": N, "folder": PATH}, then with each event of `train`, and with a last phase before the
        model's answers are recorded, which takes as long as an evaluation of some 40,000 examples.

    Raises UsageError if another process is running this training, and the errors of `train`.
    """
    root = paths.local_path(out, "a folder for trained models")
    source = experiment.source
    splits = Splits(train=source.open("train"), validation=source.open("validation"), test=source.open("test"))
    task = splits.train.task
    model_config, recipe_config = experiment.configs(splits.train)
    folder = root / task.family / task.variant / experiment.attention
    if report is not None:
        report({"steps": recipe_config.steps, "folder": str(folder)})
    with alone_in(folder) as first:
        card = train(
            model_config,
            recipe_config,
            splits,
            folder,
            report=report,
            **machine,
            preset=experiment.preset,
            start=None if experiment.start is None else read_pretrained(experiment.start),
        )
        if first and card.recorded is None:
            if report is not None:
                report({"phase": "records the model's answers on the first rows"})
            card = complete_card(folder, splits, source, machine.get("device", "auto"))
    return folder, card


def run_pretraining(
    experiment: Experiment,
    out: Path,
    *,
    ratio: float | None = None,
    report: Report | None = None,
    **machine: Unpack[Machine],
) -> tuple[Path, Pretraining]:
    """Pre-train an encoder; returns the folder and the record.

    ratio: share of hidden vectors; None for that of Amos et al. 2023 for the task.

    Raises UsageError if another process is running this pre-training, and the errors of `pretrain`.
    """
    root = paths.local_path(out, "a folder for pre-trained encoders")
    train, validation = experiment.source.open("train"), experiment.source.open("validation")
    model_config, recipe_config = experiment.configs(train)
    if "easier" not in experiment.changes:  # the encoder is to know the set's own rows
        recipe_config = replace(recipe_config, easier=None, easier_steps=0)
    folder = root / train.task.family / train.task.variant / f"{experiment.attention}-pretrained"
    if report is not None:
        report({"steps": recipe_config.steps, "folder": str(folder)})
    with alone_in(folder):
        record = pretrain(
            model_config,
            recipe_config,
            train,
            validation,
            folder,
            ratio=RATIOS[train.task.family] if ratio is None else ratio,
            report=report,
            **machine,
        )
    return folder, record


@contextmanager
def alone_in(folder: Path) -> Iterator[bool]:
    """A block in which no other command trains in the folder, which is made; the value is whether this is rank 0.

    Raises UsageError if one does.
    """
    first = os.environ.get("RANK", "0") == "0"
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if first:  # the file stays: another process may be waiting for it
                lock = folder.with_name(f".{folder.name}.lock")
                stack.enter_context(locking.locked_file(lock, wait=False))
        except Timeout:
            raise UsageError(
                f"{folder}: another process trains this model now: choose another --out, or wait"
            ) from None
        except OSError as error:
            raise paths.write_failure(folder, error) from error
        yield first


def complete_card(folder: Path, splits: Splits, source: Source, device: str) -> Card:
    """Add to a card the model's answers on recorded rows, and the trivial predictors' accuracies."""
    model, card = load_model(folder)
    fresh = None
    if not splits.train.task.converted:
        fresh = source.open_other(f"train[:{FRESH_EXAMPLES}]", splits.train.rows.seed + FRESH_SEEDS_ON)
    recorded, on_fresh = record(model.to(chosen_device(device)), source.open, fresh)
    trivial = {name: score["accuracy"] for name, score in lra_data.trivial_predictors(splits.train).items()}
    complete = changed(card, recorded=recorded, fresh=on_fresh, trivial=trivial)
    write_card(folder, complete)
    return complete


def expand(pairs: Sequence[str]) -> list[tuple[str, str]]:
    """(task, model) pairs from texts such as "listops/mini:linear"; "listops/mini:all" means all models."""
    found = []
    for word in pairs:
        task, colon, model = word.rpartition(":")
        if not colon or not task or not model:
            raise UsageError(f"expected TASK:MODEL such as listops/mini:linear or listops/mini:all, got {word!r}")
        found += [(task, name) for name in (attention_names() if model == "all" else [model])]
    return found


def run_all(
    experiments: Sequence[Experiment],
    out: Path,
    shown: Callable[[Experiment], AbstractContextManager[Report]],
    **machine: Unpack[Machine],
) -> Iterator[tuple[Experiment, str, bool]]:
    """Run trainings one after another; one that fails does not stop the others.

    Yields each experiment with a text that says how it ended, and whether it failed.

    shown: gives a context whose value is the `report` of an experiment's `run`.
    machine: further arguments of `run`.
    """
    for experiment in experiments:
        try:
            with shown(experiment) as report:
                _, card = run(experiment, out, report=report, **machine)
        except (lra_data.LraDataError, torch.OutOfMemoryError) as error:
            if int(os.environ.get("WORLD_SIZE", "1")) > 1:
                raise  # the other ranks are still in this training, and must not start the next one
            yield experiment, f"failed: {error}", True
        else:
            yield experiment, f"test accuracy {card.test.accuracy:.2%}", False
