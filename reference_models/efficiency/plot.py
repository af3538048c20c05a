"""Plots the rows of `measure.py`: seconds a step over length, both logarithmic, a line for each model."""

import statistics
from collections.abc import Iterable, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

from lra_data import UsageError, optional_import, paths
from reference_models.efficiency.report import last_rows
from reference_models.efficiency.row import Kind, Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Curves = dict[str, list[tuple[int, float]]]

# The two Transformers, which are drawn thicker.
_BASELINES = {"naive": "black", "sdpa": "gray"}
_INCHES, _DOTS_PER_INCH = (10.0, 7.0), 100
_MARKERS = "osv^D"


def curves(rows: Sequence[Row]) -> Curves:
    """The points to plot: (L, median seconds) of each model; for naive and SDPA, the median over the models' rows."""
    found: Curves = {}
    baselines: dict[tuple[Kind, int], list[float]] = {}
    for (model, length), row in last_rows(rows).items():
        if row.median_seconds:
            found.setdefault(model, []).append((length, row.median_seconds))
        for kind, seconds in row.baseline_seconds.items():
            if seconds:
                baselines.setdefault((kind, length), []).append(seconds)
    for (name, length), each in baselines.items():
        found.setdefault(name, []).append((length, statistics.median(each)))
    return found


def plot(rows: Sequence[Row], path: Path) -> None:
    """Write a PNG of 1000 x 700 pixels.

    Raises UsageError if the library matplotlib is not installed, or no row has a time.
    """
    path = paths.local_path(path, "a file for the picture")
    drawing = figure(rows)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Without the library's version, which would change the file's bytes but not the picture.
        drawing.savefig(path, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
    except OSError as error:
        raise paths.write_failure(path, error) from error


def figure(rows: Sequence[Row]) -> "Figure":
    """The picture. Its legend lists the models from the slowest at their greatest length to the fastest."""
    optional_import.require("matplotlib", "plots")
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    drawn = curves(rows)
    if not drawn:
        raise UsageError("expected a row with a time, got none: see the rows' outcome")
    drawing = Figure(figsize=_INCHES, layout="constrained")
    axes = drawing.subplots()
    markers = cycle(_MARKERS)
    shades = _shades(drawn)
    for name in sorted(drawn, key=lambda name: drawn[name][-1], reverse=True):
        lengths, seconds = zip(*drawn[name], strict=True)
        width = 3.0 if name in _BASELINES else 1.5
        axes.plot(lengths, seconds, color=shades[name], linewidth=width, marker=next(markers), label=name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(sorted({length for curve in drawn.values() for length, _ in curve}))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda length, _: f"{length:,.0f}"))
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds:g}"))
    axes.grid(color="0.9")
    axes.set_xlabel("length in bytes")
    axes.set_ylabel("seconds a training step")
    axes.set_title(f"Training on byte text: {rows[0].device_name}, batch {rows[0].batch}, {rows[0].dtype}", loc="left")
    drawing.legend(loc="outside right upper", frameon=False)
    return drawing


def _shades(names: Iterable[str]) -> dict[str, tuple[float, float, float] | str]:
    """A colour for each curve: the baselines black and grey, the models evenly around the circle of hues."""
    from matplotlib.colors import hsv_to_rgb

    models = sorted(set(names) - _BASELINES.keys())
    shades: dict[str, tuple[float, float, float] | str] = dict(_BASELINES)
    for number, name in enumerate(models):
        red, green, blue = hsv_to_rgb((number / len(models), 1.0, 0.85 if number % 2 else 0.55))
        shades[name] = float(red), float(green), float(blue)
    return shades
