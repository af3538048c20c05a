"""Our results next to the trivial predictors and the published numbers, as Markdown and as JSON.

A card (`card.json` next to a checkpoint) has the training and its scores; this file only counts, sorts and formats.
Intervals are rounded outward, so that rounding does not make a result look more certain than it is.

Not here: training or scoring anything, and what a card is (`model/card.py`).
"""

import json
import math
import shlex
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from lra_data import UsageError, paths
from reference_models.attention.catalogue import attention_names
from reference_models.evaluation.significance import wilson
from reference_models.model.card import Card, CheckpointError
from reference_models.model.checkpoint import CARD, read_card
from reference_models.model.presets import PRESET_NAMES, TASKS, preset
from reference_models.results.published import AUDIT, CHANCE, SOURCES, fails, published
from reference_models.training.recipes import recipe, written

# The published columns; `mega` has only one of our models, and is in the JSON only.
COLUMNS = ("lra", "nystromformer", "skyformer", "flashattention")

# The names of Pathfinder's larger pictures in the published tables: 128 is Path-X; no table has 256.
_LARGE_PATHFINDER = {"128": "path-x", "256": None}

# The model without attention, which the others are held against.
CONTROL = "no_attention"

# What follows the name of a task whose corpus is incomplete.
_PARTIAL = "-partial"
_NONE = "–"
_AGAINST = {None: _NONE, True: "above", False: "not above"}

_LEGEND = f"""\
Test accuracy in percent, with Wilson's 95 % interval rounded outward. A model is "above" the best trivial predictor of
its task if its whole interval is above it, and "not above" otherwise. It is "above" no attention if its whole interval
is above that of `no_attention`, the same model and recipe with attentions that give 0: only then does the score show
that the attention is used.

The published columns are not comparable to ours: they are for the benchmark's full tasks (listops/lra and so on), with
models and trainings of other sizes. FAIL means at most chance, {CHANCE["path-x"]:.0f} %.
{AUDIT}
"""


def read_cards(folders: Iterable[Path], without: Collection[Path] = ()) -> list[Card]:
    """Every `card.json` in the folders and their subfolders, each once, sorted by path.

    without: resolved folders of models to leave out. Raises UsageError, with the file's name, for a card that the table
    cannot use; also for a folder without any model, and if no card is left.
    """
    found: set[Path] = set()
    for folder in folders:
        beneath = paths.local_path(folder, "a folder of trained models")
        cards = {path.resolve() for path in beneath.rglob(CARD)}
        if not cards and not any(left.is_relative_to(beneath.resolve()) for left in without):
            raise UsageError(f"{folder}: expected a {CARD} beneath, got none: train a model there with `lra-zoo train`")
        found |= {path for path in cards if path.parent not in without}
    if not found:
        raise UsageError(f"expected a finished model, got {len(without)} unfinished: run their trainings again")
    return [_read(path) for path in sorted(found)]


def rows(cards: Iterable[Card]) -> list[dict[str, Any]]:
    """One row for each card, sorted by task and then by test accuracy from the best.

    accuracy, low, high, control and the values of trivial are shares. published is in percent, "FAIL" or None, by
    source. above is None if there is no trivial predictor. control is the accuracy of `no_attention` with the task, the
    preset and the head, the best of several seeds; above_control says whether the row's interval is above that of the
    control. Both are None without such a card, above_control also for the control's own rows. Raises UsageError for a
    card that the table cannot use.
    """
    made = [_row(_checked(card, f"card {number}")) for number, card in enumerate(cards)]
    controls: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in sorted(made, key=lambda row: float(row["accuracy"])):
        if row["model"] == CONTROL:
            controls[row["task"], row["preset"], row["head"]] = row
    for row in made:
        control = controls.get((row["task"], row["preset"], row["head"]))
        row["control"] = None if control is None else control["accuracy"]
        row["above_control"] = None if control is None or row["model"] == CONTROL else row["low"] > control["high"]
    return sorted(made, key=lambda row: (row["task"], -row["accuracy"], row["model"], row["preset"], row["seed"]))


def as_json(cards: Iterable[Card]) -> str:
    """The rows as a JSON list."""
    return json.dumps(rows(cards), indent=1, ensure_ascii=False)


def markdown(cards: Iterable[Card]) -> str:
    """A legend, one section for each task, and the published tables' sources."""
    sections = [_section(task, list(found)) for task, found in groupby(rows(cards), key=lambda row: str(row["task"]))]
    sources = "\n".join(f"- {SOURCES[key].label}: {SOURCES[key].citation}; {SOURCES[key].note}." for key in COLUMNS)
    return "\n".join([_LEGEND, *sections, f"### Published tables\n\n{sources}\n"])


def _read(path: Path) -> Card:
    try:
        card = read_card(path.parent)
    except CheckpointError as error:
        raise UsageError(f"{error} (train it again, or leave its folder out)") from error
    return _checked(card, str(path))


def _checked(card: Card, name: str) -> Card:
    """The card, if its names are known and it is complete; otherwise raises UsageError."""
    family, _, variant = card.task.partition("/")
    for entry, expected, value, holds in (
        (
            "attention",
            "the name of an X-former",
            card.attention,
            card.attention in attention_names() or card.attention_sha256 is not None,
        ),
        ("task", "family/preset of a known family", card.task, family in TASKS and bool(variant)),
        ("preset", f"one of {', '.join(PRESET_NAMES)}", card.preset, card.preset in PRESET_NAMES),
        ("trivial", "shares by name", card.trivial, card.trivial is not None),
    ):
        if not holds:
            raise UsageError(f"{name}: {entry} must be {expected}, got {value!r}: train it again, or leave it out")
    return card


def _row(card: Card) -> dict[str, Any]:
    test, trivial = card.test, dict(card.trivial or {})
    low, high = wilson(test.correct, test.examples)
    best = min(trivial, key=lambda name: (-trivial[name], name)) if trivial else None
    return {
        "task": card.task,
        "model": card.attention,
        "preset": card.preset,
        "seed": card.recipe.seed,
        "head": card.model.head,
        "parameters": card.parameters,
        "steps": card.recipe.steps,
        "selected_step": card.selected_step,
        "batch_size": card.recipe.batch_size,
        "train_examples": card.data.examples.train,
        "correct": test.correct,
        "examples": test.examples,
        "accuracy": test.correct / test.examples,
        "low": low,
        "high": high,
        "trivial": trivial,
        "best_trivial": best,
        "above": None if best is None else low > trivial[best],
        "published": {key: _published(key, card.attention, card.task) for key in SOURCES},
        "device": card.device,
        "threads": card.threads,
        "wall_seconds": card.wall_seconds,
        "date": card.date,
        "torch": card.torch,
        "command": _command(card),
    }


def _published(source: str, model: str, task: str) -> float | str | None:
    """The published number for the full task that is closest to ours."""
    family, _, name = task.partition("/")
    full = _LARGE_PATHFINDER.get(name.partition("-")[0], family) if family == "pathfinder" else family
    if full is None:
        return None
    return "FAIL" if fails(source, model, full) else published(source, model, full)


def _command(card: Card) -> str:
    """The command that makes the result, for any MODEL: the preset, and the options that differ from its recipe."""
    chosen = str(card.preset)
    usual = asdict(recipe(chosen, task=card.task.partition("/")[0], attention=card.attention))
    partial = ["--corpus", "ARCHIVE", "--allow-partial"] if card.task.endswith(_PARTIAL) else []
    words = ["lra-zoo", "train", card.task.removesuffix(_PARTIAL), "MODEL", "--preset", chosen, *partial]
    if card.model.head != _usual_head(card):
        words += ["--head", card.model.head]
    for name, value in asdict(card.recipe).items():
        flag = f"--{name.replace('_', '-')}"
        if value == usual[name]:
            continue
        if name == "easier":
            words += [word for rung in card.recipe.rungs for word in (flag, written(rung))]
        elif isinstance(value, bool):
            words.append(flag if value else f"--no-{flag[2:]}")
        else:
            words += [flag, str(value).lower()]
    if card.attention_sha256 is not None:
        words += ["--attention", f"FILE.py:{card.attention}"]
    return shlex.join(words)


def _usual_head(card: Card) -> str:
    """The preset's; an attention from elsewhere has that of ours."""
    known = card.attention if card.attention_sha256 is None else "full"
    return preset(str(card.preset), task=card.task.partition("/")[0], attention=known).head


def _section(task: str, found: Sequence[Mapping[str, Any]]) -> str:
    heads = {"model": "---", "parameters": "---:", "steps": "---:", "test accuracy": "---:", "correct": "---:"}
    heads |= {"best trivial": "---", "against it": "---", "against no attention": "---"}
    heads |= {SOURCES[key].label: "---:" for key in COLUMNS} | {"device": "---", "minutes": "---:"}
    # Rows of one model differ in these only if the section has several.
    varying = [key for key in ("preset", "seed", "head") if len({row[key] for row in found}) > 1]
    lines = [list(heads), list(heads.values()), *(_cells(row, varying) for row in found)]
    table = "\n".join(f"| {' | '.join(_escaped(cell) for cell in cells)} |" for cells in lines)
    missing = [name for name in attention_names() if name not in {row["model"] for row in found}]
    absent = f"Not trained: {', '.join(missing) or 'none'}."
    held = " ".join([_above_trivial(found), _held_against(found), *_spreads(found)])
    return f"### {task}\n\n{table}\n\n{_made(found)}\n\n{held}\n\n{absent}\n"


def _cells(row: Mapping[str, Any], varying: Sequence[str]) -> list[str]:
    best, steps = row["best_trivial"], f"{row['steps']:,}"
    return [
        ", ".join([row["model"], *(f"{key} {row[key]}" for key in varying)]),
        f"{row['parameters']:,}",
        steps if row["selected_step"] == row["steps"] else f"{row['selected_step']:,} of {steps}",
        f"{100 * row['accuracy']:.2f} [{_percent(row['low'], math.floor)}, {_percent(row['high'], math.ceil)}]",
        f"{row['correct']:,} of {row['examples']:,}",
        _NONE if best is None else f"{best} {100 * row['trivial'][best]:.2f}",
        _AGAINST[row["above"]],
        _AGAINST[row["above_control"]],
        *(_printed(key, row["published"][key]) for key in COLUMNS),
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
    seeds: dict[tuple[str, ...], dict[int, float]] = {}
    for row in found:
        seeds.setdefault((row["model"], row["preset"], row["head"]), {})[row["seed"]] = row["accuracy"]
    return [
        f"{model} over the seeds {', '.join(map(str, sorted(of_seed)))}: {100 * min(of_seed.values()):.2f} to "
        f"{100 * max(of_seed.values()):.2f}."
        for (model, *_), of_seed in sorted(seeds.items())
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


def _percent(share: float, rounded: Callable[[float], int]) -> str:
    """A share in percent with two digits, rounded up or down."""
    return f"{rounded(share * 10_000) / 100:.2f}"


def _printed(source: str, value: float | str | None) -> str:
    """A published number with the digits that its table prints."""
    return f"{value:.{SOURCES[source].decimals}f}" if isinstance(value, float) else value or _NONE


def _escaped(cell: str) -> str:
    return " ".join(cell.split()).replace("|", "\\|")
