"""What the rows of `efficiency.measure` say: exponents, tables beside LRA's figures, verdicts and a picture.

All rows given must be of the same settings (device, dtype, threads and so on); of two rows of a cell the later counts.
A cell that its time cap ended has the median of the rounds that it finished, and is marked.
"""

import colorsys
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from lra_data import UsageError, paths

Row = Mapping[str, Any]
Curves = dict[str, list[tuple[int, float]]]

# Tay et al., "Long Range Arena", ICLR 2021, table 2: training steps a second on Text at 1K, 2K, 3K and 4K, batch 32, on
# 4 x 4 TPU v3. Synthesizer's 6.6 at 3K is printed so; it is Sinkhorn's, and stands between its own 5.7 and 1.9.
LRA_LENGTHS = (1024, 2048, 3072, 4096)
LRA_TRANSFORMER = (8.1, 4.9, 2.3, 1.4)
LRA_STEPS_PER_SECOND: dict[str, tuple[float, ...]] = {
    "local": (9.2, 8.4, 7.4, 7.4),
    "linformer": (9.3, 9.1, 8.5, 7.7),
    "reformer": (4.4, 2.2, 1.5, 1.1),
    "sinkhorn": (9.1, 7.9, 6.6, 5.3),
    "synthesizer": (8.7, 5.7, 6.6, 1.9),
    "bigbird": (7.4, 3.9, 2.7, 1.5),
    "linear": (9.1, 9.3, 8.6, 7.8),
    "performer": (9.5, 9.4, 8.7, 8.0),
}
_JUDGED = 4096

_SAME = ("device", "device_name", "batch", "dtype", "threads", "malloc", "torch", "lra_data")
_MIB = 2**20

_SIZE = (1000, 700)
_LEFT, _TOP, _RIGHT, _BOTTOM = 80, 50, 860, 640  # the plot's frame; names stand to the right of it too
_LINE_HEIGHT = 16
_BASELINES = {"naive": (0, 0, 0), "sdpa": (120, 120, 120)}


def exponent(rows: Sequence[Row], model: str, *, shortest: int = 2048, longest: int = 8192) -> float | None:
    """How a model's time grows, as L^exponent: the slope of log median seconds over log L, by least squares.

    shortest, longest: the ends of the range, in tokens. None if the model has no time at one of them.
    """
    cells = _cells(rows)
    times = {
        length: row["median_seconds"]
        for (name, length), row in cells.items()
        if name == model and shortest <= length <= longest and row["median_seconds"]
    }
    if shortest not in times or longest not in times:
        return None
    logs = [math.log(length) for length in times], [math.log(seconds) for seconds in times.values()]
    return statistics.linear_regression(*logs).slope


def lra_ratio(model: str, length: int) -> float | None:
    """LRA's steps a second over its Transformer's at that length; None for what it did not time."""
    if model not in LRA_STEPS_PER_SECOND or length not in LRA_LENGTHS:
        return None
    place = LRA_LENGTHS.index(length)
    return LRA_STEPS_PER_SECOND[model][place] / LRA_TRANSFORMER[place]


def verdicts(rows: Sequence[Row]) -> list[str]:
    """For each model that LRA timed a line: is its speed-up over the naive Transformer at 4,096 at least LRA's?"""
    cells = _cells(rows)
    lines = []
    for model in LRA_STEPS_PER_SECOND:
        published = lra_ratio(model, _JUDGED)
        row = cells.get((model, _JUDGED))
        ours = row["ratio_to_naive"] if row else None
        if ours is None:
            why = "not measured" if row is None else row["error"] or row["outcome"]
            lines.append(f"{model} at {_JUDGED:,}: LRA {published:.2f}×, here none: {why}")
        else:
            answer = "yes" if ours >= (published or 0.0) else "no"
            lines.append(f"{model} at {_JUDGED:,}: {answer}, {ours:.2f}× the naive Transformer, LRA {published:.2f}×")
    return lines


def table(rows: Sequence[Row]) -> str:
    """Markdown: settings, a table of models by lengths for each figure, and the verdicts."""
    cells = _cells(rows)
    first = next(iter(cells.values()))
    lengths = sorted({length for _, length in cells})
    models = sorted({model for model, _ in cells})
    parts = [
        f"{first['device_name']}, {first['threads']} threads, batch {first['batch']}, {first['dtype']}, "
        f"torch {first['torch']}; † fewer rounds, ended by the time cap"
    ]
    for title, figure in _FIGURES.items():
        lines = [f"| {title} | " + " | ".join(f"{length:,}" for length in lengths) + " |"]
        lines.append("|---|" + "---:|" * len(lengths))
        for model in models:
            shown = [_shown(cells.get((model, length)), figure) for length in lengths]
            lines.append(f"| {model} | " + " | ".join(shown) + " |")
        parts.append("\n".join(lines))
    slopes = [f"{model} {slope:.2f}" for model in models if (slope := exponent(rows, model)) is not None]
    parts.append(f"Exponents of time in L, 2K to 8K: {', '.join(slopes) or 'none measured'}")
    parts.append("\n".join(f"- {line}" for line in verdicts(rows)))
    return "\n\n".join(parts) + "\n"


def _steps(row: Row) -> str | None:
    return None if row["steps_per_second"] is None else f"{row['steps_per_second']:.3g}"


def _over_naive(row: Row) -> str | None:
    if row["ratio_to_naive"] is None:
        return None
    published = lra_ratio(row["model"], row["length"])
    return f"{row['ratio_to_naive']:.2f}×" + (f" ({published:.2f}×)" if published else "")


def _over_sdpa(row: Row) -> str | None:
    return None if row["ratio_to_sdpa"] is None else f"{row['ratio_to_sdpa']:.2f}×"


def _saved(row: Row) -> str | None:
    if row["saved_bytes"] is None:
        return None
    naive = row["naive_saved_bytes"]
    return f"{row['saved_bytes'] / _MIB:,.1f}" + (f" of {naive / _MIB:,.1f}" if naive else "")


_FIGURES: dict[str, Callable[[Row], str | None]] = {
    "steps a second": _steps,
    "speed-up over naive (LRA's)": _over_naive,
    "speed-up over SDPA": _over_sdpa,
    "saved MiB of naive's": _saved,
}


def _shown(row: Row | None, figure: Callable[[Row], str | None]) -> str:
    if row is None:
        return "–"
    text = figure(row)
    if text is None:
        return str(row["outcome"]) if row["outcome"] != "ok" else "–"
    return text + ("†" if row["outcome"] == "time cap" else "")


def _cells(rows: Sequence[Row]) -> dict[tuple[str, int], Row]:
    """The last row of each (model, length), by length."""
    if not rows:
        raise UsageError("expected at least one row, got none: measure first")
    for name in _SAME:
        values = {row[name] for row in rows}
        if len(values) > 1:
            raise UsageError(f"expected rows of one {name}, got {', '.join(sorted(map(str, values)))}: choose one")
    cells = {(row["model"], row["length"]): row for row in rows}
    return dict(sorted(cells.items(), key=lambda cell: (cell[0][1], cell[0][0])))


def curves(rows: Sequence[Row]) -> Curves:
    """What `plot` draws: (L, median seconds) of each model, and of naive and SDPA the median over the models' rows."""
    found: Curves = {}
    baselines: dict[tuple[str, int], list[float]] = {}
    for (model, length), row in _cells(rows).items():
        if row["median_seconds"]:
            found.setdefault(model, []).append((length, row["median_seconds"]))
        for kind in _BASELINES:
            if row[f"{kind}_median_seconds"]:
                baselines.setdefault((kind, length), []).append(row[f"{kind}_median_seconds"])
    for (kind, length), seconds in baselines.items():
        found.setdefault(kind, []).append((length, statistics.median(seconds)))
    return found


def colors(names: Iterable[str]) -> dict[str, tuple[int, int, int]]:
    """One colour a curve: hues evenly around, light and dark in turn; the baselines black and grey."""
    models = sorted(set(names) - set(_BASELINES))
    chosen = dict(_BASELINES)
    for number, name in enumerate(models):
        rgb = colorsys.hsv_to_rgb(number / len(models), 1.0, 0.85 if number % 2 else 0.55)
        chosen[name] = (round(rgb[0] * 255), round(rgb[1] * 255), round(rgb[2] * 255))
    return chosen


class Axes:
    """Where (L, seconds) stands in the picture: both axes logarithmic, up to whole decades of seconds."""

    def __init__(self, drawn: Curves) -> None:
        points = [point for curve in drawn.values() for point in curve]
        if not points:
            raise UsageError("expected a row with a time, got none: see the rows' outcome")
        self.lengths = sorted({length for length, _ in points})
        seconds = [value for _, value in points]
        self.decades = range(math.floor(math.log10(min(seconds))), math.floor(math.log10(max(seconds))) + 2)

    def x(self, length: float) -> float:
        """Pixels from the left."""
        low, high = math.log(self.lengths[0]), math.log(self.lengths[-1])
        return _LEFT + (_RIGHT - _LEFT) * ((math.log(length) - low) / (high - low) if high > low else 0.5)

    def y(self, seconds: float) -> float:
        """Pixels from the top."""
        low, high = self.decades[0], self.decades[-1]
        return _BOTTOM - (_BOTTOM - _TOP) * (math.log10(seconds) - low) / (high - low)


def plot(rows: Sequence[Row], path: Path) -> None:
    """A PNG of 1000 x 700: seconds a step over length, log-log, a line a model with its name at its end."""
    path = paths.local_path(path, "a file for the picture")
    drawn = curves(rows)
    axes, palette = Axes(drawn), colors(drawn)
    image = Image.new("RGB", _SIZE, "white")
    draw = ImageDraw.Draw(image)
    _draw_axes(draw, axes, rows[0])
    for name, curve in drawn.items():
        places = [(axes.x(length), axes.y(seconds)) for length, seconds in curve]
        draw.line(places, fill=palette[name], width=3 if name in _BASELINES else 2)
        for x, y in places:
            draw.ellipse([x - 3, y - 3, x + 3, y + 3], fill=palette[name])
    for name, x, y, end in labels(drawn, axes):
        draw.line([(axes.x(drawn[name][-1][0]) + 4, end), (x - 2, y)], fill=palette[name])
        box = draw.textbbox((x, y), name, font=_font(13), anchor="lm")
        draw.rectangle(box, fill="white")
        draw.text((x, y), name, fill=palette[name], font=_font(13), anchor="lm")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, "PNG", optimize=True)
    except OSError as error:
        raise paths.write_failure(path, error) from error


def labels(drawn: Curves, axes: Axes) -> list[tuple[str, float, float, float]]:
    """Each curve's name with its place x, y and the y of the curve's end: beside it, apart where ends are close."""
    by_end: dict[int, list[tuple[float, str]]] = {}
    for name, curve in drawn.items():
        by_end.setdefault(curve[-1][0], []).append((axes.y(curve[-1][1]), name))
    placed = []
    for length, ends in by_end.items():
        ends.sort()
        places = _apart([y for y, _ in ends])
        placed += [(name, axes.x(length) + 24, place, y) for (y, name), place in zip(ends, places, strict=True)]
    return placed


def _apart(wanted: Sequence[float]) -> list[float]:
    """Sorted places, moved as little as brings them a line apart and into the frame (pool adjacent violators)."""
    blocks: list[list[float]] = []
    for number, y in enumerate(wanted):
        blocks.append([y - number * _LINE_HEIGHT])
        while len(blocks) > 1 and statistics.mean(blocks[-2]) > statistics.mean(blocks[-1]):
            last = blocks.pop()
            blocks[-1] += last
    first = [statistics.mean(block) for block in blocks for _ in block]
    top, bottom = _TOP + _LINE_HEIGHT / 2, _BOTTOM - _LINE_HEIGHT * (len(wanted) - 0.5)
    return [min(max(y, top), bottom) + number * _LINE_HEIGHT for number, y in enumerate(first)]


def _draw_axes(draw: ImageDraw.ImageDraw, axes: Axes, row: Row) -> None:
    title = f"Seconds a training step, byte text, {row['device_name']}, batch {row['batch']}, {row['dtype']}"
    draw.text((_LEFT, 24), title, fill="black", font=_font(15), anchor="lm")
    for decade in axes.decades:
        for digit in (1, 2, 5):
            seconds = digit * 10.0**decade
            if decade == axes.decades[-1] and digit > 1:
                continue
            y = axes.y(seconds)
            draw.line([(_LEFT, y), (_RIGHT, y)], fill=(215, 215, 215) if digit == 1 else (240, 240, 240))
            draw.text((_LEFT - 8, y), f"{seconds:g}", fill="black", font=_font(12), anchor="rm")
    for length in axes.lengths:
        x = axes.x(length)
        draw.line([(x, _TOP), (x, _BOTTOM)], fill=(215, 215, 215))
        draw.text((x, _BOTTOM + 8), f"{length:,}", fill="black", font=_font(12), anchor="mt")
    draw.text(((_LEFT + _RIGHT) / 2, _BOTTOM + 34), "length in bytes", fill="black", font=_font(13), anchor="mm")


def _font(size: int) -> Any:
    return ImageFont.load_default(size)
