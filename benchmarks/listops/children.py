"""Whole builds and first uses, each in a child process, with its wall time and peak memory.

This module does not import lra_data: Linux includes the parent's memory at the start of a child in the child's peak.
"""

import os
import resource
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from pathlib import Path
from shutil import rmtree
from statistics import median
from time import perf_counter
from typing import Any

COMMAND = Path(sysconfig.get_path("scripts")) / "lra-data"
CHILD_REPEATS = 3
FIRST_ROW = "import lra_data; lra_data.generate('listops/lra', 'train', 0, 1)"


def run_child(arguments: list[str], environment: Mapping[str, str] | None = None) -> tuple[float, int]:
    """Wall seconds of a child, and the peak memory in bytes of the largest process among it and those it waited for."""
    began = perf_counter()
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            arguments, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})}
        )
        # wait4 instead of RUSAGE_CHILDREN: it covers only this child and those of its children that it waited for.
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        seconds = perf_counter() - began
        if child.returncode != 0:
            log.seek(0)
            raise SystemExit(f"{' '.join(arguments)} ended with {child.returncode}:\n{log.read().decode()}")
    return seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measure_build(folder: Path) -> dict[str, Any]:
    """Measure the whole build as users run it; the set stays in folder/whole."""
    build = [str(COMMAND), "build", "listops", "--workers", "2", "--out"]
    # The first build may have to compile; this one has one or two rows in each split.
    run_child([*build, str(folder / "warm"), "--train", "2", "--validation", "1", "--test", "1", "--num-shards", "2"])
    # A child's figure includes this process's memory at the child's start, which must be far below the child's own.
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
    """Measure the time of compiling, and the time of commands that must not compile."""
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
