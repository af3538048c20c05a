"""Iterates over a split in batches: each example once an epoch, over all ranks, also after a stop at any step.

The state is which data, in which order, seed, epoch, and how many positions of the epoch all ranks together have taken.
It is the same on every rank, counts what was delivered and not what was prepared ahead, and another number of ranks,
another batch size or another framework goes on from it.
"""

import os
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lra_data.errors import UsageError
from lra_data.loading.arguments import whole_number
from lra_data.loading.arrangement import Arrangement
from lra_data.loading.collate import Batch, Form, ReadBatch
from lra_data.loading.shares import Sharing
from lra_data.loading.sources import Prepared, Source
from lra_data.loading.windows import Order
from lra_data.task import Task, check_seed

# Positions put in order, and found, at a time: one by one would cost more than reading the rows.
_BLOCK = 4096

STATE = ("data", "order", "seed", "epoch", "taken")


class _Block:
    """Some steps of one epoch, put in order and found. The first begins at position `start`, all have `step` each."""

    __slots__ = ("epoch", "prepared", "size", "start", "step", "stop")

    def __init__(self, epoch: int, start: int, steps: int, step: int, size: int, prepared: Prepared) -> None:
        self.epoch, self.start, self.stop, self.step, self.size = epoch, start, start + steps * step, step, size
        self.prepared = prepared

    def batch(self, taken: int) -> Batch | ReadBatch:
        first = (taken - self.start) // self.step * self.size
        return self.prepared.batch(first, first + self.size)


class Batches:
    """An iterator over the batches of one rank; `state_dict` at any step, `load_state_dict` to go on.

    One pass of a `for` loop is one epoch (or `epochs` of them), the next pass the next one, in another order.
    """

    def __init__(
        self,
        source: Source,
        task: Task,
        data: str,
        sharing: Sharing,
        rank: int,
        form: Form,
        arrangement: Arrangement,
        *,
        seed: int,
        epoch: int,
        epochs: int | None,
        prefetch: int,
        threads: int,
    ) -> None:
        """data: digest that names the rows. See `Dataset.batches` for the others."""
        sharing.check_rank(rank)
        prefetch, threads = whole_number("prefetch", prefetch, 0), whole_number("threads", threads, 1)
        if epochs is not None:
            epochs = whole_number("epochs (or None for no end)", epochs, 1)
        self._source, self._data, self._sharing, self._rank, self._form = source, data, sharing, rank, form
        self._arrangement, self._epochs, self._prefetch, self._threads = arrangement, epochs, prefetch, threads
        self._step, self._size = sharing.step, sharing.batch_size
        self.task = task
        self._start_up()
        self._begin(seed, epoch, 0)
        self._first_epoch = self._epoch
        self._until = self._end_of_pass(self._epoch)

    def _end_of_pass(self, epoch: int) -> int | None:
        """The epoch before which the pass with this epoch ends: passes follow one another from the first epoch on."""
        if self._epochs is None:
            return None
        return epoch + self._epochs - (epoch - self._first_epoch) % self._epochs

    def _start_up(self) -> None:
        """What a process has of its own: after a fork there are no threads, and locks may be held by none."""
        self._process = os.getpid()
        self._lock = Lock()
        self._executor: ThreadPoolExecutor | None = None
        self._ahead: deque[Future[Batch | ReadBatch]] = deque()
        self._blocks: tuple[_Block, ...] = ()
        self._orders = lru_cache(maxsize=2)(self._order_of)

    def __getstate__(self) -> dict[str, Any]:
        """Without threads and what they have prepared."""
        own = ("_process", "_lock", "_executor", "_ahead", "_blocks", "_orders")
        return {name: value for name, value in self.__dict__.items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start_up()

    def _begin(self, seed: int, epoch: int, taken: int) -> None:
        check_seed(seed)
        epoch = whole_number("epoch", epoch, 0)
        self._drop_ahead()
        self._blocks = ()
        self._orders.cache_clear()
        self._seed, self._epoch, self._taken, self._over = seed, epoch, taken, False
        self._order_of(epoch)  # what cannot be is refused now, not at the first batch

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch from its start."""
        self._begin(self._seed, epoch, 0)
        self._first_epoch = self._epoch
        self._until = self._end_of_pass(self._epoch)

    @property
    def batch_size(self) -> int:
        """Examples a batch, of this rank."""
        return self._size

    @property
    def num_epochs(self) -> int | None:
        """Epochs a pass; None if it has no end."""
        return self._epochs

    @property
    def epoch(self) -> int:
        """The epoch of the last batch that was delivered, or the one that the next pass begins with."""
        return self._epoch_after() if self._over else self._epoch

    @property
    def offset(self) -> int:
        """What is still to be added to the values of a batch of uint8 when it is widened; 0 for int32."""
        return self._form.offset_for(self.task) if self._form.dtype == "uint8" else 0

    def __len__(self) -> int:
        """Batches that are left, the same for all ranks; TypeError if there is no end."""
        if self._until is None:
            raise TypeError("batches without an end have no length")
        further = max(self._until - self._epoch - 1, 0)
        return self._sharing.steps_from(self._taken) + further * self._sharing.steps_from(0)

    @property
    def pass_length(self) -> int:
        """Batches that the next pass of a loop gives, or the rest of this one; TypeError if there is no end."""
        if not self._over or self._epochs is None:
            return len(self)
        return self._epochs * self._sharing.steps_from(0)

    def __iter__(self) -> "Batches":
        if self._over:
            self.next_pass()
        return self

    def next_pass(self) -> None:
        """Begin the epoch after this pass from its start."""
        self.set_epoch(self._epoch_after())

    def _epoch_after(self) -> int:
        return self._epoch + 1 if self._until is None else self._until

    def __next__(self) -> Batch | ReadBatch:
        place = self._place(0)
        if place is None:
            self._over = True
            raise StopIteration
        batch = self._make(*place) if self._prefetch == 0 else self._from_ahead()
        self._epoch, self._taken = place[0], self._sharing.after(place[1])
        return batch

    def ahead(self, steps: int) -> Batch | ReadBatch | None:
        """The batch after the next `steps` ones, without moving; None beyond the end."""
        place = self._place(whole_number("steps", steps, 0))
        return None if place is None else self._make(*place)

    def places(self, steps: int) -> NDArray[np.int64] | None:
        """The places in the split's selection of the examples that `ahead` would give: int64 (B,)."""
        place = self._place(whole_number("steps", steps, 0))
        return None if place is None else self._orders(place[0])(self._positions(place[1], 1))

    def skip(self, steps: int) -> None:
        """Move on by that many batches, as if they had been delivered, at no cost."""
        steps = whole_number("steps", steps, 0)
        if steps == 0:
            return
        place = self._place(steps - 1)
        if place is None:
            left = "no batch, for no epoch has one" if self._until is None else f"at most {len(self)} batches"
            raise UsageError(f"expected to skip {left}, got {steps}")
        self._drop_ahead()
        self._epoch, self._taken = place[0], self._sharing.after(place[1])

    def finish(self) -> None:
        """Say that this pass is over: the next one is the next epoch."""
        self._over = True

    def _place(self, steps: int) -> tuple[int, int] | None:
        """Epoch and positions taken before the batch after the next `steps` ones; None beyond the end."""
        left = self._sharing.steps_from(self._taken)
        if 0 <= steps < left:
            return self._epoch, self._taken + steps * self._step
        each = self._sharing.steps_from(0)
        if steps < 0 or each == 0:
            return None
        further, step = divmod(steps - left, each)
        epoch = self._epoch + 1 + further
        return (epoch, step * self._step) if self._until is None or epoch < self._until else None

    def _make(self, epoch: int, taken: int) -> Batch | ReadBatch:
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
            block = self._prepare(epoch, taken, max(1, _BLOCK // self._size))
            self._blocks = (*self._blocks[-1:], block)
        return block.batch(taken)

    def _prepare(self, epoch: int, taken: int, steps: int) -> _Block:
        """Put some steps in order and find their rows; the last step, if it is smaller, alone."""
        positions = self._positions(taken, steps)
        prepared = self._source.prepare(self._orders(epoch)(positions), self._form)
        whole = (self._sharing.n - taken) // self._step
        if whole == 0:
            return _Block(epoch, taken, 1, self._step, len(positions), prepared)
        return _Block(epoch, taken, min(steps, whole), self._step, self._size, prepared)

    def _positions(self, taken: int, steps: int) -> NDArray[np.int64]:
        """This rank's positions in some steps, all of them whole ones, or in one that is not."""
        whole = (self._sharing.n - taken) // self._step
        if whole == 0:
            return np.array(self._sharing.positions(taken, self._rank), dtype=np.int64) % max(self._sharing.n, 1)
        starts = taken + self._rank * self._size + np.arange(min(steps, whole), dtype=np.int64) * self._step
        return (starts[:, None] + np.arange(self._size, dtype=np.int64)).ravel()

    def _order_of(self, epoch: int) -> Order:
        return self._arrangement.order(self._source.lengths, self._sharing.n, self._seed, epoch)

    def _from_ahead(self) -> Batch | ReadBatch:
        """The next batch, and as many more as `prefetch` says set to work behind it."""
        if self._process != os.getpid():
            self._start_up()
        if self._executor is None:
            self._executor = ThreadPoolExecutor(self._threads, thread_name_prefix="lra-data-batches")
        while len(self._ahead) <= self._prefetch:
            place = self._place(len(self._ahead))
            if place is None:
                break
            self._ahead.append(self._executor.submit(self._make, *place))
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

    def state_dict(self) -> dict[str, Any]:
        """Where the iteration stands, counted in batches that were delivered: JSON values.

        After a pass that came to its end it is the beginning of the next one, as for another `for` loop in this
        process.
        """
        where = (self._epoch_after(), 0) if self._over else (self._epoch, self._taken)
        values = (self._data, self._arrangement.name, self._seed, *where)
        return dict(zip(STATE, values, strict=True))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where another iterator over the same data in the same order stood, of whatever ranks and batch size.

        The pass of `epochs` epochs that the state's epoch belongs to goes on to its end. Raises UsageError for the
        state of other data or another order, or one that is none.
        """
        if not isinstance(state, Mapping):
            raise UsageError(f"expected a state with {', '.join(STATE)}, got {state!r}")
        if set(state) != set(STATE):
            raise UsageError(f"expected a state with {', '.join(STATE)}, got {', '.join(map(str, state)) or 'nothing'}")
        if state["data"] != self._data:
            raise UsageError(
                f"expected a state of the data {self._data}, got one of {state['data']}: another set, split or slice"
            )
        if state["order"] != self._arrangement.name:
            raise UsageError(f"expected a state of the order {self._arrangement.name!r}, got {state['order']!r}")
        taken = state["taken"]
        if not isinstance(taken, int) or isinstance(taken, bool) or not 0 <= taken <= self._sharing.n:
            raise UsageError(f"expected a state with taken from 0 to {self._sharing.n}, got {taken!r}")
        self._begin(state["seed"], state["epoch"], taken)
        self._until = self._end_of_pass(self._epoch)
