"""Examples a second of all contenders, in turns, after a check that each gives the right rows."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lra_data
from benchmarks.loading.contenders import BATCH, streams
from benchmarks.loading.targets import Judged, at_least
from lra_data.arrow_columns import numbers

CHECKED = 20
WARM_UP = 5

# How many times as fast as each other contender this package should be.
TARGETS = {"datasets": 10.0, "webdataset": 5.0, "grain": 5.0, "floor": 1 / 3}


def check(name: str, contender: str, stream: Iterator[Any]) -> None:
    """Compare some batches with the rows of their indices, generated again; raises AssertionError."""
    seen = list[int]()
    for batch in islice(stream, CHECKED):
        indices = np.asarray(batch.indices)
        rows = lra_data.take(name, "train", indices.tolist())
        sequences = [numbers(row.values) for row in rows["inputs"]]
        due = np.zeros((len(sequences), max(map(len, sequences))), dtype=np.int32)
        for place, sequence in enumerate(sequences):
            due[place, : len(sequence)] = sequence
        inputs: NDArray[Any] = np.asarray(batch.inputs)
        inputs = inputs[:, 0] if inputs.ndim == 3 else inputs
        if len(indices) != BATCH or inputs.dtype != np.int32 or not np.array_equal(inputs, due):
            raise AssertionError(f"{contender}: expected the inputs of {name}, got others in rows {indices.tolist()}")
        if batch.labels is not None and not np.array_equal(np.asarray(batch.labels), numbers(rows["label"])):
            raise AssertionError(f"{contender}: expected the labels of {name}, got others in rows {indices.tolist()}")
        seen += indices.tolist()
    if len(set(seen)) != len(seen) or seen == sorted(seen):
        raise AssertionError(f"{contender}: examples of {name} are repeated or not shuffled")


def rate(stream: Iterator[Any], seconds: float) -> float:
    """Examples a second, measured over about `seconds` seconds."""
    for _ in range(WARM_UP):
        next(stream)
    batches, began = 0, perf_counter()
    while (now := perf_counter()) < began + seconds:
        next(stream)
        batches += 1
    return batches * BATCH / (now - began)


def race(name: str, root: Path, *, rounds: int, seconds: float) -> tuple[str, list[Judged]]:
    """A line of the table, and the figures with targets. Ratios are medians of the ratios within a round."""
    contenders = streams(name, root)
    for contender, stream in contenders.items():
        check(name, contender, stream)
    turns = []
    for turn in range(rounds):
        # Every other round is in reverse order, so that no contender always follows the same other one.
        order = list(contenders) if turn % 2 == 0 else list(reversed(contenders))
        turns.append({contender: rate(contenders[contender], seconds) for contender in order})
    cells, judged = [f"{median(turn['ours'] for turn in turns):,.0f}"], []
    for contender, target in TARGETS.items():
        if contender not in contenders:
            cells.append("none")
            continue
        ratio = median(turn["ours"] / turn[contender] for turn in turns)
        cells.append(f"{median(turn[contender] for turn in turns):,.0f} ({ratio:,.2f})")
        judged.append(at_least(f"{name}: ours over {contender}", ratio, target))
    return f"| {name} | {' | '.join(cells)} |", judged
