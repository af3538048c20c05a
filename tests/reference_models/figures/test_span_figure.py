"""The figure of attention spans shows what the saved results say."""

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from lra_data import UsageError
from reference_models.attention_maps.span_result import NOT_A_DISTRIBUTION, Distances, read_span
from reference_models.figures.span import figure
from reference_models.figures.style import ACCENT
from tests.support.spans import made_span


def marks(drawing: Figure) -> dict[str, list[tuple[float, float]]]:
    (axes,) = drawing.axes
    lines = [line for line in axes.lines if not str(line.get_label()).startswith("_")]
    return {str(line.get_label()): [tuple(xy) for xy in np.asarray(line.get_xydata())] for line in lines}


def test_the_figure_has_every_head_and_the_uniform_span() -> None:
    drawing = figure([("full", made_span()), ("mine", made_span(((1.0, 2.0),)))], width=3.25, highlight=["mine"])
    found = marks(drawing)
    assert found.pop("uniform")[0][0] == 16.5
    # From above: the model with the longer span, and its layers from the first.
    assert found == {
        "mine, layer 0": [(1.0, 0.0), (2.0, 0.0)],
        "full, layer 1": [(8.0, 1.0), (9.0, 1.0)],
        "full, layer 0": [(3.0, 2.0), (5.0, 2.0)],
    }
    (axes,) = drawing.axes
    means = {line.get_xydata()[0][0] for line in axes.lines if line.get_marker() == "|"}  # type: ignore[index]
    assert means == {1.5, 8.5, 4.0}
    named = {text.get_text(): text.get_color() for text in axes.get_yticklabels()}
    assert [name for name, color in named.items() if color == ACCENT] == ["mine, layer 0"]
    assert "uniform attention" in [text.get_text() for text in axes.texts]


def test_heads_without_a_span_are_said() -> None:
    drawing = figure([("full", made_span(((3.0, NOT_A_DISTRIBUTION), (8.0, 9.0))))], width=3.25)
    assert "1 of 2 heads: not a distribution" in [text.get_text() for text in drawing.axes[0].texts]
    assert marks(drawing)["full, layer 0"] == [(3.0, 1.0)]


def test_a_saved_result_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "span.json"
    for made in (
        made_span(((3.5, NOT_A_DISTRIBUTION),), faults=(("", "rows sum to 2"),)),
        made_span(pixels=Distances(uniform=4.5, heads=((1.0, 2.0),)), cls_share=((0.1, 0.2),)),
    ):
        path.write_text(json.dumps(made.to_json()))
        assert read_span(path) == made
    path.write_text(json.dumps({**made_span().to_json(), "sequences": "many"}))
    with pytest.raises(UsageError, match=r"span\.json: expected a result of lra-zoo span --out, got: sequences: "):
        read_span(path)
    with pytest.raises(UsageError, match=r"nowhere\.json: expected a result of lra-zoo span, got: No such file"):
        read_span(tmp_path / "nowhere.json")


def test_what_does_not_belong_together_is_refused() -> None:
    one = ("full", made_span())
    with pytest.raises(UsageError, match=r"other: expected the examples of full, 20 of .*; got 30 of listops/mini"):
        figure([one, ("other", made_span(examples=30))], width=3.25)
    with pytest.raises(UsageError, match="got full twice"):
        figure([one, one], width=3.25)
    with pytest.raises(UsageError, match="expected spans in pixels, got none"):
        figure([one], width=3.25, distance="pixels")
    with pytest.raises(UsageError, match=r"--distance must be one of tokens, pixels, got 'bytes'"):
        figure([one], width=3.25, distance="bytes")
    with pytest.raises(UsageError, match="at least one result"):
        figure([], width=3.25)
