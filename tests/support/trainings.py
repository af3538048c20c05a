"""What the tests of trainings share: how two are compared, and how one is stopped."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch import Tensor, nn

from lra_data.loading.frameworks.torch_batches import TorchBatch
from reference_models.model.checkpoint import (
    CARD,
    STATE,
    WEIGHTS,
)
from reference_models.training.loop import Training
from reference_models.training.run_log import LOG
from tests.support import training_process

SCRIPT = Path(training_process.__file__)


def child(*arguments: object, torchrun: int | None = None) -> subprocess.CompletedProcess[str]:
    """training_process.py in a process of its own, or in those of torchrun."""
    command = [sys.executable]
    if torchrun is not None:
        command += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={torchrun}"]
    command += [str(SCRIPT), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(SCRIPT.parents[2])}
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900, env=environment)
    assert found.returncode == 0, found.stderr[-3000:]
    return found


def log(run: Path) -> list[dict[str, Any]]:
    """The log's events without their time."""
    lines = (run / LOG).read_text().splitlines()
    return [{name: value for name, value in json.loads(line).items() if name != "seconds"} for line in lines]


def card(run: Path) -> dict[str, Any]:
    """The card without times."""
    found: dict[str, Any] = json.loads((run / CARD).read_text())
    return {name: value for name, value in found.items() if name not in ("wall_seconds", "date")}


def assert_same(run: Path, other: Path) -> None:
    """Two finished trainings have the same weights, bit for bit, and the same record."""
    assert card(run) == card(other)
    assert (run / WEIGHTS).read_bytes() == (other / WEIGHTS).read_bytes()
    assert log(run) == log(other)
    assert not (run / STATE).exists()


class Stop(Exception):  # noqa: N818
    """What the tests stop a training with."""


def stop_before(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let trainings stop before a step is taken: all before it is logged and, if it is due, saved."""
    one_step = Training._one_step

    def stopping(self: Training, model: nn.Module, batch: TorchBatch) -> None:
        if self.step == step:
            raise Stop
        one_step(self, model, batch)

    monkeypatch.setattr(Training, "_one_step", stopping)


def final_weights(run: Path) -> dict[str, Tensor]:
    """All of them that a training learns, and running statistics."""
    return load_file(str(run / WEIGHTS))


def distances(found: Path, expected: dict[str, Tensor]) -> dict[str, float]:
    """Greatest difference of each tensor."""
    weights = final_weights(found)
    assert set(weights) == set(expected)
    return {name: float((weights[name].double() - tensor.double()).abs().max()) for name, tensor in expected.items()}
