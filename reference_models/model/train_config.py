"""How a model is trained, in one frozen dataclass that checks itself. The named recipes are in `training/recipes.py`.

Not here: what changes speed only (device, worker processes), which `train` is told.
"""

import math
from dataclasses import dataclass
from typing import Literal

from lra_data import UsageError, checks

Schedule = Literal["inverse-sqrt", "cosine", "linear", "constant"]
Precision = Literal["float32", "bfloat16"]

# Where torch's OneCycleLR begins and ends, as shares of its peak.
_LINEAR_START, _LINEAR_END = 1 / 25, 1 / 250_000


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Steps of AdamW over batches in an order of its own.

    steps: optimiser steps; batch_size: examples of one, over all ranks and micro-batches. learning_rate, schedule,
    warmup: see `rate`. beta1, beta2, epsilon, weight_decay: of AdamW, for every parameter, as the release has it.
    clip_norm: greatest norm of the gradient, or None. accumulate: micro-batches a step. seed: of initial weights,
    order of examples and dropout. fresh: new examples in every epoch, of a generated task. evaluate_every: steps
    between two looks at validation; the weights that are kept are the best ones there. precision: of matrix products
    under autocast; weights are float32.
    """

    steps: int
    batch_size: int = 32
    learning_rate: float = 1e-3
    schedule: Schedule = "cosine"
    warmup: int = 0
    beta1: float = 0.9
    beta2: float = 0.98
    epsilon: float = 1e-9
    weight_decay: float = 0.1
    clip_norm: float | None = None
    accumulate: int = 1
    seed: int = 0
    fresh: bool = False
    evaluate_every: int = 500
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        for name, least in (
            ("steps", 1),
            ("batch_size", 1),
            ("warmup", 0),
            ("accumulate", 1),
            ("seed", 0),
            ("evaluate_every", 1),
        ):
            object.__setattr__(self, name, checks.whole_number(name, getattr(self, name), least))
        for name, known in (
            ("schedule", ("inverse-sqrt", "cosine", "linear", "constant")),
            ("precision", ("float32", "bfloat16")),
        ):
            if getattr(self, name) not in known:
                raise UsageError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        if not self.learning_rate > 0:
            raise UsageError(f"expected a learning_rate above 0, got {self.learning_rate!r}")
        if self.learning_rate == math.inf:
            raise UsageError(f"expected a finite learning_rate, got {self.learning_rate!r}")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} must be a share from 0 to below 1, got {getattr(self, name)!r}")
        for name in ("epsilon", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"{name} must be a number >= 0, got {getattr(self, name)!r}")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise UsageError(f"expected a clip_norm above 0 or none, got {self.clip_norm!r}")
        if self.batch_size % self.accumulate:
            raise UsageError(
                f"expected a batch_size that {self.accumulate} micro-batches divide, got {self.batch_size}"
            )

    def rate(self, step: int) -> float:
        """The learning rate of a step from 1 to `steps`: a function of it alone.

        inverse-sqrt: learning_rate · min(1, s / warmup) / sqrt(max(s, warmup)), the release's. The others climb in a
        straight line over `warmup` steps to learning_rate, and then stay, fall as half a cosine to 0, or fall in a
        straight line; "linear" begins and ends where torch's OneCycleLR does.
        """
        climbed = min(1.0, step / self.warmup) if self.warmup else 1.0
        if self.schedule == "inverse-sqrt":
            return self.learning_rate * climbed / math.sqrt(max(step, self.warmup, 1))
        done = max(0.0, (step - self.warmup) / max(1, self.steps - self.warmup))
        if self.schedule == "cosine":
            return self.learning_rate * climbed * (1 + math.cos(math.pi * done)) / 2
        if self.schedule == "linear":
            if step < self.warmup:
                # OneCycleLR is at its start in the first step, and at its peak in step `warmup`.
                climbed = (step - 1) / (self.warmup - 1)
                return self.learning_rate * (_LINEAR_START + (1 - _LINEAR_START) * climbed)
            return self.learning_rate * (1 - done * (1 - _LINEAR_END))
        return self.learning_rate * climbed
