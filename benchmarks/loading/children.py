"""Time to the first batch and growth of memory, each measured in new processes (`child.py`)."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import lra_data
from benchmarks.loading.contenders import BATCH
from benchmarks.loading.sets import LISTOPS, PICTURES, Sets
from benchmarks.loading.targets import Judged, at_most

RESUMED_AT = 0.9
MOST_TIMES_FRESH = 1.5
EPOCHS = 3
MOST_MB = 20.0


def run_child(measure: str, **arguments: Any) -> Any:
    """The result of a measurement of `child.py`."""
    command = [sys.executable, "-m", "benchmarks.loading.child", measure, json.dumps(arguments)]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    if child.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {child.returncode}:\n{child.stderr}")
    return json.loads(child.stdout)


def starts(sets: Sets, rounds: int) -> Iterator[tuple[str, Judged]]:
    """Lines of a table: time to the first batch, fresh and resumed, with digests of shards compared and without."""
    for name in (LISTOPS, PICTURES):
        batches = lra_data.load(name, split="train", root=sets.whole).batches(BATCH, shuffle=True)
        batches.skip(int(RESUMED_AT * len(batches)))
        state = batches.state_dict()
        for check in (True, False):
            turns = []
            for turn in range(rounds):
                times = {}
                for kind in ("fresh", "resumed") if turn % 2 == 0 else ("resumed", "fresh"):
                    given = state if kind == "resumed" else None
                    times[kind] = run_child(
                        "first_batch", task=name, root=str(sets.whole), state=given, check_digests=check
                    )
                turns.append(times)
            fresh, resumed = (median(times[kind] for times in turns) for kind in ("fresh", "resumed"))
            ratio = median(times["resumed"] / times["fresh"] for times in turns)
            about = f"{name}, digests {'compared' if check else 'trusted'}"
            yield (
                f"| {about} | {1e3 * fresh:,.1f} ms | {1e3 * resumed:,.1f} ms | {ratio:.2f} |",
                at_most(f"{about}: first batch, resumed over fresh", ratio, MOST_TIMES_FRESH),
            )


def memory(sets: Sets) -> tuple[list[str], list[Judged]]:
    """Lines of a table: growth of anonymous memory over epochs of a set and of a quarter of it."""
    lines, grown = [], dict[str, list[float]]()
    for root in (sets.quarter, sets.whole):
        count = len(lra_data.load(PICTURES, split="train", root=root))
        found = [size / 1e6 for size in run_child("growth", task=PICTURES, root=str(root), epochs=EPOCHS)]
        grown[Path(root).name] = found
        lines.append(f"| {PICTURES}, {count:,} | {' | '.join(f'{size:.1f} MB' for size in found)} |")
    whole, quarter = grown["whole"], grown["quarter"]
    return lines, [
        at_most("memory: one epoch of 4n over one of n", whole[0] - quarter[0], MOST_MB, " MB"),
        at_most(f"memory: {EPOCHS} epochs over one", whole[-1] - whole[0], MOST_MB, " MB"),
    ]
