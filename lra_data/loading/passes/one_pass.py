"""One pass over the batches of a rank: an iterator that several threads may draw from."""

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lra_data.checks import whole_number
from lra_data.errors import UsageError
from lra_data.loading.batch_making.collate import Batch, ProtocolBatch
from lra_data.loading.passes.ledger import Ledger
from lra_data.loading.passes.position import Position


class Pass:
    """An iterator over one pass. Its epoch is decided, and counts as begun, when its first batch is drawn.

    Threads that draw from one pass get each batch once, one after another. prefetch, threads: see `Dataset.batches`.
    """

    def __init__(self, ledger: Ledger, prefetch: int, threads: int) -> None:
        self._ledger, self._prefetch, self._threads = ledger, prefetch, threads
        self._position: Position | None = None
        self._over = False
        self._start_up()

    def _start_up(self) -> None:
        """What a process has of its own: after a fork there are no threads, and locks may be held by none."""
        self._process = os.getpid()
        self._lock = RLock()
        self._executor: ThreadPoolExecutor | None = None
        self._ahead: deque[Future[Batch | ProtocolBatch]] = deque()

    def __getstate__(self) -> dict[str, Any]:
        """Without threads and what they have prepared."""
        own = ("_process", "_lock", "_executor", "_ahead")
        return {name: value for name, value in self.__dict__.items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start_up()

    def _own(self) -> Any:
        if self._process != os.getpid():
            self._start_up()
        return self._lock

    def __iter__(self) -> "Pass":
        return self

    def __next__(self) -> Batch | ProtocolBatch:
        with self._own():
            position, first = self.begin()
            place = position.place(0)
            if place is None:
                self._end(position)
                raise StopIteration
            try:
                batch = position.maker.batch(*place) if self._prefetch == 0 else self._from_ahead(position)
            except BaseException:
                if first:
                    self.withdraw()
                raise
            position.take(place)
            self._ledger.moved(position)
            return batch

    def begin(self) -> tuple[Position, bool]:
        """The pass's position, and whether it begins just now."""
        with self._own():
            first = self._position is None
            if self._position is None:
                self._position = self._ledger.begin()
            return self._position, first

    def withdraw(self) -> None:
        """Undo `begin`: nothing could be drawn, so the epoch has not begun."""
        with self._own():
            if self._position is not None:
                self._drop_ahead()
                self._ledger.withdraw(self._position)
                self._position = None

    def _end(self, position: Position) -> None:
        if not self._over:
            self._over = True
            self._ledger.ended(position)
            if self._executor is not None:
                self._executor.shutdown(wait=False)
                self._executor = None

    def end(self) -> None:
        """Say that nothing is left, as `StopIteration` does."""
        with self._own():
            if self._position is not None:
                self._end(self._position)

    def position(self) -> Position:
        """Where this pass is; before its first batch, where it would begin now."""
        return self._position or self._ledger.position()

    @property
    def remaining(self) -> int:
        """Batches that are left, the same for all ranks; TypeError if there is no end."""
        return self.position().remaining

    def ahead(self, steps: int) -> Batch | ProtocolBatch | None:
        """The batch after the next `steps` ones, without moving; None beyond the end."""
        position = self.position()
        place = position.place(whole_number("steps", steps, 0))
        return None if place is None else position.maker.batch(*place)

    def places(self, steps: int) -> NDArray[np.int64] | None:
        """The places in the split's selection of the examples that `ahead` would give: int64 (B,)."""
        position = self.position()
        place = position.place(whole_number("steps", steps, 0))
        return None if place is None else position.maker.places(*place)

    def skip(self, steps: int) -> None:
        """Move on by that many batches, as if they had been delivered, at no cost."""
        steps = whole_number("steps", steps, 0)
        if steps == 0:
            return
        with self._own():
            position, first = self.begin()
            place = position.place(steps - 1)
            if place is None:
                left = (
                    f"at most {position.remaining} batches"
                    if position.until is not None
                    else "no batch, for no epoch has one"
                )
                if first:
                    self.withdraw()
                raise UsageError(f"expected to skip {left}, got {steps}")
            self._drop_ahead()
            position.take(place)
            self._ledger.moved(position)

    def state_dict(self) -> dict[str, Any]:
        """Where this pass is, whatever other passes have begun since: see `Batches.state_dict`."""
        if self._position is None:
            return self._ledger.state_of(*self._ledger.next_start())
        return self._ledger.state_of(self._position.epoch, self._position.taken)

    def _from_ahead(self, position: Position) -> Batch | ProtocolBatch:
        """The next batch, and as many more as `prefetch` says set to work behind it."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(self._threads, thread_name_prefix="lra-data-batches")
        while len(self._ahead) <= self._prefetch:
            place = position.place(len(self._ahead))
            if place is None:
                break
            self._ahead.append(self._executor.submit(position.maker.batch, *place))
        try:
            batch = self._ahead[0].result()
        except BaseException:
            self._drop_ahead()  # whoever asks again gets the same batch, or the same error
            raise
        self._ahead.popleft()
        return batch

    def _drop_ahead(self) -> None:
        """Forget what was prepared. A thread that is at work is waited for, or it would leave a block of the past."""
        wait([future for future in self._ahead if not future.cancel()])
        self._ahead.clear()
