"""The trained models in a folder that can check a task's sets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from lra_data import UsageError, paths
from reference_models.drift.shared_rows import PARTIAL
from reference_models.model.card import Card, FreshAnswers, RecordedAnswers
from reference_models.model.checkpoint import CARD, load_model, read_card
from reference_models.model.classifier import Classifier

if TYPE_CHECKING:
    from lra_data.task import Task


@dataclass(frozen=True)
class Model:
    """A trained model and its card."""

    classifier: Classifier
    card: Card

    @property
    def recorded(self) -> Mapping[Literal["train", "test"], RecordedAnswers]:
        """The card's answers on recorded rows; the card must be complete."""
        assert self.card.recorded is not None, "`trained_on` gives models with complete cards"
        return self.card.recorded

    @property
    def fresh(self) -> FreshAnswers:
        """The card's figures on rows of another seed; the task must be a generated one."""
        assert self.card.fresh is not None, "a corpus has no rows of another seed"
        return self.card.fresh


def trained_on(task: "Task", folder: Path, names: Sequence[str] | None, device: torch.device) -> dict[str, Model]:
    """The models in a folder whose cards are complete and name this task and its version, by attention.

    Models of another copy of a corpus, such as a part, are taken where no model learned this one and their cards tell
    rows apart (`shared_rows.py`).

    Raises UsageError if no model was trained on the task, if a name is missing, and for two models of one attention.
    """
    there = paths.local_path(folder, "a folder of trained models")
    cards = {path.parent: read_card(path.parent) for path in sorted(there.rglob(CARD))}
    of_task = {path: card for path, card in cards.items() if card.task == task.name}
    if not of_task and task.converted:
        whole = task.name.removesuffix(PARTIAL)
        of_task = {
            path: card
            for path, card in cards.items()
            if card.task.removesuffix(PARTIAL) == whole
            and (card.recorded is None or all(entry.keys is not None for entry in card.recorded.values()))
        }
    fitting: dict[str, Path] = {}
    for path, card in of_task.items():
        name = card.attention
        if card.data.version != task.version or card.recorded is None or (names and name not in names):
            continue
        if name in fitting:
            raise UsageError(f"expected one {name} for {task.name}, got two: {fitting[name]} and {path}")
        fitting[name] = path
    missing = set(names or ()) - {card.attention for card in of_task.values()}
    if of_task and missing:
        known = ", ".join(sorted({card.attention for card in of_task.values()}))
        raise UsageError(f"expected models among {known}, got {', '.join(sorted(missing))}")
    if not fitting:
        raise UsageError(f"{folder}: {_why_none(task, of_task, cards)}")
    found = {}
    for name, path in fitting.items():
        classifier, card = load_model(path)
        found[name] = Model(classifier.to(device), card)
    return found


def _why_none(task: "Task", of_task: Mapping[Path, Card], cards: Mapping[Path, Card]) -> str:
    """Why no model can be used, and what to do."""
    if of_task:
        versions = sorted({card.data.version for card in of_task.values()})
        if task.version not in versions:
            return f"expected models of {task.name} in version {task.version}, got version {versions[-1]}: train again"
        return (
            f"expected a complete card of {task.name}, got {len(of_task)} without recorded answers: run `lra-zoo train`"
            " with the same options again, which completes them"
        )
    known = ", ".join(sorted({card.task for card in cards.values()})) or "none"
    return (
        f"expected models that were trained on {task.name}, got models of {known}: train some with `lra-zoo sweep "
        f"{task.name}:all`, and name their folder with --checkpoints"
    )
