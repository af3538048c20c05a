"""Iterates over a split in batches: each example once an epoch, over all ranks, also after a stop at any step.

The state is four numbers: which data, seed, epoch, and how many positions of the epoch all ranks together have taken.
It is the same on every rank, and another number of ranks or another batch size goes on from it.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lra_data.errors import UsageError
from lra_data.loading.collate import Batch, Form, collate
from lra_data.loading.order import Permutation
from lra_data.loading.shares import Sharing
from lra_data.task import Task, check_seed

# Positions put in order at a time: one by one would cost more than reading the rows.
_BLOCK = 4096

STATE = ("data", "seed", "epoch", "taken")


class Batches:
    """An iterator over the batches of one rank in one epoch; `state_dict` at any step, `load_state_dict` to go on."""

    def __init__(
        self,
        take: Callable[[Sequence[int]], pa.RecordBatch],
        task: Task,
        data: str,
        sharing: Sharing,
        rank: int,
        form: Form,
        *,
        shuffle: bool,
        seed: int,
        epoch: int,
    ) -> None:
        """take: rows by their places in the split's selection. data: digest that names them."""
        sharing.check_rank(rank)
        self._take, self._task, self._data = take, task, data
        self._sharing, self._rank, self._form = sharing, rank, form
        self._shuffle = shuffle
        self._begin(seed, epoch, 0)

    def _begin(self, seed: int, epoch: int, taken: int) -> None:
        check_seed(seed)
        if not isinstance(epoch, int) or isinstance(epoch, bool) or epoch < 0:
            raise UsageError(f"expected an epoch from 0 on, got {epoch!r}")
        self._seed, self._epoch, self._taken = seed, epoch, taken
        self._order = Permutation(self._sharing.n, seed=seed, epoch=epoch) if self._shuffle else None
        self._block_start = -1
        self._block = np.empty(0, dtype=np.int64)

    def __len__(self) -> int:
        """Batches that are left, the same for all ranks."""
        return self._sharing.steps_from(self._taken)

    def __iter__(self) -> "Batches":
        return self

    def __next__(self) -> Batch:
        if len(self) == 0:
            raise StopIteration
        positions = self._sharing.positions(self._taken, self._rank)
        rows = self._take(self._examples(positions).tolist())
        batch = collate(rows, self._task, self._form)
        self._taken = self._sharing.after(self._taken)
        return batch

    def _examples(self, positions: range) -> NDArray[np.int64]:
        """The places of the split's selection at these positions of the epoch."""
        wanted = np.arange(positions.start, positions.stop, dtype=np.int64)
        if positions.stop > self._sharing.n:  # padded with the epoch's first examples
            wanted %= self._sharing.n
            return wanted if self._order is None else self._order(wanted)
        if self._order is None:
            return wanted
        if not self._block_start <= positions.start <= positions.stop <= self._block_start + len(self._block):
            stop = min(positions.start + max(_BLOCK, len(positions)), self._sharing.n)
            self._block_start = positions.start
            self._block = self._order(np.arange(positions.start, stop, dtype=np.int64))
        return self._block[positions.start - self._block_start : positions.stop - self._block_start]

    def state_dict(self) -> dict[str, Any]:
        """Where the epoch stands, counted in batches that were delivered: JSON values."""
        return dict(zip(STATE, (self._data, self._seed, self._epoch, self._taken), strict=True))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where another iterator over the same data stood, of whatever ranks and batch size.

        Raises UsageError for the state of other data, or one that is none.
        """
        if set(state) != set(STATE):
            raise UsageError(f"expected a state with {', '.join(STATE)}, got {', '.join(map(str, state)) or 'nothing'}")
        if state["data"] != self._data:
            raise UsageError(
                f"expected a state of the data {self._data}, got one of {state['data']}: another set, split or slice"
            )
        taken = state["taken"]
        if not isinstance(taken, int) or not 0 <= taken <= self._sharing.n:
            raise UsageError(f"expected a state with taken from 0 to {self._sharing.n}, got {taken!r}")
        self._begin(state["seed"], state["epoch"], taken)


def from_environment(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Rank and world size, where they are not given from RANK and WORLD_SIZE, as torchrun sets them; else one rank."""
    if (rank is None) != (world_size is None):
        raise UsageError(f"expected both rank and world_size or neither, got {rank!r} and {world_size!r}")
    if rank is not None and world_size is not None:
        return rank, world_size
    found = [os.environ.get(name) for name in ("RANK", "WORLD_SIZE")]
    if found == [None, None]:
        return 0, 1
    if not all(text is not None and text.isdecimal() for text in found):
        raise UsageError(f"expected whole numbers in RANK and WORLD_SIZE, got {found[0]!r} and {found[1]!r}")
    return int(found[0] or 0), int(found[1] or 1)
