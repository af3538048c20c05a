"""Speed of ListOps: the kernel compared with plain Python, a build compared with writing its bytes, and first use.

Everything is measured in one run. Figures that are compared are measured in turns, so that load on the machine affects
both; medians and ratios are printed. Goals are printed with the figures; a missed goal is not an error.

Not here: correctness of the examples (`tests/`), builds that are killed (`benchmarks/crash_drill`).
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.listops.children import CHILD_REPEATS, measure_build, measure_first_use


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A lower or an upper bound for a figure."""

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
    """The machine, its load and the versions, on which the figures depend."""
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
        # If not, every child compiles the sources of lra_data again when it starts.
        "bytecode_cached": not sys.dont_write_bytecode,
    }


def usable_cores() -> list[int]:
    """The cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def pin_to_one_core() -> bool:
    """Pin this process to the last core, since the first usually serves interrupts; False if the system cannot pin."""
    if not hasattr(os, "sched_setaffinity"):
        return False
    os.sched_setaffinity(0, {usable_cores()[-1]})
    return True


def measure(repeats: int) -> dict[str, Any]:
    """Measure all figures, those of child processes first."""
    machine = describe_machine()
    with tempfile.TemporaryDirectory(prefix="lra-data-benchmark-") as name:
        folder = Path(name)
        whole = measure_build(folder)
        first_use = measure_first_use(folder, folder / "whole" / "listops" / "lra")
        # Imported only here: see the docstring of children.py.
        from benchmarks.listops.one_core import measure_generation, measure_stages

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
    """The figures as lines of text."""
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
    yield f"  kernel, batches of 1,024    {kernel:10,.0f} examples/s {spread(rates['kernel_spread'])}"
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
    yield f"    (this process had {whole['peak_mb_of_this_process']:.0f} MB, a lower bound of the measurement)"
    yield ""
    yield f"first use, children, medians of {CHILD_REPEATS}"
    yield f"  {'1 row, empty cache':<30} {first['empty_cache_seconds']:8.2f} s"
    yield f"  {'1 row, warm cache':<30} {first['warm_cache_seconds']:8.2f} s"
    yield f"  {'difference: compiling':<30} {first['compile_seconds']:8.2f} s"
    for name, command in first["commands_with_empty_cache"].items():
        verdict = "COMPILED SOMETHING" if command["compiled"] else "compiled nothing"
        yield f"  {name:<30} {command['seconds']:8.2f} s, {verdict}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure the generation and the build of ListOps.")
    parser.add_argument("--repeats", type=int, default=7, help="number of turns (default: 7)")
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
