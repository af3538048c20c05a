"""A trained model's card: its configuration, training, data, scores and answers.

`card.json` in the folder of the weights is a card, and only `decode` reads it. A training writes everything except the
answers; `training/runs.py` completes the card with `recorded`, `fresh` and `trivial`.

Not here: files and digests (`checkpoint.py`), how answers are compared (`reference_models/drift`).
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

from msgspec import Meta, field

from lra_data import LraDataError, UsageError
from reference_models.model.config import ModelConfig
from reference_models.model.train_config import TrainConfig
from reference_models.strict_json import Record, RecordError, builtins, converted, parsed, without_added

CARD_VERSION: Literal[1] = 1

Natural = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0, le=1)]
Text = Annotated[str, Meta(min_length=1)]

T = TypeVar("T")


class CheckpointError(LraDataError):
    """A checkpoint is missing, incomplete, or of another model."""


class Score(Record, frozen=True, kw_only=True):
    """A score on a split.

    examples: number of examples.
    correct: number of correct answers.
    loss: mean cross entropy in nats.
    accuracy: correct / examples.
    low, high: the 95 % Wilson interval of the accuracy.
    """

    examples: Positive
    correct: Natural
    loss: float
    accuracy: Share
    low: Share
    high: Share

    def __post_init__(self) -> None:
        if self.correct > self.examples:
            raise UsageError(f"expected correct <= examples = {self.examples}, got {self.correct}")


class OfSplits(Record, Generic[T], frozen=True, kw_only=True):
    """One value for each split."""

    train: T
    validation: T
    test: T


class TrainingData(Record, frozen=True, kw_only=True):
    """The data of a training.

    version: version of the task.
    config: `Task.identity()`.
    seed: seed of the set.
    identities: `Dataset.identity` of each split.
    examples: number of rows of each split.
    cut_to: number of tokens of a sequence that the model reads.
    """

    version: int
    config: dict[str, Any]
    seed: int
    identities: OfSplits[str]
    examples: OfSplits[int]
    cut_to: Positive


class RecordedAnswers(Record, frozen=True, kw_only=True):
    """The model's answers on the first rows of a split, in blocks of 1,000 rows.

    examples: number of rows.
    correct: number of correct answers.
    rows: for each block, the digest of its rows.
    read: for each block, the digest of the batches that are made of its rows.
    predictions: for each block, a text with one digit per answer.
    keys: of a corpus, by which its rows are found in another copy (`drift/shared_rows.py`); earlier cards have none.
    """

    examples: Natural
    correct: Natural
    rows: list[str]
    read: list[str]
    predictions: list[str]
    keys: str | None = None


class FreshAnswers(Record, frozen=True, kw_only=True):
    """The model's answers on rows of another seed, counted.

    seed: seed of the rows.
    examples: number of rows.
    correct: number of correct answers.
    errors: for each group of rows, their number, the sum of label - answer, and the sum of its squares; empty in the
        first cards.
    """

    seed: Natural
    examples: Positive
    correct: Natural
    errors: dict[str, tuple[int, int, int]] = field(default_factory=dict)


class Start(Record, frozen=True, kw_only=True):
    """The pre-trained encoder that a training began with: digest of its file, steps, and share of hidden vectors."""

    sha256: Text
    steps: Positive
    ratio: Share


class Card(Record, frozen=True, kw_only=True):
    """The card of a trained model; a card without `recorded` is not complete yet.

    format: version of this record.
    attention: name of the X-former.
    attention_sha256: digest of the file that defines an attention from elsewhere; None for a model of the zoo.
    task: name of the task, such as "listops/mini".
    parameters: number of trainable parameters.
    recipe: how the model was trained.
    selected_step: step of the kept weights, the best on validation.
    validation, test: scores of the kept weights.
    data: what the model was trained on.
    device: device of the training.
    processes, threads: their numbers in the training.
    wall_seconds: duration of the training in seconds.
    date: date of the training (UTC).
    torch, python, lra_data: versions that the training used.
    preset: name of the preset; None if a configuration was given instead.
    start: the pre-trained encoder that the training began with; None for drawn weights.
    model: configuration of the model.
    sha256: digest of the weights' file.
    recorded: answers on the first rows of "train" and "test".
    fresh: answers on rows of another seed; None for a corpus, which has no seeds.
    trivial: accuracy of each trivial predictor.

    `recorded`, `fresh` and `trivial` are written together.
    """

    format: Literal[1] = CARD_VERSION
    attention: Text
    task: Text
    parameters: Positive
    recipe: TrainConfig
    selected_step: Natural
    validation: Score
    test: Score
    data: TrainingData
    device: Text
    processes: Positive
    threads: Positive
    wall_seconds: Annotated[float, Meta(ge=0)]
    date: Text
    torch: Text
    python: Text
    lra_data: Text
    preset: Text | None = None
    attention_sha256: Text | None = None
    start: Start | None = None
    model: ModelConfig
    sha256: Text
    recorded: dict[Literal["train", "test"], RecordedAnswers] | None = None
    fresh: FreshAnswers | None = None
    trivial: dict[str, Share] | None = None

    def __post_init__(self) -> None:
        if (self.recorded is None) != (self.trivial is None) or (self.recorded is None and self.fresh is not None):
            raise UsageError("expected the entries recorded, fresh and trivial together, got some of them")

    def encode(self) -> bytes:
        """The bytes of `card.json`."""
        values = builtins(self)
        absent = {name for name in ("preset", "attention_sha256", "start") if values[name] is None}
        if self.recorded is None:
            absent |= {"recorded", "fresh", "trivial"}
        kept = {name: value for name, value in values.items() if name not in absent}
        for entry in (kept.get("recorded") or {}).values():
            if entry["keys"] is None:
                del entry["keys"]
        for name, config in (("model", self.model), ("recipe", self.recipe)):
            kept[name] = without_added(config, kept[name])
        return (json.dumps(kept, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def decode(data: bytes, path: Path) -> Card:
    """The card in a file's bytes; raises a one-line CheckpointError that names the file and the wrong entry."""
    try:
        values = parsed(data)
    except RecordError as error:
        raise CheckpointError(f"{path}: expected a card in JSON, got: {error}") from error
    version = values.get("format") if isinstance(values, dict) else type(values).__name__
    if type(version) is not int or version != CARD_VERSION:
        raise CheckpointError(
            f"{path}: expected a card of format {CARD_VERSION}, got {version!r}: made by another version?"
        )
    try:
        return converted(values, Card)
    except RecordError as error:
        raise CheckpointError(f"{path}: expected a card of format {CARD_VERSION}, got: {error}") from error


def as_json(config: ModelConfig | TrainConfig) -> dict[str, Any]:
    """A configuration as JSON values, with lists for tuples."""
    values: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    return without_added(config, values)
