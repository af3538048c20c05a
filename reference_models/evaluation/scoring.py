"""Scores a model on a whole split: every example counts once, whatever the batch size, and none is dropped."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed
from torch.nn import functional

from lra_data import UsageError
from lra_data.loading.frameworks.torch_batches import TorchBatch, to_device
from reference_models.evaluation.model_inputs import read
from reference_models.evaluation.significance import wilson
from reference_models.model.classifier import Classifier

if TYPE_CHECKING:
    from lra_data.loading.dataset import Dataset

_BATCH = 100


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The score of a model.

    examples: number of examples.
    correct: number of correct answers among them.
    loss: mean cross entropy in nats.
    """

    examples: int
    correct: int
    loss: float

    @property
    def accuracy(self) -> float:
        """Share of correct answers."""
        return self.correct / self.examples

    def record(self) -> dict[str, Any]:
        """JSON values, with the 95 % Wilson interval of the accuracy."""
        low, high = wilson(self.correct, self.examples)
        return {
            "examples": self.examples,
            "correct": self.correct,
            "loss": round(self.loss, 6),
            "accuracy": self.accuracy,
            "low": low,
            "high": high,
        }


@torch.no_grad()
def logits_of(model: Classifier, batch: TorchBatch, device: torch.device, precision: str = "float32") -> Tensor:
    """Logits (B, C) in float32 on the CPU. model: on the device, in evaluation mode."""
    moved = to_device(batch, device)
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        logits: Tensor = model(moved.inputs, moved.lengths)
    return logits.float().cpu()


def evaluate(
    model: Classifier,
    dataset: "Dataset",
    *,
    batch_size: int = _BATCH,
    precision: str = "float32",
    rank: int = 0,
    world_size: int = 1,
    num_workers: int = 0,
    progress: Callable[[int], None] | None = None,
    answers: Callable[[Tensor], None] | None = None,
) -> Evaluation:
    """The model's score on a dataset. The ranks of a process group divide the dataset, and all get the whole score.

    The model stays on its device and in its mode. progress: called with the number of examples of each batch. answers:
    called with the logits of each batch, float32 (B, C), in the order of the rank's rows. Raises UsageError for a
    dataset without examples.
    """
    if len(dataset) == 0:
        raise UsageError(
            f"expected at least one example in {dataset.task.name} {dataset.split}, got none: choose another split or "
            "slice"
        )
    training, device = model.training, next(model.parameters()).device
    model.eval()
    examples, correct, loss = 0, 0, 0.0
    try:
        share = {"rank": rank, "world_size": world_size}
        for batch in read(model.config, dataset, batch_size, num_workers=num_workers, **share):
            if len(batch.labels) == 0:
                continue
            logits = logits_of(model, batch, device, precision)
            if answers is not None:
                answers(logits)
            examples += len(batch.labels)
            correct += int((logits.argmax(dim=1) == batch.labels).sum())
            loss += float(functional.cross_entropy(logits.double(), batch.labels, reduction="sum"))
            if progress is not None:
                progress(len(batch.labels))
    finally:
        model.train(training)
    if world_size > 1:
        sums = torch.tensor([examples, correct, loss], dtype=torch.float64, device=device)
        distributed.all_reduce(sums)
        examples, correct, loss = int(sums[0]), int(sums[1]), float(sums[2])
    return Evaluation(examples=examples, correct=correct, loss=loss / max(examples, 1))
