"""The figure of speed and memory over length, from rows that `lra-zoo efficiency` measured; nothing is measured here.

Both axes are logarithmic. Values are relative to a Transformer that took its steps in the same rounds as the model
(`naive`: weights materialised; `sdpa`: PyTorch's fused attention), or absolute.
"""

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lra_data import UsageError, paths
from reference_models.efficiency.report import last_rows
from reference_models.efficiency.row import Row, read_rows
from reference_models.figures.labels import End, label_ends, strokes
from reference_models.figures.style import PLAIN, STRONG, highlighted, new_figure, settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Curves = dict[str, list[tuple[int, float]]]

# The two Transformers by their names in rows, as the figure calls them.
BASELINES = {"naive": "naive Transformer", "sdpa": "fused Transformer"}
ABSOLUTE = "none"
MEASURES = ("speed", "memory")
_MIB = 2**20
_HEIGHT, _NAME = 1.0, 0.125  # inches: of a figure without names, and of a name

_AXES = {
    "speed": ("training speed, times that of the\n{}", "seconds a training step"),
    "memory": ("memory kept for the backward pass,\ntimes that of the {}", "MiB kept for the backward pass"),
}
_ENTRIES = {"speed": "median_seconds", "memory": "saved_bytes"}


def rows_of(files: Sequence[Path], only: Sequence[tuple[str, str]] = ()) -> list[Row]:
    """All rows of JSON Lines files, of models and settings that are asked for.

    only: entries of a row and the values that they must have, as texts, such as ("device", "cuda").

    Raises UsageError for a file that is missing or has other contents, for an unknown entry, and if no row is left.
    """
    found: list[Row] = []
    for file in files:
        path = paths.local_path(file, "a file of measurements")
        if not path.is_file():
            raise UsageError(f"{path}: expected a file of measurements, found none: measure with `lra-zoo efficiency`")
        found += read_rows(path)
    for name, value in only:
        if name not in Row.__struct_fields__:
            raise UsageError(f"--only must be an entry of a row such as device=cuda, got {name!r}")
        have = sorted({str(getattr(row, name)) for row in found})
        found = [row for row in found if str(getattr(row, name)) == value]
        if not found:
            raise UsageError(f"expected rows with {name} {value}, got none: there are {', '.join(have) or 'no rows'}")
    if not found:
        raise UsageError(f"expected at least one row, got none in {', '.join(map(str, files))}: measure first")
    return found


def curves(rows: Sequence[Row], *, measure: str = "speed", baseline: str = "sdpa") -> Curves:
    """The points to plot by name: (L, value) of each model and of the Transformers, sorted by length.

    measure: "speed" or "memory".
    baseline: "naive" or "sdpa" for values relative to it, "none" for seconds or MiB. Of a Transformer the value is the
        median over the models' rows at a length.
    """
    if measure not in MEASURES:
        raise UsageError(f"--measure must be one of {', '.join(MEASURES)}, got {measure!r}")
    if baseline not in (*BASELINES, ABSOLUTE):
        raise UsageError(f"--baseline must be one of {', '.join((*BASELINES, ABSOLUTE))}, got {baseline!r}")
    entry = _ENTRIES[measure]
    value = _value(measure, entry, baseline)
    found: Curves = {}
    of_kind: dict[tuple[str, int], list[float]] = {}
    for (model, length), row in last_rows(rows).items():
        if (each := value(row, "")) is not None:
            found.setdefault(model, []).append((length, each))
        for kind in BASELINES:
            if (each := value(row, f"{kind}_")) is not None:
                of_kind.setdefault((kind, length), []).append(each)
    for (kind, length), several in of_kind.items():
        found.setdefault(kind, []).append((length, statistics.median(several)))
    return found


def _value(measure: str, entry: str, baseline: str) -> Callable[[Row, str], float | None]:
    """The value of a row for the model (prefix "") or a Transformer (prefix "naive_" or "sdpa_"); None without one."""

    def value(row: Row, prefix: str) -> float | None:
        own: float | None = getattr(row, prefix + entry)
        if baseline == ABSOLUTE:
            return own and (own / _MIB if measure == "memory" else own)
        other: float | None = getattr(row, f"{baseline}_{entry}")
        if not own or not other:
            return None
        return other / own if measure == "speed" else own / other

    return value


def figure(
    rows: Sequence[Row],
    *,
    width: float,
    measure: str = "speed",
    baseline: str = "sdpa",
    models: Sequence[str] | None = None,
    highlight: Sequence[str] | None = None,
) -> "Figure":
    """A line for each model, with its name at the end.

    width: of the figure in inches.
    models: names of models to draw; None is all.
    highlight: names in the accent colour; None is every model whose attention is from the user's own file.

    Raises UsageError without a value to draw, for rows of several settings, and for unknown names.
    """
    drawn = curves(rows, measure=measure, baseline=baseline)
    names = sorted(set(drawn) - set(BASELINES), key=lambda name: (-drawn[name][-1][1], name))
    for model in models or ():
        if model not in names:
            raise UsageError(f"--models must be measured: {', '.join(sorted(names))}; got {model!r}")
    names = [name for name in names if models is None or name in models]
    if not names:
        raise UsageError(f"expected a row with a value for {measure} and the baseline {baseline}, got none")
    marked = highlighted({row.model: row.attention_sha256 is not None for row in rows if row.model in names}, highlight)
    kinds = [kind for kind in BASELINES if kind in drawn]
    with settings():
        drawing, (axes,) = new_figure(width, max(2.4, _HEIGHT + _NAME * (len(names) + len(kinds))))
        look = strokes(names, marked)
        for name in names:
            axes.plot(*zip(*drawn[name], strict=True), label=name, marker=".", markersize=4, **look[name])
        for kind in kinds:
            dash = "-" if kind == baseline else (0, (4, 1.5))
            axes.plot(*zip(*drawn[kind], strict=True), label=kind, color=STRONG, linewidth=1.4, linestyle=dash)
        _scales(axes, sorted({length for name in (*names, *kinds) for length, _ in drawn[name]}))
        relative, absolute = _AXES[measure]
        axes.set_ylabel(absolute if baseline == ABSOLUTE else relative.format(BASELINES[baseline]))
        first = rows[0]
        axes.set_title(f"{first.device_name}, batch {first.batch}, {first.dtype}")
        ends = [End(name, *drawn[name][-1], name in marked) for name in names]
        label_ends(axes, [*ends, *(End(BASELINES[kind], *drawn[kind][-1], False) for kind in kinds)])
    return drawing


def _scales(axes: Any, lengths: Sequence[int]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(lengths[0] / 1.05, lengths[-1])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(lengths)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda length, _: f"{length:,.0f}"))
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.tick_params(axis="x", rotation=45)
    axes.grid(axis="y", color="0.92", linewidth=0.5)
    axes.spines["left"].set_color(PLAIN)
    axes.set_xlabel("length in bytes")
