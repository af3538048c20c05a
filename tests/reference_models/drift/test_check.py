"""A small model that learned listops/mini tells sound sets from faulty ones, and names the cause of each finding.

The model is trained here, on the first examples, and its card holds few rows, so that the file takes a minute. It knows
little more than the outermost operator. Medians rounded up move no model's accuracy: only the digests find those.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from click.testing import CliRunner
from msgspec import structs
from torch import Tensor
from torch.nn import functional

import lra_data
from lra_data import UsageError
from lra_data.checking.verify import verify
from reference_models.attention.catalogue import attention_names
from reference_models.commands.main import cli
from reference_models.commands.shared_options import names_of
from reference_models.drift import fingerprint
from reference_models.drift.check import Model, Report, check, trained_on
from reference_models.evaluation.significance import differ
from reference_models.model import bundled
from reference_models.model.card import Card, CheckpointError, FreshAnswers
from reference_models.model.checkpoint import load_model, read_card, save_model, write_card
from reference_models.model.classifier import Classifier
from reference_models.model.presets import preset
from reference_models.model.train_config import TrainConfig
from reference_models.training.runs import Source
from reference_models.training.splits import Splits
from reference_models.training.trainer import train
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

MINI = "listops/mini"
CPU = torch.device("cpu")
RECORDED = {"train": 2000, "test": 1000}
FRESH = 2000
# As many rows as are recorded, and some that are not.
SIZES = {"train": 2500, "validation": 10, "test": 1200}


def rewrite(folder: Path, **entries: Any) -> None:
    """Change entries of a model's card."""
    write_card(folder, structs.replace(read_card(folder), **entries))


def fresh_of(card: Card) -> FreshAnswers:
    assert card.fresh is not None
    return card.fresh


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained `linear` and an untrained `local`, both with complete cards. Tests must not change it."""
    folder = tmp_path_factory.mktemp("zoo")
    small: dict[str, Any] = {"dim": 32, "qkv_dim": 32, "mlp_dim": 32, "heads": 2, "num_layers": 1}
    config = replace(preset("mini", task="listops", attention="linear"), **small)
    recipe = TrainConfig(steps=300, learning_rate=1e-2, warmup=20)
    source = Source(target=MINI)
    splits = Splits(
        train=source.open("train"), validation=source.open("validation[:500]"), test=source.open("test[:500]")
    )
    card = train(config, recipe, splits, folder / MINI / "linear", device="cpu")
    assert card.test.accuracy > 0.2, "the model has not learned the outermost operator"
    torch.manual_seed(0)
    other = Classifier(replace(preset("mini", task="listops", attention="local"), **small))
    save_model(folder / MINI / "local", other, structs.replace(card, attention="local"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprint, "RECORDED", RECORDED)
        for name in ("linear", "local"):
            model, _ = load_model(folder / MINI / name)
            recorded, fresh = fingerprint.record(model, source.open, source.open_other(f"train[:{FRESH}]", 1))
            rewrite(folder / MINI / name, recorded=recorded, fresh=fresh, trivial={})
    return folder


@pytest.fixture
def own_zoo(zoo: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(zoo, tmp_path / "zoo"))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("sound"), sizes=SIZES)


@dataclass(frozen=True)
class Checked:
    """What `lra-zoo check` said."""

    exit_code: int
    findings: list[Mapping[str, str]]
    compared: list[str]
    models: Mapping[str, Mapping[str, int]]

    @property
    def causes(self) -> set[str]:
        return {finding["cause"] for finding in self.findings}

    @property
    def text(self) -> str:
        return "\n".join(finding["text"] for finding in self.findings)


def checked(zoo: Path, target: Path | str, *options: str, models: str = "linear") -> Checked:
    command = ["check", str(target), "--checkpoints", str(zoo), "--models", models, "--device", "cpu", "--json"]
    result = CliRunner().invoke(cli, [*command, *options], catch_exceptions=False)
    assert result.exit_code in (0, 1), result.output
    said = Checked(result.exit_code, **json.loads(result.stdout))
    assert said.exit_code == bool(said.findings)
    return said


def refused(zoo: Path, target: Path | str, *options: str) -> str:
    """The text of an error."""
    result = CliRunner().invoke(cli, ["check", str(target), "--checkpoints", str(zoo), *options])
    assert isinstance(result.exception, UsageError), result.output
    return str(result.exception)


def models_of(zoo: Path) -> dict[str, Model]:
    return trained_on(lra_data.get_task(MINI), zoo, None, CPU)


def report_of(models: Mapping[str, Model], *, seed: int = 0, other_seed: int = 2) -> Report:
    source = Source(target=MINI)
    return check(models, source.open_other, seed=seed, other_seed=other_seed, device=CPU)


# Sound sets.


def assert_all_is_well(said: Checked) -> None:
    assert (said.exit_code, said.findings) == (0, [])
    assert said.compared == [
        "train: rows of 2,000 examples, 0 of 2 blocks changed",
        "train: batches of 2,000 examples, 0 of 2 blocks changed",
        "test: rows of 1,000 examples, 0 of 1 blocks changed",
        "test: batches of 1,000 examples, 0 of 1 blocks changed",
        f"seed 2: 2,000 examples answered, 0 of {5 * len(said.models)} figures outside",
    ]
    for found in said.models.values():
        assert (found["compared"], found["different"]) == (3000, 0)
        assert (found["seed"], found["examples"]) == (2, 2000)


def test_the_virtual_set_passes(zoo: Path) -> None:
    said = checked(zoo, MINI, models="linear,local")
    assert list(said.models) == ["linear", "local"]
    assert_all_is_well(said)


def test_rows_of_the_seed_that_a_card_counted_give_its_own_count(zoo: Path, sound: Path) -> None:
    said = checked(zoo, sound, "--other-seed", "1")
    assert said.findings == []
    assert said.models["linear"]["correct"] == fresh_of(read_card(zoo / MINI / "linear")).correct


@pytest.mark.parametrize("format_name", ["arrow", "parquet"])
def test_built_sets_pass(zoo: Path, tmp_path: Path, format_name: str) -> None:
    assert_all_is_well(checked(zoo, built(tmp_path, sizes=SIZES, formats=(format_name,), num_shards=2)))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_worker_processes_change_nothing(zoo: Path, sound: Path, workers: str) -> None:
    assert_all_is_well(checked(zoo, sound, "--workers", workers))


def test_text_for_people(zoo: Path, sound: Path) -> None:
    result = CliRunner().invoke(cli, ["check", str(sound), "--checkpoints", str(zoo), "--models", "linear"])
    assert result.exit_code == 0
    assert result.output.splitlines()[-1] == "listops/mini: as 1 model learned it"


def test_a_set_of_another_seed_is_counted_after_the_known_seed_is_compared(zoo: Path, tmp_path: Path) -> None:
    for said in (checked(zoo, built(tmp_path, sizes=SIZES, seed=7)), checked(zoo, MINI, "--data-seed", "7")):
        assert said.findings == []
        assert said.compared[0] == "train: rows of 2,000 examples, 0 of 2 blocks changed"
        assert said.compared[-1] == "seed 7: 2,000 examples answered, 0 of 5 figures outside"
        assert said.models["linear"]["seed"] == 7


def test_a_smaller_set_of_another_seed_is_counted_as_far_as_it_goes(zoo: Path, tmp_path: Path) -> None:
    said = checked(zoo, built(tmp_path, sizes={**SIZES, "train": 700}, seed=7))
    assert said.compared[-1] == "seed 7: 700 examples answered, 0 of 5 figures outside"


def test_a_smaller_set_is_compared_in_whole_blocks(zoo: Path, tmp_path: Path) -> None:
    sizes = {"train": 1400, "validation": 10, "test": 900}
    said = checked(zoo, built(tmp_path, sizes=sizes))
    assert said.findings == []
    assert said.compared[:3] == [
        "train: rows of 1,000 examples, 0 of 1 blocks changed",
        "train: batches of 1,000 examples, 0 of 1 blocks changed",
        "test: 900 rows, fewer than the block of 1000 that can be compared",
    ]
    assert said.models["linear"]["compared"] == 1000


def test_a_corpus_has_no_other_seed(zoo: Path) -> None:
    models = {
        name: Model(model.classifier, structs.replace(model.card, fresh=None)) for name, model in models_of(zoo).items()
    }
    report = report_of(models)
    assert report.findings == []
    assert len(report.lines) == 4
    with pytest.raises(UsageError, match=r"^expected a set of seed 0, which the models learned, got one of seed 5$"):
        report_of(models, seed=5)


def test_a_card_says_the_seed_of_its_other_rows(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "RECORDED", {"train": 100, "test": 100})
    source = Source(target=MINI, seed=5)
    _, fresh = fingerprint.record(models_of(zoo)["linear"].classifier, source.open, source.open_other("train[:100]", 6))
    assert fresh is not None
    assert (fresh.seed, fresh.examples) == (6, 100)


def test_a_set_with_too_few_rows_is_refused(zoo: Path, tmp_path: Path) -> None:
    folder = built(tmp_path, shuffled, sizes={"train": 900, "validation": 10, "test": 900})
    assert refused(zoo, folder, "--models", "linear") == (
        "expected 1000 rows of train or test at least, got a set with fewer: build more"
    )


# Data that changed.


@pytest.mark.parametrize("name", DATA_FAULTS)
def test_digests_find_each_fault_of_the_data(zoo: Path, tmp_path: Path, name: str) -> None:
    folder = built(tmp_path, DATA_FAULTS[name], sizes=SIZES)
    assert verify(folder, quick=True) == []  # its files are what its manifest says
    said = checked(zoo, folder)
    assert said.causes == {"data changed"}
    # The other seed's rows are made now, and are sound.
    assert [finding["text"] for finding in said.findings] == [
        "train: expected the recorded rows, 2 of 2 blocks of 1000 are others, first that of example 0",
        "test: expected the recorded rows, 1 of 1 blocks of 1000 are others, first that of example 0",
    ]


@pytest.mark.parametrize("name", ["labels shuffled", "ids permuted", "MIN and MAX exchanged"])
def test_accuracy_alone_finds_faults_of_the_data(zoo: Path, tmp_path: Path, name: str) -> None:
    said = checked(zoo, built(tmp_path, DATA_FAULTS[name], sizes=SIZES, seed=7))
    assert said.causes == {"data changed"}
    fresh = fresh_of(read_card(zoo / MINI / "linear"))
    assert said.text.startswith(
        "seed 7: expected the recorded figures within joint 99.9% intervals, got linear right "
        f"{said.models['linear']['correct'] / FRESH:.2%} instead of {fresh.correct / FRESH:.2%}"
    )
    assert fresh.correct > said.models["linear"]["correct"] + 100


def test_a_generator_that_changed_since_the_set_was_built_is_found_by_other_rows(zoo: Path, sound: Path) -> None:
    with rows_with(shuffled):
        said = checked(zoo, sound)
    assert said.causes == {"data changed"}
    assert said.text.startswith("seed 2: ")
    assert said.models["linear"]["different"] == 0


@pytest.mark.parametrize(("row", "block"), [(999, 0), (1000, 1), (1999, 1)])
def test_one_label_of_one_row_is_found_in_its_block(zoo: Path, tmp_path: Path, row: int, block: int) -> None:
    said = checked(zoo, built(tmp_path, _with_other_label(row), sizes={**SIZES, "test": 20}))
    assert [finding["text"] for finding in said.findings] == [
        f"train: expected the recorded rows, 1 of 2 blocks of 1000 are others, first that of example {block * 1000:,}"
    ]


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


@pytest.mark.parametrize("name", READING_FAULTS)
@pytest.mark.parametrize("kind", ["virtual", "built"])
def test_batches_of_the_same_rows_that_changed_are_the_readings(zoo: Path, sound: Path, kind: str, name: str) -> None:
    with batches_with(READING_FAULTS[name]):
        said = checked(zoo, MINI if kind == "virtual" else sound)
    assert said.causes == {"reading changed"}
    assert said.findings[0]["text"] == (
        "train: expected the recorded batches, 2 of 2 blocks of 1000 are others, first that of example 0"
    )
    assert said.compared[0] == "train: rows of 2,000 examples, 0 of 2 blocks changed"


def test_accuracy_that_fell_has_the_cause_that_was_found(zoo: Path, sound: Path) -> None:
    with batches_with(labels_of_the_row_before):
        said = checked(zoo, sound)
    assert [(finding["cause"], finding["text"].split(":")[0]) for finding in said.findings] == [
        ("reading changed", "train"),
        ("reading changed", "seed 2"),
    ]


def test_reading_that_changed_in_a_worker_process_is_found(zoo: Path, sound: Path) -> None:
    with batches_with(one_too_long):
        assert checked(zoo, sound, "--workers", "2").causes == {"reading changed"}


def test_each_array_of_a_batch_counts(zoo: Path) -> None:
    models = {"linear": models_of(zoo)["linear"]}
    for field in ("inputs", "lengths", "labels"):

        def fault(batch: Any, field: str = field) -> Any:
            array = getattr(batch, field).copy()
            array[0] -= array[0] > 1
            return batch._replace(**{field: array})

        with batches_with(fault):
            assert {finding.cause for finding in report_of(models).findings} == {"reading changed"}, field


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
    said = checked(own_zoo, sound, models="linear,local")
    assert said.causes == {"models drifted"}
    different = said.models["linear"]["different"]
    assert said.findings[0]["text"] == (
        f"linear: expected at most 0.5% other answers on the same batches, got {different:,} of 3,000"
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


@pytest.mark.parametrize(("changed", "drifted"), [(15, False), (16, True)])
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


def test_answers_are_not_blamed_on_the_model_where_data_or_reading_changed(own_zoo: Path, tmp_path: Path) -> None:
    folder = own_zoo / MINI / "linear"
    recorded = read_card(folder).recorded
    assert recorded is not None
    train_answers = structs.replace(recorded["train"], predictions=["0" * 1000] * 2)
    rewrite(folder, recorded={**recorded, "train": train_answers})
    assert checked(own_zoo, built(tmp_path, shuffled, sizes=SIZES)).causes == {"data changed"}
    with batches_with(one_too_long):
        assert {finding.cause for finding in report_of(models_of(own_zoo)).findings} == {"reading changed"}


# The joint interval.


def test_the_interval_widens_with_the_number_of_models(zoo: Path) -> None:
    model = models_of(zoo)["linear"]
    correct = report_of({"linear": model}, seed=7).measured["linear"]["correct"]
    # A card that a single comparison finds different, and one of six does not.
    recorded = next(
        other
        for other in range(correct, FRESH)
        if differ(correct, FRESH, other, FRESH) and not differ(correct, FRESH, other, FRESH, comparisons=6)
    )
    odd, even = (
        Model(
            model.classifier,
            structs.replace(model.card, fresh=FreshAnswers(seed=1, examples=FRESH, correct=said, errors={})),
        )
        for said in (recorded, correct)
    )
    assert len(report_of({"odd": odd}, seed=7).findings) == 1
    assert report_of({"odd": odd} | {f"even{number}": even for number in range(5)}, seed=7).findings == []


def test_accuracy_that_rose_is_found_too(zoo: Path) -> None:
    model = models_of(zoo)["linear"]
    fresh = FreshAnswers(seed=1, examples=FRESH, correct=FRESH // 10, errors={})
    low = Model(model.classifier, structs.replace(model.card, fresh=fresh))
    assert [finding.cause for finding in report_of({"low": low}, seed=7).findings] == ["data changed"]


# What cannot be checked.


def test_a_set_that_no_model_was_trained_on(zoo: Path) -> None:
    assert refused(zoo, "listops/lra") == (
        f"{zoo}: expected models that were trained on listops/lra, got models of listops/mini: "
        "train some with `lra-zoo sweep listops/lra:all`, and name their folder with --checkpoints"
    )


def test_a_folder_without_models(tmp_path: Path) -> None:
    assert "expected models that were trained on listops/mini, got models of none: train" in refused(tmp_path, MINI)


def test_names_that_are_not_there(zoo: Path) -> None:
    said = refused(zoo, MINI, "--models", "linear,performer,bigbird")
    assert said == "expected models among linear, local, got bigbird, performer"


def test_a_card_that_recorded_nothing_is_passed_over(own_zoo: Path) -> None:
    for name in ("linear", "local"):
        rewrite(own_zoo / MINI / name, recorded=None, fresh=None, trivial=None)
        if name == "linear":
            assert list(models_of(own_zoo)) == ["local"]
            assert "expected complete cards of listops/mini, got 2 that" in refused(own_zoo, MINI, "--models", "linear")
    assert "expected complete cards of listops/mini, got 2 that are not: run" in refused(own_zoo, MINI)


def test_a_card_of_another_version_of_the_task_is_passed_over(own_zoo: Path) -> None:
    data = read_card(own_zoo / MINI / "linear").data
    version = data.version
    rewrite(own_zoo / MINI / "linear", data=structs.replace(data, version=version + 1))
    assert list(models_of(own_zoo)) == ["local"]
    rewrite(own_zoo / MINI / "local", data=structs.replace(data, version=version + 1))
    assert f"in version {version}, got version {version + 1}: train anew" in refused(own_zoo, MINI)


def test_two_models_of_one_attention(own_zoo: Path) -> None:
    shutil.copytree(own_zoo / MINI / "linear", own_zoo / "again" / "linear")
    assert refused(own_zoo, MINI).startswith("expected one linear for listops/mini, got two: ")


def test_models_of_two_seeds_or_two_ways_of_reading(zoo: Path) -> None:
    models = models_of(zoo)
    local = models["local"]
    other = Model(local.classifier, structs.replace(local.card, data=structs.replace(local.card.data, seed=9)))
    with pytest.raises(UsageError, match="expected models that learned one seed, linear and local did not"):
        report_of({**models, "local": other})
    config = replace(models["local"].classifier.config, max_length=500)
    longer = Model(Classifier(config), models["local"].card)
    assert report_of({"local": longer}).lines  # one way of reading: listops/mini is no longer than 127
    with pytest.raises(UsageError, match="the other seed must be one that no model learned, got 0"):
        report_of(models, other_seed=0)


def test_names_may_have_blanks() -> None:
    assert names_of("linear, local") == ["linear", "local"]
    with pytest.raises(UsageError, match=r"^--models must be names such as linear,local, got 'linear,'$"):
        names_of("linear,")


@pytest.mark.slow
def test_bundled_models_know_the_set_and_find_medians_rounded_up() -> None:
    """Right answers do not tell it; the mean of label - answer under a median does, with one model."""
    models = trained_on(lra_data.get_task(MINI), bundled.BUNDLED, None, CPU)
    assert sorted(models) == attention_names()
    source = Source(target=MINI)
    report = check(models, source.open_other, seed=0, other_seed=2, device=CPU)
    assert report.findings == []
    one = {"local": models["local"]}
    with rows_with(DATA_FAULTS["medians rounded up"]):
        (finding,) = check(one, source.open_other, seed=3, other_seed=2, device=CPU).findings[-1:]
    assert "local off by" in finding.text
    assert "in [MED instead of" in finding.text
    assert "local right" not in finding.text


def test_no_models_at_all() -> None:
    with pytest.raises(UsageError, match=r"^expected at least one trained model to check with, got none$"):
        report_of({})


def test_models_that_were_recorded_on_different_rows(zoo: Path) -> None:
    models = models_of(zoo)
    local = models["local"]
    other = {**local.recorded, "train": structs.replace(local.recorded["train"], rows=["0" * 64] * 2)}
    models["local"] = Model(local.classifier, structs.replace(local.card, recorded=other))
    with pytest.raises(UsageError, match=r"^expected models that were recorded on the same rows, local was on others$"):
        report_of(models)


def test_weights_that_are_not_the_cards(own_zoo: Path) -> None:
    with (own_zoo / MINI / "linear" / "model.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x7f")
    with pytest.raises(CheckpointError, match="expected weights with sha256"):
        models_of(own_zoo)


# Checkpoints by name.


def test_bundled_models_are_named_and_are_the_default(
    zoo: Path, sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundled, "BUNDLED", zoo)
    assert bundled.bundled_names() == ["listops/mini/linear", "listops/mini/local"]
    assert bundled.checkpoint_folder("listops/mini/local") == zoo / MINI / "local"
    assert bundled.checkpoint_folder(str(zoo / MINI / "linear")) == zoo / MINI / "linear"
    with pytest.raises(CheckpointError, match=r"got 'linear'; bundled: listops/mini/linear, listops/mini/local$"):
        bundled.checkpoint_folder("linear")
    result = CliRunner().invoke(cli, ["check", str(sound), "--models", "linear", "--device", "cpu"])
    assert (result.exit_code, result.exception) == (0, None)
    monkeypatch.setattr(bundled, "BUNDLED", tmp_path)
    assert bundled.bundled_names() == []
    with pytest.raises(CheckpointError, match=r"got 'linear'; none is bundled$"):
        bundled.checkpoint_folder("linear")
