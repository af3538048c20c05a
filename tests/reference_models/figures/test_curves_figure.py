"""The figure of training curves shows what the logs say."""

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes

from lra_data import UsageError
from reference_models.figures.curves import chosen, figure, read_curves, together
from reference_models.figures.style import ACCENT
from reference_models.model.bundled import BUNDLED
from reference_models.model.card import CheckpointError
from reference_models.model.checkpoint import read_card
from reference_models.training.run_log import LOG, read_log
from tests.support.model_cards import made_card

LISTOPS = BUNDLED / "listops" / "mini"


def evaluation(step: int, accuracy: float = 0.5, loss: float = 1.0) -> str:
    return json.dumps({"step": step, "validation": {"accuracy": accuracy, "loss": loss}}) + "\n"


def run(folder: Path, *lines: str) -> Path:
    folder.mkdir(parents=True)
    (folder / LOG).write_text("".join(lines))
    return folder


def line_of(axes: Axes, name: str) -> list[tuple[float, ...]]:
    (line,) = (line for line in axes.lines if line.get_label() == name)
    return [tuple(map(float, xy)) for xy in np.asarray(line.get_xydata())]


def test_lines_are_those_of_the_logs_and_marks_those_of_the_cards() -> None:
    curves = together([*read_curves(LISTOPS / "linear"), *read_curves(LISTOPS / "full")])
    drawing = figure(curves, width=3.25, highlight=["linear"])
    above, below = drawing.axes
    for name in ("linear", "full"):
        logged = [json.loads(line) for line in (LISTOPS / name / LOG).read_text().splitlines()]
        scored = [(event["step"], event["validation"]) for event in logged if "validation" in event]
        assert line_of(above, name) == [(step, 100 * score["accuracy"]) for step, score in scored]
        assert line_of(below, name) == [(step, score["loss"]) for step, score in scored]
        card = read_card(LISTOPS / name)
        marks = [tuple(np.asarray(line.get_xydata())[0]) for line in above.lines if line.get_marker() == "o"]
        assert (card.selected_step, 100 * card.validation.accuracy) in marks
    assert [text.get_text() for text in above.texts] == ["linear", "full"]
    thick = [line.get_label() for line in above.lines if line.get_linestyle() != "None" and line.get_linewidth() > 1.5]
    assert thick == ["linear"]
    assert [text.get_text() for text in above.texts if text.get_color() == ACCENT] == ["linear"]


def test_an_unfinished_training_is_drawn_as_far_as_it_is(tmp_path: Path) -> None:
    run(tmp_path / "mine", '{"step": 5, "loss": 2.0}\n', evaluation(10), evaluation(20, 0.6), '{"step": 30, "val')
    (curve,) = read_curves(tmp_path)
    assert (curve.steps, curve.accuracy, curve.selected) == ((10, 20), (0.5, 0.6), None)
    (axes,) = figure([curve], width=3.25, metrics=["accuracy"]).axes
    assert line_of(axes, "mine") == [(10, 50), (20, 60)]
    assert len(read_log(tmp_path / "mine" / LOG)) == 3


def test_names_are_those_of_the_folders_and_different(tmp_path: Path) -> None:
    for folder in ("one/full", "two/full", "two/linear"):
        run(tmp_path / folder, evaluation(10))
    assert [curve.name for curve in together(read_curves(tmp_path))] == ["one/full", "two/full", "linear"]
    named = read_curves(tmp_path / "two", "Ours")
    assert [curve.name for curve in named] == ["Ours, full", "Ours, linear"]
    assert [curve.name for curve in chosen(named, ["Ours, full"])] == ["Ours, full"]
    assert read_curves(tmp_path / "one", "Ours")[0].name == "Ours"
    with pytest.raises(UsageError, match=r"got full twice: name them as NAME=FOLDER"):
        together([*read_curves(tmp_path / "one" / "full"), *read_curves(tmp_path / "two" / "full")])


def test_trainings_of_other_rows_are_refused() -> None:
    with pytest.raises(UsageError, match=r"full: expected the same rows of validation as full, with identity"):
        together([*read_curves(LISTOPS / "full"), *read_curves(BUNDLED / "text" / "holdout" / "full")])


def test_wrong_use_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected a log\.jsonl with an evaluation beneath, got none"):
        read_curves(tmp_path)
    run(tmp_path / "broken", "{}\n")
    with pytest.raises(CheckpointError, match=r"log\.jsonl: line 1 must be an event with a step"):
        read_curves(tmp_path / "broken")
    run(tmp_path / "other", '{"step": 1, "validation": {"loss": 2}}\n')
    with pytest.raises(CheckpointError, match=r"expected accuracy and loss of each evaluation"):
        read_curves(tmp_path / "other")
    good = read_curves(run(tmp_path / "good", evaluation(1)))
    (tmp_path / "good" / "card.json").write_bytes(made_card().encode())
    assert read_curves(tmp_path / "good")[0].task == "listops/mini"
    with pytest.raises(UsageError, match=r"--metrics must be of accuracy, loss, got 'f1'"):
        figure(good, width=3.25, metrics=["f1"])
    with pytest.raises(UsageError, match=r"--models must be trainings: good; got 'linear'"):
        chosen(good, ["linear"])
    with pytest.raises(UsageError, match="at least one training"):
        figure([], width=3.25)
