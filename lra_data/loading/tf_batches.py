"""Batches for TensorFlow, as a `tf.data.Dataset`."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from lra_data.loading.batches import Batches
from lra_data.loading.collate import Batch
from lra_data.loading.gather import sequence_names
from lra_data.loading.missing_library import require


class TensorFlowLoader:
    """`Batches` through `tf.data`: each pass is one epoch. The state counts what was delivered, not what tf.data has
    ready.

    ready: batches that tf.data keeps ready.
    """

    def __init__(self, batches: Batches, *, ready: int = 2) -> None:
        require("tensorflow", "tensorflow")
        self.batches, self._ready = batches, ready

    def __len__(self) -> int:
        return self.batches.pass_length

    def dataset(self) -> Any:
        """A tf.data.Dataset of the batches from here on: `Batch` or `ReadBatch` of tensors. It does not move
        `batches`.
        """
        tf = require("tensorflow", "tensorflow")
        here = copy.copy(self.batches)
        first = here.ahead(0)
        kind = Batch if first is None else type(first)
        sequences = len(sequence_names(here.task.schema))
        # Shapes without what may differ from batch to batch; B differs in the last one.
        shapes = [(None, sequences, None), (None, sequences), (None,), (None,), (None, sequences, None)]
        dtypes = [np.int32, np.int32, np.int64, np.int64] if first is None else [array.dtype for array in first]
        signature = kind(
            *(tf.TensorSpec(shape, dtype) for shape, dtype in zip(shapes, dtypes, strict=False))  # no keep in a Batch
        )
        made = tf.data.Dataset.from_generator(lambda: copy.copy(here), output_signature=signature)
        try:
            made = made.apply(tf.data.experimental.assert_cardinality(len(here)))
        except TypeError:  # without an end
            made = made.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
        return made.prefetch(self._ready)

    def __iter__(self) -> Iterator[Any]:
        iter(self.batches)  # the pass after a finished one is the next epoch
        for batch in self.dataset():
            self.batches.skip(1)
            yield batch
        self.batches.finish()

    def state_dict(self) -> dict[str, Any]:
        """See Batches."""
        return self.batches.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See Batches."""
        self.batches.load_state_dict(state)
