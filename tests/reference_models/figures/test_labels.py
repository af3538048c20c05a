"""Names do not overlap, are as near to what they name as that allows, and keep its order."""

import itertools

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st
from matplotlib.text import Text

from reference_models.figures.labels import End, label_above, label_ends, spread, strokes
from reference_models.figures.style import ACCENT, new_figure, settings

PLACES = st.lists(st.integers(0, 100).map(float), min_size=1, max_size=8)


@drawn(PLACES)
def test_places_are_apart_within_the_limits_and_in_order(places: list[float]) -> None:
    found = spread(places, 10.0, 0.0, 100.0)
    order = sorted(range(len(places)), key=lambda number: places[number])
    between = [found[b] - found[a] for a, b in itertools.pairwise(order)]
    assert all(gap >= 10 - 1e-6 for gap in between)
    assert min(found) >= -1e-6
    assert max(found) <= 100 + 1e-6
    if all(gap >= 10 for gap in (places[b] - places[a] for a, b in itertools.pairwise(order))):
        assert found == places


def test_crowded_places_are_moved_as_little_as_possible() -> None:
    # The least squares: both by half of what is missing.
    assert spread([50.0, 54.0], 10.0, 0.0, 100.0) == [47.0, 57.0]
    assert spread([54.0, 50.0, 52.0, 90.0], 10.0, 0.0, 100.0) == [62.0, 42.0, 52.0, 90.0]


def test_names_at_the_ends_of_lines_do_not_overlap() -> None:
    with settings():
        drawing, (axes,) = new_figure(3.25, 2.0)
        axes.plot([0, 1], [0, 1])
        label_ends(axes, [End(f"name {number}", 1, 0.5 + number / 1000, number == 3) for number in range(8)])
        drawing.draw_without_rendering()
        boxes = [Text.get_window_extent(text) for text in axes.texts]  # without the lines to them
    assert [text.get_text() for text in axes.texts if text.get_color() == ACCENT] == ["name 3"]
    for lower, upper in itertools.pairwise(text.get_position()[1] for text in axes.texts):
        assert lower < upper
    width, height = drawing.bbox.width, drawing.bbox.height
    assert all(box.x0 > axes.bbox.x1 and box.x1 <= width and box.y0 >= 0 and box.y1 <= height for box in boxes)


CROWDED = [(10.0, "a long name of the first"), (20.0, "another name"), (22.0, "third"), (80.0, "fourth")]
# A short name, some of whose places end between the lines of two others.
SHORT = [[(12 + step / 2, "mm"), (20.0, "another name"), (22.0, "third")] for step in range(16)]


@pytest.mark.parametrize("given", [CROWDED, *SHORT])
def test_names_above_lines_do_not_overlap_each_other_or_lines(given: list[tuple[float, str]]) -> None:
    with settings():
        drawing, (axes,) = new_figure(3.25, 2.0)
        axes.set_xlim(0, 100)
        label_above(axes, given)
        drawing.draw_without_rendering()
        named = [text for text in axes.texts if text.get_text()]
        boxes = [text.get_window_extent() for text in named]
        lines = [axes.transData.transform((text.xy[0], 0))[0] for text in named]
    for (number, box), (other, also) in itertools.permutations(enumerate(boxes), 2):
        assert not box.overlaps(also)
        # The line to a higher name passes all levels below it.
        if boxes[other].y0 > box.y0:
            assert not box.x0 < lines[other] < box.x1, (number, other)


def test_lines_differ_without_colours() -> None:
    look = strokes([f"model {number}" for number in range(8)] + ["mine", "mine too"], {"mine", "mine too"})
    assert len({(str(each["linestyle"]), each["color"], each["linewidth"]) for each in look.values()}) == 10
    assert [name for name, each in look.items() if each["color"] == ACCENT] == ["mine", "mine too"]
    assert min(look["mine"]["linewidth"], 1.5) > max(look[f"model {number}"]["linewidth"] for number in range(8))
