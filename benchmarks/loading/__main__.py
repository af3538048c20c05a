"""How fast batches are had from built sets and virtual ones, beside other loaders and a floor.

    python -m benchmarks.loading [--root DIR] [--quick] [--rounds 7]

What is compared is measured in turns in one run, files in the page cache, one process, batches of 32, shuffled; medians
are printed, and ratios are medians of those within a turn. Exits with 1 and says which if a target is missed.

Not here: loading in worker processes, onto devices, or from far away; whether streams are right (`tests/`), though each
contender's is compared with the generator once. `python -m benchmarks.loading.shuffle` measures the windowed order.
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
    """Keep what frameworks say of themselves out of the tables. Before they are imported."""
    os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_DISABLE_PROGRESS_BARS="1", TF_CPP_MIN_LOG_LEVEL="3")
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)


def show(title: str, head: str, lines: Iterable[str]) -> None:
    """A Markdown table under its title, each line when it is there."""
    print(f"\n{title}\n\n{head}\n|{'---|' * (head.count('|') - 1)}", flush=True)
    for line in lines:
        print(line, flush=True)


def measure(root: Path, *, quick: bool, rounds: int, workers: int) -> list[Judged]:
    """Build, measure and print; what is to be judged."""
    import torch

    from benchmarks.loading.children import EPOCHS, memory, starts
    from benchmarks.loading.padding import padding
    from benchmarks.loading.race import race
    from benchmarks.loading.sets import LISTOPS, PICTURES, WIDE, build_sets
    from benchmarks.loading.virtual import virtual

    # Collating small batches in several threads helps nobody here, and on busy cores the peers wait for them.
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
        "Examples a second, and in brackets how many times as fast this package is",
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
        "Growth of anonymous memory (RssAnon; mapped pages of files are the page cache's) after each epoch",
        f"| set, examples | {' | '.join(f'epoch {epoch}' for epoch in range(EPOCHS))} |",
        lines,
    )
    show(
        f"Virtual {PICTURES}, examples a second, and over those of `lra_data.generate` in chunks of 1,024",
        "| loop | examples/s | ratio |",
        noted(virtual(rounds, 512 if quick else 4096)),
    )
    show("Padding of ListOps in batches of 32", "| order | elements that are padding |", padding(sets.whole))
    return judged


def main() -> None:
    """Measure, print, and judge."""
    parser = argparse.ArgumentParser(description="Measure how fast batches are had.")
    parser.add_argument("--root", type=Path, help="where sets are built and kept (default: a temporary folder)")
    parser.add_argument("--quick", action="store_true", help="smaller sets and shorter turns, to see that it runs")
    parser.add_argument("--rounds", type=int, default=7, help="turns of what is compared (default: 7)")
    parser.add_argument("--workers", type=int, default=2, help="processes that build (default: 2)")
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
