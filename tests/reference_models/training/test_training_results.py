"""The log and the card that a training leaves."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from reference_models.model.card import CheckpointError, as_json
from reference_models.model.checkpoint import (
    STATE,
    load_model,
)
from reference_models.model.classifier import Classifier
from reference_models.training.result import check_plan
from reference_models.training.run_log import LOG
from tests.support.training_process import (
    small_config,
    small_recipe,
    small_splits,
    small_training,
)
from tests.support.trainings import Stop, assert_same, card, final_weights, log, stop_before


def test_log_and_card(whole: Path) -> None:
    events = log(whole)
    assert [(event["step"], "validation" in event) for event in events] == [
        (5, True),
        (10, True),
        (12, False),
        (12, True),
    ]
    found, splits = card(whole), small_splits()
    assert found["parameters"] == sum(
        parameter.numel() for parameter in Classifier(small_config("linear")).parameters()
    )
    assert found["data"]["identities"] == {
        name: getattr(splits, name).identity for name in ("train", "validation", "test")
    }
    assert found["data"]["examples"] == {"train": 70, "validation": 30, "test": 20}
    assert found["data"]["cut_to"] == 127
    assert found["recipe"] == as_json(small_recipe())
    assert found["validation"] in [event.get("validation") for event in events]
    model, _ = load_model(whole)
    correct = sum(
        int(
            (
                model(torch.from_numpy(batch.inputs), torch.from_numpy(batch.lengths)).argmax(1)
                == torch.from_numpy(batch.labels)
            ).sum()
        )
        for batch in splits.test.batches(20, pad_to=127)
    )
    assert found["test"]["correct"] == correct


def test_preset_and_report(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    found = small_training("linear", tmp_path, preset="mini", report=lambda event: told.append(dict(event)))
    assert found.preset == "mini"
    events = [event for event in told if "phase" not in event]
    assert events == [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert [event for event in told if "phase" in event] == [
        {"phase": f"scores test with the weights of step {found.selected_step}"}
    ]


@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.parametrize(
    "changes", [{"precision": "bfloat16"}, pytest.param({"compile": True}, marks=pytest.mark.slow, id="compile")]
)
def test_other_arithmetic_goes_on_too(changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = small_recipe(**changes)
    small_training("full", tmp_path / "whole", recipe=recipe)
    with monkeypatch.context() as patch:
        stop_before(patch, 8)
        with pytest.raises(Stop):
            small_training("full", tmp_path / "stopped", recipe=recipe)
    small_training("full", tmp_path / "stopped", recipe=recipe)
    assert_same(tmp_path / "stopped", tmp_path / "whole")
    weights = final_weights(tmp_path / "whole")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}


def test_a_state_left_beside_a_card(whole: Path, stopped: Path, tmp_path: Path) -> None:
    """Killed between the card and the end: it is not needed any more, and may be large."""
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    shutil.copy(stopped / STATE, run / STATE)
    small_training("linear", run)
    assert_same(run, whole)


def test_an_entry_that_only_the_other_plan_has_is_another_training(tmp_path: Path) -> None:
    """Fields of a configuration that have no effect are not written."""
    own = {"model": {"dim": 8}}
    check_plan(own, {"model": {"dim": 8}}, tmp_path)
    with pytest.raises(CheckpointError, match=r"model\.standardised = None, got one with True"):
        check_plan(own, {"model": {"dim": 8, "standardised": True}}, tmp_path)
