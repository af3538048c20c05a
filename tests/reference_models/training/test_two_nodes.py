"""`torchrun --nnodes=2`, as on a cluster: two agents on this machine train one model, and go on as one node."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from reference_models.model.checkpoint import CARD, WEIGHTS
from tests.conftest import ROOT
from tests.support.trainings import distances, final_weights

pytestmark = pytest.mark.slow

ZOO = [sys.executable, "-c", "from reference_models.commands.main import main; main()"]
TRAIN = ["train", "listops/mini", "linear", "--steps", "12", "--batch-size", "8", "--device", "cpu", "--threads", "1"]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def agents(nodes: int, folder: Path) -> "list[subprocess.Popen[str]]":
    """One torchrun agent a node, which meet at a port of this machine."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [
        *(sys.executable, "-m", "torch.distributed.run", f"--nnodes={nodes}", "--nproc-per-node=1"),
        *("--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{port}", "--rdzv-id=lra-data-test", "--no-python"),
        *(*ZOO, *TRAIN, "--out", str(folder)),
    ]
    return [
        subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(nodes)
    ]


def finish(running: "list[subprocess.Popen[str]]") -> None:
    for process in running:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors[-3000:]


def run_of(root: Path) -> Path:
    """The folder of the only training below a root."""
    (found,) = root.rglob(CARD)
    return found.parent


def test_two_nodes_train_as_one_process_does(tmp_path: Path) -> None:
    finish(agents(2, tmp_path / "two"))
    alone = [*ZOO, *TRAIN, "--out", str(tmp_path / "one")]
    subprocess.run(alone, env=environment(), capture_output=True, check=True)
    two, one = run_of(tmp_path / "two"), run_of(tmp_path / "one")
    assert json.loads((two / CARD).read_text())["processes"] == 2
    assert (two / WEIGHTS).exists()
    assert max(distances(two, final_weights(one)).values()) <= 1e-5
