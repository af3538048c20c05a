"""The rows of a set as another code base reads them: same ids, same lengths, same order. Only exact readings apply.

Each code base has its own module in `lra_data/interop`. Batches for training, shuffles and ranks are not here.
"""

import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from lra_data.arrow_columns import column
from lra_data.errors import UsageError
from lra_data.interop.code_bases import get_protocol, get_reading, protocol_names
from lra_data.interop.protocol import Order, Read, Reading
from lra_data.splits import split_name
from lra_data.store.row_access import Rows
from lra_data.task import Task


class ProtocolView:
    """The splits of a set under a protocol; `take` reads examples by their place in the protocol's order."""

    def __init__(self, rows: Rows, name: str) -> None:
        self._rows, self.name = rows, name
        family = rows.task.family
        self.reading: Reading = get_reading(name, family)
        if self.reading.view is None:
            raise UsageError(
                f"expected a protocol that is exact for {family}{_examples(family)}; {name} is only described: "
                f"{'; '.join(self.reading.differences)}"
            )
        self._view = self.reading.view
        refusal = self._view.refusal(rows.task)
        if refusal:
            raise UsageError(f"the protocol {name} {refusal}; got {rows.task.name}")

    @property
    def task(self) -> Task:
        """The task of the rows."""
        return self._rows.task

    @property
    def identity(self) -> str:
        """The identity of the set in words: the task's record, the seed and the sizes."""
        config = json.dumps(self._rows.task.identity(), sort_keys=True)
        return f"{self._rows.task.name} {config} {self._rows.seed} {self._rows.sizes}"

    @property
    def sizes(self) -> dict[str, int]:
        """Examples a split."""
        return {split: len(order) for split, order in self._orders.items()}

    def place(self, split: str, position: int) -> tuple[str, int]:
        """Our split and index for a position of the protocol's split; UsageError for a position out of range."""
        order = self._orders[split_name(split)]
        if not 0 <= position < len(order):
            raise UsageError(f"expected a position from 0 to {len(order) - 1} in {split}, got {position}")
        return order[position]

    def take(self, split: str, positions: Sequence[int]) -> Read:
        """The examples at these positions of the protocol's split, in this order."""
        places = [self.place(split, position) for position in positions]
        splits = list(dict.fromkeys(own for own, _ in places)) or ["train"]
        taken = [self._rows.take(own, [index for split, index in places if split == own]) for own in splits]
        batch = taken[0]
        if len(taken) > 1:
            # For each place: the split whose next row it takes.
            first = dict(zip(splits, np.cumsum([0, *map(len, taken[:-1])]).tolist(), strict=True))
            order = []
            for own, _ in places:
                order.append(first[own])
                first[own] += 1
            batch = pa.concat_batches(taken).take(column(np.array(order, dtype=np.int64)))
        return self._view.encode(batch, self._learned)

    @cached_property
    def _orders(self) -> Order:
        return self._view.order(self._rows)

    @cached_property
    def _learned(self) -> Any:
        return self._view.learn(self._rows)


def _examples(family: str) -> str:
    exact = [name for name in protocol_names() if family in get_protocol(name) and get_protocol(name)[family].exact]
    return f", such as {exact[0]}" if exact else ""


def open_protocol(name: str, rows: Rows) -> ProtocolView:
    """The set as the protocol `name` reads it; raises UsageError if the protocol only describes the task."""
    return ProtocolView(rows, name)
