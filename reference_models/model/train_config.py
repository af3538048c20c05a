"""The configuration of a training: one frozen dataclass that checks itself. Recipes are in `training/recipes.py`.

Not here: options that change speed only (device, worker processes, threads), which are arguments of `train`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lra_data import UsageError, checks
from reference_models.strict_json import ADDED

Schedule = Literal["inverse-sqrt", "cosine", "linear", "constant"]
Precision = Literal["float32", "bfloat16"]

# The first and last rate of torch's OneCycleLR, as shares of its peak.
_LINEAR_START, _LINEAR_END = 1 / 25, 1 / 250_000


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Steps of AdamW over batches in a seeded order.

    steps: number of optimiser steps.
    batch_size: number of examples per step, over all ranks and micro-batches.
    learning_rate, schedule, warmup: see `rate`.
    beta1, beta2, epsilon, weight_decay: of AdamW, for every parameter, as in the release.
    clip_norm: greatest norm of the gradient; None for no limit.
    accumulate: number of micro-batches per step.
    seed: of initial weights, order of examples and dropout.
    fresh: whether every epoch has new examples; for generated tasks.
    evaluate_every: number of steps between two evaluations on validation; the weights that score best there are kept.
    precision: dtype of matrix products under autocast; weights are float32.
    easier, easier_steps: fields of a generated task's configuration that differ in the first steps, and how many steps;
        a model that finds no beginning in long contours may find one in short ones. Several such mappings are rungs,
        which share these steps evenly.
    compile: whether steps run as `torch.compile` makes them, which rounds and draws dropout otherwise; evaluations do
        not.
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
    easier: Mapping[str, Any] | tuple[Mapping[str, Any], ...] | None = field(default=None, metadata=ADDED)
    easier_steps: int = field(default=0, metadata=ADDED)
    compile: bool = field(default=False, metadata=ADDED)

    def __post_init__(self) -> None:
        for name, least in (
            ("steps", 1),
            ("batch_size", 1),
            ("warmup", 0),
            ("accumulate", 1),
            ("seed", 0),
            ("evaluate_every", 1),
            ("easier_steps", 0),
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
        if not isinstance(self.easier, Mapping | None):
            rungs = tuple(self.easier)
            object.__setattr__(self, "easier", rungs[0] if len(rungs) == 1 else rungs)
        least = len(self.rungs)
        if not least <= self.easier_steps <= (self.steps if least else 0) or not all(self.rungs):
            raise UsageError(
                f"expected fields of a configuration and {max(1, least)} to {self.steps} easier_steps, or neither, got "
                f"{self.easier or {}} and {self.easier_steps}"
            )
        if self.batch_size % self.accumulate:
            raise UsageError(
                f"expected a batch_size that {self.accumulate} micro-batches divide, got {self.batch_size}"
            )

    @property
    def rungs(self) -> tuple[Mapping[str, Any], ...]:
        """The mappings in `easier`, in order; none without easier rows."""
        if self.easier is None:
            return ()
        return (self.easier,) if isinstance(self.easier, Mapping) else self.easier

    def rate(self, step: int) -> float:
        """The learning rate of a step, 1 to `steps`: a function of the step alone.

        "inverse-sqrt" is the release's: learning_rate · min(1, s / warmup) / sqrt(max(s, warmup)). The others rise
        linearly over `warmup` steps to learning_rate. Then "constant" stays, "cosine" falls as half a cosine to 0, and
        "linear" falls linearly; both after the easier steps. "linear" begins and ends at the rates of torch's
        OneCycleLR.
        """
        climbed = min(1.0, step / self.warmup) if self.warmup else 1.0
        if self.schedule == "inverse-sqrt":
            return self.learning_rate * climbed / math.sqrt(max(step, self.warmup, 1))
        start = max(self.warmup, self.easier_steps)
        done = max(0.0, (step - start) / max(1, self.steps - start))
        if self.schedule == "cosine":
            return self.learning_rate * climbed * (1 + math.cos(math.pi * done)) / 2
        if self.schedule == "linear":
            if step < self.warmup:
                # OneCycleLR has its first rate in step 1, and its peak in step `warmup`.
                climbed = (step - 1) / (self.warmup - 1)
                return self.learning_rate * (_LINEAR_START + (1 - _LINEAR_START) * climbed)
            return self.learning_rate * (1 - done * (1 - _LINEAR_END))
        return self.learning_rate * climbed
