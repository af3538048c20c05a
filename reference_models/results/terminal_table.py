"""The rows of finished models as a table of 80 columns, for the terminal."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from lra_data import text_tables
from reference_models.model.card import Card
from reference_models.results.rows import names, rows
from reference_models.results.tables import AGAINST, percent_interval, printed, summary

_HEADS = ["model", "accuracy", "interval", "trivial", "control", "steps", "LRA"]
_LEGEND = (
    "Test accuracy in percent with Wilson's 95 % interval, and whether the whole interval is above the best trivial "
    "predictor (measured on validation and test) and above the control, the same model without attention. LRA is the "
    "benchmark's printed score, of the full task with another model, and not comparable. --format md has all columns, "
    "commands and sources."
)


def terminal(cards: Iterable[Card]) -> str:
    """For each task its best trivial predictor, the models from the best, and how many are above it."""
    lines = text_tables.wrapped(_LEGEND)
    for task, found in groupby(rows(cards), key=lambda row: str(row["task"])):
        lines += ["", *_section(task, list(found))]
    return "\n".join(lines) + "\n"


def _section(task: str, found: Sequence[Mapping[str, Any]]) -> list[str]:
    first = found[0]
    best = first["best_trivial"]
    trivial = "no trivial predictor" if best is None else f"{best} alone {100 * first['trivial'][best]:.2f}"
    cells = [
        [
            text_tables.narrow(name),
            f"{100 * row['accuracy']:.2f}",
            percent_interval(row),
            AGAINST[row["above"]],
            AGAINST[row["above_control"]],
            f"{row['steps']:,}",
            printed("lra", row["published"]["lra"]),
        ]
        for name, row in zip(names(found), found, strict=True)
    ]
    return [
        f"{task}: {first['examples']:,} examples, {trivial}",
        *text_tables.table_lines(_HEADS, cells, right=["accuracy", "interval", "steps", "LRA"]),
        *(line for text in summary(found) for line in text_tables.wrapped(text)),
    ]
