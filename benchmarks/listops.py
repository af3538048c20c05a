#!/usr/bin/env python3
"""How fast ListOps is made: the kernel against plain Python, a build against merely writing its bytes, and first use.

Everything is measured in one run; what is compared is measured in turns, and medians and ratios are printed, so that a
busy machine moves both sides. Goals are printed beside the figures, and nothing fails if one is missed.

Not here: whether the examples are right (`tests/`), whether a build survives a kill (`crash_drill.py`).
"""

import argparse
import json
import os
import platform
import random
import resource
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from shutil import rmtree
from statistics import median
from time import perf_counter
from typing import Any
from unittest import mock

# Loaded by `measure_generation` and `measure_stages` only: Linux counts into a child's peak memory what its parent had
# when it started the child, so this process must stay small until the whole builds have been measured.
# import lra_data

COMMAND = Path(sysconfig.get_path("scripts")) / "lra-data"

BATCH_ROWS = 1024
BATCHES_A_REPEAT = 8
TREES_A_REPEAT = 1_500
CHILD_REPEATS = 3
WRITE_BLOCK = 2**20

# The law of the benchmark's set (LRA data/listops.py:36-47, 65), for the plain-Python loop.
OPERATOR_PROBABILITY = 0.25
MAX_DEPTH = 10
MIN_LENGTH, MAX_LENGTH = 500, 2000

FIRST_ROW = "import lra_data; lra_data.generate('listops/lra', 'train', 0, 1)"

Tree = Any  # a digit, or nested pairs as the original builds them


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What a figure should be at least or at most."""

    at_least: float | None = None
    at_most: float | None = None

    def judge(self, value: float) -> dict[str, Any]:
        """The goal as text, and whether `value` reaches it."""
        if self.at_least is not None:
            return {"goal": f"at least {self.at_least:,.0f}", "met": value >= self.at_least}
        if self.at_most is not None:
            return {"goal": f"at most {self.at_most:,.0f}", "met": value <= self.at_most}
        raise AssertionError("a goal has a bound")


GOALS = {
    "kernel_examples_a_second": Goal(at_least=30_000),
    "kernel_to_python": Goal(at_least=40),
    "seconds": Goal(at_most=10),
    "peak_mb": Goal(at_most=600),
}


def describe_machine() -> dict[str, Any]:
    """What the figures depend on beside the code."""
    model = platform.processor() or platform.machine()
    with suppress(OSError):
        names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "cpu": model,
        "cores": len(usable_cores()),
        "load_1_minute": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "numba": version("numba"),
        "pyarrow": version("pyarrow"),
        "lra_data": version("lra-data"),
        # With it every child compiles the sources of lra_data again, which is part of its start.
        "bytecode_cached": not sys.dont_write_bytecode,
    }


def usable_cores() -> list[int]:
    """The cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def pin_to_one_core() -> bool:
    """Stay on one core from here on, the last, since the first usually serves interrupts; False where one cannot."""
    if not hasattr(os, "sched_setaffinity"):
        return False
    os.sched_setaffinity(0, {usable_cores()[-1]})
    return True


# ---- children: whole builds, and what the first use costs ----


def run_child(arguments: list[str], environment: Mapping[str, str] | None = None) -> tuple[float, int]:
    """Wall seconds of a child, and the peak memory in bytes of the largest process it was or waited for."""
    began = perf_counter()
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            arguments, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})}
        )
        # wait4 and not RUSAGE_CHILDREN: this child alone, and those of its own children that it waited for.
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        seconds = perf_counter() - began
        if child.returncode != 0:
            log.seek(0)
            raise SystemExit(f"{' '.join(arguments)} ended with {child.returncode}:\n{log.read().decode()}")
    return seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measure_build(folder: Path) -> dict[str, Any]:
    """The whole build as users run it; leaves the set in folder/whole."""
    build = [str(COMMAND), "build", "listops", "--workers", "2", "--out"]
    # The first build of a process tree may have to compile; this one makes a row a split.
    run_child([*build, str(folder / "warm"), "--train", "2", "--validation", "1", "--test", "1", "--num-shards", "2"])
    # A child's figure includes what this process had at the start of it, so it must be far below what is found.
    own_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    seconds, peaks = [], []
    for _ in range(CHILD_REPEATS):
        rmtree(folder / "whole", ignore_errors=True)
        second, peak = run_child([*build, str(folder / "whole")])
        seconds.append(second)
        peaks.append(peak)
    return {
        "workers": 2,
        "seconds": median(seconds),
        "all_seconds": seconds,
        "peak_mb": max(peaks) / 1e6,
        "peak_mb_of_this_process": own_peak / 1e6,
    }


def measure_first_use(folder: Path, set_folder: Path) -> dict[str, Any]:
    """What compiling costs, and what commands cost that must not compile."""
    python = [sys.executable, "-c", FIRST_ROW]
    cold, warm = [], []
    for number in range(CHILD_REPEATS):
        cache = folder / f"cache-{number}"
        cache.mkdir()
        cold.append(run_child(python, {"NUMBA_CACHE_DIR": str(cache)})[0])
        warm.append(run_child(python, {"NUMBA_CACHE_DIR": str(cache)})[0])
    commands = {
        "lra-data --help": ["--help"],
        "lra-data info listops": ["info", "listops"],
        "lra-data verify --quick SET": ["verify", "--quick", str(set_folder)],
    }
    empty = folder / "cache-empty"
    empty.mkdir()
    light: dict[str, Any] = {}
    for name, arguments in commands.items():
        seconds = [
            run_child([str(COMMAND), *arguments], {"NUMBA_CACHE_DIR": str(empty)})[0] for _ in range(CHILD_REPEATS)
        ]
        light[name] = {"seconds": median(seconds), "compiled": any(empty.iterdir())}
    return {
        "empty_cache_seconds": median(cold),
        "warm_cache_seconds": median(warm),
        "compile_seconds": median(cold) - median(warm),
        "commands_with_empty_cache": light,
    }


# ---- one core: kernel against plain Python ----


def draw_trees(num_accepted: int) -> int:
    """Draw trees in plain Python until `num_accepted` fall in the window; returns the number of attempts.

    The original's recursion at its cheapest: one uniform number a decision, no values, no strings, no set, and an
    accepted tree is counted and dropped. The original draws an operator after its arguments; drawing it before makes
    the same trees and needs no list of arguments.
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
    """Accepted examples a second, the kernel and plain Python in turns."""
    import lra_data

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


# ---- one core: where the time of a build goes ----


@contextmanager
def stopwatch() -> Iterator[dict[str, float]]:
    """Wall seconds spent in each stage of the builds inside the block. Stages do not contain one another."""
    from lra_data.store.arrow_stream import _Writer
    from lra_data.store.tally import Tally
    from lra_data.task import Task

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
    """The floor: as many bytes into one file, flushed to the disk."""
    with path.open("wb") as file:
        for _ in range(num_bytes // len(block)):
            file.write(block)
        file.write(block[: num_bytes % len(block)])
        file.flush()
        os.fsync(file.fileno())


def measure_stages(folder: Path, repeats: int) -> dict[str, Any]:
    """Whole builds in this process, and the floor, in turns."""
    import lra_data

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


# ---- the report ----


def measure(repeats: int) -> dict[str, Any]:
    """All figures. The children come first, see the note beside the imports."""
    machine = describe_machine()
    with tempfile.TemporaryDirectory(prefix="lra-data-benchmark-") as name:
        folder = Path(name)
        whole = measure_build(folder)
        first_use = measure_first_use(folder, folder / "whole" / "listops" / "lra")
        machine["pinned"] = pin_to_one_core()
        generation = measure_generation(repeats)
        stages = measure_stages(folder, repeats)
    goals = {name: GOALS[name].judge(value) for name, value in {**generation, **whole}.items() if name in GOALS}
    return {
        "machine": machine,
        "generation": generation,
        "build_one_process": stages,
        "build_two_workers": whole,
        "first_use": first_use,
        "goals": goals,
    }


def report_lines(figures: Mapping[str, Any]) -> Iterator[str]:
    """The figures for a reader."""
    machine, rates = figures["machine"], figures["generation"]
    stages, whole, first = figures["build_one_process"], figures["build_two_workers"], figures["first_use"]

    def goal(name: str) -> str:
        judged = figures["goals"][name]
        return f"(goal {judged['goal']}: {'met' if judged['met'] else 'MISSED'})"

    def spread(pair: list[float], digits: int = 0) -> str:
        return f"[{pair[0]:,.{digits}f} to {pair[1]:,.{digits}f}]"

    yield f"lra-data {machine['lra_data']}, ListOps, {machine['date']}"
    yield f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_1_minute']} at the start"
    yield f"Python {machine['python']}, numba {machine['numba']}, pyarrow {machine['pyarrow']}"
    if not machine["bytecode_cached"]:
        yield "PYTHONDONTWRITEBYTECODE is set: every child below also compiles the sources of lra_data at its start"
    yield ""
    where = "one core" if machine["pinned"] else "not pinned"
    yield f"generation, {where}, medians of {rates['repeats']} turns [least to most]"
    kernel, python = rates["kernel_examples_a_second"], rates["python_trees_a_second"]
    yield f"  kernel, batches of {BATCH_ROWS:,}    {kernel:10,.0f} examples/s {spread(rates['kernel_spread'])}"
    yield f"    {goal('kernel_examples_a_second')}"
    yield f"  plain Python, trees only  {python:10,.0f} trees/s {spread(rates['python_spread'])}"
    yield f"  ratio                     {rates['kernel_to_python']:10,.1f} {goal('kernel_to_python')}"
    yield ""
    yield f"a build in one process, {where}, {stages['bytes'] / 1e6:,.1f} MB, medians of {stages['repeats']} turns"
    for name, seconds in stages["stages"].items():
        yield f"  {name:<25} {seconds:10.3f} s {seconds / stages['seconds']:6.1%}"
    yield f"  {'all':<25} {stages['seconds']:10.3f} s"
    yield f"  {'floor: write and fsync':<25} {stages['floor_seconds']:10.3f} s {spread(stages['floor_spread'], 3)}"
    yield f"  {'ratio build/floor':<25} {stages['build_to_floor']:10.1f}"
    yield ""
    yield f"lra-data build listops --workers {whole['workers']}, a child, kernels cached, {CHILD_REPEATS} times"
    yield f"  {'median wall time':<25} {whole['seconds']:10.2f} s {goal('seconds')}"
    yield f"  {'largest process':<25} {whole['peak_mb']:10.0f} MB {goal('peak_mb')}"
    yield f"    (this process had {whole['peak_mb_of_this_process']:.0f} MB, the least that could have been found)"
    yield ""
    yield f"first use, children, medians of {CHILD_REPEATS}"
    yield f"  {'1 row, empty cache':<30} {first['empty_cache_seconds']:8.2f} s"
    yield f"  {'1 row, warm cache':<30} {first['warm_cache_seconds']:8.2f} s"
    yield f"  {'so compiling costs':<30} {first['compile_seconds']:8.2f} s"
    for name, command in first["commands_with_empty_cache"].items():
        verdict = "COMPILED SOMETHING" if command["compiled"] else "compiled nothing"
        yield f"  {name:<30} {command['seconds']:8.2f} s, {verdict}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure the generation and the build of ListOps.")
    parser.add_argument("--repeats", type=int, default=7, help="turns of what is compared (default: 7)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    began = perf_counter()
    figures = measure(options.repeats)
    if options.json:
        print(json.dumps(figures, indent=1))
        return
    for line in report_lines(figures):
        print(line)
    print(f"\nmeasured in {perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
