"""Speed of the kernels under other compiler options: `python -m benchmarks.pathfinder.variants`.

    python -m benchmarks.pathfinder.variants [--repeats 5]

The variants are: with numba's reference counts of arrays, which the installed kernels omit; and for processors with
shorter vectors. Each variant runs in its own process, all take turns, and all must draw the same pictures.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from statistics import median

from benchmarks.first_use.__main__ import ROOT, cpu_model

PRESETS = {"32-hard": 1500, "64-hard": 100, "128-hard": 150}
VARIANTS: dict[str, tuple[bool, dict[str, str]]] = {
    "as installed": (False, {}),
    "with reference counts": (True, {}),
    "AVX2 only (haswell)": (False, {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": ""}),
    "SSE4.2 only (nehalem)": (False, {"NUMBA_CPU_NAME": "nehalem", "NUMBA_CPU_FEATURES": ""}),
}
CHILD = """
import hashlib, json, sys, time
import numpy as np
from lra_data import get_task, kernel_cache
counted, presets = json.loads(sys.argv[1])
kernel_cache._OPTIONS["_nrt"] = counted
found = {}
for preset, count in presets.items():
    task, indices = get_task(f"pathfinder/{preset}"), np.arange(count)
    task.draw("train", indices[:1], 0)
    began = time.process_time()
    drawn = task.draw("train", indices, 0)
    found[preset] = [count / (time.process_time() - began), hashlib.sha256(drawn["inputs"].tobytes()).hexdigest()]
print(json.dumps(found))
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure Pathfinder's kernels under other compiler options.")
    parser.add_argument("--repeats", type=int, default=5, help="number of turns (default: 5)")
    options = parser.parse_args()
    rates: dict[tuple[str, str], list[float]] = {}
    digests: dict[str, set[str]] = {preset: set() for preset in PRESETS}
    with tempfile.TemporaryDirectory(prefix="lra-data-benchmark-") as folder:
        for _ in range(options.repeats):
            for number, (name, (counted, variables)) in enumerate(VARIANTS.items()):
                result = subprocess.run(
                    [sys.executable, "-c", CHILD, json.dumps([counted, PRESETS])],
                    cwd=ROOT,
                    env={**os.environ, **variables, "NUMBA_CACHE_DIR": f"{folder}/{number}"},
                    stdout=subprocess.PIPE,
                    check=True,
                )
                for preset, (rate, digest) in json.loads(result.stdout).items():
                    rates.setdefault((name, preset), []).append(rate)
                    digests[preset].add(digest)
    if any(len(found) > 1 for found in digests.values()):
        raise SystemExit("the variants drew different pictures")
    print(f"{cpu_model()}; images a CPU second on one core, medians of {options.repeats}, all with the same pictures")
    for name in VARIANTS:
        cells = (f"{preset} {median(rates[name, preset]):,.0f}" for preset in PRESETS)
        print(f"  {name:<24} {'  '.join(cells)}")


if __name__ == "__main__":
    main()
