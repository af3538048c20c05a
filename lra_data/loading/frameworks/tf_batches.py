"""Batches for TensorFlow, as a `tf.data.Dataset`."""

from collections.abc import Callable, Iterator
from copy import copy
from typing import Any

import numpy as np

from lra_data.arrow_columns import sequence_names
from lra_data.loading.batch_making.collate import Batch, ProtocolBatch
from lra_data.loading.batches import Batches
from lra_data.loading.frameworks.loader import CountedPass, Loader
from lra_data.loading.passes.position import Position
from lra_data.optional_import import require


class TensorFlowLoader(Loader):
    """`Batches` through `tf.data`. Each `iter` is the next epoch. The state counts delivered batches, not batches that
    tf.data holds ready.

    ready: number of batches that tf.data holds ready.
    """

    def __init__(self, batches: Batches, *, ready: int = 2) -> None:
        require("tensorflow", "tensorflow")
        super().__init__(batches)
        self._ready = ready

    def dataset(self) -> Any:
        """A tf.data.Dataset of `Batch` or `ProtocolBatch` of tensors, as `keras.Model.fit` takes it.

        Each iteration gives the next epoch; the first is the one that `batches` would give next. `batches` itself does
        not advance.
        """
        own = self.batches.copy()
        first = own.next_pass()
        made = self._dataset(lambda: iter(own), first)
        tf = require("tensorflow", "tensorflow")
        if first.until is None:
            made = made.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
        elif first.remaining == len(own):  # a pass that resumes in the middle is shorter than the passes after it
            made = made.apply(tf.data.experimental.assert_cardinality(len(own)))
        return made.prefetch(self._ready)

    def _dataset(self, batches: Callable[[], Iterator[Batch | ProtocolBatch]], position: Position) -> Any:
        """The batches as tensors; their shapes follow from the first batch."""
        tf = require("tensorflow", "tensorflow")
        place = position.place(0)
        first = None if place is None else position.maker.batch(*place)
        kind = Batch if first is None else type(first)
        sequences = len(sequence_names(self.batches.task.schema))
        # Dimensions that may differ between batches are None; B differs in the last batch.
        shapes = [(None, sequences, None), (None, sequences), (None,), (None,), (None, sequences, None)]
        dtypes = [np.int32, np.int32, np.int64, np.int64] if first is None else [array.dtype for array in first]
        signature = kind(
            *(tf.TensorSpec(shape, dtype) for shape, dtype in zip(shapes, dtypes, strict=False))  # no keep in a Batch
        )
        return tf.data.Dataset.from_generator(batches, output_signature=signature)

    def __iter__(self) -> Iterator[Any]:
        return CountedPass(iter(self.batches), self._open)

    def _open(self, position: Position) -> Iterator[Any]:
        """The remaining batches of a pass through tf.data."""
        made = self._dataset(copy(position).rest, position)
        tensors: Iterator[Any] = iter(made.prefetch(self._ready))
        return tensors
