"""The picture of `lra-zoo efficiency --plot`."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lra_data import UsageError
from reference_models.attention.catalogue import attention_names
from reference_models.efficiency.plot import curves, figure, plot
from reference_models.efficiency.row import read_rows
from tests.conftest import ROOT
from tests.support.efficiency_rows import all_models, made_up

pytest.importorskip("matplotlib")


def test_plot_has_a_line_and_a_name_for_each_model() -> None:
    drawn = curves(all_models())
    assert drawn.keys() == {*attention_names(), "naive", "sdpa"}
    assert drawn["naive"][3] == (4096, 10.0)
    drawing = figure(all_models())
    (axes,) = drawing.axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    lines = {str(line.get_label()): line for line in axes.lines}
    assert {name: list(map(tuple, np.asarray(line.get_xydata()))) for name, line in lines.items()} == drawn
    assert len({str(line.get_color()) for line in lines.values()}) == len(drawn)
    (legend,) = drawing.legends
    named = [text.get_text() for text in legend.get_texts()]
    assert sorted(named) == sorted(drawn)
    assert named == sorted(drawn, key=lambda name: drawn[name][-1], reverse=True)


def test_plot_writes_a_picture_that_is_the_same_again(tmp_path: Path) -> None:
    plot(all_models(), tmp_path / "new" / "speed.png")
    picture = np.asarray(Image.open(tmp_path / "new" / "speed.png").convert("RGB"))
    assert picture.shape == (700, 1000, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > len(attention_names())
    plot(all_models(), tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "new" / "speed.png").read_bytes()


def test_the_page_shows_all_measured_models() -> None:
    """docs/images/efficiency.png is drawn of these rows, which must still be drawn without a warning."""
    rows = read_rows(ROOT / "docs" / "efficiency.jsonl")
    (axes,) = figure(rows).axes
    assert len(axes.lines) == len({row.model for row in rows}) + 2 == 18


def test_rows_without_a_time(tmp_path: Path) -> None:
    row = made_up("linear", 64, None, naive_median_seconds=None, sdpa_median_seconds=None)
    with pytest.raises(UsageError, match="a row with a time"):
        plot([row], tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_a_missing_library_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError) as error:
        plot(all_models(), tmp_path / "none.png")
    assert str(error.value) == "expected the library matplotlib, found none: pip install 'lra-data[plots]'"
