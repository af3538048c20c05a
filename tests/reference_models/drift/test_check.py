"""A small model that learned listops/mini tells sound sets from faulty ones, and names the cause of each finding.

The model is trained here, on the first examples, and its card holds few rows, so that the file takes a minute. It knows
little more than the outermost operator. Medians rounded up move no model's accuracy: only the digests find those.
"""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec import structs

import lra_data
from lra_data import UsageError
from reference_models.commands.main import cli
from reference_models.commands.shared_options import names_of
from reference_models.drift import fingerprint
from reference_models.drift.check import check
from reference_models.drift.trained import Model, trained_on
from reference_models.evaluation.significance import differ
from reference_models.model import bundled
from reference_models.model.card import CheckpointError, FreshAnswers
from reference_models.model.checkpoint import read_card
from reference_models.model.classifier import Classifier
from reference_models.training.runs import Source
from tests.support.checked_sets import (
    CPU,
    FRESH,
    MINI,
    SIZES,
    assert_all_is_well,
    checked,
    fresh_of,
    models_of,
    refused,
    report_of,
    rewrite,
)
from tests.support.faulty_sets import (
    DATA_FAULTS,
    built,
    rows_with,
    shuffled,
)


def test_the_virtual_set_passes(zoo: Path) -> None:
    said = checked(zoo, MINI, "--thorough", models="linear,local")
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
@pytest.mark.slow
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
        "test: not compared: 900 rows are less than one block of 1000",
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
        "expected at least 1000 rows in train or test, got a set with fewer: build more"
    )


@pytest.mark.slow
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
            assert "expected a complete card of listops/mini, got 2 without recorded answers" in refused(
                own_zoo, MINI, "--models", "linear"
            )
    assert "expected a complete card of listops/mini, got 2 without recorded answers: run" in refused(own_zoo, MINI)


def test_a_card_of_another_version_of_the_task_is_passed_over(own_zoo: Path) -> None:
    data = read_card(own_zoo / MINI / "linear").data
    version = data.version
    rewrite(own_zoo / MINI / "linear", data=structs.replace(data, version=version + 1))
    assert list(models_of(own_zoo)) == ["local"]
    rewrite(own_zoo / MINI / "local", data=structs.replace(data, version=version + 1))
    assert f"in version {version}, got version {version + 1}: train again" in refused(own_zoo, MINI)


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
    assert sorted(models) == sorted(path.name for path in (bundled.BUNDLED / MINI).iterdir())
    assert len(models) == 17
    source = Source(target=MINI)
    report = check(models, source.open_other, seed=0, other_seed=2, device=CPU, thorough=True)
    assert report.findings == []
    with rows_with(DATA_FAULTS["medians rounded up"]):
        (finding,) = check(models, source.open_other, seed=3, other_seed=2, device=CPU).findings[-1:]
    assert "mean error of all models together" in finding.text
    assert "in [MED instead of" in finding.text
    assert "accuracy" not in finding.text
    one = {"local": models["local"]}
    with rows_with(DATA_FAULTS["medians rounded up"]):
        (finding,) = check(one, source.open_other, seed=3, other_seed=2, device=CPU).findings[-1:]
    assert "local mean error" in finding.text
    assert "in [MED instead of" in finding.text
    assert "local accuracy" not in finding.text


def test_no_models_at_all() -> None:
    with pytest.raises(UsageError, match=r"^expected at least one trained model to check with, got none$"):
        report_of({})


def test_models_that_were_recorded_on_different_rows(zoo: Path) -> None:
    models = models_of(zoo)
    local = models["local"]
    other = {**local.recorded, "train": structs.replace(local.recorded["train"], rows=["0" * 64] * 2)}
    models["local"] = Model(local.classifier, structs.replace(local.card, recorded=other))
    with pytest.raises(UsageError, match=r"^expected models with the same recorded rows, local has others$"):
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
