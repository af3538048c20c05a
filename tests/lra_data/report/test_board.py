"""The rows of the board: which are comparable, what is shown of a cell, and the user's own results."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lra_data import UsageError
from lra_data.report.board import COLUMNS, BoardRow, Cell, board
from lra_data.report.bundled_models import bundled_models
from lra_data.results.comparable import FULL_SETS, column
from lra_data.results.families import FAMILIES, OTHER, family_of
from lra_data.results.published import averages, chosen, published
from lra_data.results.result_files import read_results
from tests.support.report_pages import result_record, write_result

FULL = {
    "listops/lra": ([0, 2000], 0.4),
    "text/lra": ([0, 25_000], 0.6),
    "image/lra": ([0, 10_000], 0.5),
    "pathfinder/32-hard": ([0, 20_000], 0.7),
    "pathfinder/128-hard": ([0, 20_000], 0.55),
    "pathfinder/256-hard": ([0, 20_000], 0.51),
}


def own_row(*places: Path) -> BoardRow:
    (row,) = board([], [], read_results(places))
    return row


def test_every_published_row_is_there_with_its_means() -> None:
    rows = published()
    made = board(rows)
    assert len(made) == len(rows) >= 235
    known = {(row.model, row.variant, row.source, row.table, averages(row).five) for row in rows}
    assert {(row.model, row.variant, row.paper, row.table, row.five) for row in made} == known
    assert {row.protocol for row in made} == {"comparable", "test", "other"}
    # The default of the page and of `lra-data results list` is the same.
    assert sum(row.protocol == "comparable" for row in made) == len(chosen(rows, protocol="comparable"))


def test_the_users_rows_are_first(tmp_path: Path) -> None:
    places = [write_result(tmp_path / "mine.json"), write_result(tmp_path / "half.json", "listops/mini")]
    rows = board(published(), bundled_models(), read_results(places))
    assert [row.model for row in rows[:2]] == ["half", "mine"]
    assert {row.origin for row in rows[2:]} == {"published", "bundled"}


def test_another_seed_is_named(tmp_path: Path) -> None:
    row = own_row(write_result(tmp_path / "mine.json", seed=3))
    assert (row.protocol, row.draws) == ("comparable", ("another draw of listops/lra, seed 3",))


def test_every_score_that_compares_has_a_column() -> None:
    assert {column(task) for task in FULL_SETS} == set(COLUMNS)
    assert all(column(task) == name for task, name in FULL_SETS.items())


def test_rows_come_from_the_best_mean_and_those_without_one_last() -> None:
    means = [row.five for row in board(published(), bundled_models())]
    known = [mean for mean in means if mean is not None]
    assert known == sorted(known, reverse=True)
    assert means[: len(known)] == known
    assert None in means


def test_a_row_that_does_not_compare_says_why() -> None:
    made = board(published(), bundled_models())
    assert all(bool(row.reasons) == (row.protocol != "comparable") for row in made)
    reasons = {reason for row in made if row.origin == "published" for reason in row.reasons}
    assert {"colour pictures", "scores on validation", "split unclear", "pre-trained on Path-64"} <= reasons


def test_a_correction_replaces_the_printed_cell_in_the_order() -> None:
    (row,) = [row for row in published() if row.model == "Luna-256" and row.corrections]
    (made,) = board([row])
    assert made.cells["pathfinder"] == Cell(printed=row.pathfinder, corrected="77.72")
    assert made.cells["pathfinder"].key == 77.72
    (unknown,) = board([replace(row, corrections="pathfinder=")])
    assert unknown.cells["pathfinder"].key is None
    assert unknown.five is None


def test_a_failure_is_less_than_any_score() -> None:
    assert Cell(printed="FAIL").key == -1.0
    assert Cell(printed="").key is None


def test_every_row_names_its_source_and_arxiv_and_repositories_are_linked() -> None:
    made = board(published())
    assert all(row.paper and row.place for row in made)
    assert {row.link.split("/")[2] for row in made if row.link} == {"arxiv.org", "github.com"}
    places = {row.place for row in made}
    assert {"arXiv:2011.04006", "facebookresearch/xformers"} <= places


def test_bundled_models_are_one_row_each_and_never_comparable() -> None:
    models = bundled_models()
    rows = board([], models)
    assert len(rows) == len({model.card.attention for model in models}) >= 17
    assert all(row.protocol == "other" and row.five is None for row in rows)
    (full,) = [row for row in rows if row.model == "full"]
    (card,) = [model.card for model in models if model.name == "listops/mini/full"]
    assert full.cells["listops"].printed == f"{100 * card.test.accuracy:.2f}"
    assert full.cells["listops"].data == "listops/mini"


def test_every_model_has_a_family() -> None:
    names = {row.model for row in published()} | {model.card.attention for model in bundled_models()}
    assert {name for name in names if family_of(name) == OTHER} == set()
    assert family_of("nystrom-former") == family_of("Nystromformer") in FAMILIES
    assert family_of("My own") == OTHER


def test_a_whole_test_split_of_a_full_set_is_comparable(tmp_path: Path) -> None:
    row = own_row(write_result(tmp_path / "mine.json"))
    assert (row.model, row.origin, row.protocol, row.reasons) == ("mine", "yours", "comparable", ())
    assert row.cells["listops"] == Cell(printed="37.50", low=0.354, high=0.3964, data="listops/lra")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"task": "listops/mini"}, "listops/mini is not the benchmark's own set"),
        ({"rows": [0, 1000]}, "1,000 of 2,000 test rows of listops/lra"),
        ({"split": "validation"}, "scores on validation, not on test, of listops/lra"),
        ({"task": "retrieval/by-pair"}, "retrieval/by-pair is not the benchmark's own set"),
    ],
)
def test_other_results_are_not_comparable(tmp_path: Path, changes: dict[str, object], reason: str) -> None:
    row = own_row(write_result(tmp_path / "mine.json", **changes))  # type: ignore[arg-type]
    assert row.protocol == "other"
    assert row.reasons == (reason,)
    assert row.five is None


def test_a_folder_is_one_model_on_several_tasks(tmp_path: Path) -> None:
    for task, (rows, accuracy) in FULL.items():
        write_result(tmp_path / "model" / f"{task.replace('/', '-')}.json", task, rows=rows, accuracy=accuracy)
    row = own_row(tmp_path / "model")
    assert row.model == "model"
    assert [row.cells[task].printed for task in COLUMNS] == ["40.00", "60.00", "", "50.00", "70.00", "55.00", "51.00"]
    assert row.protocol == "comparable"
    assert row.five is None  # Retrieval is missing


def test_two_results_in_one_column_are_refused(tmp_path: Path) -> None:
    write_result(tmp_path / "model" / "a.json")
    write_result(tmp_path / "model" / "b.json", "listops/mini")
    with pytest.raises(UsageError, match="one result of each task, got listops/lra and listops/mini"):
        own_row(tmp_path / "model")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "expected a result file of `lra-data score --out`"),
        ("[]", "expected a result file"),
        (json.dumps(result_record(accuracy=37.5)), "accuracy"),
        (json.dumps(result_record(format=2)), "format"),
        (json.dumps(result_record(task="speech/lra")), "expected a task of"),
        (b"\xff\xfe", "expected a result file"),
    ],
)
def test_a_file_that_is_not_a_result_is_refused_in_one_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    file = tmp_path / "mine.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError, match=message) as error:
        read_results([file])
    assert "\n" not in str(error.value)
    assert str(file) in str(error.value)


def test_missing_files_and_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_results([tmp_path / "none.json"])
    with pytest.raises(UsageError, match="a folder without any"):
        read_results([tmp_path])
