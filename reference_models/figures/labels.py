"""Names next to what they name, without a legend: at the ends of lines, and above vertical lines.

Places are computed from the layout, so that no two names overlap. Not here: fonts and colours (`style.py`).
"""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from reference_models.figures.style import ACCENT, PLAIN, POINTS, STRONG

_LINE = 1.15 * POINTS  # the height of a line of text in points
_POINTS_PER_INCH = 72
_NAMES_AT, _SPACE = 1.1, 0.015  # in widths of the axes
_DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)))
_GREYS = ("0.35", "0.6")


class End(NamedTuple):
    """The last point of a line in data coordinates, and the line's name. own: whether the model is the user's."""

    name: str
    x: float
    y: float
    own: bool


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places at least `gap` apart and as near to the wanted ones as that allows, in the same order.

    Neighbours that are too near become a block around the mean of what they want. low, high: limits of all places; they
    are ignored if the names do not fit between them.
    """
    order = sorted(range(len(places)), key=lambda number: places[number])
    blocks: list[tuple[float, list[int]]] = []  # of each the first place, and its members
    for number in order:
        members, first = [number], places[number]
        while blocks and first < blocks[-1][0] + gap * len(blocks[-1][1]):
            members = blocks.pop()[1] + members
            first = _first(places, members, gap)
        blocks.append((first, members))
    found = [0.0] * len(places)
    for first, members in blocks:
        for rank, number in enumerate(members):
            found[number] = first + gap * rank
    for floor, number in zip(_steps(low, gap, len(order)), order, strict=True):
        found[number] = max(found[number], floor)
    for ceiling, number in zip(_steps(high, -gap, len(order)), reversed(order), strict=True):
        found[number] = min(found[number], ceiling)
    return found


def _first(places: Sequence[float], members: Sequence[int], gap: float) -> float:
    """The first place of a block whose members' distances from what they want add up to 0."""
    return sum(places[number] - gap * rank for rank, number in enumerate(members)) / len(members)


def _steps(start: float, gap: float, count: int) -> list[float]:
    return [start + gap * rank for rank in range(count)]


def label_ends(axes: Any, ends: Sequence[End]) -> None:
    """Write each line's name to the right of the axes, with a thin line from the line's end to it."""
    from matplotlib.collections import LineCollection

    # The names' widths decide the axes' size, whatever their places; so they are placed after a first layout.
    texts = [
        axes.annotate(
            end.name,
            xy=(_NAMES_AT, 0.5),
            xycoords="axes fraction",
            va="center",
            color=ACCENT if end.own else STRONG,
            weight="bold" if end.own else "normal",
        )
        for end in ends
    ]
    axes.figure.draw_without_rendering()
    points = axes.transData.transform([(end.x, end.y) for end in ends])
    wanted = axes.transAxes.inverted().transform(points)  # (names, 2), in sizes of the axes
    gap = _LINE * axes.figure.dpi / _POINTS_PER_INCH / axes.get_window_extent().height
    places = spread([float(y) for _, y in wanted], gap, 0.0, 1.0)
    for text, place in zip(texts, places, strict=True):
        text.set_position((_NAMES_AT, place))
    leaders = [[(x + _SPACE, y), (_NAMES_AT - _SPACE, place)] for (x, y), place in zip(wanted, places, strict=True)]
    lines = LineCollection(leaders, linewidths=0.5, colors=PLAIN, linestyles=":", transform=axes.transAxes)
    lines.set(clip_on=False, zorder=1)
    axes.add_collection(lines, autolim=False)


def label_above(axes: Any, lines: Sequence[tuple[float, str]]) -> float:
    """Write names above the axes at places on the x axis, each at the lowest level where it overlaps no other.

    lines: (x, name). A thin line leads from the axes to each name. Returns the height of all levels in points.
    """
    ordered = sorted(lines)
    texts = [
        axes.annotate(name, xy=(x, 1), xycoords=("data", "axes fraction"), xytext=(1, 2), textcoords="offset points")
        for x, name in ordered
    ]
    axes.figure.draw_without_rendering()
    near = 3 * axes.figure.dpi / _POINTS_PER_INCH
    starts: list[float] = []  # of each level, where its leftmost name starts
    # From the right, so that the lines of all names that are still to come are to the left of those that are placed. A
    # name must also end before the lines that lead to higher levels.
    for (x, _), text in reversed(list(zip(ordered, texts, strict=True))):
        start = axes.transData.transform((x, 0))[0]
        end = start + text.get_window_extent().width + near
        level = next((number for number in range(len(starts)) if end < min(starts[number:])), len(starts))
        starts[level : level + 1] = [start]
        text.xyann = (1, 2 + _LINE * level)
        axes.annotate(
            "",
            xy=(x, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, _LINE * (level + 1)),
            textcoords="offset points",
            arrowprops={"arrowstyle": "-", "linewidth": 0.6, "color": PLAIN, "shrinkA": 0, "shrinkB": 0},
            annotation_clip=False,
        )
    return _LINE * len(starts)


def strokes(names: Sequence[str], marked: Collection[str]) -> dict[str, dict[str, Any]]:
    """How each line is drawn: the marked ones thick and in the accent colour, the others in two greys and four dashes.

    Marked lines differ by their dashes too. So lines that cross can be followed without a colour each.
    """
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        own = name in marked
        rank = sum((other in marked) == own for other in found)
        dash = _DASHES[rank % len(_DASHES)]
        color = ACCENT if own else _GREYS[rank // len(_DASHES) % len(_GREYS)]
        found[name] = {
            "color": color, "linestyle": dash, "linewidth": 1.8 if own else 0.8, "zorder": 3 if own else 2,
        }  # fmt: skip
    return found
