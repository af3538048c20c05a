"""What a card records of data, so that a later change is found and attributed to its cause.

Of the first rows of train and test, in blocks of 1,000: a digest of the rows, a digest of the batches that the loader
makes of them, and the model's answers. If the rows' digest is another, the data changed; if only the batches' is, the
reading of them; if both are the same and the answers are not, the model. For a generated task also how the model does
on rows of another seed, which is compared where there are no digests to compare.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from lra_data.loading.frameworks.torch_batches import TorchBatch
from reference_models.evaluation.model_inputs import read
from reference_models.evaluation.scoring import logits_of
from reference_models.model.card import FreshAnswers, RecordedAnswers
from reference_models.model.classifier import Classifier

if TYPE_CHECKING:
    from lra_data.loading.dataset import Dataset

BLOCK = 1000
# Rows of each split that are recorded, or as many as there are.
RECORDED: dict[Literal["train", "test"], int] = {"train": 20_000, "test": 2_000}
# Of rows of another seed: how far it is from the set's own, and how many.
FRESH_SEEDS_ON, FRESH_EXAMPLES = 1, 20_000

_BATCH = 100  # divides BLOCK


@dataclass
class Answers:
    """What models make of N rows. labels, and predicted by model: (N,); read: digest of each block as it was read."""

    labels: NDArray[np.int64]
    predicted: dict[str, NDArray[np.int64]]
    read: list[str] = field(default_factory=list)

    @property
    def examples(self) -> int:
        """N."""
        return len(self.labels)

    def correct(self, model: str) -> int:
        """How many of a model's answers are right."""
        return int((self.predicted[model] == self.labels).sum())


def answers(
    models: Mapping[str, Classifier],
    dataset: "Dataset",
    *,
    device: torch.device,
    num_workers: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Answers:
    """All models' answers on a dataset, which is read once. models: on the device, in evaluation mode, and such that
    they read it alike. progress: is told of each batch how many examples it had.
    """
    # Arrays that are there from the start: what a batch left between tensors that are freed would split the heap.
    found = Answers(np.empty(len(dataset), np.int64), {name: np.empty(len(dataset), np.int64) for name in models})
    config = next(iter(models.values())).config
    block, end = _BlockDigest(), 0
    for batch in read(config, dataset, _BATCH, num_workers=num_workers):
        block.update(batch)
        start, end = end, end + len(batch.labels)
        found.labels[start:end] = batch.labels.numpy()
        for name, model in models.items():
            found.predicted[name][start:end] = logits_of(model, batch, device).argmax(dim=1).numpy()
        if end % BLOCK == 0 or end == len(dataset):
            found.read.append(block.hexdigest())
            block = _BlockDigest()
        if progress is not None:
            progress(len(batch.labels))
    assert end == len(dataset), f"{end} of {len(dataset)} rows were read: the rest of the arrays is not answers"
    return found


class _BlockDigest:
    """A digest of batches that does not depend on where one ends and the next begins."""

    def __init__(self) -> None:
        self._parts = [hashlib.sha256() for _ in range(3)]

    def update(self, batch: TorchBatch) -> None:
        for part, tensor in zip(self._parts, (batch.inputs, batch.lengths, batch.labels), strict=True):
            part.update(tensor.numpy().tobytes())

    def hexdigest(self) -> str:
        return hashlib.sha256(b"".join(part.digest() for part in self._parts)).hexdigest()


def groups(dataset: "Dataset") -> list[str]:
    """A group for each row, within which errors are looked at: the root operator of an expression; else all are one.

    A rule of one operator that changes, such as how a median is rounded, moves few answers from right to wrong, but
    their mean distance from the labels (docs/log.md).
    """
    rows, words = dataset[:], dataset.task.vocabulary
    if words is None or "root_operator" not in rows.schema.names:
        return ["all"] * len(rows)
    return [words[word] for word in rows["root_operator"].to_pylist()]


def errors(found: Answers, model: str, group_of_row: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """For each group the number of rows, the sum of label - answer, and the sum of its squares."""
    off = found.labels - found.predicted[model]
    of_row = np.array(group_of_row)
    return {
        str(group): (int(inside.sum()), int(off[inside].sum()), int((off[inside] ** 2).sum()))
        for group in np.unique(of_row)
        for inside in [of_row == group]
    }


def rows_digests(dataset: "Dataset") -> list[str]:
    """Digests of the rows, one a block; the last block may be smaller."""
    return [dataset.digest(start, start + BLOCK) for start in range(0, len(dataset), BLOCK)]


def as_text(predicted: NDArray[np.int64]) -> list[str]:
    """Answers from 0 to 9 as digits, a line a block."""
    digits = "".join(map(str, predicted.tolist()))
    return [digits[start : start + BLOCK] for start in range(0, len(digits), BLOCK)]


def as_answers(lines: Sequence[str]) -> NDArray[np.int64]:
    """`as_text` undone."""
    return np.frombuffer("".join(lines).encode(), dtype=np.uint8).astype(np.int64) - ord("0")


def record(
    model: Classifier, open_split: Callable[[str], "Dataset"], fresh: "Dataset | None"
) -> tuple[dict[Literal["train", "test"], RecordedAnswers], FreshAnswers | None]:
    """A card's entries `recorded` and `fresh`. open_split: opens a slice of the set. fresh: rows of another seed's
    train, for a generated task.
    """
    device = next(model.parameters()).device
    recorded = {}
    for split, most in RECORDED.items():
        dataset = open_split(f"{split}[:{most}]")
        found = answers({"": model}, dataset, device=device)
        recorded[split] = RecordedAnswers(
            examples=found.examples,
            correct=found.correct(""),
            rows=rows_digests(dataset),
            read=found.read,
            predictions=as_text(found.predicted[""]),
        )
    if fresh is None:
        return recorded, None
    found = answers({"": model}, fresh, device=device)
    return recorded, FreshAnswers(
        seed=fresh.rows.seed,
        examples=found.examples,
        correct=found.correct(""),
        errors=errors(found, "", groups(fresh)),
    )
