"""The figure of `lra-zoo plot efficiency` and of `lra-zoo efficiency --plot`: rows that were measured, nothing else."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes

from lra_data import UsageError
from reference_models.attention.catalogue import attention_names
from reference_models.efficiency.row import Row, append_row, read_rows
from reference_models.figures.efficiency import BASELINES, curves, figure, rows_of
from reference_models.figures.style import ACCENT
from tests.conftest import ROOT
from tests.support.efficiency_rows import all_models, made_up

MEASURED = ROOT / "docs" / "efficiency.jsonl"


def lines_of(axes: Axes) -> dict[str, list[tuple[float, ...]]]:
    return {str(line.get_label()): [tuple(xy) for xy in np.asarray(line.get_xydata())] for line in axes.lines}


def written(path: Path, rows: Sequence[Row]) -> Path:
    for row in rows:
        append_row(path, row)
    return path


def test_values_are_those_of_the_rows() -> None:
    rows = [made_up("linear", 1024, 0.5), made_up("linear", 4096, 2.0)]  # naive: 0.625 and 10; SDPA half
    assert curves(rows, baseline="none") == {
        "linear": [(1024, 0.5), (4096, 2.0)],
        "naive": [(1024, 0.625), (4096, 10.0)],
        "sdpa": [(1024, 0.3125), (4096, 5.0)],
    }
    assert curves(rows, baseline="sdpa") == {
        "linear": [(1024, 0.625), (4096, 2.5)],
        "naive": [(1024, 0.5), (4096, 0.5)],
        "sdpa": [(1024, 1.0), (4096, 1.0)],
    }
    assert curves(rows, measure="memory", baseline="naive") == {
        "linear": [(1024, 0.25), (4096, 0.25)],
        "naive": [(1024, 1.0), (4096, 1.0)],
    }
    assert curves(rows, measure="memory", baseline="none")["linear"] == [(1024, 3.0), (4096, 3.0)]


def test_values_are_relative_to_the_steps_of_the_same_rounds() -> None:
    for row in read_rows(MEASURED):
        drawn = curves([row], baseline="naive").get(row.model, [])
        expected = [] if row.ratio_to_naive is None else [(row.length, row.ratio_to_naive)]
        assert np.asarray(drawn) == pytest.approx(np.asarray(expected))


def test_a_line_and_a_name_for_each_model() -> None:
    drawing = figure(all_models(), width=3.25, highlight=["linear"])
    (axes,) = drawing.axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    drawn = curves(all_models())
    assert lines_of(axes) == drawn
    assert drawn.keys() == {*attention_names(), *BASELINES}
    named = [text.get_text() for text in axes.texts]
    assert sorted(named) == sorted([*attention_names(), *BASELINES.values()])
    assert [text.get_text() for text in axes.texts if text.get_color() == ACCENT] == ["linear"]
    assert [line.get_label() for line in axes.lines if line.get_color() == ACCENT] == ["linear"]
    assert len({str(line.get_color()) for line in axes.lines}) == 4  # two greys, the accent, black
    assert axes.get_xlabel() == "length in bytes"
    assert "fused Transformer" in axes.get_ylabel()
    assert axes.get_title(loc="left") == "CPU, batch 1, float32"


def test_an_attention_from_elsewhere_is_highlighted() -> None:
    rows = [made_up("linear", 64, 0.1), made_up("Mine", 64, 0.1, attention_sha256="0" * 64)]
    (axes,) = figure(rows, width=3.25).axes
    assert [line.get_label() for line in axes.lines if line.get_color() == ACCENT] == ["Mine"]


def test_the_page_shows_all_measured_models() -> None:
    """docs/images/efficiency.png is drawn of these rows, which must still be drawn without a warning."""
    rows = rows_of([MEASURED])
    (axes,) = figure(rows, width=4).axes
    assert len(axes.lines) == len({row.model for row in rows}) + 2 == 18
    (axes,) = figure(rows, width=4, models=["local", "full"], baseline="none").axes
    assert {str(line.get_label()) for line in axes.lines} == {"local", "full", *BASELINES}
    assert axes.get_ylabel() == "seconds a training step"


def test_rows_are_chosen_by_their_settings(tmp_path: Path) -> None:
    both = [made_up("linear", 64, 0.1), made_up("linear", 64, 0.2, device="cuda")]
    path = written(tmp_path / "rows.jsonl", both)
    before = path.read_bytes()
    assert rows_of([path], [("device", "cuda"), ("threads", "1")]) == both[1:]
    with pytest.raises(UsageError, match="expected rows of one device, got cpu, cuda"):
        figure(rows_of([path]), width=3.25)
    with pytest.raises(UsageError, match=r"expected rows with device tpu, got none: there are cpu, cuda"):
        rows_of([path], [("device", "tpu")])
    with pytest.raises(UsageError, match=r"--only must be an entry of a row such as device=cuda, got 'gpu'"):
        rows_of([path], [("gpu", "1")])
    assert path.read_bytes() == before


def test_what_cannot_be_drawn_is_one_line(tmp_path: Path) -> None:
    row = made_up("linear", 64, None, naive_median_seconds=None, sdpa_median_seconds=None)
    with pytest.raises(UsageError, match="a row with a value for speed and the baseline sdpa, got none"):
        figure([row], width=3.25)
    with pytest.raises(UsageError, match=r"expected a file of measurements, found none: measure with"):
        rows_of([tmp_path / "none.jsonl"])
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(UsageError, match="expected at least one row, got none"):
        rows_of([tmp_path / "empty.jsonl"])
    for asked, message in (
        ({"measure": "heat"}, "--measure must be one of speed, memory, got 'heat'"),
        ({"baseline": "flash"}, "--baseline must be one of naive, sdpa, none, got 'flash'"),
        ({"models": ["linea"]}, "--models must be measured: .*linear.*; got 'linea'"),
    ):
        with pytest.raises(UsageError, match=message):
            figure(all_models(), width=3.25, **asked)
