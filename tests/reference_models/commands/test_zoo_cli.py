"""lra-zoo: the list, a description, the drawings, and one line for what is wrong."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from lra_data import LraDataError
from reference_models.attention.catalogue import attention_names
from reference_models.attention_maps.pattern import LENGTH, PLACE, pattern
from reference_models.attention_maps.span_result import read_span
from reference_models.commands.main import cli
from reference_models.commands.progress import shown_training
from reference_models.model.checkpoint import save_model
from reference_models.model.classifier import Classifier
from reference_models.model.presets import preset
from reference_models.training import runs
from reference_models.training.runs import Experiment
from tests.conftest import ROOT
from tests.support.model_cards import made_card


def test_every_summary_fits_a_line_of_80_columns() -> None:
    text = CliRunner().invoke(cli, ["--help"], terminal_width=80).output
    lines = text.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in lines] == sorted(cli.commands)  # each on a line of its own
    assert all(len(line) <= 80 and line.endswith(".") and "..." not in line for line in lines)


def test_list_names_all_with_family_cost_paper_and_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = json.loads(CliRunner().invoke(cli, ["list", "--json"]).output)
    assert [row["model"] for row in rows] == attention_names()
    by_name = {row["model"]: row for row in rows}
    assert by_name["performer"]["family"] == "kernel"
    assert by_name["full"]["cost"] == "L²"
    assert by_name["linformer"]["parameters"] > by_name["full"]["parameters"] == by_name["local"]["parameters"]
    monkeypatch.setenv("COLUMNS", "80")
    text = CliRunner().invoke(cli, ["list", "--preset", "lra-release", "--task", "text"]).output
    assert "3,486,722" in text
    lines = text.splitlines()
    # A text that is too long for its column continues below, where the first column is empty.
    assert [line.split()[0] for line in lines[1:] if not line.startswith(" ")] == attention_names()
    assert max(map(len, lines)) <= 80


def test_describe_says_formula_and_configuration() -> None:
    text = CliRunner().invoke(cli, ["describe", "linformer", "--preset", "lra-release"]).output
    assert "Wang" in text
    assert "{'k': 16}" in text
    assert "9,076,810 parameters" in text


def test_draw(tmp_path: Path) -> None:
    found = CliRunner().invoke(cli, ["draw", "--out", str(tmp_path)])
    assert found.exit_code == 0, found.output
    assert sorted(path.stem for path in tmp_path.iterdir()) == attention_names()
    for path in tmp_path.iterdir():
        assert path.stat().st_size < 20_000
    # What the pictures in docs show is what the command draws.
    whole = np.asarray(Image.open(ROOT / "docs" / "images" / "xformers" / "local.png"))
    (left, top), side = PLACE, 3 * LENGTH
    assert np.array_equal(whole[top : top + side, left : left + side], pattern("local"))
    # Around it are a frame, the name, and the words and ticks of both axes.
    assert set(whole[top - 1, left - 1 : left + side].tolist()) == {60}
    ticks = whole[top : top + side, left - 4] < 255
    assert np.flatnonzero(ticks).tolist() == [1, 49, 97, 145, 190]
    assert (whole[top + side + 18 :, left : left + side] < 128).any()
    assert (whole[top : top + side, :14] < 128).any()
    shade = pattern("local").reshape(LENGTH, 3, LENGTH, 3)[:, 0, :, 0]
    block = np.arange(LENGTH) // 8
    assert (shade[block[:, None] != block] == 255).all()
    assert (shade[block[:, None] == block] < 255).all()


def test_wrong_use_is_one_line() -> None:
    command = [sys.executable, "-c", "from reference_models.commands.main import main; main()", "describe", "perfomer"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 2
    (line,) = found.stderr.splitlines()
    assert line.startswith("lra-zoo: error: unknown attention 'perfomer'. Did you mean 'performer'? Known: adaptive")
    assert line.endswith("; your own needs --attention FILE.py:CLASS.")


@pytest.fixture
def untrained(tmp_path: Path) -> Path:
    """A checkpoint of a model as it was initialised."""
    torch.manual_seed(0)
    model = Classifier(preset("mini", task="listops", attention="local"))
    save_model(tmp_path / "untrained", model, made_card(attention="local"))
    return tmp_path / "untrained"


def test_span_says_how_far_each_head_looks(untrained: Path, tmp_path: Path) -> None:
    arguments = ["span", str(untrained), "listops/mini", "--examples", "20", "--device", "cpu"]
    text = CliRunner().invoke(cli, arguments).output
    assert "layer 1" in text
    out = tmp_path / "span.json"
    found = json.loads(CliRunner().invoke(cli, [*arguments, "--json", "--out", str(out)]).output)
    assert found["examples"] == 20
    assert json.loads(json.dumps(read_span(out).to_json())) == found
    assert found["pixels"] is None
    # An untrained local attention is nearly uniform within its block of 16.
    assert 4 < found["tokens"]["mean"] < 6


@pytest.mark.slow
def test_efficiency_quick_is_1k_and_2k_with_a_table_and_a_picture(tmp_path: Path) -> None:
    out, plot = tmp_path / "rows.jsonl", tmp_path / "plot.png"
    arguments = ["efficiency", "--quick", "--models", "linear", "--out", str(out), "--plot", str(plot)]
    found = CliRunner().invoke(cli, arguments)
    assert found.exit_code == 0, found.output
    assert "| linear |" in found.output
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(row["length"], row["outcome"]) for row in rows] == [(1024, "ok"), (2048, "ok")]
    # 12 times as fast on a quiet machine; what is saved for the backward pass is no matter of time.
    assert rows[1]["ratio_to_naive"] > 1.5
    assert rows[1]["saved_bytes"] < 0.3 * rows[1]["naive_saved_bytes"]
    with Image.open(plot) as picture:
        assert picture.size[0] == 650  # 3.25 inches
    before = out.read_bytes()
    assert CliRunner().invoke(cli, arguments).exit_code == 0
    assert out.read_bytes() == before  # nothing is measured twice


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["efficiency", "--lengths", "1k"], "--lengths must be integers such as 1024,4096, got '1k'"),
        (["evaluate", "nowhere", "listops/mini"], "expected a folder with card.json, or a bundled checkpoint, got 'no"),
        (["train", "listops/mini", "linear", "--clip-norm", "much"], "--clip-norm must be a number or none"),
        (["train", "listops/mini", "linar"], "unknown attention 'linar'"),
        (["train", "listops/lra", "linear"], "choose a larger preset"),
        (["sweep", "listops/mini"], "expected TASK:MODEL such as listops/mini:linear or listops/mini:all, got 'listo"),
        (["table", "/nonexistent"], "expected a card.json beneath, got none"),
        (["train", "listops/mini", "linear", "--device", "tpu"], "expected a device such as auto, cpu or cuda:0, got"),
    ],
)
def test_wrong_words_are_one_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    out = ["--out", str(tmp_path)] if arguments[0] in ("train", "sweep") else []
    found = CliRunner().invoke(cli, [*arguments, *out])
    assert isinstance(found.exception, ValueError | LraDataError), found.output
    assert message in str(found.exception)
    assert "\n" not in str(found.exception)


def test_parts_of_a_sweep_share_the_list(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[str] = []

    def run_all(experiments: list[Experiment], *_: Any, **__: Any) -> Iterator[Any]:
        seen.extend(experiment.attention for experiment in experiments)
        yield from ()

    monkeypatch.setattr(runs, "run_all", run_all)
    arguments = ["sweep", "listops/mini:all", "--out", str(tmp_path), "--part"]
    sizes = []
    for number in range(3):
        before = len(seen)
        assert CliRunner().invoke(cli, [*arguments, f"{number}/3"]).exit_code == 0
        sizes.append(len(seen) - before)
    assert sorted(seen) == sorted(attention_names())
    assert max(sizes) - min(sizes) <= 1
    for name, value in {"RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    found = CliRunner().invoke(cli, [*arguments, "auto"])
    assert "expected the variables of a job array with --part auto, got those of ranks" in str(found.exception)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def told_to(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a training of 200 steps shows there."""
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with shown_training("listops/mini linear") as report:
        report({"steps": 200})
        report({"step": 50, "loss": 2.25, "rate": 1e-3, "seconds": 3.0})
        report({"step": 50, "validation": {"accuracy": 0.125}, "seconds": 4.0})
        report({"phase": "records its answers"})
    return stream.getvalue()


def test_a_training_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    bar = told_to(Terminal(), monkeypatch)
    assert "50/200" in bar
    assert "loss 2.2500, validation 12.50%, records its answers" in bar
    line = told_to(io.StringIO(), monkeypatch)
    assert line.splitlines() == [
        "listops/mini linear: step 50, loss 2.2500, validation 12.50%, 4 s",
        "listops/mini linear: records its answers",
    ]
