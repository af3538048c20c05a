"""Trains a model: one process, or one a device under torchrun, with the same result up to rounding.

Everything is a function of the step: the learning rate, the order of examples (`Dataset.batches`), what attentions draw
(`Attention.on_step`), dropout (the generators are set from seed, step and rank before each step). So a checkpoint needs
no generator's state, and a training that was killed goes on to the same weights, bit for bit on a CPU.

The global batch is fixed: with N ranks and A micro-batches each takes batch_size / (N A) examples at a time, and the
gradient is that of the mean over all of them.

Ctrl-C, in `lra-zoo` also SIGTERM, ends a training with a state of its last whole step. A process alone writes it within
two seconds: the parameters change only in the optimiser's step, so that another thread may write them while this one
is deep in a slow forward or backward pass. Several ranks ask each other after each step, and save together.

    RUN/state.safetensors   while it runs: all there is to go on, replaced in one step, at least once a minute
    RUN/log.jsonl           a line every 50 steps, and one an evaluation
    RUN/model.safetensors   when it is done: the weights that were best on validation
    RUN/card.json           then: recipe, data, device, scores
"""

from pathlib import Path

from reference_models.devices import World
from reference_models.model.card import Card
from reference_models.model.checkpoint import CARD
from reference_models.model.config import ModelConfig
from reference_models.model.train_config import TrainConfig
from reference_models.training.loop import Training
from reference_models.training.result import finished_card
from reference_models.training.run_log import Report
from reference_models.training.splits import Splits

# Half of the minute that a kill may cost: a step, or a look at validation, may come between.
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
) -> Card:
    """Train a model in the folder `run`, or go on with what an earlier call left there; returns the card.

    num_workers: processes that make batches. window: see `Dataset.batches`. save_every: steps between two states, by
    default those between two evaluations; save_seconds: after so long also at other steps. report: is told what the log
    is told. preset: its name, for the card.

    KeyboardInterrupt leaves a state of the last whole step; but where one process of several raises it alone, or within
    the optimiser's step, it is the last state before.

    Raises UsageError for data that the model cannot read and for options with which a part of it can never learn,
    CheckpointError for a folder that holds another training, TrainingError for a loss that is not finite.
    """
    world = World.joined(device)
    training = Training(config, recipe, splits, run, world, report, num_workers=num_workers, window=window)
    if (run / CARD).exists():
        return finished_card(run, training.plan, world)
    training.go_on()
    try:
        with training.ends_in_order():
            training.loop(save_every or recipe.evaluate_every, save_seconds)
            return training.finish(preset)
    except KeyboardInterrupt:
        training.rescue()
        raise
