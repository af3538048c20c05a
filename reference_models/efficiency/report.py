"""Summaries of the rows of `measure.py`: exponents, tables with LRA's figures, and verdicts.

All rows must have the same settings (device, dtype, threads and so on). If a cell has two rows, the later one counts.
A cell that reached its time limit has the median of the rounds that it finished, and is marked.

Not here: the figure (`reference_models/figures/efficiency.py`).
"""

import math
import statistics
from collections.abc import Callable, Sequence

from lra_data import UsageError
from reference_models.efficiency.row import Row

# Tay et al., "Long Range Arena", ICLR 2021, table 2: training steps a second on Text at 1K, 2K, 3K and 4K, batch 32, on
# 4 x 4 TPU v3. Synthesizer's 6.6 at 3K is as printed; it is Sinkhorn's, and follows Synthesizer's 5.7 at 2K.
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


def exponent(rows: Sequence[Row], model: str, *, shortest: int = 2048, longest: int = 8192) -> float | None:
    """The exponent of L with which a model's time grows: the slope of log median seconds over log L, by least squares.

    None if the model has no time at one end of the range. shortest, longest: the ends of the range, in tokens.
    """
    cells = last_rows(rows)
    times = {
        length: row.median_seconds
        for (name, length), row in cells.items()
        if name == model and shortest <= length <= longest and row.median_seconds
    }
    if shortest not in times or longest not in times:
        return None
    logs = [math.log(length) for length in times], [math.log(seconds) for seconds in times.values()]
    return statistics.linear_regression(*logs).slope


def lra_ratio(model: str, length: int) -> float | None:
    """LRA's steps a second over its Transformer's at that length; None if LRA did not time the model or length."""
    if model not in LRA_STEPS_PER_SECOND or length not in LRA_LENGTHS:
        return None
    place = LRA_LENGTHS.index(length)
    return LRA_STEPS_PER_SECOND[model][place] / LRA_TRANSFORMER[place]


def verdicts(rows: Sequence[Row]) -> list[str]:
    """A line for each model that LRA timed: is its speed-up over the naive Transformer at 4,096 at least LRA's?"""
    cells = last_rows(rows)
    lines = []
    for model in LRA_STEPS_PER_SECOND:
        published = lra_ratio(model, _JUDGED)
        row = cells.get((model, _JUDGED))
        ours = row.ratio_to_naive if row else None
        if ours is None:
            why = "not measured" if row is None else row.error or row.outcome
            lines.append(f"{model} at {_JUDGED:,}: LRA {published:.2f}×, here none: {why}")
        else:
            answer = "yes" if ours >= (published or 0.0) else "no"
            lines.append(f"{model} at {_JUDGED:,}: {answer}, {ours:.2f}× the naive Transformer, LRA {published:.2f}×")
    return lines


def table(rows: Sequence[Row]) -> str:
    """Markdown: settings, a table of models by lengths for each figure, and the verdicts."""
    cells = last_rows(rows)
    first = next(iter(cells.values()))
    lengths = sorted({length for _, length in cells})
    models = sorted({model for model, _ in cells})
    parts = [
        f"{first.device_name}, {first.threads} threads, batch {first.batch}, {first.dtype}, "
        f"torch {first.torch}; † fewer rounds, ended by the time cap"
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
    return None if row.steps_per_second is None else f"{row.steps_per_second:.3g}"


def _over_naive(row: Row) -> str | None:
    if row.ratio_to_naive is None:
        return None
    published = lra_ratio(row.model, row.length)
    return f"{row.ratio_to_naive:.2f}×" + (f" ({published:.2f}×)" if published else "")


def _over_sdpa(row: Row) -> str | None:
    return None if row.ratio_to_sdpa is None else f"{row.ratio_to_sdpa:.2f}×"


def _saved(row: Row) -> str | None:
    if row.saved_bytes is None:
        return None
    naive = row.naive_saved_bytes
    return f"{row.saved_bytes / _MIB:,.1f}" + (f" of {naive / _MIB:,.1f}" if naive else "")


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
        return str(row.outcome) if row.outcome != "ok" else "–"
    return text + ("†" if row.outcome == "time cap" else "")


def last_rows(rows: Sequence[Row]) -> dict[tuple[str, int], Row]:
    """The last row of each (model, length), sorted by length."""
    if not rows:
        raise UsageError("expected at least one row, got none: measure first")
    for name in _SAME:
        values = {getattr(row, name) for row in rows}
        if len(values) > 1:
            raise UsageError(f"expected rows of one {name}, got {', '.join(sorted(map(str, values)))}: choose one")
    cells = {(row.model, row.length): row for row in rows}
    return dict(sorted(cells.items(), key=lambda cell: (cell[0][1], cell[0][0])))
