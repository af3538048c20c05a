"""The record of data in a card, with which a later change is found and attributed to its cause.

A card records for the first rows of train and test, in blocks of 1,000: a digest of the rows, a digest of the batches
that the loader makes from them, and the model's answers. If the digests of the rows differ, the data changed. If only
those of the batches differ, the reading changed. If only the answers differ, the model changed. For a generated task,
the card also has the model's right answers and errors on rows of another seed. They are compared on rows that have no
recorded digests.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from lra_data.loading.frameworks.torch_batches import TorchBatch
from reference_models.drift.shared_rows import NAMES, keys
from reference_models.evaluation.model_inputs import read
from reference_models.evaluation.scoring import logits_of
from reference_models.model.card import FreshAnswers, RecordedAnswers
from reference_models.model.classifier import Classifier

if TYPE_CHECKING:
    from lra_data.loading.dataset import Dataset

BLOCK = 1000
# Number of rows recorded in each split; all rows of a smaller split.
RECORDED: dict[Literal["train", "test"], int] = {"train": 20_000, "test": 2_000}
# Rows of another seed: what is added to the set's own seed, and the number of rows.
FRESH_SEEDS_ON, FRESH_EXAMPLES = 1, 20_000

_BATCH = 100  # divides BLOCK
NOT_ASKED = -1


@dataclass
class Answers:
    """The answers of models on N rows.

    labels: (N,).
    predicted: answers by model, each (N,); NOT_ASKED where the rows are divided and another model answers.
    read: digest of each block of batches.
    """

    labels: NDArray[np.int64]
    predicted: dict[str, NDArray[np.int64]]
    read: list[str] = field(default_factory=list)

    def asked(self, model: str) -> NDArray[np.bool_]:
        """(N,): the rows that a model answered."""
        asked: NDArray[np.bool_] = self.predicted[model] != NOT_ASKED
        return asked

    def correct(self, model: str) -> int:
        """How many of a model's answers are right."""
        return int((self.predicted[model] == self.labels).sum())


def answers(
    models: Mapping[str, Classifier],
    dataset: "Dataset",
    *,
    device: torch.device,
    num_workers: int = 0,
    divided: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Answers:
    """The models' answers on a dataset, which is read once.

    models: on the device, in evaluation mode; all must read the dataset the same way.
    divided: whether the models divide the blocks among them, so that each block is answered once, and each model
        answers one at least; otherwise every model answers every row.
    progress: called with the number of examples of each batch.
    """
    # The arrays are allocated first: small ones, kept between tensors that are freed, would fragment the heap.
    found = Answers(
        np.empty(len(dataset), np.int64), {name: np.full(len(dataset), NOT_ASKED, np.int64) for name in models}
    )
    blocks = -(-len(dataset) // BLOCK)
    config = next(iter(models.values())).config
    block, end = _BlockDigest(), 0
    for batch in read(config, dataset, _BATCH, num_workers=num_workers):
        block.update(batch)
        start, end = end, end + len(batch.labels)
        found.labels[start:end] = batch.labels.numpy()
        for number, (name, model) in enumerate(models.items()):
            if divided and not _asked(number, start // BLOCK, len(models), blocks):
                continue
            found.predicted[name][start:end] = logits_of(model, batch, device).argmax(dim=1).numpy()
        if end % BLOCK == 0 or end == len(dataset):
            found.read.append(block.hexdigest())
            block = _BlockDigest()
        if progress is not None:
            progress(len(batch.labels))
    assert end == len(dataset), f"{end} of {len(dataset)} rows were read: the rest of the arrays has no answers"
    return found


def _asked(number: int, block: int, models: int, blocks: int) -> bool:
    """Whether a model answers a block, in turn; where there are fewer blocks than models, several share one."""
    return block % models == number if blocks >= models else number % blocks == block


class _BlockDigest:
    """A digest of batches that does not depend on how examples are divided into batches."""

    def __init__(self) -> None:
        self._parts = [hashlib.sha256() for _ in range(3)]

    def update(self, batch: TorchBatch) -> None:
        for part, tensor in zip(self._parts, (batch.inputs, batch.lengths, batch.labels), strict=True):
            part.update(tensor.numpy().tobytes())

    def hexdigest(self) -> str:
        return hashlib.sha256(b"".join(part.digest() for part in self._parts)).hexdigest()


def groups(dataset: "Dataset") -> list[str]:
    """The group of each row, for errors by group: the root operator of an expression; "all" in other tasks.

    If a rule of one operator changes, such as how a median is rounded, few answers become wrong, but the mean distance
    of answers from labels moves (docs/log.md).
    """
    rows, words = dataset[:], dataset.task.vocabulary
    if words is None or "root_operator" not in rows.schema.names:
        return ["all"] * len(rows)
    return [words[word] for word in rows["root_operator"].to_pylist()]


def errors(found: Answers, model: str, group_of_row: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """For each group the number of rows, the sum of label - answer, and the sum of its squares."""
    off = found.labels - found.predicted[model]
    of_row, asked = np.array(group_of_row), found.asked(model)
    return {
        str(group): (int(inside.sum()), int(off[inside].sum()), int((off[inside] ** 2).sum()))
        for group in np.unique(of_row)
        for inside in [(of_row == group) & asked]
    }


def rows_digests(dataset: "Dataset") -> list[str]:
    """Digests of the rows, one for each block; the last block may be smaller."""
    return [dataset.digest(start, start + BLOCK) for start in range(0, len(dataset), BLOCK)]


def as_text(predicted: NDArray[np.int64]) -> list[str]:
    """Answers from 0 to 9 as digits, one line for each block."""
    digits = "".join(map(str, predicted.tolist()))
    return [digits[start : start + BLOCK] for start in range(0, len(digits), BLOCK)]


def as_answers(lines: Sequence[str]) -> NDArray[np.int64]:
    """The inverse of `as_text`."""
    return np.frombuffer("".join(lines).encode(), dtype=np.uint8).astype(np.int64) - ord("0")


def record(
    model: Classifier, open_split: Callable[[str], "Dataset"], fresh: "Dataset | None"
) -> tuple[dict[Literal["train", "test"], RecordedAnswers], FreshAnswers | None]:
    """A card's entries `recorded` and `fresh`.

    open_split: opens a slice of the set.
    fresh: train rows of another seed for a generated task; otherwise None.
    """
    device = next(model.parameters()).device
    recorded = {}
    for split, most in RECORDED.items():
        dataset = open_split(f"{split}[:{most}]")
        found = answers({"": model}, dataset, device=device)
        recorded[split] = RecordedAnswers(
            examples=len(found.labels),
            correct=found.correct(""),
            rows=rows_digests(dataset),
            read=found.read,
            predictions=as_text(found.predicted[""]),
            keys=keys(dataset) if dataset.task.family in NAMES else None,
        )
    if fresh is None:
        return recorded, None
    found = answers({"": model}, fresh, device=device)
    return recorded, FreshAnswers(
        seed=fresh.rows.seed,
        examples=len(found.labels),
        correct=found.correct(""),
        errors=errors(found, "", groups(fresh)),
    )
