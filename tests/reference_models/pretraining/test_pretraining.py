"""Pre-trainings that stop go on to the same bytes; trainings begin with the encoder that one left."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

import lra_data
from reference_models.commands.main import cli
from reference_models.model.card import CheckpointError
from reference_models.model.checkpoint import STATE, WEIGHTS, read_card
from reference_models.model.encoder import Encoder
from reference_models.pretraining.pretrained import ENCODER, RECORD, read_pretrained
from reference_models.training import runs
from reference_models.training.loop import Training
from reference_models.training.pretraining import RATIOS, pretrain
from reference_models.training.trainer import train
from reference_models.training.unfinished import unfinished
from tests.support.training_process import STEPS, pretraining, small_config, small_recipe, small_splits
from tests.support.trainings import Stop, child, stop_before


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("whole") / "linear-pretrained"
    pretraining("linear", folder)
    return folder


def without_times(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / RECORD).read_text())
    return {name: value for name, value in found.items() if name not in ("wall_seconds", "date")}


def assert_same(one: Path, two: Path) -> None:
    assert without_times(one) == without_times(two)
    assert (one / ENCODER).read_bytes() == (two / ENCODER).read_bytes()
    assert not (one / STATE).exists()


def test_the_record_says_what_was_done(whole: Path) -> None:
    record = read_pretrained(whole).record
    assert (record.task, record.attention, record.ratio, record.recipe) == (
        "listops/mini",
        "linear",
        0.2,
        small_recipe(),
    )
    assert record.validation.examples > 100
    assert 0 < record.guess < 1
    assert record.identities.test == record.identities.validation, "test is not read"
    assert unfinished([whole]) == {}


@pytest.mark.parametrize("step", [3, pytest.param(7, marks=pytest.mark.slow)])
def test_stopped_and_continued(step: int, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        stop_before(patch, step)
        with pytest.raises(Stop):
            pretraining("linear", tmp_path)
    assert (tmp_path / STATE).exists()
    pretraining("linear", tmp_path)
    assert_same(tmp_path, whole)
    assert pretraining("linear", tmp_path) == read_pretrained(tmp_path).record  # finished: nothing is done


@pytest.mark.slow
def test_two_ranks_are_one(whole: Path, tmp_path: Path) -> None:
    child("pretrain", tmp_path, torchrun=2)
    one, two = read_pretrained(whole), read_pretrained(tmp_path / "linear-pretrained")
    for name, tensor in one.tensors.items():
        torch.testing.assert_close(two.tensors[name], tensor, rtol=0, atol=1e-5)
    assert abs(one.record.validation.loss - two.record.validation.loss) < 1e-5


def test_another_ratio_needs_another_folder(whole: Path) -> None:
    splits = small_splits()
    with pytest.raises(CheckpointError, match=r"expected a training with pretraining\.ratio = 0\.3, got one with 0\.2"):
        pretrain(
            replace(small_config("linear"), dropout=0.0, attention_dropout=0.0),
            small_recipe(),
            splits.train,
            splits.validation,
            whole,
            ratio=0.3,
            device="cpu",
        )


def test_a_finished_one_of_other_rows_is_refused(whole: Path) -> None:
    rows = lra_data.load("listops/mini", split="train[:40]")
    config = replace(small_config("linear"), dropout=0.0, attention_dropout=0.0)
    with pytest.raises(CheckpointError, match=r"expected a training with data\.train = "):
        pretrain(config, small_recipe(), rows, small_splits().validation, whole, ratio=0.2, device="cpu")


def test_a_training_begins_with_the_encoder(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = read_pretrained(whole)
    before: dict[str, torch.Tensor] = {}
    go_on = Training.go_on

    def seen(self: Training) -> None:
        go_on(self)
        before.update({name: tensor.clone() for name, tensor in self.model.encoder.state_dict().items()})

    monkeypatch.setattr(Training, "go_on", seen)
    train(small_config("linear"), small_recipe(), small_splits(), tmp_path, device="cpu", start=start)
    assert before.keys() == start.tensors.keys()
    assert all(torch.equal(before[name], tensor) for name, tensor in start.tensors.items())
    card = read_card(tmp_path)
    assert card.start is not None
    assert (card.start.sha256, card.start.steps, card.start.ratio) == (start.record.sha256, STEPS, 0.2)
    with pytest.raises(CheckpointError, match=r"expected a training with start\.sha256 = None, got one with"):
        train(small_config("linear"), small_recipe(), small_splits(), tmp_path, device="cpu")


def test_stopped_after_pre_training_and_continued(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start, config, splits = read_pretrained(whole), small_config("linear"), small_splits()
    train(config, small_recipe(), splits, tmp_path / "whole", device="cpu", start=start)
    with monkeypatch.context() as patch:
        stop_before(patch, 4)
        with pytest.raises(Stop):
            train(config, small_recipe(), splits, tmp_path / "cut", device="cpu", save_every=2, start=start)
    with pytest.raises(CheckpointError, match=r"start\.sha256 = None, got one with '[0-9a-f]{64}'"):
        train(config, small_recipe(), splits, tmp_path / "cut", device="cpu", save_every=2)
    train(config, small_recipe(), splits, tmp_path / "cut", device="cpu", save_every=2, start=start)
    assert (tmp_path / "cut" / WEIGHTS).read_bytes() == (tmp_path / "whole" / WEIGHTS).read_bytes()


@pytest.mark.parametrize(
    ("changes", "entry"),
    [({"attention": "full"}, "attention = 'full'"), ({"dim": 32}, "dim = 32"), ({"num_layers": 1}, "num_layers = 1")],
)
def test_an_encoder_of_another_model_is_refused(changes: dict[str, Any], entry: str, whole: Path) -> None:
    config = replace(small_config("linear"), **changes)
    with pytest.raises(CheckpointError, match=f"expected an encoder with {entry}, got one with"):
        read_pretrained(whole).put_into(Encoder(config))


def test_other_heads_and_dropout_may_differ(whole: Path) -> None:
    read_pretrained(whole).put_into(
        Encoder(replace(small_config("linear"), num_classes=3, dropout=0.0, standardised=True))
    )


def test_what_is_damaged_or_missing_is_named(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"found none: run `lra-zoo pretrain` first"):
        read_pretrained(tmp_path)
    for name in (ENCODER, RECORD):
        (tmp_path / name).write_bytes((whole / name).read_bytes())
    (tmp_path / ENCODER).write_bytes(b"other")
    with pytest.raises(CheckpointError, match="expected weights with sha256"):
        read_pretrained(tmp_path)
    (tmp_path / RECORD).write_text("{}")
    with pytest.raises(CheckpointError, match="expected the record of a pre-trained encoder, got: "):
        read_pretrained(tmp_path)


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "FRESH_EXAMPLES", 50)
    steps = ["--steps", "2", "--batch-size", "4", "--evaluate-every", "2", "--threads", "1"]
    given = ["linear", *steps, "--out", str(tmp_path)]
    lra_data.build("listops/mini", tmp_path, sizes={"train": 40, "validation": 20, "test": 20})
    data = str(tmp_path / "listops" / "mini")
    found = CliRunner().invoke(cli, ["pretrain", data, *given], catch_exceptions=False)
    folder = tmp_path / "listops" / "mini" / "linear-pretrained"
    assert found.exit_code == 0
    assert f"{folder}: " in found.output
    assert "hidden elements of validation told right, the best constant " in found.output
    assert read_pretrained(folder).record.ratio == RATIOS["listops"] == 0.1
    found = CliRunner().invoke(cli, ["train", data, *given, "--from", str(folder)], catch_exceptions=False)
    assert found.exit_code == 0
    start = read_card(tmp_path / "listops" / "mini" / "linear").start
    assert start is not None
    assert start.steps == 2
