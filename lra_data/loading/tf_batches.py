"""Batches for TensorFlow, as a `tf.data.Dataset`."""

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from threading import Lock
from typing import Any

import numpy as np

from lra_data.loading.batches import Batches, Pass
from lra_data.loading.collate import Batch, ReadBatch
from lra_data.loading.course import Course
from lra_data.loading.gather import sequence_names
from lra_data.loading.missing_library import require


class TensorFlowLoader:
    """`Batches` through `tf.data`. Each `iter` is the next epoch. The state counts what was delivered, not what tf.data
    has ready.

    ready: batches that tf.data keeps ready.
    """

    def __init__(self, batches: Batches, *, ready: int = 2) -> None:
        require("tensorflow", "tensorflow")
        self.batches, self._ready = batches, ready

    def __len__(self) -> int:
        """Batches of a whole pass: see Batches."""
        return len(self.batches)

    @property
    def remaining(self) -> int:
        """Batches that are left: see Batches."""
        return self.batches.remaining

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next pass: see Batches."""
        self.batches.set_epoch(epoch)

    def dataset(self) -> Any:
        """A tf.data.Dataset of `Batch` or `ReadBatch` of tensors, as `keras.Model.fit` takes it.

        Each time it is iterated it gives the next epoch, the first time the one that `batches` would give next; it does
        not move `batches`.
        """
        own = self.batches.copy()
        first = own.next_pass()
        made = self._dataset(lambda: iter(own), first)
        tf = require("tensorflow", "tensorflow")
        if first.until is None:
            made = made.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
        elif first.remaining == len(own):  # a pass that goes on in the middle is shorter than those behind it
            made = made.apply(tf.data.experimental.assert_cardinality(len(own)))
        return made.prefetch(self._ready)

    def _dataset(self, batches: Callable[[], Iterator[Batch | ReadBatch]], course: Course) -> Any:
        """What `batches` gives, as tensors of the shapes of a course's first batch."""
        tf = require("tensorflow", "tensorflow")
        place = course.place(0)
        first = None if place is None else course.maker.batch(*place)
        kind = Batch if first is None else type(first)
        sequences = len(sequence_names(self.batches.task.schema))
        # Shapes without what may differ from batch to batch; B differs in the last one.
        shapes = [(None, sequences, None), (None, sequences), (None,), (None,), (None, sequences, None)]
        dtypes = [np.int32, np.int32, np.int64, np.int64] if first is None else [array.dtype for array in first]
        signature = kind(
            *(tf.TensorSpec(shape, dtype) for shape, dtype in zip(shapes, dtypes, strict=False))  # no keep in a Batch
        )
        return tf.data.Dataset.from_generator(batches, output_signature=signature)

    def __iter__(self) -> Iterator[Any]:
        return _TensorPass(iter(self.batches), self._open)

    def _open(self, course: Course) -> Iterator[Any]:
        """The rest of a pass through tf.data."""
        made = self._dataset(copy(course).rest, course)
        tensors: Iterator[Any] = iter(made.prefetch(self._ready))
        return tensors

    def state_dict(self) -> dict[str, Any]:
        """See Batches."""
        return self.batches.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See Batches."""
        self.batches.load_state_dict(state)


class _TensorPass:
    """One pass, counted when tf.data delivers it."""

    def __init__(self, one: Pass, opened: Callable[[Course], Iterator[Any]]) -> None:
        self._pass, self._open, self._lock = one, opened, Lock()
        self._delivered: Iterator[Any] | None = None

    def __iter__(self) -> "_TensorPass":
        return self

    def __next__(self) -> Any:
        with self._lock:
            course, first = self._pass.begin()
            try:
                if self._delivered is None:
                    self._delivered = self._open(course)
                batch = next(self._delivered)
            except StopIteration:
                self._pass.end()
                raise
            except BaseException:
                if first:
                    self._pass.withdraw()
                    self._delivered = None
                raise
            self._pass.skip(1)
            return batch
