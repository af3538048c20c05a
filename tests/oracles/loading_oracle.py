"""Which examples stand in which batch of which rank, written plainly from docs/loading.md, "The order of an epoch".

It is for checking the fast code batch by batch: lists and loops over a whole epoch, one position after another. Only
the keyed permutations are taken from the package, as a black box that test_permutation.py looks at. It deliberately
finds no position without all the others, keeps no state beside the positions taken, and reads no rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from lra_data.loading.epoch.permutation import Permutation

RUNS: Final = 16

# positions of each rank in one global step
Step = list[list[int]]


@dataclass(frozen=True)
class Order:
    """The arguments of `Dataset.batches` that decide on the order of an epoch, and what they need to know of the rows.

    shards: rows of each shard that the slice reaches into. block: rows of a record batch. lengths: of each place.
    """

    shuffle: bool = False
    window: int | None = None
    shards_at_once: int = 1
    bucket_window: int | None = None
    seed: int = 0
    shards: tuple[int, ...] = ()
    block: int = 1
    lengths: tuple[int, ...] = ()

    def epoch(self, n: int, epoch: int) -> list[int]:
        """The place at each position of an epoch."""
        order = list(range(n))
        if self.shuffle and self.window is None:
            order = permuted(order, self.seed, epoch)
        elif self.window is not None:
            order = windowed(self.shards, self.block, self.window, self.shards_at_once, self.seed, epoch)
        if self.bucket_window is not None:
            order = bucketed(order, self.lengths, self.bucket_window, self.seed, epoch)
        return order


def permuted(things: list[int], seed: int, epoch: int, part: str = "") -> list[int]:
    """Things in the keyed order of their number."""
    order = Permutation(len(things), seed=seed, epoch=epoch, part=part)
    return [things[int(order(np.array([position], dtype=np.int64))[0])] for position in range(len(things))]


def windowed(shards: Sequence[int], block: int, window: int, at_once: int, seed: int, epoch: int) -> list[int]:
    """Places for reading in a piece: shards, then blocks of a group of shards, then rows within windows."""
    blocks_of_shards: list[list[list[int]]] = []
    first = 0
    for rows in shards:
        places = list(range(first, first + rows))
        blocks_of_shards.append(list(pieces(places, block)))
        first += rows
    turns = permuted(list(range(len(shards))), seed, epoch, " shards")
    order = []
    for group, members in enumerate(pieces(turns, at_once)):
        blocks = [one for shard in members for one in blocks_of_shards[shard]]
        mixed = permuted(list(range(len(blocks))), seed, epoch, f" blocks {group}")
        sequence = [place for number in mixed for place in blocks[number]]
        for number, places in enumerate(pieces(sequence, window)):
            order += permuted(places, seed, epoch, f" window {group} {number}")
    return order


def bucketed(order: list[int], lengths: Sequence[int], window: int, seed: int, epoch: int) -> list[int]:
    """An order sorted by length within windows, whose runs, 16 or one for each place, come in a keyed order."""
    result = []
    for number, places in enumerate(pieces(order, window)):
        left = sorted(places, key=lambda place: lengths[place])  # equal lengths stay in the order they have
        runs = []
        for coming in range(min(RUNS, len(left)), 0, -1):
            size = -(-len(left) // coming)  # within one of each other, the longer runs first
            runs.append(left[:size])
            left = left[size:]
        for run in permuted(list(range(len(runs))), seed, epoch, f" runs {number}"):
            result += runs[run]
    return result


def pieces(things: list[int], size: int) -> Iterator[list[int]]:
    """Things cut into lists of `size`, the last of which may be smaller."""
    for first in range(0, len(things), size):
        yield things[first : first + size]


def steps(n: int, taken: int, batch_size: int, world_size: int, remainder: str) -> list[Step]:
    """The global steps that are left of an epoch when its first `taken` positions have been taken."""
    found: list[Step] = []
    left = list(range(taken, n))
    while left:
        if len(left) < batch_size * world_size:
            if remainder == "drop":
                break
            if remainder == "pad":
                position = 0
                while len(left) < batch_size * world_size:
                    left.append(position % n)
                    position += 1
        now, left = left[: batch_size * world_size], left[batch_size * world_size :]
        if len(now) == batch_size * world_size:
            found.append([now[rank * batch_size : (rank + 1) * batch_size] for rank in range(world_size)])
            continue
        step: Step = []
        for rank in range(world_size):
            share = len(now) // world_size + (1 if rank < len(now) % world_size else 0)
            begin = sum(map(len, step))
            step.append(now[begin : begin + share])
        found.append(step)
    return found


def stream(
    order: Order,
    n: int,
    *,
    batch_size: int,
    rank: int = 0,
    world_size: int = 1,
    remainder: str = "keep",
    epoch: int = 0,
    epochs: int = 1,
    taken: int = 0,
    first_index: int = 0,
) -> list[list[int]]:
    """The indices in each batch of a rank in some epochs, from `taken` positions of the first epoch on.

    first_index: number in the split of the slice's first row.
    """
    batches = []
    for number in range(epoch, epoch + epochs):
        places = order.epoch(n, number)
        for step in steps(n, taken if number == epoch else 0, batch_size, world_size, remainder):
            batches.append([first_index + places[position] for position in step[rank]])
    return batches
