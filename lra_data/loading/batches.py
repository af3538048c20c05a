"""The batches of a split: each example once an epoch, over all ranks, also after a stop at any step.

    for batch in batches: ...      one pass: one epoch, or `epochs` of them
    for batch in batches: ...      the next pass: the next epoch, from its start, in another order

`iter()` gives a pass, an object of its own. It is the next epoch from its start, whether the last pass was finished,
left, or taken by count; only the first pass after `load_state_dict` goes on in the middle. `len()` is the batches of a
whole pass, `remaining` what is left.

The state is which data, in which order, seed, epoch, and how many positions of the epoch all ranks together have taken.
It is the same on every rank, counts what was delivered and not what was prepared ahead, and another number of ranks,
another batch size or another framework goes on from it.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from weakref import WeakMethod

import numpy as np
from numpy.typing import NDArray

from lra_data.checks import whole_number
from lra_data.errors import UsageError
from lra_data.loading.batch_making.batch_sources import Source
from lra_data.loading.batch_making.collate import Batch, BatchShape, ProtocolBatch
from lra_data.loading.epoch.epoch_order import EpochOrder
from lra_data.loading.epoch.rank_shares import RankShares
from lra_data.loading.epoch.ranks import Ranks
from lra_data.loading.passes.ledger import STATE, Ledger
from lra_data.loading.passes.one_pass import Pass
from lra_data.loading.passes.position import Position
from lra_data.task import Task

__all__ = ["STATE", "Batches", "Pass"]


class Listener(NamedTuple):
    """Who is told of a choice: see `Batches.when_chosen`."""

    call: WeakMethod[Callable[[Mapping[str, int]], None]]
    used: WeakMethod[Callable[[], bool]] | None


class Batches:
    """The batches of one rank: `iter` begins a pass, `state_dict` at any step, `load_state_dict` to go on.

    `next` draws from the pass that `iter` gave last, or from a first one. The rank is looked up when a pass begins, in
    the process that iterates, so that this object may be made before the ranks are there.
    """

    def __init__(
        self,
        source: Source,
        task: Task,
        data: str,
        shares: RankShares,
        shape: BatchShape,
        epoch_order: EpochOrder,
        *,
        rank: int | None,
        world_size: int | None,
        seed: int,
        epoch: int,
        epochs: int | None,
        prefetch: int,
        threads: int,
    ) -> None:
        """data: digest that names the rows. shares: of one rank. See `Dataset.batches` for the others."""
        self._prefetch, self._threads = whole_number("prefetch", prefetch, 0), whole_number("threads", threads, 1)
        if epochs is not None:
            epochs = whole_number("epochs (or None for no end)", epochs, 1)
        self._source, self._shape = source, shape
        self.batch_size = shares.batch_size
        self.task = task
        self._ledger = Ledger(
            source,
            data,
            shape,
            shares,
            epoch_order,
            rank=rank,
            world_size=world_size,
            seed=seed,
            epoch=epoch,
            epochs=epochs,
        )
        self._drawn: Pass | None = None
        self._listeners: list[Listener] = []

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_listeners": []}

    def __repr__(self) -> str:
        try:
            ranks = "rank {} of {} from {}".format(*self.ranks)
        except UsageError:
            ranks = "rank not known yet"
        return f"Batches({self.task.name}, batch_size={self.batch_size}, epoch={self.epoch}, {ranks})"

    def copy(self) -> "Batches":
        """Other batches with the same next pass, whose passes and state do not touch these.

        What `set_epoch` and `load_state_dict` choose here, they take over.
        """
        other = object.__new__(Batches)
        other.__dict__.update(self.__dict__)
        other._ledger, other._drawn, other._listeners = self._ledger.copy(), None, []
        self.when_chosen(other.choose)
        return other

    @property
    def num_epochs(self) -> int | None:
        """Epochs a pass; None if it has no end."""
        return self._ledger.epochs

    @property
    def epoch(self) -> int:
        """The epoch of the last batch that was delivered, or the one that the next pass begins with."""
        return self._ledger.epoch

    @property
    def ranks(self) -> Ranks:
        """This process's rank, the number of ranks, and who says so: what a pass that began now would have."""
        return self._ledger.ranks()

    @property
    def offset(self) -> int:
        """What is still to be added to the values of a batch of uint8 when it is widened; 0 for int32."""
        return self._shape.offset_for(self.task) if self._shape.dtype == "uint8" else 0

    def __len__(self) -> int:
        """Batches of a whole pass, the same for all ranks and at any time; TypeError if there is no end."""
        return self._ledger.pass_length

    @property
    def remaining(self) -> int:
        """Batches that are left of the pass that began last, the same for all ranks; TypeError if there is no end.

        After `set_epoch` or `load_state_dict`, and at first, of the pass that is to begin.
        """
        return self._ledger.remaining

    def __iter__(self) -> Pass:
        self._drawn = Pass(self._ledger, self._prefetch, self._threads)
        return self._drawn

    def __next__(self) -> Batch | ProtocolBatch:
        return next(self._drawn_from())

    def _drawn_from(self) -> Pass:
        return self._drawn or iter(self)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next pass; passes that have begun go on. The next pass after it is the next epoch.

        After `load_state_dict`, the epoch of the state means the rest of it.
        """
        used = [listener.used() for listener in self._listeners if listener.used is not None]
        if any(ask() for ask in used if ask is not None):
            self._ledger.forget_loaded()
        self._ledger.set_epoch(epoch)
        self._chosen()

    def _chosen(self) -> None:
        self._drawn = None
        for listener in self._listeners:
            if (call := listener.call()) is not None:
                call(self.choice())

    def when_chosen(self, call: Callable[[Mapping[str, int]], None], used: Callable[[], bool] | None = None) -> None:
        """Call a method of an object, while it lives, with what `set_epoch` and `load_state_dict` chose.

        used: its method that tells whether a pass elsewhere has begun with the last choice.
        """
        self._listeners = [listener for listener in self._listeners if listener.call() is not None]
        self._listeners.append(Listener(WeakMethod(call), None if used is None else WeakMethod(used)))

    def choice(self) -> dict[str, int]:
        """The start of the next pass, for `choose` of a copy in another process."""
        return self._ledger.choice()

    def choose(self, choice: Mapping[str, int]) -> None:
        """Take over the start of the next pass from another process."""
        self._ledger.choose(choice)
        self._chosen()

    def state_of(self, position: Position) -> dict[str, Any]:
        """The state at a position."""
        return self._ledger.state_of(position.epoch, position.taken)

    def next_pass(self) -> Position:
        """Where the next pass would be, with this process's rank. It does not begin."""
        return self._ledger.position()

    def ahead(self, steps: int) -> Batch | ProtocolBatch | None:
        """The batch after the next `steps` ones of `next`, without moving; None beyond the end of the pass."""
        return self._drawn_from().ahead(steps)

    def places(self, steps: int) -> NDArray[np.int64] | None:
        """The places in the split's selection of the examples that `ahead` would give: int64 (B,)."""
        return self._drawn_from().places(steps)

    def skip(self, steps: int) -> None:
        """Move on by that many batches of `next`, as if they had been delivered, at no cost."""
        self._drawn_from().skip(steps)

    def state_dict(self) -> dict[str, Any]:
        """Where the pass that began last is, counted in batches that were delivered: JSON values.

        Behind the end of a pass it is the beginning of the next one, as for another `for` loop in this process.
        """
        return self._ledger.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where another iterator over the same data in the same order was, of whatever ranks and batch size.

        The next pass goes on there, to the end of the `epochs` epochs that the state's epoch belongs to; where nothing
        is left, it is the next epoch. Raises UsageError for a state of other data or another order, or a malformed one.
        """
        self._ledger.load_state_dict(state)
        self._chosen()
