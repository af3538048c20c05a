"""Each fault of each family's rows and reading is found by a check of recorded rows, whatever the models know."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from lra_data import Corpus
from reference_models.drift import fingerprint
from reference_models.drift.check import Report, check
from reference_models.drift.trained import trained_on
from reference_models.training import runs
from reference_models.training.runs import Experiment, Source, run
from tests.support.faults_of_tasks import READING_FAULTS_OF_TASKS, ROWS_FAULTS, faulty_rows
from tests.support.faulty_sets import batches_with
from tests.support.tiny_corpora import write_corpora

TASKS = {
    "listops": "listops/mini",
    "pathfinder": "pathfinder/24-mini",
    "text": "text/holdout",
    "image": "image/lra",
    "retrieval": "retrieval/by-pair",
}
FAULTS = [(family, fault) for family, faults in ROWS_FAULTS.items() for fault in faults]
READING = [(family, fault) for family, faults in READING_FAULTS_OF_TASKS.items() for fault in faults]


@pytest.fixture(scope="session")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, tuple[Path, Source]]:
    """For each family a folder with a model that took one step, and recorded few rows; and where they come from."""
    folder = tmp_path_factory.mktemp("faults")
    corpora = write_corpora(folder)
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprint, "RECORDED", {"train": 200, "test": 50})
        patch.setattr(runs, "FRESH_EXAMPLES", 50)
        for family, task in TASKS.items():
            corpus = Corpus(corpora[family], allow_partial=True) if family in corpora else None
            source = Source(target=task, corpus=corpus)
            changes: dict[str, Any] = {"steps": 1, "batch_size": 8, "warmup": 0, "easier": None, "easier_steps": 0}
            run(Experiment(source=source, attention="no_attention", changes=changes), folder / family)
            found[family] = (folder / family, source)
    return found


def report_of(learned: Mapping[str, tuple[Path, Source]], family: str) -> Report:
    folder, source = learned[family]
    task = source.open("test").task
    return check(
        trained_on(task, folder, None, torch.device("cpu")),
        lambda split, seed: source.open(split) if seed == 0 else source.open_other(split, seed),
        seed=0,
        other_seed=2,
        device=torch.device("cpu"),
    )


@pytest.mark.slow
@pytest.mark.parametrize("family", TASKS)
def test_sound_sets_pass(learned: Mapping[str, tuple[Path, Source]], family: str) -> None:
    assert report_of(learned, family).findings == []


@pytest.mark.slow
@pytest.mark.parametrize(("family", "fault"), FAULTS)
def test_faults_of_rows_are_found(learned: Mapping[str, tuple[Path, Source]], family: str, fault: str) -> None:
    with faulty_rows(family, ROWS_FAULTS[family][fault]):
        findings = report_of(learned, family).findings
    assert findings[0].cause == "data changed"
    assert "expected the recorded rows" in findings[0].text


@pytest.mark.slow
@pytest.mark.parametrize(("family", "fault"), READING)
def test_faults_of_reading_are_found(learned: Mapping[str, tuple[Path, Source]], family: str, fault: str) -> None:
    with batches_with(READING_FAULTS_OF_TASKS[family][fault]):
        findings = report_of(learned, family).findings
    assert findings[0].cause == "reading changed"


def test_each_family_has_five() -> None:
    assert {family: len(faults) for family, faults in ROWS_FAULTS.items()} == dict.fromkeys(TASKS, 5)
