"""Several models divide the rows of a check: each answers its share, and the figures are compared for all together."""

from pathlib import Path

import numpy as np
import pytest
import torch

from reference_models.drift.fingerprint import BLOCK, answers
from reference_models.evaluation.significance import pooled_means_differ
from reference_models.training.runs import Source
from tests.support.checked_sets import CPU, FRESH, MINI, models_of, report_of
from tests.support.faulty_sets import batches_with, labels_of_the_row_before, rows_with, shuffled


def test_each_block_is_answered_once_where_there_are_enough(zoo: Path) -> None:
    models = {name: model.classifier for name, model in models_of(zoo).items()}
    dataset = Source(target=MINI).open("train[:2500]")
    whole = answers(models, dataset, device=CPU)
    shares = answers(models, dataset, device=CPU, divided=True)
    assert shares.read == whole.read
    assert [shares.asked(name).nonzero()[0].tolist() for name in ("linear", "local")] == [
        [*range(BLOCK), *range(2 * BLOCK, 2500)],
        [*range(BLOCK, 2 * BLOCK)],
    ]
    for name in models:
        assert whole.asked(name).all()
        asked = shares.asked(name)
        assert np.array_equal(shares.predicted[name][asked], whole.predicted[name][asked])
    shared = answers(models, Source(target=MINI).open("test[:600]"), device=CPU, divided=True)
    assert all(shared.asked(name).all() for name in models), "each model answers something"


def test_a_sound_set_passes(zoo: Path) -> None:
    report = report_of(models_of(zoo), thorough=False)
    assert report.findings == []
    assert {name: found["compared"] for name, found in report.measured.items()} == {"linear": 2000, "local": 2000}
    assert sum(found["examples"] for found in report.measured.values()) == FRESH
    assert report.lines[-1] == f"seed 2: {FRESH:,} examples answered, 0 of 5 figures outside"
    assert len(report_of(models_of(zoo)).measured["linear"]["errors"]) == 4


def test_faults_of_the_data_are_found_together(zoo: Path) -> None:
    with rows_with(shuffled):
        report = report_of(models_of(zoo), thorough=False)
    assert {finding.cause for finding in report.findings} == {"data changed"}
    assert "accuracy of all models together" in report.findings[-1].text


def test_faults_of_reading_are_found(zoo: Path) -> None:
    with batches_with(labels_of_the_row_before):
        report = report_of(models_of(zoo), thorough=False)
    assert report.findings[0].cause == "reading changed"


def test_the_model_that_drifted_is_named(zoo: Path) -> None:
    models = models_of(zoo)
    with torch.no_grad():
        models["local"].classifier.get_parameter("head.1.weight").neg_()
    report = report_of(models, thorough=False)
    drifted = [finding.text for finding in report.findings if finding.cause == "models drifted"]
    assert len(drifted) == 1 + any("seed 2" in text for text in drifted)
    assert drifted[0].startswith("local: expected at most 0.5% changed answers on the same batches, got ")
    assert drifted[0].endswith(" of 2,000")


def counts(values: np.ndarray) -> tuple[int, int, int]:
    return len(values), int(values.sum()), int((values**2).sum())


@pytest.mark.parametrize("together", [False, True], ids=["rows of their own", "the same rows"])
def test_the_pooled_statistic_holds_its_level_and_finds_a_shift(together: bool) -> None:
    """Eight kinds; recorded values of one kind are those of the others, too, at worst."""
    generator = np.random.default_rng(0)
    outside = found = 0
    for _ in range(400):
        base = generator.integers(-3, 4, 500)
        pairs, moved = [], []
        for kind in range(8):
            recorded = base if together else generator.integers(-3, 4, 500)
            new = generator.integers(-3, 4, 60)
            pairs.append((counts(new + kind), counts(recorded + kind)))
            moved.append((counts(new + kind + (generator.random(60) < 0.5)), counts(recorded + kind)))
        outside += pooled_means_differ(pairs, level=0.95)
        found += pooled_means_differ(moved, level=0.95)
    assert outside <= 400 * 0.05 + 3 * (400 * 0.05 * 0.95) ** 0.5
    assert found > 350


def test_kinds_with_too_few_values_are_left_out() -> None:
    assert not pooled_means_differ([((1, 100, 10_000), (50, 0, 50)), ((0, 0, 0), (50, 0, 50))])
