"""Makes the batches of one rank, any step of any epoch: order, rows, padding. It keeps no position."""

import os
from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lra_data.loading.batch_making.batch_sources import Prepared, Source
from lra_data.loading.batch_making.collate import Batch, BatchShape, ProtocolBatch
from lra_data.loading.epoch.rank_shares import RankShares
from lra_data.loading.epoch.windowed import Order

# Number of positions ordered and located per call: one call per position would cost more than reading the rows.
_BLOCK = 4096


class _Block:
    """Some steps of one epoch, ordered and located. The first begins at position `start`; each has `step` positions."""

    __slots__ = ("epoch", "prepared", "size", "start", "step", "stop")

    def __init__(self, epoch: int, start: int, steps: int, step: int, size: int, prepared: Prepared) -> None:
        self.epoch, self.start, self.stop, self.step, self.size = epoch, start, start + steps * step, step, size
        self.prepared = prepared

    def batch(self, taken: int) -> Batch | ProtocolBatch:
        first = (taken - self.start) // self.step * self.size
        return self.prepared.batch(first, first + self.size)


class BatchMaker:
    """The batches of one rank as a function of (epoch, positions taken); safe to call from several threads.

    order_of: the order of an epoch.
    """

    def __init__(
        self, source: Source, shape: BatchShape, shares: RankShares, rank: int, order_of: Callable[[int], Order]
    ) -> None:
        shares.check_rank(rank)
        self.shares, self.rank = shares, rank
        self._source, self._shape, self._order_of = source, shape, order_of
        self._start_up()

    def _start_up(self) -> None:
        """Create the lock, which each process needs for itself: after a fork, no thread may exist to release it."""
        self._process = os.getpid()
        self._lock = Lock()
        self._blocks: tuple[_Block, ...] = ()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_process", "_lock", "_blocks")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start_up()

    def places(self, epoch: int, taken: int) -> NDArray[np.int64]:
        """The places, within the split's selection, of the examples of one batch: int64 (B,)."""
        return self._order_of(epoch)(self._positions(taken, 1))

    def batch(self, epoch: int, taken: int) -> Batch | ProtocolBatch:
        """The batch of the step that begins after all ranks together have taken that many positions of the epoch."""
        if self._process != os.getpid():
            self._start_up()
        for block in self._blocks:
            if block.epoch == epoch and block.start <= taken < block.stop:
                return block.batch(taken)
        if self._source.eager:
            return self._prepare(epoch, taken, 1).batch(taken)
        with self._lock:
            for block in self._blocks:  # another thread was first
                if block.epoch == epoch and block.start <= taken < block.stop:
                    return block.batch(taken)
            block = self._prepare(epoch, taken, max(1, _BLOCK // self.shares.batch_size))
            self._blocks = (*self._blocks[-1:], block)
        return block.batch(taken)

    def _prepare(self, epoch: int, taken: int, steps: int) -> _Block:
        """Order some steps and locate their rows; a smaller last step is prepared alone."""
        positions = self._positions(taken, steps)
        prepared = self._source.prepare(self._order_of(epoch)(positions), self._shape)
        step, whole = self.shares.step, (self.shares.n - taken) // self.shares.step
        if whole == 0:
            return _Block(epoch, taken, 1, step, len(positions), prepared)
        return _Block(epoch, taken, min(steps, whole), step, self.shares.batch_size, prepared)

    def _positions(self, taken: int, steps: int) -> NDArray[np.int64]:
        """This rank's positions in some whole steps, or in one smaller step."""
        step, n = self.shares.step, self.shares.n
        first = np.array(self.shares.positions(taken, self.rank), dtype=np.int64)
        whole = (n - taken) // step
        if whole == 0:
            return first % max(n, 1)
        # Every whole step is the first one, moved along.
        return (np.arange(min(steps, whole), dtype=np.int64)[:, None] * step + first).ravel()
