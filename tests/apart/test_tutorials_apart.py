"""The tutorials of JAX and Lightning, run as they are on their pages."""

import json
import re
from pathlib import Path

import pytest

from tests.support.pages import TUTORIALS, page, run_page
from tests.support.real_corpora import IMDB, real

pytestmark = pytest.mark.slow  # the quick runs have the loaders in test_frameworks.py, and the commands' words


def test_jax_on_text_next_to_the_published_rows(tmp_path: Path) -> None:
    changed = {"aclImdb_v1.tar.gz": str(real(IMDB))}
    _, printed = run_page(page(TUTORIALS / "jax.md"), tmp_path, changed=changed, timeout_s=1200)
    record = json.loads((tmp_path / "text.json").read_text())
    assert record["examples"] == 25_000
    assert record["low"] > 0.53  # what a predictor scores that sees one byte, as the page says
    assert 0.58 < record["accuracy"] < 0.64  # "about 60 %"
    (row,) = re.findall(r"^\| mine \| – \| ([\d.]+) \|.*text\.json, text/lra \|$", printed, re.M)
    assert float(row) == round(100 * record["accuracy"], 2)
    assert re.search(r"^\| Mega \|", printed, re.M)


def test_lightning_trains_all_its_epochs(tmp_path: Path) -> None:
    _, printed = run_page(page(TUTORIALS / "lightning.md"), tmp_path, timeout_s=1200)
    assert "epochs 3, steps 936, validation {'accuracy': " in printed  # as the page says
    record = json.loads((tmp_path / "listops.json").read_text())
    assert record["examples"] == 2_000
    assert record["low"] > next(iter(record["trivial"].values()))["accuracy"]
