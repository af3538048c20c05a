"""The state of a training on disk: one safetensors file with all there is to go on from a step.

    model/NAME  best/NAME  optimizer/NUMBER/NAME  losses      and in the metadata a record: plan, step, best, loader

Not here: when a state is written, and what is done with one (`trainer.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reference_models.model.card import CheckpointError
from reference_models.model.checkpoint import load_weights, read_tensors, tensors_bytes, write_whole
from reference_models.model.classifier import Classifier


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What a training is after a step, but for the parameters and the optimiser, which change only in the next step.

    due: the step's line of the log and its look at validation are still to come. losses: the sum since the last line of
    the log. buffers: those of the model, as the step left them; a forward pass may change them.
    """

    step: int
    due: bool
    seconds: float
    losses: Tensor
    best: Mapping[str, Any]
    best_weights: Mapping[str, Tensor]
    buffers: Mapping[str, Tensor]
    loader: Mapping[str, Any]


def kept_buffers(model: nn.Module) -> dict[str, Tensor]:
    """Copies of the buffers that belong to a model's state."""
    kept = set(model.state_dict(keep_vars=True))
    return {name: buffer.clone() for name, buffer in model.named_buffers() if name in kept}


def write_state(
    path: Path, moment: Moment, model: nn.Module, optimizer: torch.optim.Optimizer, plan: Mapping[str, Any]
) -> None:
    """Replace the file by the state at a moment; the parameters and the optimiser must be those of the moment."""
    tensors = {f"model/{name}": tensor for name, tensor in {**model.state_dict(), **moment.buffers}.items()}
    tensors |= {f"best/{name}": tensor for name, tensor in moment.best_weights.items()}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{number}/{name}": tensor for name, tensor in state.items()}
    tensors["losses"] = moment.losses
    record = {
        "plan": plan,
        "step": moment.step,
        "due": moment.due,
        "seconds": moment.seconds,
        "best": moment.best,
        "loader": moment.loader,
    }
    write_whole(path, tensors_bytes(tensors, record))


def saved_step(path: Path) -> int | None:
    """The step of a state, None without a readable one."""
    try:
        return int(read_tensors(path, names=())[1]["step"])
    except (CheckpointError, KeyError, TypeError, ValueError):
        return None


def load_state(
    path: Path, tensors: Mapping[str, Tensor], model: Classifier, optimizer: torch.optim.Optimizer
) -> dict[str, Tensor]:
    """Put the tensors of a state into a model and its optimiser; returns the best weights so far."""
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "optimizer": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition("/")
        if part in parts:
            parts[part][rest] = tensor
    load_weights(model, parts["model"], path)
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in parts["optimizer"].items():
        number, _, what = name.partition("/")
        moments.setdefault(int(number), {})[what] = tensor
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    return parts["best"]
