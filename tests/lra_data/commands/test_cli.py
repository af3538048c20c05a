"""The command line: every command, its exit code, one line for an expected error, JSON where a machine reads."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import lra_data
from lra_data.interop.lra_2020 import listops_source
from tests.conftest import SMALL_SIZES
from tests.support.commands import run

pytestmark = pytest.mark.long


def test_list() -> None:
    rows = json.loads(run("list", "--json").stdout)
    assert [row["name"] for row in rows] == lra_data.task_names()
    lines = run("list").stdout.splitlines()
    assert "listops: 96,000 train, 2,000 validation, 2,000 test" in lines
    assert any(line.split()[:2] == ["listops/lra", "the"] for line in lines)
    assert max(map(len, lines)) <= 80
    # The 24 standard presets of Pathfinder are two lines, and each has its own where the task is named.
    assert sum(line.startswith("  pathfinder/") for line in lines) == 5
    named = run("list", "pathfinder").stdout.splitlines()
    assert sum(line.startswith("  pathfinder/") for line in named) == 27
    assert json.loads(run("list", "text", "--json").stdout) == [row for row in rows if row["name"].startswith("text/")]
    assert run("list", "listops/mini").returncode == 2


def test_info(small_set: Path) -> None:
    facts = json.loads(run("info", "listops", "--json").stdout)
    assert facts["name"] == "listops/lra"
    assert (facts["vocab_size"], facts["num_classes"], facts["max_length"]) == (16, 10, 1999)
    facts = json.loads(run("info", str(small_set), "--json").stdout)
    assert (facts["sizes"], facts["seed"], facts["shards"]) == (SMALL_SIZES, 0, 12)
    assert "vocabulary   [MIN [MAX [MED [SM ] 0 1 2" in run("info", "listops").stdout


def test_build_flags_make_a_custom_set(tmp_path: Path) -> None:
    flags = ["--preset", "mini", "--max-depth", "6", "--operators", "MAX,MEDIAN", "--out", str(tmp_path), "--json"]
    result = run("build", "listops", *flags, "--train", "30", "--validation", "5", "--test", "5")
    facts = json.loads(result.stdout)
    assert (result.returncode, facts["examples"], facts["was_complete"]) == (0, 40, False)
    folder = Path(facts["set"])
    assert folder.name.startswith("custom-")
    config = json.loads(run("info", str(folder), "--json").stdout)["config"]
    assert config == {
        "max_depth": 6, "min_args": 2, "max_args": 5, "min_length": 16, "max_length": 128, "operators": ["MAX", "MED"],
    }  # fmt: skip
    assert run("verify", str(folder)).returncode == 0


def test_a_name_from_the_list_can_be_built(tmp_path: Path) -> None:
    """`lra-data list` prints TASK/PRESET; so `build` takes it, and has no flag for another preset."""
    few = ["--train", "3", "--validation", "2", "--test", "2", "--out", str(tmp_path), "--json"]
    built = json.loads(run("build", "listops/mini", *few).stdout)
    assert (Path(built["set"]).name, built["was_complete"]) == ("mini", False)
    assert json.loads(run("build", "listops", "--preset", "mini", *few).stdout)["was_complete"]
    assert run("build", "listops/mini", "--preset", "lra").returncode == 2
    flags = run("build", "text/holdout", "--help").stdout
    assert "--corpus" in flags
    assert "--preset" not in flags


def test_progress_is_plain_lines_off_a_terminal(tmp_path: Path) -> None:
    sizes = ["--train", "300", "--validation", "10", "--test", "10"]
    result = run("build", "listops", "--preset", "mini", *sizes, "--num-shards", "2", "--out", str(tmp_path))
    lines = result.stderr.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("made train-00000-of-00002.arrow (1/4): 150 of 320 examples, ")
    assert lines[0].endswith("s left")
    assert "\x1b" not in result.stderr


def test_progress_is_a_bar_on_a_terminal(tmp_path: Path) -> None:
    terminal, end_of_child = os.openpty()
    command = [sys.executable, "-m", "lra_data", "build", "listops", "--preset", "mini", "--train", "300"]
    command += ["--num-shards", "3", "--out", str(tmp_path)]
    variables = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(command, stderr=end_of_child, stdout=subprocess.DEVNULL, env=variables) as child:
        os.close(end_of_child)
        shown = b""
        # A terminal whose last writer has gone answers with an error.
        with contextlib.suppress(OSError):
            while data := os.read(terminal, 4096):
                shown += data
    os.close(terminal)
    assert child.returncode == 0
    text = shown.decode()
    assert "\x1b[" in text
    assert "building" in text
    assert "4,300 of 4,300" in text
    assert "made train" not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["build", "listop"],
            "unknown task 'listop'. Did you mean 'listops'? Known: image, listops, pathfinder, retrieval, text, path-x",
        ),
        (
            ["build", "listops", "--preset", "mini2"],
            "unknown listops preset 'mini2'. Did you mean 'mini'? Known: lra, mini",
        ),
        (["build", "listops", "--max-depth", "1"], "listops: max_depth must be from 2 to 64, got 1"),
        (["build", "listops", "--max-depth", "x"], "Invalid value for '--max-depth'"),
        (["build", "listops", "--format", "zip"], "unknown format 'zip'; known: arrow, parquet, webdataset."),
        (["build", "listops", "--maxdepth", "3"], "No such option"),
        (["build", "listops", "--seed", "-1"], "expected a seed from 0"),
        (["frobnicate"], "No such command 'frobnicate'"),
        (
            ["verify", "listops/mini", "--quick"],
            "expected the folder of a built set for a quick check, got listops/mini",
        ),
        ([], "Missing command. Try `lra-data --help`."),
        (["build"], "Missing command. Try `lra-data build --help`."),
        (["verify", "x" * 4000], "expected the folder of a built set or a task name"),
        (["verify", "nowhere"], "expected the folder of a built set or a task name, got 'nowhere'"),
        (["show", "listops/mini", "--split", "trian"], "unknown split 'trian'"),
        (["show", "listops/mini", "--start", "96000"], "expected an index from 0 to 95999 in train, got 96000"),
        (["explain", "listops/mini", "test", "2000"], "expected an index from 0 to 1999 in test, got 2000"),
        (
            ["export", "listops/mini", "--layout", "s5", "--out", "x"],
            "unknown layout 's5'; known: lra-release, mega, nystromformer, s4, skyformer",
        ),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(arguments: list[str], message: str, tmp_path: Path) -> None:
    result = run(*arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith("lra-data: error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert not list(tmp_path.iterdir())


def test_verify_and_repair(small_set: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mini"
    shutil.copytree(small_set, folder)
    result = run("verify", str(folder))
    assert (result.returncode, result.stdout) == (0, f"{folder}: digests and every label as they should be\n")
    (folder / "test-00000-of-00001.arrow").write_bytes(b"")
    for flags in ([], ["--quick"]):
        result = run("verify", str(folder), *flags)
        assert result.returncode == 1
        assert result.stdout.splitlines()[0].startswith("test-00000-of-00001.arrow: expected ")
        assert result.stdout.splitlines()[-1] == f"{folder}: 1 fault"
    (fault,) = json.loads(run("verify", str(folder), "--json").stdout)
    assert (fault["file"], fault["index"]) == ("test-00000-of-00001.arrow", None)
    assert json.loads(run("repair", str(folder), "--json").stdout) == ["test-00000-of-00001.arrow"]
    assert run("verify", str(folder), "--quick").returncode == 0
    result = run("repair", str(tmp_path))
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)


def test_show_and_explain_virtual_and_built(small_set: Path) -> None:
    for where in ("listops/mini", str(small_set)):
        shown = run("show", where, "--start", "3", "--num", "2", "--json").stdout
        rows = [json.loads(line) for line in shown.splitlines()]
        assert rows == lra_data.generate("listops/mini", "train", 3, 5).to_pylist()
        text = run("show", where, "--split", "val", "--num", "1").stdout
        assert text.startswith("validation 0: [")
        tree = run("explain", where, "test", "0").stdout
        label = lra_data.take("listops/mini", "test", [0])["label"][0].as_py()
        assert tree.splitlines()[0].endswith(f"] = {label}")
    assert run("show", "listops/mini").stdout != run("show", "listops/mini", "--seed", "1").stdout


def test_stats(small_set: Path) -> None:
    figures = json.loads(run("stats", str(small_set), "--json").stdout)
    assert figures["splits"]["train"]["examples"] == 1500
    assert sum(figures["splits"]["train"]["label_shares"].values()) == pytest.approx(1)
    predictors = figures["trivial_predictors"]
    assert predictors["root operator"]["accuracy"] > predictors["majority class"]["accuracy"]
    assert predictors["majority class"]["low"] < predictors["majority class"]["accuracy"]
    text = run("stats", str(small_set)).stdout
    assert "majority class" in text
    assert "root operator" in text


def test_export_in_the_release_layout(small_set: Path, tmp_path: Path) -> None:
    result = run("export", str(small_set), "--layout", "lra-release", "--out", str(tmp_path / "out"))
    assert result.returncode == 0
    names = {"train": "basic_train.tsv", "validation": "basic_val.tsv", "test": "basic_test.tsv"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(names.values())
    for split, name in names.items():
        lines = (tmp_path / "out" / name).read_bytes().split(b"\r\n")
        rows = lra_data.generate("listops/mini", split, 0, SMALL_SIZES[split]).to_pylist()
        assert lines[0] == b"Source\tTarget"
        assert lines[-1] == b""
        assert lines[1:-1] == [f"{listops_source(row['inputs'])}\t{row['label']}".encode() for row in rows]
    result = run("export", str(small_set), "--out", str(tmp_path / "out"))
    assert result.returncode == 2
    assert "expected a new or empty folder" in result.stderr


def test_a_closed_pipe_is_no_error() -> None:
    for num, reader in ((3000, "head -n 1"), (1, "true")):
        command = f"{sys.executable} -m lra_data show listops/mini --num {num} | {reader}"
        result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
        assert result.stderr == ""


def test_groups_without_a_command_are_one_line() -> None:
    for group in ("results", "script"):
        result = run(group)
        assert result.returncode == 2
        assert result.stderr == f"lra-data: error: Missing command. Try `lra-data {group} --help`.\n"
