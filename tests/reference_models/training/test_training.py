"""Trainings that are killed, stopped or cut off go on to the same weights, bit for bit."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import lra_data
from reference_models.attention.catalogue import attention_names
from reference_models.model.card import CheckpointError
from reference_models.model.checkpoint import (
    CARD,
    STATE,
    read_tensors,
    tensors_bytes,
)
from reference_models.training import loop
from reference_models.training.run_log import LOG
from reference_models.training.trainer import train
from tests.support.training_process import (
    STEPS,
    small_config,
    small_recipe,
    small_splits,
    small_training,
)
from tests.support.trainings import Stop, assert_same, child, log, stop_before


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path: Path) -> None:
    killed = json.loads(child("kill", tmp_path, 11).stdout)
    assert sorted(killed["random"]) == attention_names()
    assert all(found["kills"] >= 1 for found in killed["random"].values())
    assert sum(found["states"] for found in killed["random"].values()) >= 8  # some had not come to their first state
    for name in attention_names():
        assert_same(tmp_path / "killed" / name, tmp_path / "whole" / name)
    # The log, five states, weights, card, each under a name of its own when the kill came.
    assert len(killed["writes"]) == 8
    for number, left in enumerate(killed["writes"], start=1):
        assert sum(name.endswith(".tmp") for name in left) == 1
        assert (STATE in left) == (number > 2)
        assert CARD not in left
        assert_same(tmp_path / "writes" / str(number), tmp_path / "whole" / "linear")


@pytest.mark.slow
@pytest.mark.parametrize("save_every", [2, 5])
def test_stopped_before_every_step(
    save_every: int, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in range(1, STEPS + 1):
        with monkeypatch.context() as patch:
            stop_before(patch, step)
            with pytest.raises(Stop):
                small_training("linear", tmp_path / str(step), save_every=save_every)
        assert (tmp_path / str(step) / STATE).exists() == (step > save_every)
        small_training("linear", tmp_path / str(step), save_every=save_every)
        assert_same(tmp_path / str(step), whole)


def test_workers_are_ahead_of_the_state(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches that they have made ready are made again after a stop, by workers or without."""
    with monkeypatch.context() as patch:
        for step, num_workers in ((6, 2), (10, 0)):
            stop_before(patch, step)
            with pytest.raises(Stop):
                small_training("linear", tmp_path, num_workers=num_workers)
            patch.undo()
    small_training("linear", tmp_path, num_workers=1)
    assert_same(tmp_path, whole)


def test_each_step_in_a_training_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_training("routing", tmp_path / "whole")
    for step in range(2, STEPS + 1):
        with monkeypatch.context() as patch:
            stop_before(patch, step)
            with pytest.raises(Stop):
                small_training("routing", tmp_path / "steps", save_every=1)
    small_training("routing", tmp_path / "steps", save_every=1)
    assert_same(tmp_path / "steps", tmp_path / "whole")


def test_the_mean_loss_of_a_line_survives_a_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "LOG_EVERY", 3)
    small_training("linear", tmp_path / "whole")
    assert [event["step"] for event in log(tmp_path / "whole") if "loss" in event] == [3, 6, 9, 12]
    with monkeypatch.context() as patch:
        stop_before(patch, 6)
        with pytest.raises(Stop):
            small_training("linear", tmp_path / "stopped")
    small_training("linear", tmp_path / "stopped")
    assert_same(tmp_path / "stopped", tmp_path / "whole")


def test_half_written_files_are_no_state(whole: Path, stopped: Path, tmp_path: Path) -> None:
    half = (stopped / STATE).read_bytes()[:5000]
    other = tmp_path / "other"
    other.mkdir()
    for run in (stopped, other):
        (run / f".{STATE}.0123456789abcdef.tmp").write_bytes(half)
        (run / f".{CARD}.0123456789abcdef.tmp").write_bytes(b'{"format": 1')
        small_training("linear", run)
        assert_same(run, whole)


@pytest.mark.parametrize("size", [0, 5, 4000, -1])
def test_a_state_that_is_cut_off(size: int, stopped: Path) -> None:
    state = (stopped / STATE).read_bytes()
    (stopped / STATE).write_bytes(state[:size])
    with pytest.raises(
        CheckpointError, match=r"state\.safetensors: expected a whole safetensors file, got: .+"
    ) as error:
        small_training("linear", stopped)
    assert len(str(error.value).splitlines()) == 1
    assert (stopped / STATE).read_bytes() == state[:size]


def test_a_file_that_is_no_state(stopped: Path) -> None:
    (stopped / STATE).write_bytes(tensors_bytes({"weight": torch.zeros(3)}))
    with pytest.raises(CheckpointError, match=r"state\.safetensors: expected "):
        small_training("linear", stopped)


def test_a_state_of_another_shape(stopped: Path) -> None:
    """As after a change of the model's code under the same configuration."""
    tensors, record = read_tensors(stopped / STATE)
    tensors["model/encoder.norm.weight"] = torch.zeros(3)
    (stopped / STATE).write_bytes(tensors_bytes(tensors, record))
    expected = r"expected encoder\.norm\.weight with shape \(16,\), got \(3,\): another model"
    with pytest.raises(CheckpointError, match=expected):
        small_training("linear", stopped)
    del tensors["model/encoder.norm.weight"]
    (stopped / STATE).write_bytes(tensors_bytes(tensors, record))
    expected = r"expected a checkpoint of this model, the checkpoint has no encoder\.norm\.weight"
    with pytest.raises(CheckpointError, match=expected):
        small_training("linear", stopped)


OTHERS: list[tuple[dict[str, Any], str]] = [
    ({"attention": "full"}, "model.attention = 'full', got one with 'linear'"),
    ({"config": {"dropout": 0.1}}, "model.dropout = 0.1, got one with 0.2"),
    ({"recipe": {"learning_rate": 1e-3}}, "recipe.learning_rate = 0.001, got one with 0.005"),
    ({"recipe": {"clip_norm": 1.0}}, "recipe.clip_norm = 1.0, got one with None"),
    ({"recipe": {"seed": 4}}, "recipe.seed = 4, got one with 3"),
    ({"train": "train[1:71]"}, "data.train = "),
    ({"validation": "validation[:31]"}, "data.validation = "),
    ({"test": "test[:21]"}, "data.test = "),
]


@pytest.mark.parametrize(("other", "expected"), OTHERS, ids=lambda value: str(value)[:30])
@pytest.mark.parametrize("finished", [False, True])
def test_a_folder_of_another_training(
    other: dict[str, Any], expected: str, finished: bool, whole: Path, stopped: Path
) -> None:
    run = whole if finished else stopped
    splits = small_splits()
    changed = {name: lra_data.load("listops/mini", split=other[name]) for name in other if hasattr(splits, name)}
    with pytest.raises(CheckpointError) as error:
        train(
            small_config(other.get("attention", "linear"), **other.get("config", {})),
            small_recipe(**other.get("recipe", {})),
            replace(splits, **changed),
            run,
            device="cpu",
        )
    text = str(error.value)
    assert text.startswith(f"{run / (CARD if finished else STATE)}: expected a training with {expected}")
    assert text.endswith(": choose another folder")


def test_a_finished_training_is_left_alone(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in whole.iterdir()}
    stop_before(monkeypatch, 1)
    found = small_training("linear", whole)
    assert found.encode() == (whole / CARD).read_bytes()
    assert before == {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in whole.iterdir()}


@pytest.mark.parametrize(
    "tail",
    ['{"step": 6, "valid', "", "\x00\x00\x00\n", "7\n", "null\n", '{"step": null}\n', '{"step": 99, "loss": 1}\n'],
)
def test_a_log_with_a_broken_end(tail: str, whole: Path, stopped: Path) -> None:
    with (stopped / LOG).open("a") as file:
        file.write(tail)
    small_training("linear", stopped)
    assert_same(stopped, whole)


def test_a_full_disk(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = os.fsync

    def full(descriptor: int) -> None:
        if os.fstat(descriptor).st_size > 10_000:
            raise OSError(28, "No space left on device")
        synced(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(CheckpointError) as error:
            small_training("linear", tmp_path)
    text = str(error.value)
    assert text.startswith(f"{tmp_path / STATE}: expected to write ")
    assert text.endswith(" bytes, got No space left on device: make room, or choose another folder")
    assert [path.name for path in tmp_path.iterdir()] == [LOG]
    small_training("linear", tmp_path)
    assert_same(tmp_path, whole)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "save_every", "file"), [(20_000, 2, STATE), (100, 20, LOG)])
def test_a_file_that_may_not_grow(size: int, save_every: int, file: str, tmp_path: Path, whole: Path) -> None:
    """The same from the system itself."""
    printed = child("disk", tmp_path, size, save_every).stdout
    assert printed.startswith(f"CheckpointError: {tmp_path / file}: expected to write ")
    assert "got File too large" in printed
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".tmp")]
    small_training("linear", tmp_path)
    assert_same(tmp_path, whole)
