"""lra-zoo: the list, a description, the drawings, and one line for what is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from click.testing import CliRunner
from PIL import Image

from reference_models.attention.catalogue import attention_names
from reference_models.cli import cli
from reference_models.pattern import LENGTH, pattern


def test_list_names_all_with_family_cost_paper_and_parameters() -> None:
    rows = json.loads(CliRunner().invoke(cli, ["list", "--json"]).output)
    assert [row["model"] for row in rows] == attention_names()
    by_name = {row["model"]: row for row in rows}
    assert by_name["performer"]["family"] == "kernel"
    assert by_name["full"]["cost"] == "L²"
    assert by_name["linformer"]["parameters"] > by_name["full"]["parameters"] == by_name["local"]["parameters"]
    text = CliRunner().invoke(cli, ["list", "--preset", "lra-release", "--task", "text"]).output
    assert "3,486,722" in text
    assert len(text.splitlines()) == 17


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
    stored = np.asarray(Image.open(Path(__file__).parents[2] / "docs" / "images" / "xformers" / "local.png"))
    assert np.array_equal(stored, pattern("local"))
    shade = pattern("local").reshape(LENGTH, 3, LENGTH, 3)[:, 0, :, 0]
    block = np.arange(LENGTH) // 8
    assert (shade[block[:, None] != block] == 255).all()
    assert (shade[block[:, None] == block] < 255).all()


def test_wrong_use_is_one_line() -> None:
    command = [sys.executable, "-c", "from reference_models.cli import main; main()", "describe", "perfomer"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 2
    (line,) = found.stderr.splitlines()
    assert line.startswith("Error: unknown attention 'perfomer'; known: ")
    assert line.endswith("Did you mean 'performer'?")
