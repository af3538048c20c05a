"""The state of a training on disk: one safetensors file, from which the training continues after a step.

    model/NAME  best/NAME  optimizer/NUMBER/NAME  losses      and in the metadata a record: plan, step, best, loader

Not here: when a state is written, and how a training uses one (`loop.py`).
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reference_models.model.card import CheckpointError
from reference_models.model.checkpoint import load_weights, read_tensors, tensors_bytes, write_whole
from reference_models.strict_json import Record, RecordError, converted


class StateRecord(Record, frozen=True, kw_only=True):
    """The numbers of a state. plan: what identifies the training (`result.py`). The other entries are as in `Moment`.

    threads: number of CPU threads, on which rounding depends. A state of the first release has none, and no `due`: it
    was written only when no log line or evaluation was due.
    """

    plan: dict[str, dict[str, Any]]
    step: int
    due: bool = False
    seconds: float
    best: dict[str, Any]
    loader: dict[str, Any]
    threads: int | None = None


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A training after a step, without the parameters and the optimiser, which change only in the next step.

    due: whether the step's log line and evaluation on validation are still to come.
    losses: sum of the losses since the last line of the log.
    buffers: the model's buffers as the step left them; a forward pass may change them.
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


class StateKeeper:
    """Writes the state of the last whole step, from any thread.

    Parameters, optimiser and moment change together, under a lock. moment: None while they change, and before the first
    step.
    """

    def __init__(
        self, path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, plan: Mapping[str, Mapping[str, Any]]
    ) -> None:
        self.path, self.model, self.optimizer, self.plan = path, model, optimizer, plan
        self.moment: Moment | None = None
        self._lock = threading.Lock()

    @contextmanager
    def changing(self, now: Callable[[], Moment]) -> Iterator[None]:
        """A block in which parameters and optimiser change. now: called at the end of the block for their moment."""
        with self._lock:
            self.moment = None
            yield
            self.moment = now()

    def keep(self, moment: Moment) -> None:
        """Replace the moment with one that has the same parameters and optimiser."""
        with self._lock:
            self.moment = moment

    def save(self, moment: Moment) -> None:
        """Keep a moment, and write its state."""
        with self._lock:
            self.moment = moment
            self._write(moment)

    def rescue(self) -> None:
        """Write the state of the last moment, if there is one."""
        with self._lock:
            if self.moment is not None:
                self._write(self.moment)

    @contextmanager
    def ending(self) -> Iterator[None]:
        """A block that writes the result of the training; after it the state is removed."""
        with self._lock:
            yield
            self.moment = None
            self.path.unlink(missing_ok=True)

    def _write(self, moment: Moment) -> None:
        """Replace the file; the parameters and the optimiser must be those of the moment."""
        tensors = {f"model/{name}": tensor for name, tensor in {**self.model.state_dict(), **moment.buffers}.items()}
        tensors |= {f"best/{name}": tensor for name, tensor in moment.best_weights.items()}
        for number, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{number}/{name}": tensor for name, tensor in state.items()}
        tensors["losses"] = moment.losses
        record = {
            "plan": self.plan,
            "step": moment.step,
            "due": moment.due,
            "seconds": moment.seconds,
            "best": moment.best,
            "loader": moment.loader,
            "threads": torch.get_num_threads(),
        }
        write_whole(self.path, tensors_bytes(tensors, record))


def read_state(path: Path) -> tuple[dict[str, Tensor], StateRecord]:
    """The tensors and the record of a state; raises CheckpointError for a file that is not one."""
    tensors, values = read_tensors(path)
    if "plan" not in values:
        raise CheckpointError(f"{path}: expected the state of a training, got other tensors: remove it")
    try:
        return tensors, converted(values, StateRecord)
    except RecordError as error:
        raise CheckpointError(f"{path}: expected the state of a training, got: {error}") from error


def saved_step(path: Path) -> int | None:
    """The step of a state; None if there is no readable state."""
    try:
        return converted(read_tensors(path, names=())[1], StateRecord).step
    except (CheckpointError, RecordError):
        return None


def load_state(
    path: Path, tensors: Mapping[str, Tensor], model: nn.Module, optimizer: torch.optim.Optimizer
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
