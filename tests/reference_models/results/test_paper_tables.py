"""The tables for papers say what the rows say, in LaTeX that a compiler takes and in CSV."""

import csv
import io
import re
from dataclasses import replace

import pytest
from click.testing import CliRunner
from msgspec import structs

from lra_data import UsageError
from reference_models.commands.main import cli
from reference_models.model.bundled import BUNDLED
from reference_models.model.card import OfSplits
from reference_models.results.paper_tables import as_csv, as_latex
from reference_models.results.rows import rows
from tests.support.model_cards import made_card, score

CARDS = [
    made_card(attention="set_transformer", test=score(800)),
    made_card(attention="linear", test=score(720)),
    made_card(attention="no_attention", test=score(700)),
    made_card(attention="full", task="text/holdout", trivial={"50 % & more_{x}": 0.5}),
]


def body(text: str) -> list[list[str]]:
    """The cells of all lines that end in a row's end."""
    lines = [line for line in text.splitlines() if line.endswith(r" \\")]
    return [re.split(r"(?<!\\)&", line.removesuffix(r" \\")) for line in lines]


def test_latex_has_the_rows_with_their_intervals() -> None:
    text = as_latex(CARDS, "lra-zoo table --format latex")
    assert text.count(r"\begin{tabular}{lrrrcl}") == text.count(r"\end{tabular}") == 2
    assert [text.count(rule) for rule in (r"\toprule", r"\bottomrule", r"\midrule")] == [2, 2, 4]
    cells = [[cell.strip() for cell in row] for row in body(text)]
    assert {len(row) for row in cells} == {6}
    assert cells[1] == [r"set\_transformer", "77,194", "4,000", "40.00", "[37.87, 42.17]", "yes"]
    assert cells[2][0:1] + cells[2][3:] == ["linear", "36.00", "[33.92, 38.13]", "no"]
    assert cells[3][0:1] + cells[3][5:] == [r"no\_attention", "--"]
    assert cells[4] == [r"root\_operator", "", "", "24.10", "", ""]
    assert r"50 \% \& more\_\{x\}" in text
    assert "bold" not in text
    assert "textbf" not in text


def test_latex_has_the_commands_as_comments() -> None:
    text = as_latex(CARDS, "lra-zoo table --format latex\nrm")
    comments = [line for line in text.splitlines() if line.startswith("%")]
    assert comments[:2] == ["% lra-zoo table --format latex", "% rm"]
    assert any(line.startswith("% lra-zoo train listops/mini MODEL --preset mini  # seed 0, ") for line in comments)
    shown = [line for line in text.splitlines() if not line.startswith("%") and line]
    assert all(line.startswith("\\") or line.endswith(r"\\") for line in shown)  # nothing of a comment is printed


def test_models_of_other_rows_are_refused() -> None:
    other = OfSplits(train="a", validation="b", test="d")
    moved = structs.replace(CARDS[1], data=structs.replace(CARDS[1].data, identities=other))
    with pytest.raises(UsageError, match=r"linear: expected the same rows of listops/mini as set_transformer"):
        as_latex([CARDS[0], moved], "")


def test_csv_has_every_entry() -> None:
    found = list(csv.DictReader(io.StringIO(as_csv(CARDS))))
    expected = rows(CARDS)
    assert len(found) == len(expected)
    for line, row in zip(found, expected, strict=True):
        for name in ("task", "model", "correct", "examples", "accuracy", "low", "high", "identity", "command"):
            assert line[name] == str(row[name])
        assert line["published_lra"] == ("" if row["published"]["lra"] is None else str(row["published"]["lra"]))
    seeds = [structs.replace(CARDS[1], recipe=replace(CARDS[1].recipe, seed=seed)) for seed in (0, 1)]
    assert [row[0].strip() for row in body(as_latex(seeds, ""))][1:3] == ["linear, seed 0", "linear, seed 1"]


@pytest.mark.parametrize(("shape", "begin"), [("latex", "% lra-zoo"), ("csv", "task,model,")])
def test_the_command_has_the_formats(shape: str, begin: str) -> None:
    found = CliRunner().invoke(cli, ["table", str(BUNDLED / "listops"), "--format", shape])
    assert found.exit_code == 0, found.output
    assert found.stdout.startswith(begin)
