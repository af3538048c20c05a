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

    Several threads may draw from one pass; each batch is delivered once. A pass that was drawn to its end stays there,
    and `iter()` of it raises UsageError. prefetch, threads: see `Dataset.batches`.
    """

    def __init__(self, ledger: Ledger, prefetch: int, threads: int) -> None:
        self._ledger, self._prefetch, self._threads = ledger, prefetch, threads
        self._position: Position | None = None
        self._over = False
        self._start_up()

    def _start_up(self) -> None:
        """Create the lock and the threads, which each process needs for itself after a fork."""
        self._process = os.getpid()
        self._lock = RLock()
        self._executor: ThreadPoolExecutor | None = None
        self._ahead: deque[Future[Batch | ProtocolBatch]] = deque()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the threads and the batches that they have prepared."""
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
        self.refuse_second_use()
        return self

    def refuse_second_use(self) -> None:
        """Raise UsageError if the pass has ended: a loop over it would do nothing, in silence."""
        if self._over:
            raise UsageError(
                "expected batches or a loader, whose every iter() is the next epoch, got a pass that has ended, what "
                "iter() of them returned: give the batches or the loader itself to the loop or the trainer"
            )

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
        """The pass's position, and whether the pass begins with this call."""
        with self._own():
            first = self._position is None
            if self._position is None:
                self._position = self._ledger.begin()
            return self._position, first

    def withdraw(self) -> None:
        """Undo `begin`: no batch could be drawn, so the epoch has not begun."""
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
        """Mark the pass as ended, as `StopIteration` does."""
        with self._own():
            if self._position is not None:
                self._end(self._position)

    def position(self) -> Position:
        """The position of this pass; before its first batch, the position where it would begin now."""
        return self._position or self._ledger.position()

    @property
    def remaining(self) -> int:
        """Number of batches left, the same on all ranks; TypeError if the pass has no end."""
        return self.position().remaining

    def ahead(self, steps: int) -> Batch | ProtocolBatch | None:
        """The batch that follows the next `steps` batches, without advancing; None beyond the end."""
        position = self.position()
        place = position.place(whole_number("steps", steps, 0))
        return None if place is None else position.maker.batch(*place)

    def places(self, steps: int) -> NDArray[np.int64] | None:
        """The places, within the split's selection, of the examples in `ahead(steps)`: int64 (B,)."""
        position = self.position()
        place = position.place(whole_number("steps", steps, 0))
        return None if place is None else position.maker.places(*place)

    def skip(self, steps: int) -> None:
        """Skip that many batches as if they had been delivered, without making them."""
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
                    else "no batch, as the epochs are empty"
                )
                if first:
                    self.withdraw()
                raise UsageError(f"expected to skip {left}, got {steps}")
            self._drop_ahead()
            position.take(place)
            self._ledger.moved(position)

    def state_dict(self) -> dict[str, Any]:
        """The state of this pass, even if other passes have begun since: see `Batches.state_dict`."""
        if self._position is None:
            return self._ledger.state_of(*self._ledger.next_start())
        return self._ledger.state_of(self._position.epoch, self._position.taken)

    def _from_ahead(self, position: Position) -> Batch | ProtocolBatch:
        """The next batch; `prefetch` further batches are submitted to the threads."""
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
            self._drop_ahead()  # the next call gets the same batch, or the same error
            raise
        self._ahead.popleft()
        return batch

    def _drop_ahead(self) -> None:
        """Discard prepared batches. Wait for a working thread, or it would leave behind an outdated block."""
        wait([future for future in self._ahead if not future.cancel()])
        self._ahead.clear()
