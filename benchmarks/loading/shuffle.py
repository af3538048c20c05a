"""Difference between a windowed order and a full shuffle: `python -m benchmarks.loading.shuffle`.

    python -m benchmarks.loading.shuffle [--seeds 8]

Batches of 32. Each measure is over the epochs 0 and 1 of every seed, for windowed orders and for the full shuffle of
`permutation.py`:

    shards    mean number of shards from which the examples of a batch come
    again     number of pairs that share a batch in epoch 0 and in epoch 1, over the number expected of two independent
              full shuffles, pairs x 31 / (n - 1)
    distance  mean distance in the set between two examples of a batch, over the n / 3 of two random rows

Rows are neither generated nor read. Not here: the reading that a window saves.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lra_data import get_task
from lra_data.building.plan import make_plan
from lra_data.loading.epoch.permutation import Permutation
from lra_data.loading.epoch.windowed import BLOCK, Windowed

BATCH = 32
# Tasks and block sizes in rows: the loaders' BLOCK, and for comparison the rows of a record batch.
LAYOUTS = (("listops/lra", BLOCK), ("pathfinder/128-hard", BLOCK), ("pathfinder/128-hard", 1024))
WINDOWS = (1024, 4096, 16384)
AT_ONCE = (1, 4, 16)

Places = NDArray[np.int64]


@dataclass(frozen=True)
class Layout:
    """The layout of a built set's train split.

    starts: first row of each shard, and n.
    block: rows in a block.
    """

    starts: Places
    block: int

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self.starts[-1])


def layout_of(name: str, block: int) -> Layout:
    """The layout of the shards that a build would make."""
    task = get_task(name)
    plan = make_plan(task, formats=("arrow",), num_shards=None, seed=0, sizes=None)
    ranges = [rows for rows in plan.ranges if rows.split == "train"]
    return Layout(np.array([0, *(rows.stop for rows in ranges)], dtype=np.int64), block)


def windowed(layout: Layout, window: int, at_once: int, seed: int, epoch: int) -> Places:
    """An epoch's places in a windowed order."""
    order = Windowed(layout.starts, block=layout.block, window=window, at_once=at_once, seed=seed, epoch=epoch)
    positions = np.arange(layout.n, dtype=np.int64)
    # In pieces, like batches, since the order searches for the windows of a piece among all its positions.
    return np.concatenate([order(positions[first : first + 4096]) for first in range(0, layout.n, 4096)])


def shards_a_batch(layout: Layout, places: Places) -> float:
    """Mean number of shards from which a batch's examples come."""
    whole = places[: layout.n // BATCH * BATCH].reshape(-1, BATCH)
    shards = np.sort(np.searchsorted(layout.starts, whole, side="right"), axis=1)
    return float(1 + (np.diff(shards, axis=1) != 0).sum(axis=1).mean())


def distance(layout: Layout, places: Places) -> float:
    """Mean distance between two examples of a batch, over n / 3."""
    whole = np.sort(places[: layout.n // BATCH * BATCH].reshape(-1, BATCH), axis=1)
    # The sum of |a - b| over all pairs of a sorted row: each value times (number of smaller - number of greater ones).
    factors = 2 * np.arange(BATCH) - (BATCH - 1)
    pairs = BATCH * (BATCH - 1) // 2
    return float((whole @ factors).mean() / pairs / (layout.n / 3))


def again(layout: Layout, first: Places, second: Places) -> float:
    """Number of pairs that share a batch in both epochs, over the number expected of two independent full shuffles."""
    batches = [np.empty(layout.n, dtype=np.int64) for _ in range(2)]
    for batch, places in zip(batches, (first, second), strict=True):
        batch[places] = np.arange(layout.n) // BATCH
    _, together = np.unique(batches[0] * layout.n + batches[1], return_counts=True)
    sizes = np.bincount(batches[0])
    pairs = int((sizes * (sizes - 1) // 2).sum())
    found = int((together * (together - 1) // 2).sum())
    return found / (pairs * (BATCH - 1) / (layout.n - 1))


def measure(layout: Layout, seeds: int, order: Callable[[int, int], Places]) -> tuple[float, float, float]:
    """The three measures of an order, a function of (seed, epoch); means over the seeds."""
    rows = []
    for seed in range(seeds):
        first, second = order(seed, 0), order(seed, 1)
        rows.append((shards_a_batch(layout, first), again(layout, first, second), distance(layout, first)))
    shards, back, apart = np.array(rows).mean(axis=0).tolist()
    return shards, back, apart


def table_lines(seeds: int) -> Iterator[str]:
    """A Markdown table."""
    yield "| set | order | shards a batch | pairs that meet again | distance of batch-mates |\n|---|---|---|---|---|"
    for name, block in LAYOUTS:
        layout = layout_of(name, block)
        shards = len(layout.starts) - 1
        about = f"{name}: {layout.n:,} rows, {shards} shards, blocks of {layout.block:,}"
        if block != BLOCK:
            about += ", unlike the loaders'"
        positions = np.arange(layout.n, dtype=np.int64)

        def full(seed: int, epoch: int, layout: Layout = layout, positions: Places = positions) -> Places:
            return Permutation(layout.n, seed=seed, epoch=epoch)(positions)

        yield line(about, "full shuffle", measure(layout, seeds, full))
        # With as many at once as there are shards, a group has all of them; more make no difference.
        for at_once in dict.fromkeys(min(wanted, shards) for wanted in AT_ONCE):
            for window in WINDOWS:

                def places(
                    seed: int, epoch: int, layout: Layout = layout, window: int = window, at_once: int = at_once
                ) -> Places:
                    return windowed(layout, window, at_once, seed, epoch)

                shown = f"window {window:,}, {at_once} at once{', all' if at_once == shards else ''}"
                yield line("", shown, measure(layout, seeds, places))


def line(about: str, order: str, found: tuple[float, float, float]) -> str:
    """One line of the table."""
    shards, back, apart = found
    return f"| {about} | {order} | {shards:.1f} | {back:,.2f} | {apart:.3f} |"


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description="Compare windowed orders with a full shuffle.")
    parser.add_argument("--seeds", type=int, default=8, help="number of seeds to average over (default: 8)")
    for text in table_lines(parser.parse_args().seeds):
        print(text, flush=True)


if __name__ == "__main__":
    main()
