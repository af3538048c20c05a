"""One split as a protocol reads it: the other code base's order and ids, our batches, ranks and state."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lra_data.loading.batch_making.batch_sources import ProtocolSource
from lra_data.loading.batch_making.collate import BatchShape, ProtocolBatch
from lra_data.loading.batch_making.protocol_rows import ProtocolView
from lra_data.loading.batches import Batches
from lra_data.loading.dataset import as_int, chosen_rows
from lra_data.loading.epoch.epoch_order import EpochOrder
from lra_data.loading.epoch.rank_shares import RankShares
from lra_data.shown import Shown
from lra_data.task import Task, check_seed


class ProtocolDataset(Shown):
    """Examples of one split under a protocol. `[i]`, `[i:j]` and a list of places are batches."""

    def __init__(self, view: ProtocolView, split: str, selected: range) -> None:
        self._view, self.split, self._selected = view, split, selected

    def shown_facts(self) -> dict[str, Any]:
        """See Shown."""
        return {"protocol": self._view.name, "task": self.task.name, "split": self.split, "rows": len(self)}

    @property
    def task(self) -> Task:
        """The task that is read."""
        return self._view.task

    @property
    def identity(self) -> str:
        """A digest of which examples these are: 32 hex digits."""
        what = f"{self._view.name} {self._view.identity} {self.split} {self._selected}"
        return hashlib.sha256(what.encode()).hexdigest()[:32]

    def source(self) -> ProtocolSource:
        """The split's examples for `batch_sources.py`."""
        return ProtocolSource(self._view, self.split, self._selected)

    def __len__(self) -> int:
        return len(self._selected)

    def __getitem__(self, place: int | slice | Sequence[int] | NDArray[Any]) -> ProtocolBatch:
        rows = chosen_rows(self._selected, place)
        chosen = [rows] if isinstance(rows, int) else rows
        places = np.array(chosen, dtype=np.int64) - self._selected.start
        return self.source().prepare(places, BatchShape()).batch(0, len(places))

    def batches(
        self,
        batch_size: int,
        *,
        shuffle: bool = False,
        bucket_window: int | None = None,
        seed: int = 0,
        epoch: int = 0,
        epochs: int | None = 1,
        rank: int | None = None,
        world_size: int | None = None,
        remainder: str = "keep",
        prefetch: int = 0,
        threads: int = 1,
    ) -> Batches:
        """Batches of type `ProtocolBatch`; the protocol sets lengths and values. See `Dataset.batches` for the rest."""
        return Batches(
            self.source(),
            self.task,
            self.identity,
            RankShares(n=len(self), batch_size=batch_size, remainder=remainder),
            BatchShape(),
            EpochOrder(shuffle=shuffle, bucket_window=bucket_window),
            rank=as_int(rank),
            world_size=as_int(world_size),
            seed=check_seed(seed),
            epoch=epoch,
            epochs=epochs,
            prefetch=prefetch,
            threads=threads,
        )
