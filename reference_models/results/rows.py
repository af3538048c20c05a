"""Finished models as rows: what a card says of a training, its interval, and what it is compared with.

A card (`card.json` next to a checkpoint) has the training and its scores; this file only counts and sorts.

Not here: training or scoring anything, what a card is (`model/card.py`), tables and figures of the rows.
"""

import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lra_data import UsageError, get_task, paths
from reference_models.attention.catalogue import attention_names
from reference_models.evaluation.significance import wilson
from reference_models.model.card import Card, CheckpointError
from reference_models.model.checkpoint import CARD, read_card
from reference_models.model.presets import PRESET_NAMES, TASKS, preset
from reference_models.model.train_config import TrainConfig
from reference_models.results.published import SOURCES, fails, published
from reference_models.training.recipes import recipe, recipe_for, written

# The names of Pathfinder's larger pictures in the published tables: 128 is Path-X; no table has 256.
_LARGE_PATHFINDER = {"128": "path-x", "256": None}

# The model without attention, which the others are held against.
CONTROL = "no_attention"

# What follows the name of a task whose corpus is incomplete.
_PARTIAL = "-partial"


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

    identity is that of the test split's rows. accuracy, low, high, control and the values of trivial are shares.
    published is in percent, "FAIL" or None, by source. above is None if there is no trivial predictor. control is the
    accuracy of `no_attention` with the task, the preset, the head and the steps of training and pre-training, the best
    of several seeds; above_control says whether the row's interval is above that of the control. Both are None without
    such a card, above_control also for the control's own rows. Raises UsageError for a card that the table cannot use.
    """
    made = [_row(_checked(card, f"card {number}")) for number, card in enumerate(cards)]
    controls: dict[tuple[str, str, str, int, int], dict[str, Any]] = {}
    for row in sorted(made, key=lambda row: float(row["accuracy"])):
        if row["model"] == CONTROL:
            controls[_form(row)] = row
    for row in made:
        control = controls.get(_form(row))
        row["control"] = None if control is None else control["accuracy"]
        row["above_control"] = None if control is None or row["model"] == CONTROL else row["low"] > control["high"]
    return sorted(made, key=lambda row: (row["task"], -row["accuracy"], row["model"], row["preset"], row["seed"]))


def names(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """A name for each row of one task: the model, what differs between the rows, and its pre-training."""
    varying = [key for key in ("preset", "seed", "head", "steps") if len({row[key] for row in found}) > 1]
    return [", ".join([row["model"], *(_said(key, row) for key in varying), *_pretrained(row)]) for row in found]


def _said(key: str, row: Mapping[str, Any]) -> str:
    return f"{row[key]:,} steps" if key == "steps" else f"{key} {row[key]}"


def _pretrained(row: Mapping[str, Any]) -> list[str]:
    return [f"pre-trained {row['pretrained']:,} steps"] if row["pretrained"] else []


def _form(row: Mapping[str, Any]) -> tuple[str, str, str, int, int]:
    """What a model has to have in common with its control."""
    return row["task"], row["preset"], row["head"], row["pretrained"], row["steps"]


def same_rows(found: Iterable[tuple[str, str, str]]) -> None:
    """Raise UsageError if results that are shown together are not of the same rows.

    found: (name, task, identity of the rows) of each result.
    """
    first: dict[str, tuple[str, str]] = {}
    for name, task, identity in found:
        other, expected = first.setdefault(task, (name, identity))
        if identity != expected:
            raise UsageError(
                f"{name}: expected the same rows of {task} as {other}, with identity {expected}, got {identity}: leave "
                "out results of another seed, split or copy"
            )


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
        "pretrained": 0 if card.start is None else card.start.steps,
        "parameters": card.parameters,
        "steps": card.recipe.steps,
        "selected_step": card.selected_step,
        "batch_size": card.recipe.batch_size,
        "train_examples": card.data.examples.train,
        "identity": card.data.identities.test,
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
    usual = asdict(_usual_recipe(card, chosen))
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
    if card.start is not None:
        words += ["--from", "PRETRAINED"]
    if card.attention_sha256 is not None:
        words += ["--attention", f"FILE.py:{card.attention}"]
    return shlex.join(words)


def _usual_recipe(card: Card, chosen: str) -> TrainConfig:
    """The preset's for the set; for a set that is no preset, that of its family."""
    try:
        return recipe_for(chosen, get_task(card.task.removesuffix(_PARTIAL)), card.attention)
    except UsageError:
        return recipe(chosen, task=card.task.partition("/")[0], attention=card.attention)


def _usual_head(card: Card) -> str:
    """The preset's; an attention from elsewhere has that of ours."""
    known = card.attention if card.attention_sha256 is None else "full"
    return preset(str(card.preset), task=card.task.partition("/")[0], attention=known).head
