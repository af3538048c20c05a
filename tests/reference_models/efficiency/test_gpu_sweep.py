"""The sweep for a GPU runs whole at toy size on a CPU, in pieces."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu_sweep import PATH_X, TOY_MODELS, UNFINISHED, jobs
from reference_models import attention_names
from reference_models.efficiency.row import read_rows
from reference_models.model.checkpoint import CARD, read_card
from tests.conftest import ROOT


def sweep(out: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "benchmarks.gpu_sweep", "--toy", "--device", "cpu", "--out", str(out), *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=1200)


def test_every_model_is_measured_and_trained() -> None:
    found = jobs(Path("gpu"), "cuda", toy=False)
    assert len({job.name for job in found}) == len(found) == 1 + 2 * len(attention_names()) + len(PATH_X)
    assert all("cuda" in job.command for job in found)
    assert [job.name for job in found[-2:]] == [f"pixels path-x {name}" for name in PATH_X]


@pytest.mark.slow
def test_the_toy_sweep_goes_on_until_all_is_done(tmp_path: Path) -> None:
    first = sweep(tmp_path, "--minutes", "0.02")
    assert first.returncode == UNFINISHED, first.stdout + first.stderr
    assert "run the same command again to continue" in first.stdout
    last = sweep(tmp_path, "--minutes", "15")
    assert last.returncode == 0, last.stdout + last.stderr
    names = [job.name for job in jobs(tmp_path, "cpu", toy=True)]
    lines = [json.loads(line) for line in (tmp_path / "done.jsonl").read_text().splitlines()]
    assert [line["job"] for line in lines] == names
    assert last.stdout.splitlines()[-1] == f"all {len(names)} jobs are done"
    assert {row.model for row in read_rows(tmp_path / "efficiency.jsonl")} == set(TOY_MODELS)
    cards = [read_card(path.parent) for path in sorted(tmp_path.rglob(CARD))]
    assert len(cards) == 2 * len(TOY_MODELS) + len(PATH_X)
    assert {card.preset for card in cards} == {"mini", "mini-pixels"}
    again = sweep(tmp_path)
    assert again.returncode == 0
    assert again.stdout.splitlines() == [f"all {len(names)} jobs are done"]


@pytest.mark.slow
def test_a_job_that_fails_is_told_and_stops_no_other(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a folder")
    found = sweep(tmp_path, "--minutes", "15")
    assert found.returncode == 1
    assert found.stdout.splitlines()[-1].startswith("failed: build listops/mini, build pathfinder/24-mini, ")
    assert [json.loads(line)["job"] for line in (tmp_path / "done.jsonl").read_text().splitlines()] == ["efficiency"]
    assert len((tmp_path / "failed.jsonl").read_text().splitlines()) == len(jobs(tmp_path, "cpu", toy=True)) - 1
    (tmp_path / "data").unlink()
    again = sweep(tmp_path, "--minutes", "15", "--again")
    assert again.returncode == 0, again.stdout + again.stderr
    assert not (tmp_path / "failed.jsonl").exists()
