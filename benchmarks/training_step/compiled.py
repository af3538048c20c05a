"""CPU time of compiled steps against the same steps without, turn by turn in one process."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import cast

import torch
from torch import nn

import lra_data
from benchmarks.training_step.parts import NAMES
from lra_data.loading.frameworks.torch_batches import TorchBatch
from reference_models import Classifier, TrainConfig, preset
from reference_models.devices import World
from reference_models.training.one_step import add_gradients, cross_entropy, on_all_ranks
from reference_models.training.splits import train_loader


@dataclass(frozen=True)
class Compiled:
    """Seconds: CPU of a step without compiling, of a compiled step, and wall time of the first compiled step."""

    eager: float
    compiled: float
    first: float


def compared(task: str, attention: str, steps: int) -> Compiled:
    """Medians over steps of the `mini` preset, forward, backward and clipping; the optimiser's is the same in both."""
    data = lra_data.load(NAMES[task], split="train[:4096]")
    pixels = None if data.task.picture_shape is None else data.task.max_length
    config = preset("mini", task=task, attention=attention, pixels=pixels)
    recipe = TrainConfig(steps=steps, batch_size=32, learning_rate=1e-3, clip_norm=1.0)
    world = World.joined("cpu")
    batches = cast("Iterator[TorchBatch]", iter(train_loader(config, recipe, data, world, num_workers=0, window=None)))
    losses, seconds, first = torch.zeros((), dtype=torch.float64), {False: [0.0], True: [0.0]}, 0.0
    models: dict[bool, tuple[Classifier, nn.Module]] = {}
    for compiled in seconds:
        torch.manual_seed(0)
        model = Classifier(config).train()
        models[compiled] = (model, on_all_ranks(model, world, compiled=compiled))
    for number in range(steps + 2):
        batch = next(batches)
        for compiled, (model, run) in models.items():
            model.on_step(number)
            model.zero_grad(set_to_none=True)
            began, wall = time.process_time(), time.perf_counter()
            add_gradients(run, model, batch, recipe, cross_entropy, size=recipe.batch_size, losses=losses)
            seconds[compiled].append(time.process_time() - began)
            if number == 0 and compiled:
                first = time.perf_counter() - wall
    return Compiled(median(seconds[False][3:]), median(seconds[True][3:]), first)
