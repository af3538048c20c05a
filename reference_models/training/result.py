"""A training's plan, which identifies it, and its result: the model's card.

Not here: the loop (`loop.py`), the answers that complete a card (`runs.py`).
"""

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

import lra_data
from lra_data import LraDataError
from reference_models.attention.catalogue import source_digest
from reference_models.devices import World, device_name
from reference_models.evaluation.model_inputs import reading
from reference_models.evaluation.scoring import Evaluation
from reference_models.model.card import Card, CheckpointError, OfSplits, Score, Start, TrainingData, as_json
from reference_models.model.checkpoint import CARD, STATE, read_card
from reference_models.model.classifier import Classifier, count_parameters
from reference_models.model.config import ModelConfig
from reference_models.model.train_config import TrainConfig
from reference_models.pretraining.pretrained import Pretrained, Pretraining
from reference_models.strict_json import builtins
from reference_models.training.splits import Splits

Plan = Mapping[str, Mapping[str, Any]]


class TrainingError(LraDataError):
    """A training cannot continue."""


def plan_of(config: ModelConfig, recipe: TrainConfig, splits: Splits) -> Plan:
    """Everything that decides the result, as JSON values."""
    own = _of_file(source_digest(config.attention))
    return {"model": as_json(config), "recipe": as_json(recipe), "data": splits.identities, **own}


def _of_file(digest: str | None) -> dict[str, dict[str, Any]]:
    """The part of a plan for an attention from elsewhere, which its file decides."""
    return {} if digest is None else {"attention": {"sha256": digest}}


def check_plan(own: Plan, found: Plan, path: Path) -> None:
    """Raises CheckpointError if the plan found in a file is not the training's own."""
    for part in [*own, *(part for part in found if part not in own)]:
        entries, others = own.get(part, {}), found.get(part, {})
        for name in {**entries, **others}:
            value, other = entries.get(name), others.get(name)
            if other != value:
                raise CheckpointError(
                    f"{path}: expected a training with {part}.{name} = {value!r}, got one with {other!r}: "
                    "choose another folder"
                )


def finished_card(run: Path, plan: Plan, world: World) -> Card:
    """The card in a folder; raises CheckpointError if it is of a training with another plan."""
    card = read_card(run)
    identities = builtins(card.data.identities)
    own = _of_file(card.attention_sha256)
    if card.start is not None:
        own = {**own, "start": {"sha256": card.start.sha256}}
    found = {"model": as_json(card.model), "recipe": as_json(card.recipe), "data": identities, **own}
    check_plan(plan, found, run / CARD)
    if world.rank == 0:
        (run / STATE).unlink(missing_ok=True)  # left by a run that was killed after it wrote the card
    return card


def _start_of(record: Pretraining) -> Start:
    return Start(sha256=record.sha256, steps=record.recipe.steps, ratio=record.ratio)


def new_card(
    model: Classifier,
    recipe: TrainConfig,
    splits: Splits,
    world: World,
    *,
    best: Mapping[str, Any],
    test: Evaluation,
    seconds: float,
    preset: str | None,
    start: Pretrained | None,
) -> Card:
    """The card of a finished training, without the weights' digest, which `save_model` adds.

    best: step of the kept weights, and their score on validation.
    test: score of the kept weights on test.
    seconds: wall time of the whole training.
    start: the encoder that the training began with, if it was pre-trained.
    """
    task, config = splits.train.task, model.config
    return Card(
        attention=config.attention,
        task=task.name,
        parameters=count_parameters(model),
        recipe=recipe,
        selected_step=best["step"],
        validation=Score(**best["validation"]),
        test=Score(**test.record()),
        data=TrainingData(
            version=task.version,
            config=task.identity(),
            seed=splits.train.rows.seed,
            identities=OfSplits(**splits.identities),
            examples=OfSplits(train=len(splits.train), validation=len(splits.validation), test=len(splits.test)),
            cut_to=reading(config, splits.train)["max_length"],
        ),
        device=device_name(world.device),
        processes=world.size,
        threads=torch.get_num_threads(),
        wall_seconds=round(seconds, 1),
        date=datetime.now(UTC).date().isoformat(),
        torch=str(torch.__version__),  # a class of its own, which is not JSON
        python=platform.python_version(),
        lra_data=lra_data.__version__,
        preset=preset,
        attention_sha256=source_digest(config.attention),
        start=None if start is None else _start_of(start.record),
        model=config,
        sha256="",
    )


def finite(score: Evaluation, where: str) -> Evaluation:
    """The score; raises TrainingError if its loss is not finite."""
    if not score.loss < float("inf"):  # also for NaN
        raise TrainingError(
            f"expected a finite loss on {where}, got {score.loss}: lower the learning rate or set clip_norm"
        )
    return score
