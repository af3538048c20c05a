"""The ledger: the epoch of the next pass, and the position of the pass that began last. It makes no batches.

An epoch counts as begun when its first batch is drawn. The next pass starts with the epoch after the pass that began
last, even if that pass was not finished; `set_epoch` and `load_state_dict` choose another start for one pass. Passes
of `epochs` epochs are counted from the first epoch, and a pass that starts inside one of them ends with it.
"""

import operator
import os
from collections.abc import Mapping
from contextlib import suppress
from copy import copy
from dataclasses import replace
from functools import lru_cache, partial
from threading import RLock
from typing import Any

from lra_data.checks import whole_number
from lra_data.errors import UsageError
from lra_data.loading.batch_making.batch_maker import BatchMaker
from lra_data.loading.batch_making.batch_sources import Source
from lra_data.loading.batch_making.collate import BatchShape
from lra_data.loading.epoch.epoch_order import EpochOrder
from lra_data.loading.epoch.rank_shares import RankShares
from lra_data.loading.epoch.ranks import RankNotKnownYetError, Ranks, find_ranks, in_torch_worker, say_once
from lra_data.loading.epoch.windowed import Order
from lra_data.loading.passes.position import Position
from lra_data.loading.passes.shared_twice import refuse_second_sharing
from lra_data.task import check_seed

STATE = ("data", "order", "seed", "epoch", "taken")


class Orders:
    """The orders of the epochs that were last used."""

    def __init__(self, epoch_order: EpochOrder, source: Source, n: int) -> None:
        self._what = (epoch_order, source, n)
        self._kept = lru_cache(maxsize=2)(self._make)

    def __reduce__(self) -> tuple[Any, ...]:
        return Orders, self._what

    def __call__(self, seed: int, epoch: int) -> Order:
        """The order of one epoch."""
        return self._kept(seed, epoch)

    def _make(self, seed: int, epoch: int) -> Order:
        epoch_order, source, n = self._what
        return epoch_order.order(source.lengths, n, seed, epoch)


class Ledger:
    """The state that the passes of one `Batches` share: the data, their order, and the next epoch."""

    def __init__(
        self,
        source: Source,
        data: str,
        shape: BatchShape,
        shares: RankShares,
        epoch_order: EpochOrder,
        *,
        rank: int | None,
        world_size: int | None,
        seed: int,
        epoch: int,
        epochs: int | None,
    ) -> None:
        """sharing: for one rank; a pass sets the world size when it begins. See `Dataset.batches` for the others."""
        self.source, self.data, self.shape, self.epoch_order, self.epochs = source, data, shape, epoch_order, epochs
        self._shares, self._asked = shares, (rank, world_size)
        self._inherited: tuple[int, Ranks] | None = None  # the process that unpickled this, and the rank of the other
        self._orders = Orders(epoch_order, source, shares.n)
        self._start_up()
        with suppress(RankNotKnownYetError):
            self.shares()  # an invalid rank fails here, not at the first batch
        self.seed, epoch = self._checked(seed, epoch)
        self._first_epoch = epoch
        # The chosen start of the next pass; None means the epoch `_after`, which follows the pass that began last.
        self._choice: tuple[int, int] | None = (epoch, 0)
        self._after, self._loaded = epoch, False
        self._latest: Position | None = None
        self._where = (epoch, 0)
        self._before_latest: tuple[Any, ...] = ()
        self.changes = 0  # counts begun passes and choices: loader workers compare it

    _OWN = ("_process", "_lock")

    def _start_up(self) -> None:
        """Create the lock, which each process needs for itself: after a fork, no thread may exist to release it."""
        self._process, self._lock = os.getpid(), RLock()

    def __getstate__(self) -> dict[str, Any]:
        """Include this process's rank, for a worker process that is started fresh."""
        state = {name: value for name, value in self.__dict__.items() if name not in self._OWN}
        state["_inherited"] = None
        with suppress(UsageError):  # the error is raised when a pass begins
            state["_inherited"] = self.ranks()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        ranks = state["_inherited"]
        self.__dict__.update({**state, "_inherited": None if ranks is None else (os.getpid(), ranks)})
        self._start_up()

    def copy(self) -> "Ledger":
        """An independent ledger with the same next pass."""
        other = copy(self)
        other._choice, other._latest, other._where = self.next_start(), None, self.next_start()
        return other

    @property
    def lock(self) -> Any:
        """Held while a pass begins."""
        if self._process != os.getpid():
            self._start_up()
        return self._lock

    def ranks(self) -> Ranks:
        """The rank of this process and the number of ranks; in a worker of a PyTorch loader, those of its parent."""
        # A forked worker has the environment and the process group of its parent.
        if self._inherited is not None and self._inherited[0] == os.getpid() and in_torch_worker():
            return self._inherited[1]
        return find_ranks(*self._asked)

    def shares(self) -> tuple[RankShares, int]:
        """The shares of the ranks, and the number of this rank."""
        ranks = self.ranks()
        shares = replace(self._shares, world_size=ranks.world_size)
        shares.check_rank(ranks.rank)
        return shares, ranks.rank

    def _checked(self, seed: int, epoch: int) -> tuple[int, int]:
        """Seed and epoch as ints; raises UsageError for invalid values."""
        check_seed(seed)
        epoch = whole_number("epoch", epoch, 0)
        self._orders(operator.index(seed), epoch)
        return operator.index(seed), epoch

    def _end_of_pass(self, epoch: int) -> int | None:
        """The epoch before which the pass with this epoch ends; passes are counted from the first epoch."""
        if self.epochs is None:
            return None
        return epoch + self.epochs - (epoch - self._first_epoch) % self.epochs

    def next_start(self) -> tuple[int, int]:
        """Epoch and positions taken where the next pass begins."""
        return self._choice or (self._after, 0)

    def position(self) -> Position:
        """The next pass, without beginning it."""
        shares, rank = self.shares()
        epoch, taken = self.next_start()
        until = self._end_of_pass(epoch)
        if taken and until == epoch + 1 and shares.steps_from(taken) == 0:  # no step is left: take the next epoch
            epoch, taken, until = until, 0, self._end_of_pass(until)
        maker = BatchMaker(self.source, self.shape, shares, rank, partial(self._orders, self.seed))
        return Position(maker, epoch, taken, until)

    def begin(self) -> Position:
        """Begin the next pass, unless it has no batches."""
        refuse_second_sharing(self.ranks)
        with self.lock:
            position = self.position()
            if position.place(0) is None:
                return position
            say_once(self.ranks())
            self._before_latest = (self._choice, self._after, self._loaded, self._latest, self._where)
            self._choice, self._loaded, self._latest = None, False, position
            self._where, self._after = (position.epoch, position.taken), position.after
            self.changes += 1
            return position

    def withdraw(self, position: Position) -> None:
        """Undo `begin`: the first batch could not be made."""
        with self.lock:
            if self._latest is position and self._choice is None and self._before_latest:
                self._choice, self._after, self._loaded, self._latest, self._where = self._before_latest

    def moved(self, position: Position) -> None:
        """Record that a pass delivered a batch; the state is that of the pass that began last."""
        with self.lock:
            if position is self._latest:
                self._where, self._after = (position.epoch, position.taken), position.after
                self._before_latest = ()  # it holds the batches that the last pass prepared

    def ended(self, position: Position) -> None:
        """Record that a pass was drawn to its end."""
        with self.lock:
            if position is self._latest:
                self._where = self.next_start()

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next pass; a loaded state's position in this epoch is kept."""
        with self.lock:
            _, epoch = self._checked(self.seed, epoch)
            if self._loaded and self._choice is not None and self._choice[0] == epoch:
                return
            self._first_epoch, self._choice, self._where, self._loaded = epoch, (epoch, 0), (epoch, 0), False
            self.changes += 1

    def forget_loaded(self) -> None:
        """Forget the loaded state's position, since a worker of another loader has used it."""
        self._loaded = False

    @property
    def epoch(self) -> int:
        """The epoch of the last batch that was delivered, or the one that the next pass begins with."""
        return self._where[0]

    @property
    def pass_length(self) -> int:
        """Batches of a whole pass; TypeError if it has no end."""
        if self.epochs is None:
            raise TypeError("batches without an end have no length")
        return self.epochs * self.shares()[0].steps_from(0)

    @property
    def remaining(self) -> int:
        """Batches left in the pass that began last, or in the next pass if its start was chosen since."""
        position = self._latest if self._choice is None else None
        return (position or self.position()).remaining

    def choice(self) -> dict[str, int]:
        """The start of the next pass, for a copy of this ledger in another process."""
        epoch, taken = self.next_start()
        return {
            "changes": self.changes,
            "seed": self.seed,
            "first_epoch": self._first_epoch,
            "epoch": epoch,
            "taken": taken,
        }

    def choose(self, choice: Mapping[str, int]) -> None:
        """Adopt a start from `choice` of a copy in another process."""
        with self.lock:
            self.changes, self.seed, self._first_epoch = (choice[name] for name in ("changes", "seed", "first_epoch"))
            self._choice = self._where = (choice["epoch"], choice["taken"])

    def state_of(self, epoch: int, taken: int) -> dict[str, Any]:
        """The state at a position."""
        return dict(zip(STATE, (self.data, self.epoch_order.name, self.seed, epoch, taken), strict=True))

    def state_dict(self) -> dict[str, Any]:
        """See `Batches.state_dict`."""
        return self.state_of(*self._where)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `Batches.load_state_dict`."""
        if not isinstance(state, Mapping):
            raise UsageError(f"expected a state with {', '.join(STATE)}, got {state!r}")
        if set(state) != set(STATE):
            raise UsageError(f"expected a state with {', '.join(STATE)}, got {', '.join(map(str, state)) or 'nothing'}")
        if state["data"] != self.data:
            raise UsageError(
                f"expected a state of the data {self.data}, got the data {state['data']}: another set, split or slice"
            )
        if state["order"] != self.epoch_order.name:
            raise UsageError(f"expected a state of the order {self.epoch_order.name!r}, got {state['order']!r}")
        taken = state["taken"]
        if not hasattr(taken, "__index__") or isinstance(taken, bool) or not 0 <= taken <= self._shares.n:
            raise UsageError(f"expected a state with taken from 0 to {self._shares.n}, got {taken!r}")
        with self.lock:
            self.seed, epoch = self._checked(state["seed"], state["epoch"])
            self._choice, self._loaded, self._latest = (epoch, operator.index(taken)), True, None
            with suppress(RankNotKnownYetError):
                position = self.position()
                self._choice = (position.epoch, position.taken)
            self._where = self._choice
            self.changes += 1
