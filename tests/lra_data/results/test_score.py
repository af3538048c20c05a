"""Scores against plain counting, and what is refused."""

import errno
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import lra_data
from lra_data import BuildError, UsageError
from lra_data.commands.main import cli
from lra_data.confidence import wilson_interval
from lra_data.loading.dataset import Dataset
from lra_data.results.measures import by_group, calibration, mcnemar
from lra_data.results.predictions import predictions_of

N, CLASSES = 200, 10


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return lra_data.load("listops/mini", split=f"test[:{N}]")


@pytest.fixture(scope="module")
def labels(dataset: Dataset) -> NDArray[np.int64]:
    return np.array(dataset[:]["label"].to_pylist())


def some_logits(labels: NDArray[np.int64], seed: int = 1) -> NDArray[np.float64]:
    """Right for about a half of the examples."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(len(labels), CLASSES)) + 1.5 * np.eye(CLASSES)[labels]


def test_counts_and_intervals(dataset: Dataset, labels: NDArray[np.int64]) -> None:
    logits = some_logits(labels)
    found = lra_data.score(dataset, logits, trivial=False)
    right = sum(int(np.argmax(row)) == label for row, label in zip(logits, labels, strict=True))
    assert 0.2 < right / N < 0.9
    assert (found.record["correct"], found.record["examples"]) == (right, N)
    assert found.accuracy == right / N
    assert found.interval == pytest.approx(wilson_interval(right / N, N, 1.959964))
    assert found.record["identity"] == dataset.identity
    assert json.loads(found.to_json()) == found.record


def test_groups_are_those_of_the_rows(dataset: Dataset, labels: NDArray[np.int64]) -> None:
    answers = some_logits(labels).argmax(axis=1)
    groups = lra_data.score(dataset, answers, trivial=False).record["groups"]
    rows = dataset[:].to_pylist()
    words = dataset.task.vocabulary
    assert words is not None
    for name, of_row in (
        ("root operator", [words[row["root_operator"]] for row in rows]),
        ("depth", [str(row["depth"]) for row in rows]),
        ("class", [str(row["label"]) for row in rows]),
    ):
        expected: dict[str, list[bool]] = {}
        for row, answer, group in zip(rows, answers, of_row, strict=True):
            expected.setdefault(group, []).append(row["label"] == answer)
        assert {entry["group"]: (entry["examples"], entry["correct"]) for entry in groups[name]} == {
            group: (len(right), sum(right)) for group, right in expected.items()
        }
    assert sum(entry["examples"] for entry in groups["length"]) == N
    assert sum(entry["correct"] for entry in groups["length"]) == int((answers == labels).sum())


@given(st.lists(st.tuples(st.integers(0, 400), st.booleans()), min_size=1, max_size=300))
@settings(deadline=None)
def test_ranges_hold_every_example_once(rows: list[tuple[int, bool]]) -> None:
    values, right = np.array([value for value, _ in rows]), np.array([answer for _, answer in rows])
    found = by_group(right, values, None)
    edges = [[int(word.replace(",", "")) for word in entry["group"].split(" to ")] for entry in found]
    covered = [value for edge in edges for value in range(edge[0], edge[-1] + 1)]
    assert covered == sorted(set(covered))
    for entry, edge in zip(found, edges, strict=True):
        inside = [answer for value, answer in rows if edge[0] <= value <= edge[-1]]
        assert (entry["examples"], entry["correct"]) == (len(inside), sum(inside))
    assert sum(entry["examples"] for entry in found) == len(rows)
    assert len(found) <= 12


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
@settings(deadline=None)
def test_mcnemar_is_a_fair_coin(pairs: list[tuple[bool, bool]]) -> None:
    one, other = (np.array(side) for side in zip(*pairs, strict=True))
    found = mcnemar(one, other)
    only = [sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)]
    assert [found["only_this"], found["only_other"]] == only
    n = sum(only)
    tail = sum(math.comb(n, k) for k in range(min(only) + 1)) / 2**n
    assert found["p"] == pytest.approx(min(1.0, 2 * tail), rel=1e-9)
    assert found["both"] + found["neither"] + n == len(pairs)


@given(st.integers(0, 2**32 - 1), st.integers(1, 80), st.integers(2, 10))
@settings(deadline=None, max_examples=30)
def test_calibration_is_that_of_plain_loops(seed: int, n: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(scale=3, size=(n, classes)), rng.integers(0, classes, n)
    found = calibration(logits, labels)
    nll = brier = 0.0
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(15)]
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        total = sum(math.exp(value) for value in row)
        shares = [math.exp(value) / total for value in row]
        nll -= math.log(shares[label]) / n
        brier += sum((share - (number == label)) ** 2 for number, share in enumerate(shares)) / n
        best = max(shares)
        bins[min(14, int(best * 15))].append((best, row.index(max(row)) == label))
    error = sum(abs(sum(c for c, _ in bin_) - sum(r for _, r in bin_)) for bin_ in bins) / n
    assert found["negative_log_likelihood"] == pytest.approx(nll)
    assert found["brier"] == pytest.approx(brier)
    assert found["expected_calibration_error"] == pytest.approx(error)
    assert sum(entry["examples"] for entry in found["bins"]) == n


def write_npy(path: Path, indices: list[int], values: NDArray[Any]) -> None:
    np.save(path, values[np.argsort(indices)])


def write_csv(path: Path, indices: list[int], values: NDArray[Any]) -> None:
    columns = {"label": values} if values.ndim == 1 else {f"logit_{k}": values[:, k] for k in range(CLASSES)}
    pyarrow.csv.write_csv(pa.table({"index": indices, **columns}), path)


def write_jsonl(path: Path, indices: list[int], values: NDArray[Any]) -> None:
    name = "label" if values.ndim == 1 else "logits"
    lines = [{"index": i, name: value} for i, value in zip(indices, values.tolist(), strict=True)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def write_parquet(path: Path, indices: list[int], values: NDArray[Any]) -> None:
    name = "label" if values.ndim == 1 else "logits"
    pyarrow.parquet.write_table(pa.table({"index": indices, name: values.tolist()}), path)


@pytest.mark.parametrize("kind", ["labels", "logits"])
@pytest.mark.parametrize("write", [write_npy, write_csv, write_jsonl, write_parquet])
def test_files_in_another_order(
    write: Callable[[Path, list[int], NDArray[Any]], None],
    kind: str,
    dataset: Dataset,
    labels: NDArray[np.int64],
    tmp_path: Path,
) -> None:
    logits = some_logits(labels)
    values = logits if kind == "logits" else logits.argmax(axis=1)
    order = np.random.default_rng(3).permutation(N)
    path = tmp_path / f"p.{write.__name__.removeprefix('write_')}"
    write(path, order.tolist(), values[order])
    found, expected = (lra_data.score(dataset, given, trivial=False).record for given in (path, values))
    assert found["groups"] == expected["groups"]
    assert (found["calibration"] is None) == (kind == "labels")
    if kind == "logits":
        assert found["calibration"]["brier"] == pytest.approx(expected["calibration"]["brier"])


def test_a_slice_has_its_own_indices(labels: NDArray[np.int64]) -> None:
    part = lra_data.load("listops/mini", split="test[50:60]")
    assert "1 missing (the first 59), 1 foreign (the first 60)" in refused_by(
        part, dict.fromkeys([*range(50, 59), 60], 0)
    )
    right = {index: int(labels[index]) for index in range(50, 60)}
    assert lra_data.score(part, right, trivial=False).accuracy == 1.0
    assert lra_data.score(part, labels[50:60], trivial=False).accuracy == 1.0


def refused_by(dataset: Dataset, given: Any) -> str:
    with pytest.raises(UsageError) as error:
        lra_data.score(dataset, given, trivial=False)
    return str(error.value)


def refused(given: Any, expected: int = 10, classes: int = 3) -> str:
    with pytest.raises(UsageError) as error:
        predictions_of(given, range(expected), classes, "a test")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_missing_doubled_and_foreign_indices_are_counted() -> None:
    table = pa.table({"index": [0, 1, 1, 2, 2, 5, 12, 11], "label": [0] * 8})
    assert refused(table) == (
        "predictions: expected one prediction for each of the 10 examples of a test, got 6 missing (the first 3), "
        "2 doubled (the first 1), 2 foreign (the first 11)"
    )
    assert "got 9 missing (the first 1)" in refused({0: 1})
    assert "expected 10 predictions, one for each example of a test, got 9" in refused(np.zeros(9, int))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.zeros(10), r"labels as whole numbers from 0 to 2, or logits \(N, 3\), got float64"),
        (np.full(10, 3), "labels from 0 to 2, got 10 others, the first 3 at place 0"),
        (np.zeros((10, 4)), r"logits \(N, 3\), got float64 \(10, 4\)"),
        (np.full((10, 3), np.nan), "finite logits, got 10 rows that are not, the first at place 0"),
        (np.zeros((10, 3, 1)), r"labels \(N,\) or logits \(N, C\), got an array of shape \(10, 3, 1\)"),
        ([[1.0], [1.0, 2.0]], "rows of unequal length"),
        (pa.table({"index": [0], "prediction": [1]}), "the columns label, or logits, .* got index, prediction"),
        (pa.table({"logits": [[1.0], [1.0, 2.0]]}), "logits of one length in all rows, got several"),
        (pa.table({"index": [0.5], "label": [1]}), "whole numbers in the column index, got double|float64"),
    ],
)
def test_what_is_no_prediction_is_refused(given: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        predictions_of(given, range(10), 3, "a test")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("p.txt", "1", "a file that ends with .npy, .csv, .jsonl, .parquet, got .txt"),
        ("p.npy", "no array", "expected predictions as .npy"),
        ("p.npy", "", "expected predictions as .npy, got: No data left in file"),
        ("p.csv", "", "expected predictions as .csv, got: Empty CSV file"),
        ("p.jsonl", '{"label": 1}\n{"lable": 1}\n', "the entries of line 1 in line 2"),
        ("p.jsonl", "{", "expected predictions as .jsonl"),
        ("p.parquet", "no", "expected predictions as .parquet"),
        ("p.csv", "index,label\n0,x\n", "labels as whole numbers"),
    ],
)
def test_files_that_are_none_are_refused_by_name(name: str, text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    message = refused(str(path), expected=1)
    assert message.startswith(f"{path}: ")
    assert words in message


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for suffix in (".npy", ".csv", ".jsonl", ".parquet"):
        assert "expected a file of predictions, found no file there" in refused(tmp_path / f"none{suffix}")


def test_the_command(labels: NDArray[np.int64], tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", labels)
    np.save(tmp_path / "other.npy", some_logits(labels))
    words = ["score", "listops/mini", str(tmp_path / "p.npy"), "--split", f"test[:{N}]", "--no-trivial"]
    out = tmp_path / "new" / "result.json"  # in a folder that the command makes
    found = CliRunner().invoke(cli, [*words, "--against", str(tmp_path / "other.npy"), "--out", str(out)])
    assert found.exit_code == 0, found.output
    assert found.output.startswith(f"listops/mini test: 100.00% (98.12% to 100.00%), {N} of {N}\nthe other file: ")
    assert max(map(len, found.output.splitlines())) <= 80
    record = json.loads(out.read_text())
    assert record["against"]["only_other"] == 0
    again = CliRunner().invoke(cli, [*words, "--json"])
    assert json.loads(again.output)["groups"] == record["groups"]


def test_the_command_says_where_the_best_trivial_predictor_was_measured(small_set: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.zeros(len(lra_data.load(small_set, split="test")), dtype=np.int64))
    found = CliRunner().invoke(cli, ["score", str(small_set), str(tmp_path / "p.npy")], catch_exceptions=False)
    first, second = found.output.splitlines()[1:3]
    assert first.startswith("best trivial predictor, on validation and test: ")
    assert second.endswith(("is above it", "is not above it"))
    assert max(map(len, found.output.splitlines())) <= 80


def test_a_result_file_is_whole_or_not_there(
    dataset: Dataset, labels: NDArray[np.int64], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = lra_data.score(dataset, labels, trivial=False)
    found.write(tmp_path / "result.json")
    before = (tmp_path / "result.json").read_bytes()
    assert json.loads(before) == found.record

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BuildError, match="No space left"):
        found.write(tmp_path / "result.json")
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
    assert (tmp_path / "result.json").read_bytes() == before


def test_rows_without_geometry_have_no_groups_by_it() -> None:
    task = lra_data.get_task("pathfinder/24-mini")
    config: Any = type(task)(task.config.__class__(**{**vars(task.config), "geometry": False}))
    dataset = lra_data.load(config, split="test[:20]")
    groups = lra_data.score(dataset, np.zeros(20, int), trivial=False).record["groups"]
    assert [groups[name] for name in ("marker distance", "contour crossings", "distractors")] == [None] * 3
    assert {entry["group"] for entry in groups["class"]} == {"not connected", "connected"}
