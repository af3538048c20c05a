"""Ctrl-C and SIGTERM in trainings: what is saved, what is said, and that the rest is what it would have been."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lra_data.loading.frameworks.torch_batches import TorchBatch
from reference_models.evaluation.scoring import Evaluation
from reference_models.model.checkpoint import STATE, read_tensors
from reference_models.training.loop import Training
from reference_models.training.state import StateKeeper, saved_step
from tests.support import interrupted_process
from tests.support.training_process import STEPS, small_training
from tests.support.trainings import assert_same, log

SCRIPT = Path(interrupted_process.__file__)
FAR = interrupted_process.FAR


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums are bit for bit the same only with the same number of threads."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)


# What lies on the disk after the signal: the last whole step. In step 7 the optimiser's step may be over or not.
STEPS_LEFT = {"forward": 7, "backward": 7, "optimizer": 7, "validation": 10, "test": 12, "ranks": 7}
STEPS_LEFT |= {"stuck": 6, "stuck-validation": 10}


def check_signals(folder: Path, *words: str) -> None:
    command = [sys.executable, str(SCRIPT), str(folder), *words]
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[2])}
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600, env=environment)
    assert found.returncode == 0, found.stderr[-3000:]
    endings = json.loads(found.stdout)
    assert list(endings) == list(words)
    for word, ending in endings.items():
        name, _, place = word.partition(":")
        code = 128 + (signal.SIGTERM if place == "forward" else signal.SIGINT)
        assert set(ending["codes"]) == {code}, word
        assert ending["step"] == STEPS_LEFT[place], word
        assert set(ending["then"]) == {0}, word
        assert_same(folder / name / place, folder / name / ("whole-ranks" if place == "ranks" else "whole"))


@pytest.mark.slow
def test_a_signal_at_any_place_saves_the_last_whole_step(tmp_path: Path) -> None:
    """`stuck` calls do not return for a minute. Routing moves its centroids in the forward pass."""
    places = ("forward", "backward", "optimizer", "validation", "test", "stuck", "stuck-validation")
    others = (
        "routing:stuck",
        "routing:validation",
        "sinkhorn:stuck",
        "sinkhorn:stuck-validation",
        "reformer:stuck",
        "performer:stuck",
    )
    ranks = ("linear:ranks", "routing:ranks")
    check_signals(tmp_path, *(f"linear:{place}" for place in places), *others, *ranks)


@pytest.mark.parametrize(
    "step",
    [pytest.param(n, marks=[] if n in (1, 4, 5, STEPS) else [pytest.mark.slow]) for n in range(1, STEPS + 1)],
)
@pytest.mark.slow
def test_a_keyboard_interrupt_from_python_is_saved_too(
    step: int, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a notebook, where nobody answers signals but Python: before each step, and in each look at validation."""
    one_step, score = Training._one_step, Training._score

    def stepping(self: Training, model: nn.Module, batch: TorchBatch) -> None:
        if self.step == step:
            raise KeyboardInterrupt
        one_step(self, model, batch)

    def scoring(self: Training, dataset: Any) -> Evaluation:
        if self.step == step:
            raise KeyboardInterrupt
        return score(self, dataset)

    looks = step in (5, 10, STEPS)
    for name, patched in (("_score", scoring), ("_one_step", stepping))[: 2 if step < STEPS or looks else 1]:
        run = tmp_path / name
        with monkeypatch.context() as patch:
            patch.setattr(Training, name, patched)
            if name == "_one_step" or looks:
                with pytest.raises(KeyboardInterrupt):
                    small_training("linear", run, save_every=FAR)
                assert saved_step(run / STATE) == (None if step == 1 else step - (name == "_one_step"))
        small_training("linear", run, save_every=FAR)
        assert_same(run, whole)


def test_an_interrupt_within_the_optimizer_leaves_the_state_before(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the parameters have moved then; they must not be taken for a step."""
    taken = torch.optim.AdamW.step
    calls = iter(range(1, 100))

    def moving(self: torch.optim.AdamW, *words: Any) -> Any:
        found = taken(self, *words)
        if next(calls) == 8:
            raise KeyboardInterrupt
        return found

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", moving)
        with pytest.raises(KeyboardInterrupt):
            small_training("linear", tmp_path, save_every=3)
    assert saved_step(tmp_path / STATE) == 6
    small_training("linear", tmp_path)
    assert_same(tmp_path, whole)


def test_a_state_is_written_by_the_clock(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every step if no second may be lost; and a kill right after one of them goes on to the same bits."""
    written: list[tuple[int, bool]] = []
    write = StateKeeper._write

    def writing(self: StateKeeper, moment: Any) -> None:
        write(self, moment)
        record = read_tensors(self.path, ())[1]
        written.append((record["step"], record["due"]))
        if record["step"] == 10:
            raise OSError  # a stop that is no interrupt

    with monkeypatch.context() as patch:
        patch.setattr(StateKeeper, "_write", writing)
        with pytest.raises(OSError):  # noqa: PT011
            small_training("linear", tmp_path, save_every=FAR, save_seconds=0)
    assert written == [(step, True) for step in range(1, 11)]
    small_training("linear", tmp_path, save_every=FAR)
    assert_same(tmp_path, whole)
    assert len([event for event in log(tmp_path) if "validation" in event]) == 3


def started(arguments: list[str], until: Path) -> "subprocess.Popen[str]":
    """`lra-zoo ARGUMENTS` in a group of its own, as a terminal has it, once a file is there."""
    code = "from reference_models.commands.main import main; main()"
    command = [sys.executable, "-c", code, *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, process_group=0)
    deadline = time.monotonic() + 300
    while not (until.exists() and until.stat().st_size):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_ctrl_c_says_how_to_go_on(workers: int, tmp_path: Path) -> None:
    """The command of a user, with what a terminal does: the signal goes to all processes of the group, twice."""
    arguments = ["train", "listops/mini", "local", "--steps", "100000", "--evaluate-every", "100000"]
    arguments += ["--threads", "1", "--workers", str(workers), "--out", str(tmp_path)]
    run = tmp_path / "listops" / "mini" / "local"
    process = started(arguments, run / "log.jsonl")
    os.killpg(process.pid, signal.SIGINT)
    os.killpg(process.pid, signal.SIGINT)
    began = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - began < 10  # two seconds on a machine that has time
    assert process.returncode == 130
    step = saved_step(run / STATE)
    assert step is not None
    assert step >= 50
    command = " ".join(["lra-zoo", *arguments])
    assert errors.strip() == (
        f"lra-zoo: interrupted; step {step:,} of 100,000 is saved in {run}: continue with: {command}"
    )
