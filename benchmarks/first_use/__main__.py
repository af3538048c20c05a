"""CPU seconds of compiling the kernels: each use in its own process, with an empty cache and then with a full one.

    python -m benchmarks.first_use [--repeats 3] [--beside DIR]

CPU seconds of the child, user and system, so that other work on the machine counts little; wall seconds are printed
too. `--beside DIR` also measures another checkout in the same run, turn by turn, and prints the ratios.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

import numba

ROOT = Path(__file__).parents[2]

# The interpreter with the libraries that every use imports, and numba's first compilation, of a trivial function.
FLOOR = "import numpy, pyarrow, numba; numba.njit(lambda x: x + 1)(1)"
USES = {
    "any first compilation": FLOOR,
    "one row of Path-X": "import lra_data; lra_data.generate('path-x', 'train', 0, 1)",
    "lra-data show path-x": "from lra_data.commands.main import main; import sys; "
    "sys.argv = ['lra-data', 'show', 'path-x', '--out', sys.argv[1]]; main()",
    "a batch of Path-X, loaded": "import lra_data; next(lra_data.load('path-x', split='test[:4]').batches(2))",
    "one row of ListOps": "import lra_data; lra_data.generate('listops/lra', 'train', 0, 1)",
}


def child_seconds(code: str, checkout: Path, folder: Path) -> tuple[float, float]:
    """CPU and wall seconds of a child that runs code from a checkout, with its kernels in a folder."""
    began = perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(folder / "sheet.png")],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout), "NUMBA_CACHE_DIR": str(folder / "kernels")},
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(f"{code!r} ended with {child.returncode}")
    return usage.ru_utime + usage.ru_stime, perf_counter() - began


def cpu_model() -> str:
    """The processor's name, family and model on Linux; elsewhere the machine type."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    facts = dict(reversed([[part.strip() for part in line.split(":", 1)] for line in lines if ":" in line]))
    if "model name" not in facts:
        return platform.machine()
    return f"{facts['model name']} (family {facts.get('cpu family')}, model {facts.get('model')})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure what compiling the kernels costs.")
    parser.add_argument("--repeats", type=int, default=3, help="number of turns (default: 3)")
    parser.add_argument("--beside", type=Path, metavar="DIR", help="another checkout to measure in the same turns")
    options = parser.parse_args()
    checkouts = [ROOT, *([options.beside.resolve()] if options.beside else [])]
    print(f"{cpu_model()}, Python {platform.python_version()}, numba {numba.__version__}, medians of {options.repeats}")
    print("CPU seconds (wall seconds) with an empty cache, and with a full one")
    for name, code in USES.items():
        found: dict[Path, list[list[tuple[float, float]]]] = {checkout: [] for checkout in checkouts}
        for _ in range(options.repeats):
            for checkout in checkouts:
                with tempfile.TemporaryDirectory(prefix="lra-data-benchmark-") as folder:
                    found[checkout].append([child_seconds(code, checkout, Path(folder)) for _ in range(2)])
        medians = {
            checkout: [[median(turn[part][kind] for turn in turns) for kind in range(2)] for part in range(2)]
            for checkout, turns in found.items()
        }
        for checkout, ((cold, cold_wall), (warm, warm_wall)) in medians.items():
            line = f"  {name:<26} {cold:6.1f} ({cold_wall:.1f})  {warm:6.1f} ({warm_wall:.1f})"
            if checkout != ROOT:
                line += f"  in {checkout}, {cold / medians[ROOT][0][0]:.2f} times ours"
            print(line, flush=True)


if __name__ == "__main__":
    main()
