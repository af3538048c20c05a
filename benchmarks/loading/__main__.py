"""Loading speed from built sets and virtual ones, compared with other loaders and a floor.

    python -m benchmarks.loading [--root DIR] [--quick] [--rounds 7]

All contenders are measured in turns in one run: files in the page cache, one process, shuffled batches of 32. Figures
are medians; ratios are medians of the ratios within a turn. If a target is missed, the exit code is 1 and the targets
missed are named.

Not here: loading in worker processes, onto devices, or from remote storage; correctness of streams (`tests/`), although
each contender's stream is compared with the generator once. `python -m benchmarks.loading.shuffle` measures the
windowed order.
"""

import argparse
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterable
from pathlib import Path
from time import perf_counter

from benchmarks.loading.targets import Judged


def quiet() -> None:
    """Silence the messages of frameworks, which would disturb the tables. To be called before they are imported."""
    os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_DISABLE_PROGRESS_BARS="1", TF_CPP_MIN_LOG_LEVEL="3")
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)


def show(title: str, head: str, lines: Iterable[str]) -> None:
    """Print a Markdown table under its title, each line as soon as it is known."""
    print(f"\n{title}\n\n{head}\n|{'---|' * (head.count('|') - 1)}", flush=True)
    for line in lines:
        print(line, flush=True)


def measure(root: Path, *, quick: bool, rounds: int, workers: int) -> list[Judged]:
    """Build, measure and print; returns the figures with targets."""
    import torch

    from benchmarks.loading.children import EPOCHS, memory, starts
    from benchmarks.loading.padding import padding
    from benchmarks.loading.race import race
    from benchmarks.loading.sets import LISTOPS, PICTURES, WIDE, build_sets
    from benchmarks.loading.virtual import virtual

    # Several threads do not speed up the collating of small batches, and on busy cores the peers would wait for them.
    torch.set_num_threads(1)
    judged = list[Judged]()

    def noted(found: Iterable[tuple[str, Judged | None]]) -> Iterable[str]:
        for line, one in found:
            judged.extend([] if one is None else [one])
            yield line

    def raced() -> Iterable[str]:
        for name in (LISTOPS, PICTURES, WIDE):
            line, some = race(name, sets.whole, rounds=rounds, seconds=0.3 if quick else 1.0)
            judged.extend(some)
            yield line

    sets = build_sets(root, quick=quick, workers=workers)
    show(
        "Examples a second; in brackets, how many times as fast this package is",
        "| set | ours | (a) datasets | (b) webdataset | (c) grain | (d) floor: take and widen |",
        raced(),
    )
    show(
        "Time from before `load` to the first batch, in fresh processes",
        "| set | fresh | resumed at 90 % of an epoch | ratio |",
        noted(starts(sets, rounds)),
    )
    lines, some = memory(sets)
    judged.extend(some)
    show(
        "Growth of anonymous memory after each epoch (RssAnon, without mapped pages of files)",
        f"| set, examples | {' | '.join(f'epoch {epoch}' for epoch in range(EPOCHS))} |",
        lines,
    )
    show(
        f"Virtual {PICTURES}: examples a second, and the ratio to `lra_data.generate` in chunks of 1,024",
        "| loop | examples/s | ratio |",
        noted(virtual(rounds, 512 if quick else 4096)),
    )
    show("Padding of ListOps in batches of 32", "| order | elements that are padding |", padding(sets.whole))
    return judged


def main() -> None:
    """Measure, print, and judge."""
    parser = argparse.ArgumentParser(description="Measure loading speed.")
    parser.add_argument("--root", type=Path, help="folder in which sets are built and kept (default: a temporary one)")
    parser.add_argument("--quick", action="store_true", help="smaller sets and shorter turns, as a trial run")
    parser.add_argument("--rounds", type=int, default=7, help="number of turns (default: 7)")
    parser.add_argument("--workers", type=int, default=2, help="number of processes that build (default: 2)")
    options = parser.parse_args()
    quiet()
    began = perf_counter()
    with tempfile.TemporaryDirectory(prefix="lra-data-benchmark-") as name:
        judged = measure(
            options.root or Path(name), quick=options.quick, rounds=options.rounds, workers=options.workers
        )
    print("\nTargets\n")
    for one in judged:
        print(f"  {one.line()}")
    print(f"\nmeasured in {perf_counter() - began:.0f} s")
    missed = [one.what for one in judged if not one.met]
    if missed:
        sys.exit(f"{len(missed)} of {len(judged)} targets missed: {'; '.join(missed)}")


if __name__ == "__main__":
    main()
