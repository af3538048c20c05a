"""On one core: the kernel compared with plain Python, and the stages of a build compared with writing its bytes."""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from shutil import rmtree
from statistics import median
from time import perf_counter
from typing import Any
from unittest import mock

import lra_data
from lra_data.store.formats.arrow_stream import _Writer
from lra_data.store.shard_reading import Tally
from lra_data.task import Task

BATCH_ROWS = 1024
BATCHES_A_REPEAT = 8
TREES_A_REPEAT = 1_500
WRITE_BLOCK = 2**20

# The parameters of the benchmark's set (LRA data/listops.py:36-47, 65), for the plain-Python loop.
OPERATOR_PROBABILITY = 0.25
MAX_DEPTH = 10
MIN_LENGTH, MAX_LENGTH = 500, 2000

Tree = Any  # a digit, or nested pairs as the original builds them


def draw_trees(num_accepted: int) -> int:
    """Draw trees in plain Python until `num_accepted` fall in the window; returns the number of attempts.

    This is the cheapest form of the original's recursion: one uniform number a decision, no values, no strings, no set
    of earlier trees; an accepted tree is counted and dropped. The original draws an operator after its arguments.
    Drawing it before gives the same distribution of trees and needs no list of arguments.
    """
    uniform = random.random
    end = 4

    def draw(depth: int) -> tuple[Tree, int]:
        if depth == MAX_DEPTH or uniform() > OPERATOR_PROBABILITY:
            return int(uniform() * 10), 1
        tree: Tree = int(uniform() * 4)
        length = 2
        for _ in range(2 + int(uniform() * 9)):
            argument, argument_length = draw(depth + 1)
            tree = (tree, argument)
            length += argument_length
        return (tree, end), length

    accepted = attempts = 0
    while accepted < num_accepted:
        attempts += 1
        _tree, length = draw(1)
        if MIN_LENGTH < length < MAX_LENGTH:
            accepted += 1
    return attempts


def seconds_of(function: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    began = perf_counter()
    function()
    return perf_counter() - began


def measure_generation(repeats: int) -> dict[str, Any]:
    """Measure accepted examples a second of the kernel and of plain Python, in turns."""
    task = lra_data.get_task("listops/lra")

    def generate(repeat: int) -> None:
        first = repeat * BATCHES_A_REPEAT * BATCH_ROWS
        for start in range(first, first + BATCHES_A_REPEAT * BATCH_ROWS, BATCH_ROWS):
            task.generate("train", start, start + BATCH_ROWS)

    generate(0)
    draw_trees(10)
    kernel, python = [], []
    for repeat in range(repeats):
        random.seed(repeat)
        kernel.append(BATCHES_A_REPEAT * BATCH_ROWS / seconds_of(partial(generate, repeat)))
        python.append(TREES_A_REPEAT / seconds_of(partial(draw_trees, TREES_A_REPEAT)))
    return {
        "repeats": repeats,
        "kernel_examples_a_second": median(kernel),
        "python_trees_a_second": median(python),
        "kernel_to_python": median(ours / theirs for ours, theirs in zip(kernel, python, strict=True)),
        "kernel_spread": [min(kernel), max(kernel)],
        "python_spread": [min(python), max(python)],
    }


@contextmanager
def stopwatch() -> Iterator[dict[str, float]]:
    """Wall seconds spent in each stage of the builds inside the block. Stages do not contain one another."""
    seconds = {"generating": 0.0, "row and logical digests": 0.0, "Arrow, sha256, writing": 0.0, "fsync": 0.0}

    def timed(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            began = perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                seconds[stage] += perf_counter() - began

        return call

    with (
        mock.patch.object(Task, "generate", timed("generating", Task.generate)),
        mock.patch.object(Tally, "add", timed("row and logical digests", Tally.add)),
        mock.patch.object(_Writer, "write", timed("Arrow, sha256, writing", _Writer.write)),
        mock.patch.object(_Writer, "close", timed("Arrow, sha256, writing", _Writer.close)),
        mock.patch.object(os, "fsync", timed("fsync", os.fsync)),
    ):
        yield seconds


def write_bytes(path: Path, block: bytes, num_bytes: int) -> None:
    """The floor: write as many bytes into one file, and flush them to the disk."""
    with path.open("wb") as file:
        for _ in range(num_bytes // len(block)):
            file.write(block)
        file.write(block[: num_bytes % len(block)])
        file.flush()
        os.fsync(file.fileno())


def measure_stages(folder: Path, repeats: int) -> dict[str, Any]:
    """Measure whole builds in this process and the floor, in turns."""
    lra_data.build("listops/lra", folder / "first", sizes={"train": 1, "validation": 1, "test": 1})
    block = os.urandom(WRITE_BLOCK)
    totals, floors, stages = [], [], []
    num_bytes = 0
    for _ in range(repeats):
        with stopwatch() as seconds:
            began = perf_counter()
            manifest = lra_data.build("listops/lra", folder / "staged")
            totals.append(perf_counter() - began)
        stages.append({**seconds, "the rest": totals[-1] - sum(seconds.values())})
        num_bytes = sum(shard.bytes for shard in manifest.shards)
        rmtree(folder / "staged")
        floors.append(seconds_of(partial(write_bytes, folder / "floor", block, num_bytes)))
        (folder / "floor").unlink()
    return {
        "repeats": repeats,
        "bytes": num_bytes,
        "seconds": median(totals),
        "stages": {name: median(stage[name] for stage in stages) for name in stages[0]},
        "floor_seconds": median(floors),
        "build_to_floor": median(total / floor for total, floor in zip(totals, floors, strict=True)),
        "floor_spread": [min(floors), max(floors)],
    }
