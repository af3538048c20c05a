"""The models that come with `lra-zoo`, from the files in its folder: cards and training logs.

The zoo is found, not imported, so that a page needs no deep-learning framework. Of a card only what the page shows is
read; `reference_models/model/card.py` owns the format.
"""

import math
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import msgspec

from lra_data.errors import SetError


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """A score on a split, as in a card."""

    examples: int
    correct: int
    loss: float
    accuracy: float
    low: float
    high: float


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """What the page shows of a recipe."""

    steps: int
    batch_size: int
    seed: int


class TrainingData(msgspec.Struct, frozen=True, kw_only=True):
    """What a model was trained on; sizes and identities are by split."""

    version: int
    seed: int
    identities: dict[str, str]
    examples: dict[str, int]
    cut_to: int


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """What the page shows of a card."""

    attention: str
    task: str
    parameters: int
    recipe: Recipe
    selected_step: int
    validation: Score
    test: Score
    data: TrainingData
    device: str
    threads: int
    wall_seconds: float
    date: str
    torch: str
    lra_data: str
    preset: str | None = None
    sha256: str
    trivial: dict[str, float] | None = None


class _Line(msgspec.Struct, frozen=True):
    step: int
    loss: float | None = None
    validation: Score | None = None


@dataclass(frozen=True, kw_only=True)
class BundledModel:
    """A model of the zoo.

    name: such as "listops/mini/linear". losses: (step, mean training loss in nats) since the line before.
    accuracies: (step, validation accuracy as a share).
    """

    name: str
    card: Card
    losses: tuple[tuple[int, float], ...]
    accuracies: tuple[tuple[int, float], ...]

    @property
    def best_trivial(self) -> tuple[str, float] | None:
        """Name and accuracy of the best trivial predictor of the task."""
        trivial = self.card.trivial
        return max(trivial.items(), key=lambda entry: entry[1]) if trivial else None


def bundled_models() -> list[BundledModel]:
    """All models, by task and then from the best test accuracy; [] where the zoo is not installed."""
    spec = find_spec("reference_models")
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    found = [
        _read(card.parent, card.parent.relative_to(Path(folder) / "checkpoints").as_posix())
        for folder in folders
        for card in (Path(folder) / "checkpoints").glob("*/*/*/card.json")
    ]
    return sorted(found, key=lambda model: (model.card.task, -model.card.test.accuracy, model.name))


def _read(folder: Path, name: str) -> BundledModel:
    card, lines = _decoded(folder)
    return BundledModel(
        name=name,
        card=card,
        losses=tuple((line.step, line.loss) for line in lines if line.loss is not None and math.isfinite(line.loss)),
        accuracies=tuple((line.step, line.validation.accuracy) for line in lines if line.validation is not None),
    )


def _decoded(folder: Path) -> tuple[Card, list[_Line]]:
    card, log = folder / "card.json", folder / "log.jsonl"
    try:
        decoded = msgspec.json.decode(card.read_bytes(), type=Card)
        return decoded, msgspec.json.Decoder(_Line).decode_lines(log.read_bytes())
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SetError(
            f"{folder}: expected the card and log of a bundled model, got: {error}: install the package again"
        ) from error
