"""The rows of finished models next to the trivial predictors and the published numbers, as Markdown and as JSON.

Intervals are rounded outward, so that rounding does not make a result look more certain than it is.

Not here: what a row is (`rows.py`), the forms for a paper (`paper_tables.py`) and a terminal (`terminal_table.py`).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from lra_data.confidence import outward
from reference_models.attention.catalogue import attention_names
from reference_models.model.card import Card
from reference_models.results.published import AUDIT, CHANCE, SOURCES
from reference_models.results.rows import CONTROL, names, rows

# The published columns; `mega` has only one of our models, and is in the JSON only.
COLUMNS = ("lra", "nystromformer", "skyformer", "flashattention")

NONE = "–"
AGAINST = {None: NONE, True: "above", False: "not above"}

_LEGEND = f"""\
Test accuracy in percent, with Wilson's 95 % interval rounded outward. A model is "above" the best trivial predictor of
its task, which is measured on validation and test together, if its whole interval is above it, and "not above"
otherwise. It is "above" no attention if its whole interval is above that of `no_attention`, the same model and recipe
with attentions that give 0: only then does the score show that the attention is used.

The published columns are not comparable to ours: they are for the benchmark's full tasks (listops/lra and so on), with
models and trainings of other sizes. FAIL means at most chance, {CHANCE["path-x"]:.0f} %.
{AUDIT}
"""


def as_json(cards: Iterable[Card]) -> str:
    """The rows as a JSON list."""
    return json.dumps(rows(cards), indent=1, ensure_ascii=False)


def markdown(cards: Iterable[Card]) -> str:
    """A legend, one section for each task, and the published tables' sources."""
    sections = [_section(task, list(found)) for task, found in groupby(rows(cards), key=lambda row: str(row["task"]))]
    sources = "\n".join(f"- {SOURCES[key].label}: {SOURCES[key].citation}; {SOURCES[key].note}." for key in COLUMNS)
    return "\n".join([_LEGEND, *sections, f"### Published tables\n\n{sources}\n"])


def _section(task: str, found: Sequence[Mapping[str, Any]]) -> str:
    heads = {"model": "---", "parameters": "---:", "steps": "---:", "test accuracy": "---:", "correct": "---:"}
    heads |= {"best trivial": "---", "against it": "---", "against no attention": "---"}
    heads |= {SOURCES[key].label: "---:" for key in COLUMNS} | {"device": "---", "minutes": "---:"}
    lines = [list(heads), list(heads.values()), *map(_cells, names(found), found)]
    table = "\n".join(f"| {' | '.join(_escaped(cell) for cell in cells)} |" for cells in lines)
    missing = [name for name in attention_names() if name not in {row["model"] for row in found}]
    absent = f"Not trained: {', '.join(missing) or 'none'}."
    held = " ".join(summary(found))
    return f"### {task}\n\n{table}\n\n{_made(found)}\n\n{held}\n\n{absent}\n"


def summary(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """How many of a task's models are above the best trivial predictor and the control, and the spreads of seeds."""
    return [_above_trivial(found), _held_against(found), *_spreads(found)]


def percent_interval(row: Mapping[str, Any]) -> str:
    """The interval of a row in percent, rounded outward."""
    return f"[{', '.join(outward(row['low'], row['high']))}]"


def _cells(name: str, row: Mapping[str, Any]) -> list[str]:
    best, steps = row["best_trivial"], f"{row['steps']:,}"
    return [
        name,
        f"{row['parameters']:,}",
        steps if row["selected_step"] == row["steps"] else f"{row['selected_step']:,} of {steps}",
        f"{100 * row['accuracy']:.2f} {percent_interval(row)}",
        f"{row['correct']:,} of {row['examples']:,}",
        NONE if best is None else f"{best} {100 * row['trivial'][best]:.2f}",
        AGAINST[row["above"]],
        AGAINST[row["above_control"]],
        *(printed(key, row["published"][key]) for key in COLUMNS),
        f"{row['device']}, {row['threads']} thread{'s' if row['threads'] > 1 else ''}",
        f"{row['wall_seconds'] / 60:.2f}",
    ]


def _above_trivial(found: Sequence[Mapping[str, Any]]) -> str:
    """How many rows of models with attention are above the best trivial predictor."""
    models = [row for row in found if row["model"] != CONTROL]
    above = sum(bool(row["above"]) for row in models)
    return f"Above the best trivial predictor with the whole interval: {above} of {len(models)}."


def _spreads(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of each model with several seeds, the least and the greatest accuracy."""
    seeds: dict[str, dict[int, float]] = {}
    for name, row in zip(names([{**row, "seed": 0} for row in found]), found, strict=True):
        seeds.setdefault(name, {})[row["seed"]] = row["accuracy"]
    return [
        f"{name} over the seeds {', '.join(map(str, sorted(of_seed)))}: {100 * min(of_seed.values()):.2f} to "
        f"{100 * max(of_seed.values()):.2f}."
        for name, of_seed in sorted(seeds.items())
        if len(of_seed) > 1
    ]


def _held_against(found: Sequence[Mapping[str, Any]]) -> str:
    """How many rows are above the control."""
    held = [row for row in found if row["above_control"] is not None]
    if not held and any(row["model"] == CONTROL for row in found):
        return "Only the control was trained here."
    if not held:
        return f"No `{CONTROL}` was trained here, so nothing is known of the attentions' share."
    above = sum(row["above_control"] for row in held)
    accuracies = sorted({row["control"] for row in held})
    printed = ", ".join(f"{100 * accuracy:.2f}" for accuracy in accuracies)
    return f"Above `{CONTROL}` ({printed}) with the whole interval: {above} of {len(held)}."


def _made(found: Sequence[Mapping[str, Any]]) -> str:
    """How the section's rows were made, in one line."""
    said = []
    for key, label in (
        ("preset", "preset"),
        ("seed", "seed"),
        ("steps", "steps"),
        ("batch_size", "batch size"),
        ("date", "date"),
        ("torch", "torch"),
    ):
        values = sorted({row[key] for row in found})
        said.append(f"{label} {', '.join(f'{value:,}' if key == 'steps' else str(value) for value in values)}")
    # The command does not name a built set, so a set of another size must show here.
    learned = sorted({row["train_examples"] for row in found})
    said.append(f"train split of {', '.join(f'{count:,}' for count in learned)} examples")
    models: dict[str, list[str]] = {}
    for row in found:
        models.setdefault(row["command"], []).append(row["model"])
    commands = [f"`{command}` ({', '.join(dict.fromkeys(names))})" for command, names in models.items()]
    return f"Made with {'; '.join(said)}; by {', '.join(commands)}."


def printed(source: str, value: float | str | None) -> str:
    """A published number with the digits that its table prints."""
    return f"{value:.{SOURCES[source].decimals}f}" if isinstance(value, float) else value or NONE


def _escaped(cell: str) -> str:
    return " ".join(cell.split()).replace("|", "\\|")
