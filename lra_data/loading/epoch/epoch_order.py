"""The order of the epochs of a run: its name for the state, and the order of one epoch."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lra_data.checks import whole_number, yes_or_no
from lra_data.errors import UsageError
from lra_data.loading.epoch.permutation import Permutation
from lra_data.loading.epoch.streams import Streams
from lra_data.loading.epoch.windowed import Bucketed, Order, Windowed, in_rows, shards_digest
from lra_data.task import MAX_INDEX


@dataclass(frozen=True, kw_only=True)
class EpochOrder:
    """The order of an epoch.

    shuffle: whether positions are permuted.
    starts: the first place of each shard, for a windowed order.
    window, at_once: see `windowed.Windowed`; without window, the whole split is one window.
    streams: number of streams; see `streams.Streams`.
    bucket_window: see `windowed.Bucketed`.
    fresh: whether every epoch has examples of its own.
    beyond: the place of the first example after the split, where the examples of epoch 1 begin.
    """

    shuffle: bool
    window: int | None = None
    at_once: int = 1
    starts: NDArray[np.int64] | None = None
    streams: int | None = None
    bucket_window: int | None = None
    fresh: bool = False
    beyond: int = 0

    def __post_init__(self) -> None:
        yes_or_no("shuffle", self.shuffle)
        yes_or_no("fresh", self.fresh)
        for field, name in (
            ("window", "window"),
            ("at_once", "shards_at_once"),
            ("streams", "streams"),
            ("bucket_window", "bucket_window"),
        ):
            value = getattr(self, field)
            if value is not None or field == "at_once":
                object.__setattr__(self, field, whole_number(name, value, 1))
        if self.window is not None and not self.shuffle:
            raise UsageError(f"expected shuffle=True with window={self.window}, got shuffle={self.shuffle!r}")
        if self.at_once != 1 and self.window is None:
            raise UsageError(f"expected window=… with shards_at_once={self.at_once}, got no window")
        if self.streams is not None and self.window is None:
            raise UsageError(f"expected window=… with streams={self.streams}, got no window")
        if self.streams is not None and self.bucket_window is not None:
            raise UsageError("expected either streams or bucket_window, which would mix the streams, got both")

    @cached_property
    def name(self) -> str:
        """The order in words, for the state: a state of another order is rejected."""
        words = "shuffled" if self.shuffle else "rows"
        if self.window is not None and self.starts is not None:
            shards = shards_digest(self.starts)
            words = f"shuffled in windows of {self.window}, {self.at_once} of shards {shards} at once"
            if self.streams is not None:
                words += f", in {self.streams} streams"
        if self.bucket_window is not None:
            words += f", by length in windows of {self.bucket_window}"
        return words + (", fresh examples" if self.fresh else "")

    def order(self, lengths: Callable[[NDArray[np.int64]], NDArray[np.int32]], n: int, seed: int, epoch: int) -> Order:
        """The order of one epoch's n positions. lengths: see `windowed.Bucketed`."""
        order: Order = in_rows
        if self.window is not None and self.starts is not None:
            if self.streams is None:
                order = Windowed(self.starts, window=self.window, at_once=self.at_once, seed=seed, epoch=epoch)
            else:
                order = Streams(
                    self.starts,
                    count=self.streams,
                    window=self.window,
                    at_once=self.at_once,
                    seed=seed,
                    epoch=epoch,
                )
        elif self.shuffle:
            order = Permutation(n, seed=seed, epoch=epoch)
        # Examples outside the slice are never drawn: after the slice come examples beyond the whole split.
        first = self.beyond + (epoch - 1) * n if self.fresh and epoch else 0
        if first + n > MAX_INDEX:
            raise UsageError(f"expected an epoch with examples up to {MAX_INDEX}, got {epoch}")
        if self.bucket_window is not None:
            order = Bucketed(
                order,
                lambda places: lengths(places + first),
                n=n,
                window=self.bucket_window,
                seed=seed,
                epoch=epoch,
            )
        return order if first == 0 else lambda positions: order(positions) + first
