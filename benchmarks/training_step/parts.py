"""The parts of a training step, by CPU time, and the matrix products that it makes, alone."""

import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

import lra_data
from lra_data.loading.frameworks.torch_batches import TorchBatch
from reference_models import Classifier, TrainConfig, preset
from reference_models.devices import World
from reference_models.training.one_step import add_gradients, cross_entropy
from reference_models.training.splits import train_loader

NAMES = {"listops": "listops/mini", "pathfinder": "pathfinder/32-easy"}
_PARTS = ("loader", "embedding", "attention", "feed-forward", "optimiser")
_aten = torch.ops.aten
# What a matrix product is: anything else of a step is not one.
_PRODUCTS = {
    _aten.mm.default, _aten.bmm.default, _aten.addmm.default, _aten.baddbmm.default, _aten.convolution.default,
    _aten.convolution_backward.default, _aten._scaled_dot_product_flash_attention_for_cpu.default,
    _aten._scaled_dot_product_flash_attention_for_cpu_backward.default,
}  # fmt: skip


@dataclass(frozen=True)
class Parts:
    """CPU seconds.

    step: of a whole step, the loader included.
    shares: of the loader, the embedding, the attention, the feed-forward layers, the optimiser, and the rest.
    products: of the step's matrix products alone.
    """

    step: float
    shares: tuple[float, ...]
    products: float


class Clock:
    """CPU seconds between the hooks of modules, forward and backward, by the name of a part."""

    def __init__(self, model: Classifier) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._began: dict[tuple[str, nn.Module], float] = {}
        for module in model.encoder.attentions:
            self._watch("attention", module)
        for module in model.encoder.feed_forwards:
            self._watch("feed-forward", module)
        # The embedding's backward pass has no end that a hook sees: it is in the rest.
        self._watch("embedding", model.encoder.embedding, backward=False)

    def _watch(self, part: str, module: nn.Module, *, backward: bool = True) -> None:
        def begin(*_: Any) -> None:
            self._began[part, module] = time.process_time()

        def end(*_: Any) -> None:
            self.seconds[part] += time.process_time() - self._began[part, module]

        module.register_forward_pre_hook(begin)
        module.register_forward_hook(end)
        if backward:
            module.register_full_backward_pre_hook(begin)
            module.register_full_backward_hook(end)


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes each product with its arguments, tensors by shape and stride."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in _PRODUCTS:
            self.calls.append((function, args, kwargs or {}))
        return function(*args, **(kwargs or {}))

    def again(self) -> float:
        """CPU seconds of all products on copies of their arguments, the median of five."""
        copied = [(function, *tree_map(_copy, (args, kwargs))) for function, args, kwargs in self.calls]
        self.calls.clear()

        def once() -> float:
            began = time.process_time()
            for function, args, kwargs in copied:
                function(*args, **kwargs)
            return time.process_time() - began

        once()
        return median(once() for _ in range(5))


def _copy(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else value


def measured(task: str, attention: str, steps: int) -> Parts:
    """The parts of a step of a model's `mini` preset, as means over `steps` steps after three others."""
    torch.manual_seed(0)
    config = preset("mini", task=task, attention=attention)
    recipe = TrainConfig(steps=steps, batch_size=32, learning_rate=1e-3, clip_norm=1.0)
    model = Classifier(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate)
    losses = torch.zeros((), dtype=torch.float64)
    train = lra_data.load(NAMES[task], split="train[:4096]")
    loader = train_loader(config, recipe, train, World.joined("cpu"), num_workers=0, window=None)
    batches = cast("Iterator[TorchBatch]", iter(loader))
    for number in range(3):
        _step(model, optimizer, recipe, next(batches), losses, number)
    with Recorder() as recorder:
        _step(model, optimizer, recipe, next(batches), losses, 3)
    products = recorder.again()
    seconds: defaultdict[str, float] = defaultdict(float)
    clock = Clock(model)
    for number in range(steps):
        began = time.process_time()
        batch = next(batches)
        seconds["loader"] += time.process_time() - began
        _step(model, optimizer, recipe, batch, losses, 4 + number, seconds)
        seconds["step"] += time.process_time() - began
    found = [{**clock.seconds, **seconds}[part] for part in _PARTS]
    shares = [part / seconds["step"] for part in (*found, seconds["step"] - sum(found))]
    return Parts(seconds["step"] / steps, tuple(shares), products)


def _step(
    model: Classifier,
    optimizer: torch.optim.Optimizer,
    recipe: TrainConfig,
    batch: TorchBatch,
    losses: Tensor,
    number: int,
    seconds: defaultdict[str, float] | None = None,
) -> None:
    model.on_step(number)
    optimizer.zero_grad(set_to_none=True)
    add_gradients(model, model, batch, recipe, cross_entropy, size=recipe.batch_size, losses=losses)
    began = time.process_time()
    optimizer.step()
    if seconds is not None:
        seconds["optimiser"] += time.process_time() - began
