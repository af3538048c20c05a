"""What a page about the models shows beyond their cards: attention patterns, spans, and charts of efficiency.

Not here: the page itself (`lra_data.report`), and how each figure is measured.
"""

import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import lra_data
from lra_data.report.charts import Chart, Series, picture_address
from lra_data.report.zoo_section import ZooFigures
from reference_models.attention.catalogue import attention_names
from reference_models.attention_maps.pattern import pattern
from reference_models.attention_maps.span import attention_span
from reference_models.efficiency.row import Row, read_rows
from reference_models.model.bundled import bundled_model, bundled_names

_MIB = 2**20
_BASELINES = {"naive": "Transformer, naive", "sdpa": "Transformer, fused"}


def zoo_figures(
    *,
    examples: int,
    sets: Sequence[str] = (),
    efficiency: Path | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> ZooFigures:
    """Draw and measure everything.

    examples: number of validation examples for a span; 0 leaves spans out.
    sets: built sets, for models of a corpus; models of generated tasks need none.
    efficiency: the file of `lra-zoo efficiency`, or None.
    progress: called with a line for each model.

    Raises UsageError for a file of measurements that does not exist or is not one.
    """
    rows = [] if efficiency is None else measurements(efficiency)
    spans = measured_spans(examples, sets, progress) if examples else {}
    return ZooFigures(
        patterns={name: picture_address(pattern(name)) for name in attention_names()},
        spans=spans,
        span_rule=_span_rule(examples, len(spans)) if spans else "",
        efficiency=tuple(efficiency_charts(rows)),
        efficiency_rule=_efficiency_rule(rows) if rows else "",
    )


def measurements(path: Path) -> list[Row]:
    """The rows of a file of `lra-zoo efficiency`; raises UsageError if it has none."""
    rows = read_rows(path)
    if not rows:
        raise lra_data.UsageError(f"{path}: expected measurements of `lra-zoo efficiency`, got none: measure first")
    return rows


def measured_spans(
    examples: int, sets: Sequence[str], progress: Callable[[str], None]
) -> dict[str, tuple[str, str, str]]:
    """Span, span of uniform attention, and ratio of each bundled model that reads tokens one by one, where its set is
    generated or among `sets`.
    """
    places = {lra_data.load(place, split="validation").task.name: place for place in sets}
    found = {}
    for name in bundled_names():
        model, card = bundled_model(name)
        generated = not lra_data.get_task(card.task.removesuffix("-partial")).converted
        if model.config.stride > 1 or not (generated or card.task in places):
            continue
        progress(f"span of {name}")
        dataset = lra_data.load(places.get(card.task, card.task), split="validation")
        spans = attention_span(model, dataset, examples=min(examples, len(dataset))).tokens
        found[name] = (_shown(spans.mean), _shown(spans.uniform), _shown(spans.ratio))
    return found


def efficiency_charts(rows: Sequence[Row]) -> Iterator[Chart]:
    """Time and memory by length, for each device and number type that was measured."""
    groups: dict[tuple[str, str, int, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.device_name, row.dtype, row.batch, row.threads), []).append(row)
    for (device, dtype, batch, threads), group in groups.items():
        where = f"{device}, {dtype}, batch {batch}, {threads} thread{'s' if threads > 1 else ''}"
        for label, entry, unit in (
            ("seconds a training step", "median_seconds", 1.0),
            ("MiB kept for the backward pass", "saved_bytes", _MIB),
        ):
            yield Chart(
                kind="lines",
                title=f"{label[0].upper()}{label[1:]}: {where}",
                x="length, bytes",
                y=label.partition(" ")[0],
                series=tuple(_lines(group, entry, unit)),
                logarithmic=True,
                picker="efficiency",
            )


def _lines(rows: Sequence[Row], entry: str, unit: float) -> Iterator[Series]:
    """A line for each model, and the medians of the two Transformers over all rows."""
    lines: dict[str, dict[int, float]] = {}
    for row in rows:
        value = getattr(row, entry)
        if value is not None:
            lines.setdefault(row.model, {})[row.length] = value / unit
    for kind, name in _BASELINES.items():
        for length in sorted({row.length for row in rows}):
            values = [getattr(row, f"{kind}_{entry}") for row in rows if row.length == length]
            known = [value for value in values if value is not None]
            if known:
                lines.setdefault(name, {})[length] = statistics.median(known) / unit
    for name, points in sorted(lines.items()):
        lengths = tuple(sorted(points))
        yield Series(
            name=name,
            x=lengths,
            y=tuple(float(f"{points[length]:.4g}") for length in lengths),
            shown=name in _BASELINES.values() or name in ("linear", "local"),
        )


def _efficiency_rule(rows: Sequence[Row]) -> str:
    capped = sum(row.outcome != "ok" for row in rows)
    dates = sorted({row.date[:10] for row in rows})
    when = " to ".join(dict.fromkeys([dates[0], dates[-1]]))
    return (
        f"{len(rows)} measurements of lra-zoo efficiency, {when}; {capped} ended early, and those "
        "without a value are left out. The Transformers were timed in the same rounds; their lines are medians."
    )


def _span_rule(examples: int, count: int) -> str:
    return (
        f"Spans: the mean distance, in tokens, between a token and those that it attends to, over all heads, on "
        f"{examples:,} validation examples drawn with seed 0 (lra-zoo span). They are known for {count} models: those "
        "that read tokens one by one, on sets that were here."
    )


def _shown(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:,.2f}"
