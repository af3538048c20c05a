"""The figure of scores: a point with its interval for each model, sorted, and what it must be compared with.

Vertical lines are trivial predictors (dashed) and the same model without attention (solid, its interval shaded). Of the
trivial predictors these are the majority class and the best one.
No rank is drawn: models whose intervals overlap are only near each other in the list.
"""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from lra_data import UsageError
from reference_models.figures.labels import label_above
from reference_models.figures.points import Point
from reference_models.figures.style import ACCENT, FAINT, PLAIN, STRONG, check_width, highlighted, new_figure, settings
from reference_models.results.rows import CONTROL

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ROW, _AROUND = 0.135, 0.85  # inches: height of a row, and of the names and the axis of a panel
_WIDE = 3.0  # inches: the least width of a panel, where several are side by side
_CONTROL_SAID = "no attention"
_MAJORITY = "majority class"


def figure(points: Sequence[Point], *, width: float, highlight: Sequence[str] | None = None) -> "Figure":
    """A panel for each set, in the order of the points.

    width: of the whole figure in inches. Panels are side by side if it has the room.
    highlight: names of the models in the accent colour; None is the user's own.

    Raises UsageError without points, and for a name that no point has.
    """
    if not points:
        raise UsageError("expected at least one result, got none")
    marked = highlighted({point.name: point.own for point in points}, highlight)
    tasks = list(dict.fromkeys(point.task for point in points))
    columns = min(len(tasks), max(1, int(check_width(width) // _WIDE)))
    lines = -(-len(tasks) // columns)
    tallest = max(len(_listed(points, task)) for task in tasks)
    with settings():
        drawing, panels = new_figure(width, lines * (_AROUND + _ROW * max(tallest, 3)), rows=lines, columns=columns)
        for axes, task in zip(panels, tasks, strict=False):
            _panel(axes, [point for point in points if point.task == task], marked)
            axes.set_title(task)
        for axes in panels[len(tasks) :]:
            axes.remove()
        for axes, task in zip(panels, tasks, strict=False):
            levels = label_above(axes, _references([point for point in points if point.task == task]))
            axes.set_title(task, pad=3 + levels, weight="bold")
    return drawing


def _listed(points: Sequence[Point], task: str) -> list[Point]:
    """The points of a set that are rows of its panel, from the worst: all but the controls of the zoo."""
    found = [point for point in points if point.task == task]
    shown = [point for point in found if not point.control or point.own]
    return sorted(shown or found, key=lambda point: (point.accuracy, point.name))


def _controls(points: Sequence[Point]) -> list[Point]:
    return [point for point in points if point.control and not point.own]


def _trivial(points: Sequence[Point]) -> dict[str, float]:
    """The majority class and the best trivial predictor, in percent."""
    found = {name: 100 * share for point in points for name, share in point.trivial.items()}
    best = min(found, key=lambda name: (-found[name], name), default=None)
    return {name: share for name, share in found.items() if name in (_MAJORITY, best)}


def _references(points: Sequence[Point]) -> list[tuple[float, str]]:
    """Each vertical line once: its place in percent and its names."""
    named: dict[float, list[str]] = {}
    for name, place in _trivial(points).items():
        named.setdefault(place, []).append(name)
    several = len(_controls(points)) > 1
    for point in _controls(points):
        name = point.name.replace(CONTROL, _CONTROL_SAID) if several else _CONTROL_SAID
        named.setdefault(100 * point.accuracy, []).append(name)
    return [(place, ", ".join(each)) for place, each in named.items()]


def _panel(axes: Any, points: Sequence[Point], marked: Collection[str]) -> None:
    from matplotlib.ticker import MaxNLocator

    listed = _listed(points, points[0].task)
    for place in sorted(set(_trivial(points).values())):
        axes.axvline(place, color=PLAIN, linewidth=0.8, linestyle=(0, (3, 2)), zorder=1, label="trivial")
    for control in _controls(points):
        axes.axvspan(100 * control.low, 100 * control.high, color=FAINT, linewidth=0, zorder=0)
        axes.axvline(100 * control.accuracy, color=STRONG, linewidth=0.8, zorder=1, label="control")
    for place, point in enumerate(listed):
        own = point.name in marked
        middle = 100 * point.accuracy
        axes.errorbar(
            middle,
            place,
            xerr=[[middle - 100 * point.low], [100 * point.high - middle]],
            fmt="D" if own else "o",
            markersize=4.5 if own else 3.2,
            color=ACCENT if own else PLAIN,
            markerfacecolor=ACCENT if own else "white",
            elinewidth=1.8 if own else 0.9,
            zorder=3 if own else 2,
            label=point.name,
        )
    axes.set_yticks(range(len(listed)), [point.name for point in listed])
    for text, point in zip(axes.get_yticklabels(), listed, strict=True):
        if point.name in marked:
            text.set(color=ACCENT, weight="bold")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axes.set_ylim(-0.7, len(listed) - 0.3)
    axes.set_xlabel("test accuracy (%), 95 % interval")
