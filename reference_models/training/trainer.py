"""Trains a model in one process, or under torchrun in one process per device, with the same result up to rounding.

Everything is a function of the step: the learning rate, the order of examples (`Dataset.batches`), the draws of
attentions (`Attention.on_step`), dropout (the generators are set from seed, step and rank before each step). So a state
needs no generator's state, and a training that was killed continues to the same weights, bit for bit on a CPU.

The global batch is fixed: with N ranks and A micro-batches, a rank takes batch_size / (N A) examples at a time, and the
gradient is that of the mean over the global batch.

Ctrl-C, in `lra-zoo` also SIGTERM, ends a training with a state of its last whole step. A single process writes it
within two seconds: the parameters change only in the optimiser's step, so that another thread can write them during a
slow forward or backward pass. Several ranks agree after each step whether to end, and save together.

    RUN/state.safetensors   during the training: its state, replaced atomically, at least once a minute
    RUN/log.jsonl           a line every 50 steps, and a line for each evaluation
    RUN/model.safetensors   at the end: the weights that were best on validation
    RUN/card.json           at the end: recipe, data, device, scores
"""

import copy
from pathlib import Path
from typing import cast

import torch

from lra_data.loading.frameworks.torch_batches import TorchBatch
from reference_models.devices import MOST_THREADS, World, fastest_threads
from reference_models.model.card import Card
from reference_models.model.checkpoint import CARD
from reference_models.model.config import ModelConfig
from reference_models.model.train_config import TrainConfig
from reference_models.pretraining.pretrained import Pretrained
from reference_models.training.loop import Training
from reference_models.training.one_step import add_gradients
from reference_models.training.result import finished_card
from reference_models.training.run_log import Report
from reference_models.training.splits import Splits, train_loader

# Half of the minute that a kill may cost, since a step or an evaluation may delay the saving.
SAVE_SECONDS = 30.0


def train(
    config: ModelConfig,
    recipe: TrainConfig,
    splits: Splits,
    run: Path,
    *,
    device: str = "auto",
    num_workers: int = 0,
    window: int | None = None,
    save_every: int | None = None,
    save_seconds: float = SAVE_SECONDS,
    report: Report | None = None,
    preset: str | None = None,
    start: Pretrained | None = None,
    choose_threads: bool = False,
) -> Card:
    """Train a model in the folder `run`, or continue an earlier call's training there; returns the card.

    num_workers: number of loader processes.
    window: see `Dataset.batches`.
    save_every: number of steps between two states; by default that between two evaluations.
    save_seconds: a state is also written when the last one is so many seconds old.
    report: called with each event of the log.
    preset: name of the preset, for the card.
    start: a pre-trained encoder to begin with.
    choose_threads: whether to measure with how many CPU threads a step is fastest, and use these from then on. A
        training that is continued has as many as before. Rounding depends on the number.

    KeyboardInterrupt leaves a state of the last whole step. If only one of several processes raises it, or it comes
    within the optimiser's step, the state is the one saved before.

    Raises UsageError for data that the model cannot read and for options with which a part of it can never learn,
    CheckpointError for a folder that holds another training, TrainingError for a loss that is not finite.
    """
    world = World.joined(device)
    training = Training(config, recipe, splits, run, world, report, num_workers=num_workers, window=window, start=start)
    if (run / CARD).exists():
        return finished_card(run, training.plan, world)
    training.go_on()
    if choose_threads:
        set_threads(training)
    try:
        with training.ends_in_order():
            training.loop(save_every or recipe.evaluate_every, save_seconds)
            return training.finish(preset)
    except KeyboardInterrupt:
        training.rescue()
        raise


def set_threads(training: Training) -> None:
    """Use as many CPU threads as the training's state did; for a new one, as many as are fastest, and report them."""
    if training.world.size > 1 or training.world.device.type != "cpu":
        return
    if training.threads is not None:
        torch.set_num_threads(training.threads)
        return
    if MOST_THREADS == 1:
        return
    model, recipe, splits = copy.deepcopy(training.model), training.recipe, training.splits
    world, window = training.world, training.window  # without a window, files of some formats cannot be shuffled
    loader = train_loader(training.config, recipe, splits.train, world, num_workers=0, window=window)
    batch = cast(TorchBatch, next(iter(loader)))
    model.on_step(0)
    seconds = fastest_threads(
        lambda: add_gradients(
            model, model, batch, recipe, training.loss_of, size=training.micro_batch, losses=torch.zeros(())
        )
    )
    if len(seconds) > 1:
        measured = ", ".join(f"{1000 * took:.0f} ms a step with {number}" for number, took in seconds.items())
        training.log.report({"phase": f"uses {torch.get_num_threads()} of {MOST_THREADS} threads: {measured}"})
