"""Measures the statistics of standardised pooled vectors (`model/layers/standardise.py`) for the weights as they are.

Those that follow the training's steps lag behind while the rate is high, so that a model which has learned scores like
chance. So before each evaluation of a training they are measured with the model as it is in evaluations, on the first
batches of the training's own order: a function of weights, data and recipe, the same at any step and in any process.
Train rows alone are read. Known as "precise" statistics of batch normalisation: Wu and Johnson, "Rethinking 'Batch' in
BatchNorm", 2021, section 3.
"""

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from lra_data.loading.frameworks.torch_batches import TorchBatch
from reference_models.attention.operations import sum_over_ranks
from reference_models.devices import World
from reference_models.evaluation.scoring import logits_of
from reference_models.model.classifier import Classifier
from reference_models.model.layers.standardise import sums_of
from reference_models.model.train_config import TrainConfig
from reference_models.training.splits import train_loader

if TYPE_CHECKING:
    from lra_data.loading.dataset import Dataset

EXAMPLES = 1024


@torch.no_grad()
def calibrate(model: Classifier, recipe: TrainConfig, train: "Dataset", world: World, window: int | None) -> None:
    """Measure the statistics on at least EXAMPLES train examples, or do nothing for a model that has none.

    The model is on the rank's device. window: see `Dataset.batches`.
    """
    layer = model.standardise
    if layer is None:
        return
    loader = train_loader(model.config, recipe, train, world, num_workers=0, window=window)
    sums = torch.zeros(2 * model.config.dim + 1, dtype=torch.float64, device=world.device)

    def add(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        sums.add_(sums_of(cast(Tensor, inputs[0])))

    training = model.training
    model.eval()
    hook = layer.register_forward_pre_hook(add)
    try:
        for batch in islice(cast("Iterator[TorchBatch]", iter(loader)), -(-EXAMPLES // recipe.batch_size)):
            logits_of(model, batch, world.device, recipe.precision)
    finally:
        hook.remove()
        model.train(training)
    layer.take(sum_over_ranks(sums))
