"""Two orders for sets that the full shuffle of `permutation.py` does not suit; each is a pure permutation. A third one,
for many ranks, is in `streams.py`.

`Windowed` is for files that are read whole, because they are remote or compressed. Shards come in a keyed order, a few
at a time; their blocks (64 rows each) come in a keyed order; rows are shuffled within windows of that sequence. One
shard is enough to read a batch, and to resume after a stop.

`Bucketed` sorts any order by length within windows of its positions, so that a batch needs less padding. A sorted
window is cut into RUNS pieces, which come in a keyed order. The order does not depend on batch size or ranks, so a run
may change both.

In both orders a position depends only on its window, so the state of an iteration is one integer.
"""

import hashlib
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lra_data.loading.epoch.permutation import Permutation

Order = Callable[[NDArray[np.int64]], NDArray[np.int64]]

BLOCK = 64
RUNS = 16

# Number of windows in memory: the current one, the next one that a batch reaches into, and one for another thread.
_KEPT = 3


def in_rows(positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """The order of the rows themselves."""
    return positions


class Windowed:
    """Places 0 .. n - 1 in an order that reads shards whole.

    starts: first place of each shard, and n, int64 (shards + 1,).
    window: number of places that are shuffled with each other.
    at_once: number of shards whose blocks are mixed.
    block: rows per block; blocks smaller than the files' record batches mix better, at no cost for whole shards.
    part: gives several orders for the same shards.
    """

    def __init__(
        self,
        starts: NDArray[np.int64],
        *,
        window: int,
        at_once: int,
        seed: int,
        epoch: int,
        block: int = BLOCK,
        part: str = "",
    ) -> None:
        self._part = part
        self._block, self._window, self._seed, self._epoch = block, min(window, max(int(starts[-1]), 1)), seed, epoch
        shards = len(starts) - 1
        order = Permutation(shards, seed=seed, epoch=epoch, part=f" shards{part}")(np.arange(shards))
        self._groups = [
            [(int(starts[shard]), int(starts[shard + 1])) for shard in order[first : first + at_once]]
            for first in range(0, shards, at_once)
        ]
        sizes = [sum(stop - start for start, stop in group) for group in self._groups]
        self._reached = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self._kept = lru_cache(maxsize=_KEPT)(self._places)

    def __call__(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The places at these positions: int64 of any shape to int64 of that shape."""
        places = np.empty_like(positions)
        groups = np.searchsorted(self._reached, positions, side="right") - 1
        windows = (positions - self._reached[groups]) // self._window
        for group, window in np.unique(np.stack([groups.ravel(), windows.ravel()]), axis=1).T.tolist():
            here = (groups == group) & (windows == window)
            first = int(self._reached[group]) + window * self._window
            places[here] = self._kept(group, window)[positions[here] - first]
        return places

    def _places(self, group: int, window: int) -> NDArray[np.int64]:
        """The places of one window, shuffled."""
        blocks = [
            (start, min(start + self._block, stop))
            for first, stop in self._groups[group]
            for start in range(first, stop, self._block)
        ]
        mixed = Permutation(len(blocks), seed=self._seed, epoch=self._epoch, part=f" blocks {group}{self._part}")
        begin = window * self._window
        reached, pieces, room = 0, list[NDArray[np.int64]](), self._window
        for number in mixed(np.arange(len(blocks))).tolist():
            start, stop = blocks[number]
            skipped = min(max(begin - reached, 0), stop - start)
            taken = min(stop - start - skipped, room)
            pieces.append(np.arange(start + skipped, start + skipped + taken, dtype=np.int64))
            reached, room = reached + stop - start, room - taken
            if room == 0:
                break
        places = np.concatenate(pieces)
        shuffled = Permutation(
            len(places), seed=self._seed, epoch=self._epoch, part=f" window {group} {window}{self._part}"
        )
        return places[shuffled(np.arange(len(places)))]


class Bucketed:
    """An order of n positions, sorted by length within windows.

    lengths: int32 (k,) for places, int64 (k,).
    """

    def __init__(
        self,
        order: Order,
        lengths: Callable[[NDArray[np.int64]], NDArray[np.int32]],
        *,
        n: int,
        window: int,
        seed: int,
        epoch: int,
    ) -> None:
        self._order, self._lengths, self._n = order, lengths, n
        self._window, self._seed, self._epoch = min(window, max(n, 1)), seed, epoch
        self._kept = lru_cache(maxsize=_KEPT)(self._places)

    def __call__(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The places at these positions: int64 of any shape to int64 of that shape."""
        places = np.empty_like(positions)
        windows = positions // self._window
        for window in np.unique(windows).tolist():
            here = windows == window
            places[here] = self._kept(window)[positions[here] - window * self._window]
        return places

    def _places(self, window: int) -> NDArray[np.int64]:
        first = window * self._window
        places = self._order(np.arange(first, min(first + self._window, self._n), dtype=np.int64))
        by_length = places[np.argsort(self._lengths(places), kind="stable")]
        runs = np.array_split(by_length, min(RUNS, len(by_length)))
        mixed = Permutation(len(runs), seed=self._seed, epoch=self._epoch, part=f" runs {window}")
        return np.concatenate([runs[run] for run in mixed(np.arange(len(runs))).tolist()])


def shards_digest(starts: NDArray[np.int64]) -> str:
    """8 hex digits that identify the first places of the shards; a windowed order is valid only for these shards."""
    return hashlib.sha256(str(starts.tolist()).encode()).hexdigest()[:8]
