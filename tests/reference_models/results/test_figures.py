"""What `lra-zoo report` adds to the page: spans, patterns, and charts of measurements."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

import lra_data
from reference_models.attention_maps.span import attention_span
from reference_models.commands.main import cli
from reference_models.efficiency.row import append_row
from reference_models.model.bundled import bundled_model
from reference_models.results import figures
from tests.support.efficiency_rows import made_up
from tests.support.report_pages import read_page

pytestmark = pytest.mark.framework

NAME = "listops/mini/local"


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three bundled models instead of all: of a generated task, of one with a stem that joins pixels, of a corpus."""
    names = [NAME, "pathfinder/32-easy/local", "text/holdout/local"]
    monkeypatch.setattr(figures, "bundled_names", lambda: names)
    monkeypatch.setattr(figures, "attention_names", lambda: ["full", "local"])


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """A file of two models at two lengths, one without a value."""
    file = tmp_path / "efficiency.jsonl"
    for row in (
        made_up("linear", 1024, 0.25),
        made_up("linear", 4096, 1.0),
        made_up("full", 1024, 0.5),
        made_up("full", 4096, None, outcome="time cap", saved_bytes=None),
    ):
        append_row(file, row)
    return file


def test_charts_have_a_line_for_each_model_and_both_transformers(measured: Path) -> None:
    seconds, memory = figures.efficiency_charts(figures.measurements(measured))
    lines = {line.name: dict(zip(line.x, line.y, strict=True)) for line in seconds.series}
    assert lines == {
        "Transformer, fused": {1024: 0.3125, 4096: 5.0},
        "Transformer, naive": {1024: 0.625, 4096: 10.0},
        "full": {1024: 0.5},
        "linear": {1024: 0.25, 4096: 1.0},
    }
    assert seconds.logarithmic
    lines = {line.name: dict(zip(line.x, line.y, strict=True)) for line in memory.series}
    assert lines["linear"] == {1024: 3.0, 4096: 3.0}
    assert lines["Transformer, naive"] == {1024: 12.0, 4096: 12.0}
    assert "Transformer, fused" not in lines  # whose memory was not measured


def test_each_machine_has_charts_of_its_own() -> None:
    rows = [made_up("linear", 1024, 0.25), made_up("linear", 1024, 0.1, device_name="Another")]
    titles = [chart.title for chart in figures.efficiency_charts(rows)]
    assert len(titles) == len(set(titles)) == 4


def test_spans_are_those_of_lra_zoo_span(few: None) -> None:
    said: list[str] = []
    found = figures.measured_spans(5, [], said.append)
    assert list(found) == [NAME]
    assert said == [f"span of {NAME}"]
    model, _ = bundled_model(NAME)
    tokens = attention_span(model, lra_data.load("listops/mini", split="validation"), examples=5).tokens
    assert found[NAME] == (f"{tokens.mean:,.2f}", f"{tokens.uniform:,.2f}", f"{tokens.ratio:,.2f}")


def test_the_command_writes_the_page_with_what_it_measured(few: None, measured: Path, tmp_path: Path) -> None:
    line = ["report", "--out", str(tmp_path / "site"), "--rows", "30", "--examples", "2", "--efficiency", str(measured)]
    result = CliRunner().invoke(cli, line, catch_exceptions=False)
    assert result.exit_code == 0
    root = read_page((tmp_path / "site" / "index.html").read_text())
    (zoo,) = root.all("section", id="zoo")
    assert [image.attributes["alt"] for image in zoo.all("img")] == [
        "Attention pattern of full",
        "Attention pattern of local",
    ]
    words = " ".join(zoo.words().split())
    assert "on 2 validation examples" in words
    assert "4 measurements of lra-zoo efficiency, 2026-11-25; 1 ended early" in words
    assert f"lra-zoo report --rows 30 --examples 2 --efficiency {measured.name}" in root.words()


def test_a_file_without_measurements_is_refused(tmp_path: Path) -> None:
    with pytest.raises(lra_data.UsageError, match=re.escape("expected measurements of `lra-zoo efficiency`, got none")):
        figures.zoo_figures(examples=0, efficiency=tmp_path / "none.jsonl")
