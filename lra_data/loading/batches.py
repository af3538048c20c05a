"""The batches of a split: each example once per epoch, over all ranks, also after a stop at any step.

    for batch in batches: ...      one pass: one epoch, or `epochs` epochs
    for batch in batches: ...      the next pass: the next epoch, from its start, in another order

`iter()` gives a pass, an object of its own. A pass is the next epoch from its start, whether or not the last pass was
finished; only the first pass after `load_state_dict` starts in the middle. `len()` is the number of batches of a whole
pass, `remaining` the number of batches that are left.

The state holds the data, the order, the seed, the epoch, and how many positions of the epoch all ranks together have
taken. It is the same on every rank. It counts delivered batches, not batches prepared ahead. A run with another number
of ranks, another batch size or another framework can continue from it.
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
from lra_data.shown import Shown
from lra_data.task import Task

__all__ = ["STATE", "Batches", "Pass"]


class Listener(NamedTuple):
    """A listener for choices: see `Batches.when_chosen`."""

    call: WeakMethod[Callable[[Mapping[str, int]], None]]
    used: WeakMethod[Callable[[], bool]] | None


class Batches(Shown):
    """The batches of one rank: `iter` begins a pass, `state_dict` saves at any step, `load_state_dict` resumes.

    `next` draws from the pass that `iter` gave last, or from a first pass. The rank is looked up when a pass begins, in
    the process that iterates, so this object may be made before the ranks are known.
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
        """data: digest that names the rows. See `Dataset.batches` for the others."""
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

    def shown_facts(self) -> dict[str, Any]:
        """See Shown."""
        facts = {"task": self.task.name, "split": self._source.split, "batch_size": self.batch_size}
        try:
            ranks = "{} of {} from {}".format(*self.ranks)
        except UsageError:
            ranks = "not known yet"
        return facts | {"epoch": self.epoch, "rank": ranks}

    def copy(self) -> "Batches":
        """Other batches with the same next pass, whose passes and state are independent of these.

        They also follow later calls of `set_epoch` and `load_state_dict` on these batches.
        """
        other = object.__new__(Batches)
        other.__dict__.update(self.__dict__)
        other._ledger, other._drawn, other._listeners = self._ledger.copy(), None, []
        self.when_chosen(other.choose)
        return other

    @property
    def num_epochs(self) -> int | None:
        """Epochs per pass; None if it has no end."""
        return self._ledger.epochs

    @property
    def epoch(self) -> int:
        """The epoch of the last batch that was delivered, or the one that the next pass begins with."""
        return self._ledger.epoch

    @property
    def ranks(self) -> Ranks:
        """This process's rank, the number of ranks, and their source, as for a pass that began now."""
        return self._ledger.ranks()

    @property
    def offset(self) -> int:
        """The number to add to the values of a uint8 batch when it is widened; 0 for int32."""
        return self._shape.offset_for(self.task) if self._shape.dtype == "uint8" else 0

    def __len__(self) -> int:
        """Number of batches of a whole pass, the same on all ranks and at any time; TypeError if it has no end."""
        return self._ledger.pass_length

    @property
    def remaining(self) -> int:
        """Number of batches left in the pass that began last, the same on all ranks; TypeError if it has no end.

        Before the first pass, and after `set_epoch` or `load_state_dict`, the number for the next pass.
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
        """Choose the epoch of the next pass; passes that have begun are not affected. Later passes count on from it.

        After `load_state_dict`, choosing the epoch of the state means the rest of that epoch.
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
        """Call a method with each choice of `set_epoch` and `load_state_dict`, as long as its object exists.

        used: a method of the same object that tells whether a pass elsewhere has begun with the last choice.
        """
        self._listeners = [listener for listener in self._listeners if listener.call() is not None]
        self._listeners.append(Listener(WeakMethod(call), None if used is None else WeakMethod(used)))

    def choice(self) -> dict[str, int]:
        """The start of the next pass, for `choose` of a copy in another process."""
        return self._ledger.choice()

    def choose(self, choice: Mapping[str, int]) -> None:
        """Adopt the start of the next pass from another process."""
        self._ledger.choose(choice)
        self._chosen()

    def state_of(self, position: Position) -> dict[str, Any]:
        """The state at a position."""
        return self._ledger.state_of(position.epoch, position.taken)

    def next_pass(self) -> Position:
        """The position of the next pass, with this process's rank. The pass does not begin."""
        return self._ledger.position()

    def ahead(self, steps: int) -> Batch | ProtocolBatch | None:
        """The batch that follows the next `steps` batches, without advancing; None beyond the end of the pass."""
        return self._drawn_from().ahead(steps)

    def places(self, steps: int) -> NDArray[np.int64] | None:
        """The places, within the split's selection, of the examples in `ahead(steps)`: int64 (B,)."""
        return self._drawn_from().places(steps)

    def skip(self, steps: int) -> None:
        """Skip that many batches as if they had been delivered, without making them."""
        self._drawn_from().skip(steps)

    def state_dict(self) -> dict[str, Any]:
        """The position of the pass that began last, counted in delivered batches, as JSON values.

        After the end of a pass, it is the start of the next pass, as for another `for` loop in this process.
        """
        return self._ledger.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where another iterator over the same data in the same order was; ranks and batch size may differ.

        The next pass starts there and ends with the `epochs` epochs that the state's epoch belongs to. If no batch is
        left, it is the next epoch. Raises UsageError for a state of other data or another order, or a malformed one.
        """
        self._ledger.load_state_dict(state)
        self._chosen()
