"""Time and memory to build the three corpora on one core, compared with only reading their archives.

    python -m benchmarks.corpora [FOLDER]      # of archives; default: ../shared/data, or $LRA_DATA_RAW

Each build is a new child process on one core; the peak memory is that process's. The floor is Python's tarfile over the
same archive, which reads every file and drops it, in its own child process just before. Figures are medians of three
turns.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TURNS = 3

BUILDS = (
    ("text", "lra", "aclImdb_labelled.tar.gz"),
    ("text", "holdout", "aclImdb_labelled.tar.gz"),
    ("image", "lra", "cifar10_partial_lossless_py.tar.gz"),
    ("image", "rgb", "cifar10_partial_lossless_bin.tar.gz"),
    ("retrieval", "by-pair", "aan_real_subset.tar.gz"),
    ("retrieval", "by-paper", "aan_real_subset.tar.gz"),
)

_FLOOR = """
import sys, tarfile
with tarfile.open(sys.argv[1], "r|*") as tar:
    for member in tar:
        if member.isfile():
            tar.extractfile(member).read()
"""

_BUILD = """
import contextlib, resource, runpy, sys
report = sys.argv.pop(1)
with contextlib.suppress(SystemExit):
    runpy.run_module("lra_data", run_name="__main__")
with open(report, "w") as file:
    file.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))
"""


def timed(command: list[str]) -> float:
    """Wall seconds of a child process."""
    began = time.perf_counter()
    child = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    seconds = time.perf_counter() - began
    if child.returncode:
        raise RuntimeError(child.stderr.decode())
    return seconds


def main() -> None:
    """Print one line for each set."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # the children inherit it
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    place = os.environ.get("LRA_DATA_RAW", "../shared/data")
    parser.add_argument(
        "folder", nargs="?", type=Path, default=place, help=f"folder of the archives (default: {place})"
    )
    folder: Path = parser.parse_args().folder
    print("| set | examples | build, one core | ratio to reading the archive | peak memory |\n|---|---|---|---|---|")
    for family, preset, archive in BUILDS:
        floors, builds, peaks = [], [], []
        examples = 0
        for _ in range(TURNS):
            floors.append(timed([sys.executable, "-c", _FLOOR, str(folder / archive)]))
            with tempfile.TemporaryDirectory() as out:
                flags = ["--preset", preset, "--allow-partial", "--corpus", str(folder / archive), "--out", out]
                report = Path(out) / "peak"
                builds.append(timed([sys.executable, "-c", _BUILD, str(report), "build", family, *flags]))
                peaks.append(int(report.read_text()))
                examples = examples_of(next(Path(out).glob(f"{family}/*/manifest.json")))
        seconds, floor = statistics.median(builds), statistics.median(floors)
        print(
            f"| {family}/{preset} | {examples:,} | {seconds:.1f} s | {seconds / floor:.1f} ({floor:.2f} s) | "
            f"{max(peaks) / 1e6:,.0f} MB |",
            flush=True,
        )


def examples_of(manifest: Path) -> int:
    """Rows of a finished set."""
    from lra_data.store.manifest import read_manifest

    return sum(read_manifest(manifest.parent).description.sizes.values())


if __name__ == "__main__":
    main()
