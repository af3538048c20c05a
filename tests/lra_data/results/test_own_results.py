"""A model's own result files in the table of published rows."""

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import lra_data
from lra_data.commands.main import cli
from lra_data.results.comparable import FULL_SETS, differences, whole_test
from lra_data.results.own_results import RUN_BY
from lra_data.results.published import NOT_COMPARABLE, TASKS
from lra_data.results.result_files import read_result


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 20 rows of ListOps, all answered with 7."""
    test = lra_data.load("listops/lra", split="test[:20]")
    path = tmp_path_factory.mktemp("results") / "listops.json"
    lra_data.score(test, [7] * 20, trivial=False).write(path)
    return path


def changed(path: Path, folder: Path, **entries: object) -> Path:
    there = folder / f"{len(list(folder.iterdir()))}.json"
    there.write_text(json.dumps(json.loads(path.read_text()) | entries))
    return there


def listed(*words: object) -> Result:
    return CliRunner().invoke(cli, ["results", "list", *map(str, words)])


def test_an_own_model_is_listed_by_its_score(result: Path, tmp_path: Path) -> None:
    accuracy = json.loads(result.read_text())["accuracy"]
    found = listed("--task", "listops", "--result", f"mine={result}", "--format", "csv")
    assert found.exit_code == 0, found.output
    rows = list(csv.DictReader(io.StringIO(found.output)))
    (place,) = [number for number, row in enumerate(rows) if row["run_by"] == RUN_BY]
    assert (rows[place]["model"], float(rows[place]["listops"])) == ("mine", round(100 * accuracy, 2))
    assert "20 of 2,000 test examples, 95 % interval" in rows[place]["remark"]
    worst = listed(
        "--task", "listops", "--result", f"mine={changed(result, tmp_path, accuracy=0.0)}", "--format", "csv"
    )
    assert worst.output.splitlines()[-1].split(",")[1] == "mine"
    best = changed(result, tmp_path, accuracy=0.999, examples=2_000, rows=[0, 2_000])
    first = listed("--task", "listops", "--result", f"mine={best}").output.splitlines()[2]
    assert first.split()[:2] == ["mine", "99.90"]


def test_files_of_one_model_are_one_row_with_our_averages(result: Path, tmp_path: Path) -> None:
    sets = {column: task for task, column in FULL_SETS.items() if task != "text/holdout"}
    files = [
        changed(result, tmp_path, task=task, accuracy=n / 10, rows=[0, whole_test(task)])
        for n, task in enumerate(sets.values(), start=1)
    ]
    found = listed(*(word for file in files for word in ("--result", f"mine={file}")), "--format", "json")
    (row,) = [row for row in json.loads(found.output) if row["model"] == "mine"]
    cells = {task: float(row[task]) for task in TASKS}
    assert cells == {column: 10.0 * n for n, column in enumerate(sets, start=1)}
    assert row["five"] == round(sum(cells[task] for task in TASKS[:5]) / 5, 2)
    assert row["remark"].count("95 % interval") == len(TASKS)
    assert row["variant"] == ""


def test_every_column_has_a_set_that_exists() -> None:
    assert set(FULL_SETS.values()) == set(TASKS)
    assert set(FULL_SETS) - {"retrieval/lra-pairs"} <= set(lra_data.task_names())  # which needs the lists
    sizes = {task: lra_data.get_task(task).sizes["test"] for task in set(FULL_SETS) - {"retrieval/lra-pairs"}}
    assert all(size == lra_data.get_task(task.partition("/")[0]).sizes["test"] for task, size in sizes.items())


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({}, "20 of 2,000 test rows of listops/lra"),
        ({"rows": [0, 1000], "examples": 1000}, "1,000 of 2,000 test rows of listops/lra"),
        ({"task": "listops/mini"}, "listops/mini is not the benchmark's own set"),
        ({"split": "validation"}, "scores on validation, not on test, of listops/lra"),
    ],
)
def test_what_is_not_comparable_is_listed_and_says_why(
    entries: dict[str, object], reason: str, result: Path, tmp_path: Path
) -> None:
    file = changed(result, tmp_path, **entries)
    assert differences([read_result(file)]) == [reason]  # what the report says too
    found = json.loads(listed("--task", "listops", "--result", f"mine={file}", "--format", "json").output)
    (row,) = [row for row in found if row["run_by"] == RUN_BY]
    assert (row["model"], row["variant"], row["five"]) == ("mine", NOT_COMPARABLE, None)
    assert row["remark"].startswith(f"Not comparable: {reason}. {entries.get('task', 'listops/lra')} ")
    for shape in ("text", "md", "latex"):
        assert f"mine, {NOT_COMPARABLE}" in listed("--result", f"mine={file}", "--format", shape).output


def test_no_average_is_made_of_what_is_not_comparable(result: Path, tmp_path: Path) -> None:
    sets = ("listops/mini", "text/lra", "retrieval/lra-pairs", "image/lra", "pathfinder/32-hard")
    words = [word for task in sets for word in ("--result", f"mine={changed(result, tmp_path, task=task)}")]
    row = json.loads(listed(*words, "--format", "json").output)[-1]
    assert all(row[task] for task in TASKS[:5])
    assert row["five"] is None


def test_another_seed_is_named(result: Path, tmp_path: Path) -> None:
    file = changed(result, tmp_path, rows=[0, 2000], seed=3)
    row = json.loads(listed("--result", f"mine={file}", "--format", "json").output)[-1]
    assert row["remark"].endswith(". Another draw of listops/lra, seed 3.")
    assert row["variant"] == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--result", "FILE"], "expected MODEL=FILE"),
        (["--result", "mine=FILE", "--result", "mine=FILE"], "mine has a score for listops already"),
        (["--task", "text", "--result", "mine=FILE"], "expected a score for --task text"),
        (["--result", "mine=nowhere.json"], "expected a result file"),
        (["--result", "mine=OTHER"], "expected a result file of `lra-data score --out`"),
        (["--model", "no such model"], "no published row matches"),
    ],
)
def test_wrong_use_is_one_line(words: list[str], said: str, result: Path, tmp_path: Path) -> None:
    other = changed(result, tmp_path, format=7)
    found = listed(*(word.replace("FILE", str(result)).replace("OTHER", str(other)) for word in words))
    assert found.exit_code != 0
    assert said in str(found.exception)
    assert "\n" not in str(found.exception)


def test_a_file_that_is_not_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    assert "expected a result file" in str(listed("--result", f"mine={tmp_path / 'a.json'}").exception)
