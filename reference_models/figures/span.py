"""The figure of attention spans, from results that `lra-zoo span` saved: a row for each layer of each model.

A small mark is a head, a tick the mean of a layer. A line is the span of uniform attention: a span near it means that
attention looks everywhere, not that it looks far. A head without a span (`attention_maps/span.py`) is said, not drawn.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lra_data import UsageError
from reference_models.attention_maps.span_result import NOT_A_DISTRIBUTION, Distances, Span
from reference_models.figures.labels import label_above
from reference_models.figures.style import ACCENT, FAINT, PLAIN, highlighted, new_figure, settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DISTANCES = ("tokens", "pixels")
_ROW, _AROUND = 0.15, 0.75  # inches


def figure(
    spans: Sequence[tuple[str, Span]],
    *,
    width: float,
    distance: str = "tokens",
    highlight: Sequence[str] | None = None,
) -> "Figure":
    """The spans of models on the same examples, sorted by their means.

    spans: name and result of each model.
    width: of the figure in inches.
    distance: "tokens" or "pixels".
    highlight: names in the accent colour; None is no model.

    Raises UsageError without spans, for results of different examples, doubled or unknown names, and results without
    the distance.
    """
    if not spans:
        raise UsageError("expected at least one result of lra-zoo span, got none")
    measured = [(name, _measured(name, span, distance)) for name, span in spans]
    first_name, first = spans[0]
    for number, (name, span) in enumerate(spans):
        if _data(span) != _data(first):
            raise UsageError(f"{name}: expected the examples of {first_name}, {_data(first)}; got {_data(span)}")
        if name in [other for other, _ in spans[:number]]:
            raise UsageError(f"expected different names of the results, got {name} twice: name them as NAME=FILE")
    uniform = measured[0][1].uniform
    measured.sort(key=lambda each: (-1.0 if isinstance(each[1].mean, str) else each[1].mean, each[0]))
    rows = [(name, number, found) for name, found in measured for number in reversed(range(len(found.heads)))]
    marked = highlighted({name: False for name, _ in measured}, highlight)
    with settings():
        drawing, (axes,) = new_figure(width, _AROUND + _ROW * max(len(rows), 3))
        axes.axvline(uniform, color=PLAIN, linewidth=0.8, linestyle=(0, (3, 2)), zorder=1, label="uniform")
        for place, (name, layer, found) in enumerate(rows):
            _row(axes, place, found, layer, name in marked, name)
        axes.set_yticks(range(len(rows)), [f"{name}, layer {layer}" for name, layer, _ in rows])
        for text, (name, _, _) in zip(axes.get_yticklabels(), rows, strict=True):
            if name in marked:
                text.set(color=ACCENT, weight="bold")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_ylim(-0.7, len(rows) - 0.3)
        axes.set_xlim(left=0)
        axes.set_xlabel(f"attention span in {distance}")
        axes.set_title(first.data)
        levels = label_above(axes, [(uniform, "uniform attention")])
        axes.set_title(first.data, pad=3 + levels, weight="bold")
    return drawing


def _measured(name: str, span: Span, distance: str) -> Distances:
    if distance not in DISTANCES:
        raise UsageError(f"--distance must be one of {', '.join(DISTANCES)}, got {distance!r}")
    found = span.tokens if distance == "tokens" else span.pixels
    if found is None:
        raise UsageError(f"{name}: expected spans in {distance}, got none: {span.data} has no pictures")
    return found


def _data(span: Span) -> str:
    return f"{span.examples:,} of {span.data}, seed {span.seed}"


def _row(axes: Any, place: int, found: Distances, layer: int, own: bool, name: str) -> None:
    color = ACCENT if own else PLAIN
    numbers = [head for head in found.heads[layer] if not isinstance(head, str)]
    mean = found.layers[layer]
    axes.axhline(place, color=FAINT, linewidth=0.4, zorder=0)
    axes.plot(
        numbers,
        [place] * len(numbers),
        linestyle="none",
        marker="D" if own else "o",
        markersize=4 if own else 3.2,
        color=color,
        markerfacecolor=color if own else "white",
        zorder=3,
        label=f"{name}, layer {layer}",
    )
    if isinstance(mean, str):
        missing = len(found.heads[layer]) - len(numbers)
        axes.annotate(
            f"{missing} of {len(found.heads[layer])} heads: {NOT_A_DISTRIBUTION}",
            xy=(0, place),
            xycoords=("axes fraction", "data"),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            color=color,
        )
    else:
        axes.plot(mean, place, marker="|", markersize=8, markeredgewidth=1.6, color=color, zorder=2)
