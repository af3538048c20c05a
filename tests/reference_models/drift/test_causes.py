"""Each fault is attributed to its cause: the data, the batches made of it, or the models."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from msgspec import structs
from torch import Tensor
from torch.nn import functional

import lra_data
from lra_data.checking.verify import verify
from reference_models.drift import fingerprint
from reference_models.model.checkpoint import load_model, read_card, save_model
from tests.support.checked_sets import FRESH, MINI, SIZES, checked, fresh_of, models_of, report_of, rewrite
from tests.support.faulty_sets import (
    DATA_FAULTS,
    READING_FAULTS,
    batches_with,
    built,
    labels_of_the_row_before,
    one_too_long,
    rows_with,
    shuffled,
    solved_anew,
)

# Data that changed.


@pytest.mark.slow
@pytest.mark.parametrize("name", DATA_FAULTS)
def test_digests_find_each_fault_of_the_data(zoo: Path, tmp_path: Path, name: str) -> None:
    folder = built(tmp_path, DATA_FAULTS[name], sizes=SIZES)
    assert verify(folder, quick=True) == []  # its files are what its manifest says
    said = checked(zoo, folder)
    assert said.causes == {"data changed"}
    # The other seed's rows are made now, and are sound.
    assert [finding["text"] for finding in said.findings] == [
        "train: expected the recorded rows, got 2 of 2 blocks of 1000 that differ, the first at example 0",
        "test: expected the recorded rows, got 1 of 1 blocks of 1000 that differ, the first at example 0",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "labels shuffled",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("ids permuted", "MIN and MAX exchanged")),
    ],
)
def test_accuracy_alone_finds_faults_of_the_data(zoo: Path, tmp_path: Path, name: str) -> None:
    said = checked(zoo, built(tmp_path, DATA_FAULTS[name], sizes=SIZES, seed=7))
    assert said.causes == {"data changed"}
    fresh = fresh_of(read_card(zoo / MINI / "linear"))
    assert said.text.startswith(
        "seed 7: expected the recorded figures within joint 99.9% intervals, got linear accuracy "
        f"{said.models['linear']['correct'] / FRESH:.2%} instead of {fresh.correct / FRESH:.2%}"
    )
    assert fresh.correct > said.models["linear"]["correct"] + 100


def test_a_generator_that_changed_since_the_set_was_built_is_found_by_other_rows(zoo: Path, sound: Path) -> None:
    with rows_with(shuffled):
        said = checked(zoo, sound)
    assert said.causes == {"data changed"}
    assert said.text.startswith("seed 2: ")
    assert said.models["linear"]["different"] == 0


@pytest.mark.parametrize(
    ("row", "block"),
    [pytest.param(999, 0, marks=pytest.mark.slow), (1000, 1), pytest.param(1999, 1, marks=pytest.mark.slow)],
)
def test_one_label_of_one_row_is_found_in_its_block(zoo: Path, tmp_path: Path, row: int, block: int) -> None:
    said = checked(zoo, built(tmp_path, _with_other_label(row), sizes={**SIZES, "test": 20}))
    assert [finding["text"] for finding in said.findings] == [
        "train: expected the recorded rows, got 1 of 2 blocks of 1000 that differ, "
        f"the first at example {block * 1000:,}"
    ]


@pytest.mark.slow
def test_rows_beyond_the_recorded_ones_are_not_compared(zoo: Path, tmp_path: Path) -> None:
    assert checked(zoo, built(tmp_path, _with_other_label(2000), sizes=SIZES)).findings == []


def _with_other_label(row: int) -> Any:
    def fault(batch: pa.RecordBatch) -> pa.RecordBatch:
        labels = [
            (label + (index == row)) % 10
            for label, index in zip(batch["label"].to_pylist(), batch["index"].to_pylist(), strict=True)
        ]
        place = batch.schema.get_field_index("label")
        return batch.set_column(place, batch.schema.field(place), pa.array(labels, pa.int64()))

    return fault


def test_our_evaluator_agrees_with_the_set() -> None:
    rows = lra_data.load(MINI, split="test[:500]")[:]
    assert solved_anew(rows).equals(rows)
    for name, fault in DATA_FAULTS.items():
        assert not fault(rows).equals(rows), name


# Reading that changed.


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if place else []) for place, name in enumerate(READING_FAULTS)]
)
@pytest.mark.parametrize("kind", ["built", pytest.param("virtual", marks=pytest.mark.slow)])
def test_batches_of_the_same_rows_that_changed_are_the_readings(zoo: Path, sound: Path, kind: str, name: str) -> None:
    with batches_with(READING_FAULTS[name]):
        said = checked(zoo, MINI if kind == "virtual" else sound)
    assert said.causes == {"reading changed"}
    assert said.findings[0]["text"] == (
        "train: expected the recorded batches, got 2 of 2 blocks of 1000 that differ, the first at example 0"
    )
    assert said.compared[0] == "train: rows of 2,000 examples, 0 of 2 blocks changed"


def test_accuracy_that_fell_has_the_cause_that_was_found(zoo: Path, sound: Path) -> None:
    with batches_with(labels_of_the_row_before):
        said = checked(zoo, sound)
    assert [(finding["cause"], finding["text"].split(":")[0]) for finding in said.findings] == [
        ("reading changed", "train"),
        ("reading changed", "seed 2"),
    ]


@pytest.mark.slow
def test_reading_that_changed_in_a_worker_process_is_found(zoo: Path, sound: Path) -> None:
    with batches_with(one_too_long):
        assert checked(zoo, sound, "--workers", "2").causes == {"reading changed"}


@pytest.mark.slow
def test_each_array_of_a_batch_counts(zoo: Path) -> None:
    models = {"linear": models_of(zoo)["linear"]}
    for field in ("inputs", "lengths", "labels"):

        def fault(batch: Any, field: str = field) -> Any:
            array = getattr(batch, field).copy()
            array[0] -= array[0] > 1
            return batch._replace(**{field: array})

        with batches_with(fault):
            assert {finding.cause for finding in report_of(models).findings} == {"reading changed"}, field


@pytest.mark.slow
def test_digests_do_not_depend_on_where_batches_end(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "_BATCH", 250)
    assert report_of(models_of(zoo)).findings == []


# Models that drifted.


def test_weights_that_changed_are_the_models_drift(own_zoo: Path, sound: Path) -> None:
    folder = own_zoo / MINI / "linear"
    model, card = load_model(folder)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    save_model(folder, model, card)
    said = checked(own_zoo, sound, "--thorough", models="linear,local")
    assert said.causes == {"models drifted"}
    different = said.models["linear"]["different"]
    assert said.findings[0]["text"] == (
        f"linear: expected at most 0.5% changed answers on the same batches, got {different:,} of 3,000"
    )
    # Its accuracy changed with it, and is no second matter.
    assert [finding["text"].split(":")[0] for finding in said.findings] == ["linear", "seed 2"]
    assert "local" not in said.text
    assert said.models["local"]["different"] == 0


def test_code_of_the_models_that_changed_is_their_drift(
    zoo: Path, sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    norm = functional.layer_norm

    def blurred(x: Tensor, shape: list[int], weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        return norm(x, shape, weight, bias, eps + 1.0)

    monkeypatch.setattr(functional, "layer_norm", blurred)
    said = checked(zoo, sound)
    assert said.causes == {"models drifted"}
    assert said.models["linear"]["different"] > 15


@pytest.mark.parametrize(("changed", "drifted"), [pytest.param(15, False, marks=pytest.mark.slow), (16, True)])
def test_one_answer_in_200_may_differ(own_zoo: Path, changed: int, drifted: bool) -> None:
    folder = own_zoo / MINI / "linear"
    recorded = read_card(folder).recorded
    assert recorded is not None
    lines = recorded["test"].predictions
    lines[0] = "".join(str((int(digit) + 1) % 10) for digit in lines[0][:changed]) + lines[0][changed:]
    rewrite(folder, recorded=recorded)
    report = report_of(models_of(own_zoo))
    assert report.measured["linear"].items() >= {"compared": 3000, "different": changed}.items()
    assert [finding.cause for finding in report.findings] == ["models drifted"] * drifted


@pytest.mark.slow
def test_answers_are_not_blamed_on_the_model_where_data_or_reading_changed(own_zoo: Path, tmp_path: Path) -> None:
    folder = own_zoo / MINI / "linear"
    recorded = read_card(folder).recorded
    assert recorded is not None
    train_answers = structs.replace(recorded["train"], predictions=["0" * 1000] * 2)
    rewrite(folder, recorded={**recorded, "train": train_answers})
    assert checked(own_zoo, built(tmp_path, shuffled, sizes=SIZES)).causes == {"data changed"}
    with batches_with(one_too_long):
        assert {finding.cause for finding in report_of(models_of(own_zoo)).findings} == {"reading changed"}
