"""How a model reads a dataset: every batch padded to one length, so that no row's logits depend on its neighbours.

Otherwise models whose blocks, buckets or clusters depend on L would use different ones for the same row in another
batch, in training and in evaluation. Documents (Text, Retrieval) are cut to the model's length, as in the benchmark;
expressions and pictures are not, since their label depends on the whole.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from lra_data import UsageError
from lra_data.loading.frameworks.torch_batches import TorchBatch, TorchLoader
from reference_models.model.config import ModelConfig

if TYPE_CHECKING:
    from lra_data.loading.dataset import Dataset


def reading(config: ModelConfig, dataset: "Dataset") -> dict[str, Any]:
    """The arguments of `Dataset.batches` with which a model reads a dataset.

    Raises UsageError if the dataset's ids, labels, sequences per example or length do not fit the model.
    """
    task = dataset.task
    sequences = sum(name.startswith("inputs") for name in task.schema.names)
    for what, expected, got in (
        ("labels", task.num_classes, config.num_classes),
        ("sequences an example", sequences, config.num_sequences),
    ):
        if expected != got:
            raise UsageError(f"expected a model of {task.name}'s {expected} {what}, got one of {got}")
    if config.vocab_size < task.vocab_size:
        raise UsageError(
            f"expected a model with a vocabulary of {task.vocab_size} ids for {task.name}, got one of "
            f"{config.vocab_size}"
        )
    if task.max_length > config.max_length and not task.is_document:
        raise UsageError(
            f"expected a model for {task.name}'s {task.max_length:,} elements, got one of max_length "
            f"{config.max_length:,}: choose a larger preset (or a smaller set)"
        )
    length = min(config.max_length, task.max_length)
    return {"max_length": length, "pad_to": length}


def read(
    config: ModelConfig,
    dataset: "Dataset",
    batch_size: int,
    *,
    rank: int = 0,
    world_size: int = 1,
    num_workers: int = 0,
) -> Iterator[TorchBatch]:
    """One rank's batches in the dataset's own order, as a model reads them; the last one may be smaller."""
    batches = dataset.batches(batch_size, rank=rank, world_size=world_size, **reading(config, dataset))
    return cast("Iterator[TorchBatch]", iter(TorchLoader(batches, num_workers=num_workers)))
