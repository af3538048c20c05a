"""`lra_data.score` and the zoo count the same answers, of every bundled model."""

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import lra_data
from lra_data import Corpus
from reference_models import bundled_model, evaluate
from reference_models.commands.main import cli
from reference_models.drift.fingerprint import as_answers
from reference_models.evaluation.model_inputs import read
from reference_models.evaluation.scoring import logits_of
from reference_models.model.bundled import BUNDLED, bundled_names
from reference_models.model.checkpoint import read_card
from tests.support.real_corpora import AAN, CIFAR_PYTHON, IMDB, real

CORPORA = {"image": CIFAR_PYTHON, "text": IMDB, "retrieval": AAN}
TASKS = sorted({name.rpartition("/")[0] for name in bundled_names()})


@pytest.mark.parametrize(
    "task",
    [pytest.param(task, marks=[pytest.mark.slow] if task.partition("/")[0] in CORPORA else []) for task in TASKS],
)
def test_recorded_answers_have_the_recorded_score(task: str) -> None:
    family = task.partition("/")[0]
    corpus = Corpus(real(CORPORA[family]), allow_partial=True) if family in CORPORA else None
    cards = [read_card(BUNDLED / name) for name in bundled_names() if name.rpartition("/")[0] == task]
    for card in cards:
        assert card.recorded is not None
        entry = card.recorded["test"]
        name = card.task.removesuffix("-partial")
        rows = lra_data.load(name, split=f"test[:{entry.examples}]", corpus=corpus)
        found = lra_data.score(rows, as_answers(entry.predictions), trivial=False).record
        assert (found["correct"], found["examples"]) == (entry.correct, entry.examples)


def test_logits_of_a_model_have_its_score_and_loss(tmp_path: Path) -> None:
    model, _ = bundled_model("listops/mini/linear")
    rows = lra_data.load("listops/mini", split="test[:300]")
    file = tmp_path / "logits.npy"
    words = ["evaluate", "listops/mini/linear", "listops/mini", "--split", "test[:300]", "--predictions", str(file)]
    assert CliRunner().invoke(cli, words).exit_code == 0
    cpu = torch.device("cpu")
    expected_logits = np.concatenate([logits_of(model, batch, cpu) for batch in read(model.config, rows, 100)])
    assert np.array_equal(np.load(file), expected_logits)
    found, expected = lra_data.score(rows, file, trivial=False), evaluate(model, rows)
    assert found.record["correct"] == expected.correct
    assert found.record["calibration"]["negative_log_likelihood"] == pytest.approx(expected.loss, abs=1e-6)


def test_predictions_are_refused_under_another_name() -> None:
    found = CliRunner().invoke(cli, ["evaluate", "listops/mini/linear", "listops/mini", "--predictions", "a.csv"])
    assert str(found.exception) == "--predictions must be a file that ends in .npy, got 'a.csv'"
