"""Batches and examples for grain, Google's loader for JAX: random-access sources, and a sampler with our order.

    loader = grain.DataLoader(data_source=BatchSource(batches), sampler=grain.samplers.SequentialSampler(len(batches)),
                              shard_options=grain.sharding.NoSharding(), worker_count=2)

A batch is a function of its number, so the records of `BatchSource` are whole batches. For any number of workers, the
stream is that of `Dataset.batches`, including ranks. Use grain's own sharding only with `ExampleSource`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lra_data.errors import UsageError
from lra_data.loading.batch_making.collate import Batch, BatchShape, ProtocolBatch
from lra_data.loading.batches import Batches
from lra_data.loading.dataset import Dataset
from lra_data.optional_import import require


class BatchSource:
    """The batches from the current position of `batches`, as records. To resume, first load the state into it."""

    def __init__(self, batches: Batches) -> None:
        self._batches, self._length = batches, len(batches)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, step: int) -> Batch | ProtocolBatch:
        batch = self._batches.ahead(int(step))
        if batch is None:
            raise IndexError(f"expected a step from 0 to {self._length - 1}, got {step}")
        return batch

    def __repr__(self) -> str:
        """The text that grain compares when it restores a checkpoint."""
        return f"BatchSource({self._batches.state_dict()}, {self._batches.batch_size})"


class ExampleSource:
    """The examples of a split as records: dicts of `inputs` (S, L), `lengths` (S,), `label` and `index`."""

    def __init__(self, dataset: Dataset, shape: BatchShape | None = None) -> None:
        self._source, self._shape, self._length = dataset.source(), shape or BatchShape(), len(dataset)
        self._identity = dataset.identity

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, place: int) -> dict[str, Any]:
        asked = np.array([range(self._length)[place]], dtype=np.int64)
        inputs, lengths, labels, indices = self._source.prepare(asked, self._shape).batch(0, 1)[:4]
        return {"inputs": inputs[0], "lengths": lengths[0], "label": labels[0], "index": indices[0]}

    def __repr__(self) -> str:
        return f"ExampleSource({self._identity})"


class OrderSampler:
    """The order of one epoch for the rank of `batches`, for a DataLoader over `ExampleSource`."""

    def __init__(self, batches: Batches) -> None:
        self._metadata = require("grain", "jax").RecordMetadata
        self._batches, self._steps = batches, len(batches)
        last = batches.places(self._steps - 1)
        self._length = 0 if last is None else (self._steps - 1) * batches.batch_size + len(last)
        if batches.num_epochs != 1:
            raise UsageError(f"expected batches of one epoch, got epochs={batches.num_epochs}")
        self._step, self._places = -1, np.empty(0, dtype=np.int64)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, position: int) -> Any:
        if not 0 <= position < self._length:
            raise IndexError(f"expected a position from 0 to {self._length - 1}, got {position}")
        step, inside = divmod(int(position), self._batches.batch_size)
        if step != self._step:
            places: NDArray[np.int64] | None = self._batches.places(step)
            if places is None:
                raise AssertionError("every position is in a batch")
            self._step, self._places = step, places
        return self._metadata(index=position, record_key=int(self._places[inside]))

    def __repr__(self) -> str:
        return f"OrderSampler({self._batches.state_dict()}, {self._batches.batch_size})"
