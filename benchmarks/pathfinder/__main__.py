"""Pictures a second on one core, compared with the oracle and with PNG compression; and a whole Path-X build.

    python -m benchmarks.pathfinder [--repeats 5] [--whole] [--json]

The oracle in tests/ is the same algorithm in plain NumPy, Pillow and OpenCV, and does about the same work as the
original generator. It is timed on failed attempts and on successful ones; its rate assumes the mean number of attempts.
`--whole` also builds all of Path-X (200,000 pictures, Arrow, 2 workers) in a child process.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

from benchmarks.first_use.__main__ import cpu_model
from benchmarks.listops.children import COMMAND, run_child

# Pictures a turn, enough for an accurate mean number of attempts; and the goals for one core, in pictures a second.
PRESETS = {"32-hard": (4000, 4000), "64-hard": (400, 150), "128-hard": (600, 500), "256-hard": (2000, 2000)}
# Pictures a second of the original (measured for this project on one core of the same machine type).
ORIGINAL = {"32-hard": 2.4, "64-hard": 0.087, "128-hard": 0.233, "256-hard": 3.3}
ORACLE_PICTURES = 3
ORACLE_ATTEMPTS = 60
ENCODED = 200
WHOLE_SECONDS, WHOLE_BYTES = 600, 10**9


def seconds_of(function: Callable[[], object]) -> float:
    """CPU seconds of one call, without those of other work on the same core."""
    began = process_time()
    function()
    return process_time() - began


def measure_preset(preset: str, repeats: int) -> dict[str, Any]:
    """Rates of kernel, oracle and PNG compression, in turns, as medians."""
    import cv2
    import numpy as np

    from lra_data import get_task
    from lra_data.pathfinder.generated_task import Pathfinder
    from lra_data.pathfinder.generator.chains import EXTENSIONS
    from tests.oracles.pathfinder_oracle import attempt_succeeds, draw_example

    task = get_task(f"pathfinder/{preset}")
    if not isinstance(task, Pathfinder):
        raise TypeError(f"expected a preset of the generated Pathfinder, got {preset}")
    count, goal = PRESETS[preset]
    config, side = task.keyed_config(), task.config.resolution
    drawn = task.draw("train", np.arange(count), 0)
    attempts = float(drawn["attempts"].mean())
    pictures = drawn["inputs"][:ENCODED].reshape(-1, side, side)
    tried = [
        (index, attempt) for index in range(ORACLE_PICTURES) for attempt in range(int(drawn["attempts"][index]) - 1)
    ]
    tried = tried[:ORACLE_ATTEMPTS]

    def succeed() -> None:
        for index in range(ORACLE_PICTURES):
            draw_example(config, 0, "train", index, attempt=int(drawn["attempts"][index]) - 1)

    def fail() -> None:
        for index, attempt in tried:
            attempt_succeeds(config, 0, "train", index, attempt)

    def encode() -> None:
        for picture in pictures:
            cv2.imencode(".png", picture)

    succeed()
    rows: list[dict[str, float]] = []
    for _ in range(repeats):
        kernel = count / seconds_of(lambda: task.draw("train", np.arange(count), 0))
        failed = seconds_of(fail) / max(1, len(tried))
        oracle = 1 / (seconds_of(succeed) / ORACLE_PICTURES + (attempts - 1) * failed)
        png = len(pictures) / seconds_of(encode)
        rows.append(
            {"kernel": kernel, "oracle": oracle, "png": png, "to_oracle": kernel / oracle, "to_png": kernel / png}
        )
    return {
        "pictures": count,
        "attempts": attempts,
        "extensions": float(drawn["counters"][:, EXTENSIONS].mean()),
        "goal": goal,
        "original": ORIGINAL[preset],
        **{name: median(row[name] for row in rows) for name in rows[0]},
        "kernel_spread": [min(row["kernel"] for row in rows), max(row["kernel"] for row in rows)],
    }


def measure_whole(folder: Path) -> dict[str, Any]:
    """All of Path-X in a child process: wall seconds, peak memory of the largest process, bytes written."""
    small = ["--train", "2", "--validation", "1", "--test", "1", "--num-shards", "2", "--out", str(folder / "warm")]
    run_child([str(COMMAND), "build", "path-x", "--workers", "2", *small])
    seconds, peak = run_child([str(COMMAND), "build", "path-x", "--workers", "2", "--out", str(folder / "whole")])
    files = list((folder / "whole" / "pathfinder" / "128-hard").glob("*.arrow"))
    return {"seconds": seconds, "peak": peak, "bytes": sum(path.stat().st_size for path in files), "files": len(files)}


def measure_first_image(folder: Path) -> dict[str, float]:
    """Seconds until a process has its first image, without a compiled kernel and with one."""
    python = [sys.executable, "-c", "import lra_data; lra_data.generate('path-x', 'train', 0, 1)"]
    cold, warm = (run_child(python, {"NUMBA_CACHE_DIR": str(folder)})[0] for _ in range(2))
    return {"cold": cold, "warm": warm}


def report_lines(figures: dict[str, Any]) -> Iterator[str]:
    """The figures for a reader."""
    machine = figures["machine"]
    yield f"Pathfinder, {machine['date']}, {machine['cpu']}, Python {machine['python']}, numba {machine['numba']}"
    yield f"one core, images a CPU second, medians of {figures['repeats']} turns [least to most]"
    for preset, found in figures["presets"].items():
        low, high = found["kernel_spread"]
        met = "met" if found["kernel"] >= found["goal"] else "MISSED"
        yield f"  {preset:<9} {found['kernel']:8,.0f} [{low:,.0f} to {high:,.0f}] (goal {found['goal']:,}: {met})"
        yield f"    oracle {found['oracle']:.3g}, ratio {found['to_oracle']:,.0f}; the original {found['original']:g}"
        yield f"    cv2.imencode PNG {found['png']:,.0f}, ratio {found['to_png']:.3g}"
        yield f"    {found['attempts']:,.1f} attempts and {found['extensions']:,.0f} extensions an image"
    first = figures["first_image"]
    yield f"the first image of a process: {first['warm']:.1f} s, with compiling the kernel {first['cold']:.1f} s"
    if "whole" in figures:
        whole = figures["whole"]
        met = "met" if whole["seconds"] < WHOLE_SECONDS and whole["peak"] < WHOLE_BYTES else "MISSED"
        yield f"all of Path-X, 2 workers, {whole['bytes'] / 1e9:.2f} GB in {whole['files']} files"
        yield f"  {whole['seconds']:.0f} s, largest process {whole['peak'] / 1e6:.0f} MB"
        yield f"  (goal {WHOLE_SECONDS} s and {WHOLE_BYTES / 1e6:,.0f} MB: {met})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure the generation of Pathfinder.")
    parser.add_argument("--repeats", type=int, default=5, help="number of turns (default: 5)")
    parser.add_argument("--whole", action="store_true", help="also build all of Path-X, some minutes and 3.4 GB")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    figures: dict[str, Any] = {"repeats": options.repeats, "presets": {}}
    with tempfile.TemporaryDirectory(prefix="lra-data-benchmark-") as name:
        figures["first_image"] = measure_first_image(Path(name))
    if options.whole:
        # Before the rest, since Linux includes the parent's memory at the start of a child in the child's peak.
        with tempfile.TemporaryDirectory(prefix="lra-data-benchmark-") as name:
            figures["whole"] = measure_whole(Path(name))
    import numba

    figures["machine"] = {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": cpu_model(),
        "python": platform.python_version(),
        "numba": numba.__version__,
    }
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    for preset in PRESETS:
        figures["presets"][preset] = measure_preset(preset, options.repeats)
    print(json.dumps(figures, indent=1) if options.json else "\n".join(report_lines(figures)))


if __name__ == "__main__":
    main()
