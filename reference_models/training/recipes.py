"""How a model is trained: numbers that decide the result, in one frozen dataclass, and those of each preset and task.

Sources, beside those of `presets.py`: the release's `lra_benchmarks/utils/train_utils.py` for its schedule and
optimiser; `LRA/code/lra_config.py` of mlpen/Nystromformer for `xiong`. `mini` is ours.

Not here: what changes speed only (device, worker processes), which `train` is told.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

from lra_data import UsageError, checks
from reference_models.model.presets import PRESETS, TASKS

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
                raise UsageError(f"expected as {name} one of {', '.join(known)}, got {getattr(self, name)!r}")
        if not self.learning_rate > 0:
            raise UsageError(f"expected a learning_rate above 0, got {self.learning_rate!r}")
        if self.learning_rate == math.inf:
            raise UsageError(f"expected a finite learning_rate, got {self.learning_rate!r}")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"expected as {name} a share from 0 to below 1, got {getattr(self, name)!r}")
        for name in ("epsilon", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"expected as {name} a number from 0 on, got {getattr(self, name)!r}")
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


_RELEASE: dict[str, dict[str, Any]] = {
    "listops": {"steps": 5000, "learning_rate": 0.05, "schedule": "inverse-sqrt", "warmup": 1000},
    "text": {"steps": 20_000, "learning_rate": 0.05, "schedule": "inverse-sqrt", "warmup": 8000},
    "retrieval": {"steps": 5000, "learning_rate": 0.05, "schedule": "inverse-sqrt", "warmup": 8000},
    "image": {"steps": 35_000, "batch_size": 256, "learning_rate": 5e-4, "warmup": 175, "weight_decay": 0.0},
    "pathfinder": {"steps": 62_400, "batch_size": 512, "learning_rate": 1e-3, "warmup": 312},
}

# The appendix gives other rates for three tasks, and no warm-up; that is the release's.
_PAPER_RATES = {"retrieval": 0.5, "image": 0.01, "pathfinder": 0.01}

# Its schedule, OneCycleLR, also moves beta1 between 0.85 and 0.95; here it stays.
_XIONG: dict[str, dict[str, Any]] = {
    "listops": {"steps": 5000, "warmup": 1000, "evaluate_every": 50},
    "text": {"steps": 20_000, "warmup": 8000},
    "retrieval": {"steps": 30_000, "warmup": 800, "evaluate_every": 300},
    "image": {"steps": 35_000, "warmup": 175, "batch_size": 256, "evaluate_every": 175},
    "pathfinder": {"steps": 62_400, "warmup": 312, "batch_size": 256, "evaluate_every": 312},
}
_XIONG_ALL: dict[str, Any] = {
    "learning_rate": 1e-4,
    "schedule": "linear",
    "beta2": 0.999,
    "epsilon": 1e-6,
    "weight_decay": 0.0,
}

# Their 1,024 tokens take the Transformer more than a second a step on one core, a look at validation four minutes.
_MINI_PICTURES: dict[str, dict[str, Any]] = {
    "image": {"steps": 4000, "learning_rate": 5e-4},
    "pathfinder": {"steps": 1500, "learning_rate": 5e-4, "evaluate_every": 750},
}


def recipe(name: str, *, task: str) -> TrainConfig:
    """A preset's recipe for a task (a family of `lra_data`); raises UsageError for unknown names."""
    for what, given, known in (("preset", name, PRESETS), ("task", task, TASKS)):
        if given not in known:
            raise UsageError(f"unknown {what} {given!r}; known: {', '.join(known)}")
    if name == "mini":
        settings = _MINI_PICTURES.get(task, {"steps": 4000, "learning_rate": 2e-3})
        return TrainConfig(**settings, warmup=200, clip_norm=1.0, weight_decay=0.01, beta2=0.99)
    if name == "xiong":
        return TrainConfig(**_XIONG_ALL, **_XIONG[task])
    settings = dict(_RELEASE[task])
    if name == "lra-paper":
        settings["learning_rate"] = _PAPER_RATES.get(task, settings["learning_rate"])
    return TrainConfig(**settings)
