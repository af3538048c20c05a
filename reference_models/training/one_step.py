"""The gradients of one step: over the ranks that train together, and over a step's micro-batches."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from lra_data import UsageError
from lra_data.loading.frameworks.torch_batches import TorchBatch
from reference_models.devices import World
from reference_models.model.classifier import WithEncoder
from reference_models.model.train_config import TrainConfig


def on_all_ranks(model: WithEncoder, world: World, *, compiled: bool) -> nn.Module:
    """The model itself for one rank; for several, a model whose gradients are the mean over the ranks.

    compiled: whether its forward and backward passes are compiled when they first run.
    """
    steps = cast(nn.Module, torch.compile(model)) if compiled else model
    if world.size == 1:
        return steps
    with warnings.catch_warnings():
        # Newer torch has another name for the option, which torch 2.4 does not know.
        warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
        return DistributedDataParallel(
            steps,
            device_ids=[world.device] if world.device.type == "cuda" else None,
            broadcast_buffers=False,  # attentions themselves reduce the buffers that they learn
        )


@contextmanager
def compile_errors() -> Iterator[None]:
    """A block whose errors of torch.compile are UsageErrors of one line."""
    try:
        yield
    except RuntimeError as error:
        if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        raise UsageError(
            f"expected steps that torch.compile can compile, got {str(error).splitlines()[0]}: install a C++ compiler "
            "(Triton for a GPU), or train without --compile"
        ) from error


def cross_entropy(model: nn.Module, batch: TorchBatch) -> Tensor:
    """The mean cross entropy of a classifier's logits."""
    return functional.cross_entropy(model(batch.inputs, batch.lengths), batch.labels)


def add_gradients(
    model: nn.Module,
    own: WithEncoder,
    batch: TorchBatch,
    recipe: TrainConfig,
    loss_of: Callable[[nn.Module, TorchBatch], Tensor],
    *,
    size: int,
    losses: Tensor,
) -> None:
    """Give the parameters the gradient of the mean loss over a rank's batch, clipped to the recipe's norm.

    model: `on_all_ranks(own, …)`.
    loss_of: the mean loss of a model on a micro-batch.
    size: number of examples in a micro-batch.
    losses: the mean loss is added to it in place.
    """
    for number in range(recipe.accumulate):
        rows = slice(number * size, (number + 1) * size)
        if isinstance(model, DistributedDataParallel):
            model.require_backward_grad_sync = number == recipe.accumulate - 1
        with torch.autocast(losses.device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
            loss = loss_of(model, type(batch)(*(tensor[rows] for tensor in batch)))
        losses += loss.detach() / recipe.accumulate
        auxiliary = own.auxiliary_loss()
        total = loss if auxiliary is None else loss + auxiliary
        (total / recipe.accumulate).backward()  # type: ignore[no-untyped-call]
    if recipe.clip_norm is not None:
        nn.utils.clip_grad_norm_(own.parameters(), recipe.clip_norm)


def seed_of_step(seed: int, step: int, rank: int) -> int:
    """The seed of the random generators: different in each step and rank."""
    return ((seed * 1_000_003 + step) * 1_000_003 + rank) % 2**63
