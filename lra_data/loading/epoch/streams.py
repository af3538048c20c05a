"""An order for sets that are far away: a fixed number of streams over disjoint shards, of which ranks take whole ones.

The rows are cut, in file order, into `count` streams of equal length. Position p of an epoch belongs to stream
p mod count, and rank r of R takes the positions p with p mod R = r. So if R divides the number of streams, a rank takes
whole streams and reads only their shards, in every epoch; if the number of streams divides R, the R / count ranks of a
stream share it. Other numbers of ranks would make each rank read every shard, and are refused.

If `count` divides the number of shards, streams have no shard in common; otherwise neighbours share one. The last
n mod count examples, one of a stream, may fall to other ranks.

The order of an epoch does not depend on the ranks, so a run may continue with another number of them. Within a stream
the order is that of `windowed.py`.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lra_data.loading.epoch.windowed import Windowed


class Streams:
    """Places 0 .. n - 1 in streams.

    starts: first place of each shard, and n, int64 (shards + 1,).
    count: number of streams, at most n.
    window, at_once, seed, epoch: see `Windowed`.
    """

    def __init__(
        self, starts: NDArray[np.int64], *, count: int, window: int, at_once: int, seed: int, epoch: int
    ) -> None:
        n = int(starts[-1])
        self._starts, self._count, self._rounds = starts, count, n // count
        self._bounds = np.arange(count + 1, dtype=np.int64) * n // count
        # The streams with one row more than the others; there are n mod count of them.
        self._longer = np.flatnonzero(np.diff(self._bounds) > self._rounds)
        self._options = {"window": window, "at_once": at_once, "seed": seed, "epoch": epoch}
        self._stream = lru_cache(maxsize=None)(self._windowed)

    def __call__(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The places at these positions: int64 of any shape to int64 of that shape."""
        streams, inside = positions % self._count, positions // self._count
        last = inside == self._rounds
        streams[last] = self._longer[streams[last]]
        places = np.empty_like(positions)
        for stream in np.unique(streams).tolist():
            here = streams == stream
            places[here] = self._stream(stream)(inside[here]) + self._bounds[stream]
        return places

    def _windowed(self, stream: int) -> Windowed:
        """The order of one stream, whose places are counted from its first."""
        first, stop = int(self._bounds[stream]), int(self._bounds[stream + 1])
        between = self._starts[(self._starts > first) & (self._starts < stop)]
        starts = np.concatenate([[first], between, [stop]]) - first
        return Windowed(starts, **self._options, part=f" stream {stream}")
