"""`lra-zoo plot`: each command makes the figure of what it is given."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from lra_data import UsageError
from reference_models.commands.main import cli
from reference_models.model.bundled import BUNDLED
from tests.conftest import ROOT
from tests.support.spans import made_span


def plotted(*words: str) -> None:
    found = CliRunner().invoke(cli, ["plot", *words])
    if found.exception is not None:
        raise found.exception
    assert found.stdout.splitlines() == [words[words.index("--out") + 1]]


def test_each_figure_is_drawn(tmp_path: Path) -> None:
    out = str(tmp_path / "a.svg")
    plotted("scores", "--no-bundled", "--runs", f"Ours={BUNDLED / 'listops' / 'mini' / 'linear'}", "--out", out)
    plotted("curves", "Ours=listops/mini/linear", "--metrics", "loss", "--highlight", "Ours", "--out", out)
    (tmp_path / "span.json").write_text(json.dumps(made_span().to_json()))
    plotted("span", f"Ours, too={tmp_path / 'span.json'}", "--highlight", '"Ours, too"', "--out", out)
    plotted("efficiency", str(ROOT / "docs" / "efficiency.jsonl"), "--models", "full", "--out", out)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["scores", "--out", "a.jpg"], r"ends in one of \.pdf, \.svg, \.png, got 'a.jpg'"),
        (["scores", "--highlight", ",", "--out", "a.pdf"], "--highlight must be names such as linear,local"),
        (["efficiency", "none.jsonl", "--out", "a.pdf"], "none.jsonl: expected a file of measurements, found none"),
        (["efficiency", "none.jsonl", "--only", "cuda", "--out", "a.pdf"], "--only must be NAME=VALUE"),
        (["curves", "nowhere", "--out", "a.pdf"], r"nowhere: expected a log\.jsonl with an evaluation beneath"),
        (["span", "nowhere.json", "--out", "a.pdf"], "nowhere.json: expected a result of lra-zoo span"),
    ],
)
def test_wrong_use_is_one_line(words: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        plotted(*words)
    assert "\n" not in str(error.value)


def test_a_result_of_a_set_that_is_not_drawn_is_refused(tmp_path: Path) -> None:
    words = ["scores", "text/holdout", "--runs", f"Ours={BUNDLED / 'listops' / 'mini' / 'linear'}"]
    with pytest.raises(UsageError, match="expected results of text/holdout, got Ours of listops/mini: name its set"):
        plotted(*words, "--out", str(tmp_path / "a.svg"))
