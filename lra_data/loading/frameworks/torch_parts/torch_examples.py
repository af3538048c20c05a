"""A split as a map-style dataset for PyTorch, and a sampler with our order."""

from collections.abc import Iterator, Sequence
from threading import Lock
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset as MapDataset

from lra_data.loading.batch_making.collate import BatchShape
from lra_data.loading.batches import Pass
from lra_data.loading.dataset import Dataset
from lra_data.loading.frameworks.loader import Loader
from lra_data.loading.frameworks.torch_parts.torch_tensors import TorchBatch, to_torch
from lra_data.shown import array_facts, as_html, as_text


class TorchExample(NamedTuple):
    """One example, with the fields of `TorchBatch` but without the batch axis.

    inputs: int32 or uint8 (S, L).
    lengths: int32 (S,).
    labels, indices: int64 ().
    """

    inputs: Tensor
    lengths: Tensor
    labels: Tensor
    indices: Tensor

    def __repr__(self) -> str:
        return as_text(type(self).__name__, array_facts(self))

    def _repr_html_(self) -> str:
        """Dtypes and shapes, for notebooks."""
        return as_html(type(self).__name__, array_facts(self))


class TorchExamples(MapDataset[TorchExample]):
    """A split as a map-style dataset, for a DataLoader with any sampler; `collate` pads.

    DataLoader(examples, batch_size=32, shuffle=True, collate_fn=examples.collate). With
    `batch_sampler=BatchSampler(batches)` it gives the batches of `Dataset.batches`.
    """

    def __init__(self, dataset: Dataset, shape: BatchShape | None = None) -> None:
        self._source, self._shape, self._length = dataset.source(), shape or BatchShape(), len(dataset)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, place: int) -> TorchExample:
        return self.__getitems__([place])[0]

    def __getitems__(self, places: Sequence[int]) -> list[TorchExample]:
        """The examples at these places; DataLoader calls this method for a batch."""
        asked = np.array([range(self._length)[place] for place in places], dtype=np.int64)
        unpadded = BatchShape(max_length=self._shape.max_length, offset=self._shape.offset, dtype=self._shape.dtype)
        prepared = self._source.prepare(asked, unpadded)
        return [
            TorchExample(*(tensor[0] for tensor in to_torch(prepared.batch(row, row + 1)))) for row in range(len(asked))
        ]

    def collate(self, examples: Sequence[TorchExample]) -> TorchBatch:
        """Examples as one batch, padded with 0 to the batch shape."""
        longest = max(example.inputs.shape[-1] for example in examples)
        width = self._shape.width(longest)
        inputs = examples[0].inputs.new_zeros(len(examples), examples[0].inputs.shape[0], width)
        for row, example in enumerate(examples):
            inputs[row, :, : example.inputs.shape[-1]] = example.inputs
        rest = (torch.stack([example[field] for example in examples]) for field in (1, 2, 3))
        return TorchBatch(inputs, *rest)


class BatchSampler(Loader):
    """The places of each batch, for a DataLoader's `batch_sampler`: the order of `Dataset.batches` for this rank.

    Each `iter` is the next epoch. A loader with workers draws places ahead: the state counts drawn places, not batches.
    """

    def __iter__(self) -> Iterator[list[int]]:
        return _Places(iter(self.batches))


class _Places:
    """One pass over places."""

    def __init__(self, one: Pass) -> None:
        self._pass, self._lock = one, Lock()

    def __iter__(self) -> "_Places":
        return self

    def __next__(self) -> list[int]:
        with self._lock:
            position, _ = self._pass.begin()
            place = position.place(0)
            if place is None:
                self._pass.end()
                raise StopIteration
            self._pass.skip(1)
            places: list[int] = position.maker.places(*place).tolist()
            return places
