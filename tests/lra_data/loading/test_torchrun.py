"""A real torchrun: two processes with DDP on gloo, stopped in mid-epoch, and gone on with on one and on three."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import lra_data
from tests.conftest import ROOT, SMALL_SIZES

SCRIPT = ROOT / "tests" / "support" / "training_script.py"
SIZE = SMALL_SIZES["train"]


def torchrun(processes: int, *arguments: object) -> None:
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"),
        *(str(SCRIPT), *map(str, arguments)),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240, env=environment)
    assert found.returncode == 0, found.stderr[-3000:]


def batches_of(folder: Path, processes: int) -> list[list[list[int]]]:
    return [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in range(processes)]


@pytest.mark.slow
def test_two_processes_then_one_and_three(small_root: Path, tmp_path: Path) -> None:
    folders = {processes: tmp_path / str(processes) for processes in (1, 2, 3)}
    for folder in folders.values():
        folder.mkdir()
    torchrun(2, small_root, folders[2], 17)
    begun = batches_of(folders[2], 2)
    assert [len(rank) for rank in begun] == [17, 17]
    state = json.loads((folders[2] / "state.json").read_text())
    assert (state["epoch"], state["taken"]) == (2, 17 * 2 * 16)

    data = lra_data.load("listops/mini", split="train", root=small_root)
    options = {"shuffle": True, "seed": 7, "epoch": 2}
    for processes in (1, 3):
        torchrun(processes, small_root, folders[processes], 0, folders[2] / "state.json")
        rest = batches_of(folders[processes], processes)
        assert len({len(rank) for rank in rest}) == 1
        assert Counter(index for run in (begun, rest) for rank in run for batch in rank for index in batch) == Counter(
            range(SIZE)
        )
        for rank, found in enumerate(rest):
            expected = data.batches(16, rank=rank, world_size=processes, **options)  # type: ignore[arg-type]
            expected.load_state_dict(state)
            assert found == [batch.indices.tolist() for batch in expected]
