"""`TorchLoader`: batches as tensors, made in this process or in worker processes that it starts for each pass."""

from collections.abc import Iterator
from copy import copy
from functools import partial
from typing import Any

from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from lra_data.loading.batches import Batches, Pass
from lra_data.loading.frameworks.loader import ConvertedPass, CountedPass, Loader
from lra_data.loading.frameworks.torch_parts.torch_tensors import TorchBatch, TorchReadBatch, to_torch
from lra_data.loading.passes.position import Position


class TorchLoader(Loader):
    """Batches as tensors, made in worker processes or, without any, in this one. Each `iter` is the next epoch.

    num_workers: number of worker processes; with 0, use `prefetch` of `Dataset.batches` to prepare batches ahead.
    pin_memory, prefetch_factor, multiprocessing_context: see DataLoader.

    The state counts delivered batches, not batches that workers hold ready.
    """

    def __init__(
        self,
        batches: Batches,
        *,
        num_workers: int = 0,
        pin_memory: bool = False,
        prefetch_factor: int | None = None,
        multiprocessing_context: str | None = None,
    ) -> None:
        super().__init__(batches)
        self._loader = partial(
            DataLoader,
            batch_size=None,
            num_workers=num_workers,
            pin_memory=pin_memory,
            prefetch_factor=prefetch_factor,
            multiprocessing_context=multiprocessing_context,
        )
        self._loader(_PassBatches(iter(batches.copy())))  # invalid options fail here, not at the first batch
        self._num_workers, self._pin_memory = num_workers, pin_memory

    def shown_facts(self) -> dict[str, Any]:
        """See Shown."""
        return super().shown_facts() | {"num_workers": self._num_workers}

    def __iter__(self) -> Iterator[TorchBatch | TorchReadBatch]:
        if self._num_workers:
            return CountedPass(iter(self.batches), self._opened)
        if self._pin_memory:
            return iter(self._loader(_PassBatches(iter(self.batches))))
        return ConvertedPass(iter(self.batches), to_torch)

    def _opened(self, position: Position) -> Iterator[TorchBatch | TorchReadBatch]:
        delivered: Iterator[TorchBatch | TorchReadBatch] = iter(self._loader(_CourseBatches(copy(position))))
        return delivered


class _PassBatches(IterableDataset[TorchBatch | TorchReadBatch]):
    """One pass, in this process."""

    def __init__(self, one: Pass) -> None:
        self._pass = one

    def __iter__(self) -> Iterator[TorchBatch | TorchReadBatch]:
        return map(to_torch, self._pass)


class _CourseBatches(IterableDataset[TorchBatch | TorchReadBatch]):
    """One pass, in worker processes: worker w of N makes the batches w, w + N, …."""

    def __init__(self, position: Position) -> None:
        self._position = position

    def __iter__(self) -> Iterator[TorchBatch | TorchReadBatch]:
        info = get_worker_info()
        if info is None:
            raise AssertionError("made for worker processes")
        step = info.id
        while (place := self._position.place(step)) is not None:
            yield to_torch(self._position.maker.batch(*place))
            step += info.num_workers
