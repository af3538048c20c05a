"""Checks a dataset with models that learned it: they must still answer what their cards say, and as well as they say.

Rows of the card's own seed are compared one by one: their digests, the digests of the batches made of them, and the
answers. Rows of another seed, which no card can know, are answered, and the share of right answers is compared with the
card's; all models' intervals hold together at 99.9 %. What is found is laid at a door:

    data changed        the rows are others, or are answered worse or better than chance allows
    reading changed     the rows are the same, the batches made of them are not
    models drifted      rows and batches are the same, the answers are not

Not here: whether labels are right, which `lra-data verify` derives from the rows themselves.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from lra_data import UsageError
from reference_models.checkpoint import CARD, load_model, read_card
from reference_models.classifier import Classifier
from reference_models.fingerprint import BLOCK, Answers, answers, as_answers, rows_digests
from reference_models.metrics import differ

if TYPE_CHECKING:
    from lra_data.loading.dataset import Dataset
    from lra_data.task import Task

Door = Literal["data changed", "reading changed", "models drifted"]

# Answers that may differ where data and reading are the same: rounding differs between machines.
MOST_DIFFERENT = 0.005
LEVEL = 0.999

OpenSplit = Callable[[str, int], "Dataset"]


@dataclass(frozen=True)
class Finding:
    """One thing that is not as recorded. text: what was expected, and what came."""

    door: Door
    text: str


@dataclass
class Report:
    """findings: none if all is well. lines: what was compared, for a reader. measured: the numbers behind, by model."""

    findings: list[Finding] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    measured: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Model:
    """A trained model and its card."""

    classifier: Classifier
    card: Mapping[str, Any]


def trained_on(task: "Task", folder: Path, names: Sequence[str] | None, device: torch.device) -> dict[str, Model]:
    """The models in a folder whose cards are of this task's configuration and version, by attention.

    Raises UsageError for a task that none was trained on, or names that are not there.
    """
    cards = {path.parent: read_card(path.parent) for path in sorted(folder.rglob(CARD))}
    fitting = {
        card["attention"]: path
        for path, card in cards.items()
        if card["task"] == task.name and card["data"]["version"] == task.version and "recorded" in card
    }
    if not fitting:
        known = ", ".join(sorted({card["task"] for card in cards.values()})) or "nothing"
        raise UsageError(
            f"expected a dataset that models in {folder} were trained on ({known}), got {task.name}: "
            f"train some with `lra-zoo sweep {task.name}:all`, and name their folder with --checkpoints"
        )
    missing = set(names or ()) - set(fitting)
    if missing:
        raise UsageError(f"expected models among {', '.join(fitting)}, got {', '.join(sorted(missing))}")
    found = {}
    for name in names or fitting:
        classifier, card = load_model(fitting[name])
        found[name] = Model(classifier.to(device), card)
    return found


def check(
    models: Mapping[str, Model],
    open_split: OpenSplit,
    *,
    seed: int,
    other_seed: int | None,
    device: torch.device,
    num_workers: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Compare a set with the cards of models that were trained on its configuration.

    open_split: opens a slice of a split under a seed: the set's own, `seed`, or of the same task made now. other_seed:
    whose rows are answered and counted; None for a corpus, which has but one. A set of another seed than the cards'
    is counted only, its own rows. progress: is told of each batch how many examples it had.
    """
    if not models:
        raise UsageError("expected at least one trained model to check with, got none")
    report = Report(measured={name: {} for name in models})
    trained = {model.card["data"]["seed"] for model in models.values()}
    classifiers = {name: model.classifier for name, model in models.items()}
    counted = other_seed
    if seed in trained:
        _compare(report, models, open_split, seed, device, num_workers, progress)
    else:
        counted = seed
    if counted is not None and counted not in trained:
        examples = min(model.card["fresh"]["examples"] for model in models.values())
        dataset = open_split(f"train[:{examples}]", counted)
        found = answers(classifiers, dataset, device=device, num_workers=num_workers, progress=progress)
        _count(report, models, found, counted)
    return report


def _compare(
    report: Report,
    models: Mapping[str, Model],
    open_split: OpenSplit,
    seed: int,
    device: torch.device,
    num_workers: int,
    progress: Callable[[int], None] | None,
) -> None:
    """Rows of the cards' own seed, one by one."""
    first = next(iter(models.values())).card["recorded"]
    different: dict[str, list[int]] = {name: [0, 0] for name in models}
    same = True
    for split, entry in first.items():
        there = len(open_split(split, seed))
        # A set with fewer rows is compared as far as it goes in whole blocks.
        rows = entry["examples"] if there >= entry["examples"] else there // BLOCK * BLOCK
        if rows == 0:
            report.lines.append(f"{split}: {there} rows, fewer than the block of {BLOCK} that can be compared")
            continue
        dataset = open_split(f"{split}[:{rows}]", seed)
        found = answers(
            {name: model.classifier for name, model in models.items()},
            dataset,
            device=device,
            num_workers=num_workers,
            progress=progress,
        )
        same &= _same_blocks(report, split, rows, entry["rows"], rows_digests(dataset), "data changed", "rows")
        if same:
            same &= _same_blocks(report, split, rows, entry["read"], found.read, "reading changed", "batches")
        for name, model in models.items():
            own = model.card["recorded"][split]
            if own["rows"] != entry["rows"]:
                raise UsageError(f"expected models that were recorded on the same rows, {name} was on others")
            was = as_answers(own["predictions"])[:rows]
            different[name][0] += int((found.answers(name) != was).sum())
            different[name][1] += rows
    for name, (changed, compared) in different.items():
        report.measured[name] |= {"compared": compared, "different": changed}
        if same and changed > MOST_DIFFERENT * compared:
            report.findings.append(
                Finding(
                    "models drifted",
                    f"{name}: expected at most {MOST_DIFFERENT:.1%} other answers on the same batches, got "
                    f"{changed:,} of {compared:,}",
                )
            )


def _same_blocks(
    report: Report, split: str, rows: int, expected: list[str], found: list[str], door: Door, what: str
) -> bool:
    """Whether all digests are the recorded ones; otherwise a finding says which blocks are not."""
    changed = [number for number, digest in enumerate(found) if digest != expected[number]]
    report.lines.append(f"{split}: {what} of {rows:,} examples, {len(changed)} of {len(found)} blocks changed")
    if changed:
        first = changed[0] * BLOCK
        report.findings.append(
            Finding(
                door,
                f"{split}: expected the recorded {what}, {len(changed)} of {len(found)} blocks of {BLOCK} are others, "
                f"first that of example {first:,}",
            )
        )
    return not changed


def _count(report: Report, models: Mapping[str, Model], found: Answers, seed: int) -> None:
    """Right answers on rows that no card knows."""
    outside = []
    for name, model in models.items():
        fresh, correct = model.card["fresh"], found.correct(name)
        report.measured[name] |= {"seed": seed, "examples": found.examples, "correct": correct}
        if differ(correct, found.examples, fresh["correct"], fresh["examples"], comparisons=len(models), level=LEVEL):
            outside.append(
                f"{name} {correct / found.examples:.2%} instead of {fresh['correct'] / fresh['examples']:.2%}"
            )
    report.lines.append(
        f"seed {seed}: {found.examples:,} examples answered, {len(outside)} of {len(models)} accuracies outside"
    )
    if outside:
        # What has been found in rows that are known explains this too.
        door = report.findings[0].door if report.findings else "data changed"
        report.findings.append(
            Finding(
                door,
                f"seed {seed}: expected the recorded accuracy within a joint {LEVEL:.1%} interval, got "
                f"{', '.join(outside)}",
            )
        )
