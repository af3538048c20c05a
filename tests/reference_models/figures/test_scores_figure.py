"""The figure of scores shows what cards and result files say, and marks the user's own."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from lra_data import UsageError
from reference_models.evaluation.significance import wilson
from reference_models.figures.points import Point, named_path, of_cards, of_result_file, together
from reference_models.figures.scores import figure
from reference_models.figures.style import ACCENT
from reference_models.model.bundled import BUNDLED
from reference_models.model.card import Card
from reference_models.results.rows import read_cards
from tests.support.model_cards import made_card, score

LISTOPS = "listops/mini"
IDENTITY = "7f3be67fbff7af305daa57f96c6b7a5d"  # of the bundled models' test split, in their cards


@pytest.fixture(scope="module")
def cards() -> list[Card]:
    return read_cards([BUNDLED / "listops" / "mini"])


def result_file(path: Path, **changes: Any) -> Path:
    entries = {
        "format": 1, "task": LISTOPS, "version": 1, "seed": 0, "split": "test", "rows": [0, 2000],
        "identity": IDENTITY, "examples": 2000, "correct": 1000, "accuracy": 0.5, "low": 0.4, "high": 0.6,
        "trivial": {"root operator": {"accuracy": 0.2605, "low": 0.2, "high": 0.3, "correct": 521, "examples": 2000}},
        "against": None, "groups": {}, "calibration": None, "versions": {}, "command": None, "date": "2026-11-30",
    }  # fmt: skip
    path.write_text(json.dumps({**entries, **changes}))
    return path


def points_of(axes: Axes) -> dict[str, tuple[float, float, float]]:
    """Of each row's name the drawn low, middle and high, from the artists."""
    names = [text.get_text() for text in axes.get_yticklabels()]
    found = {}
    for container in axes.containers:
        middle, _, (interval,) = container
        ((x, y),) = np.asarray(middle.get_xydata())
        ((low, _), (high, _)) = interval.get_segments()[0]
        found[names[round(y)]] = (float(low), float(x), float(high))
        assert names[round(y)] == container.get_label()
    return found


def lines_of(axes: Axes, label: str) -> list[float]:
    return sorted(float(np.asarray(line.get_xdata())[0]) for line in axes.lines if line.get_label() == label)


def own_of(axes: Axes) -> list[str]:
    """Names in the accent colour, which their points have too."""
    named = [text.get_text() for text in axes.get_yticklabels() if text.get_color() == ACCENT]
    drawn = [str(box.get_label()) for box in axes.containers if to_hex(box[0].get_color()) == ACCENT.lower()]
    assert sorted(named) == sorted(drawn)
    return named


def test_the_drawn_numbers_are_those_of_the_cards(cards: list[Card]) -> None:
    drawing = figure(together(of_cards(cards)), width=3.25)
    (axes,) = drawing.axes
    expected: Mapping[str, tuple[float, ...]] = {
        card.attention: (100 * card.test.low, 100 * card.test.accuracy, 100 * card.test.high) for card in cards
    }
    control = expected["no_attention"]
    found = points_of(axes)
    assert found.keys() == expected.keys() - {"no_attention"}
    for name, numbers in found.items():
        assert numbers == pytest.approx(expected[name], abs=1e-9), name
    middles = [numbers[1] for numbers in found.values()]
    assert middles == sorted(middles)  # the best is at the top
    assert lines_of(axes, "control") == [control[1]]
    assert lines_of(axes, "trivial") == [12.475, 26.05]
    assert {text.get_text() for text in axes.texts} - {""} == {"majority class", "root operator", "no attention"}
    (band,) = axes.patches
    assert band.get_extents().transformed(axes.transData.inverted()).x0 == pytest.approx(control[0])
    assert own_of(axes) == []
    assert axes.get_title(loc="left") == LISTOPS


def test_own_trainings_and_result_files_are_highlighted(cards: list[Card], tmp_path: Path) -> None:
    own = [card for card in cards if card.attention == "linear"]
    mine = of_result_file(result_file(tmp_path / "a.json"), "Ours & 50_%")
    zoo = of_cards([card for card in cards if card.attention in ("linear", "full", "no_attention")])
    points = together([*zoo, *of_cards(own, own=True), *of_cards(own, name="twin", own=True), mine])
    (axes,) = figure(points, width=3.25).axes
    assert own_of(axes) == ["linear (own)", "twin", "Ours & 50_%"]
    found = points_of(axes)
    assert found["linear (own)"] == found["twin"] == found["linear"]
    low, high = wilson(1000, 2000)  # from the counts; a file's own interval is not trusted
    assert found["Ours & 50_%"] == pytest.approx((100 * low, 50, 100 * high))
    (axes,) = figure(points, width=3.25, highlight=["full"]).axes
    assert own_of(axes) == ["full"]


def test_a_panel_for_each_set_side_by_side_where_there_is_room(cards: list[Card]) -> None:
    other = made_card(task="text/holdout", attention="full", trivial={"majority class": 0.5})
    points = of_cards([*cards[:2], other])
    wide, narrow = (figure(points, width=width) for width in (6.75, 3.25))
    assert [axes.get_title(loc="left") for axes in wide.axes] == [LISTOPS, "text/holdout"]
    assert wide.get_size_inches()[1] < narrow.get_size_inches()[1]
    assert list(points_of(wide.axes[1])) == ["full"]
    assert lines_of(wide.axes[1], "trivial") == [50.0]
    assert lines_of(wide.axes[1], "control") == []


def test_the_users_own_control_is_a_point(cards: list[Card]) -> None:
    control = [card for card in cards if card.attention == "no_attention"]
    (axes,) = figure(together([*of_cards(cards), *of_cards(control, own=True)]), width=3.25).axes
    assert own_of(axes) == ["no_attention (own)"]
    (axes,) = figure(of_cards(control), width=3.25).axes
    assert list(points_of(axes)) == ["no_attention"]


def test_models_and_sets_are_chosen(cards: list[Card]) -> None:
    found = together(of_cards(cards), [LISTOPS], ["full", "local"])
    assert {point.name for point in found} == {"full", "local", "no_attention"}
    with pytest.raises(UsageError, match=r"expected a set with results: listops/mini; got 'text'"):
        together(of_cards(cards), ["text"])
    with pytest.raises(UsageError, match=r"expected a model with results: bigbird, .*; got 'ful'"):
        together(of_cards(cards), [], ["ful"])


def test_results_of_other_rows_are_refused(cards: list[Card], tmp_path: Path) -> None:
    other = of_result_file(result_file(tmp_path / "a.json", identity="0" * 32), "mine")
    with pytest.raises(UsageError, match=rf"mine: expected the same rows of listops/mini as .*{IDENTITY}, got 0000"):
        together([*of_cards(cards), other])
    with pytest.raises(UsageError, match=r"got mine twice: name them as NAME=PATH"):
        together([other, other])
    with pytest.raises(UsageError, match="at least one result"):
        together([])
    with pytest.raises(UsageError, match="at least one result"):
        figure([], width=3.25)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "format: "),
        ({"correct": 2001}, "correct = 2001 of examples = 2000"),
        ({"identity": "x"}, "identity: "),
        ({"trivial": {"majority": {"accuracy": 2}}}, "trivial"),
    ],
)
def test_a_broken_result_file_is_refused_in_one_line(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = result_file(tmp_path / "a.json", **changes)
    with pytest.raises(UsageError, match=r"a\.json: expected a result file of lra-data score --out, got: ") as error:
        of_result_file(path, "mine")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_result_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"b\.json: expected a result file of lra-data score, got: No such file"):
        of_result_file(tmp_path / "b.json", "mine")


def test_trainings_that_are_called_alike_need_names() -> None:
    cards = [made_card(test=score(correct)) for correct in (700, 720)]
    with pytest.raises(UsageError, match="got linear twice"):
        together(of_cards(cards))
    other = made_card(attention="full", test=score(600))
    assert [point.name for point in of_cards([cards[0], other], name="Ours", own=True)] == [
        "Ours, linear",
        "Ours, full",
    ]
    assert [point.name for point in of_cards(cards[:1], name="Ours", own=True)] == ["Ours"]


def test_names_come_before_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert named_path("a.json") == (None, Path("a.json"))
    assert named_path("Ours = 1=b/a.json") == ("Ours", Path(" 1=b/a.json"))
    Path("x=1").touch()
    assert named_path("x=1") == (None, Path("x=1"))
    for text in ("=a.json", "a="):
        with pytest.raises(UsageError, match="expected NAME=PATH"):
            named_path(text)


def test_a_point_is_a_record_of_shares() -> None:
    (point,) = of_cards([made_card(test=score(700))])
    assert isinstance(point, Point)
    assert (point.accuracy, point.own, point.control) == (0.35, False, False)
    assert (point.low, point.high) == wilson(700, 2000)
