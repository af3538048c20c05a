"""Reads the arguments and prints the table; see the package."""

import argparse
import platform
import sys
import warnings
from datetime import UTC, datetime
from pathlib import Path

import torch

from benchmarks.attention.install import default_folder
from benchmarks.attention.measure import Row, Zoo, race
from benchmarks.attention.ports import PORTS
from benchmarks.attention.sizes import BATCH, DIM, HEADS, KEPT, LENGTH, WIDTH
from benchmarks.first_use.__main__ import cpu_model

ROOT = Path(__file__).parents[2]


def line(row: Row, *, beside: bool) -> str:
    """A line of the table."""
    cells = [row.port.model, row.name]
    if row.skipped:
        cells += ["–"] * (5 if beside else 3) + [row.skipped]
    else:
        cells += [f"{row.ours:.1f}", f"{row.theirs:.1f}", f"{row.theirs / row.ours:.2f}"]
        if beside and row.before is not None:
            cells += [f"{row.before:.1f}", f"{row.theirs / row.before:.2f}"]
        elif beside:
            cells += ["–", "–"]
        cells.append(row.port.differs if row.port.mask else f"{row.port.differs}; both without mask")
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attention", description="Race attentions.")
    parser.add_argument("--models", nargs="+", metavar="NAME", help="models to measure (default: all with a port)")
    parser.add_argument("--rounds", type=int, default=11, help="number of rounds (default: 11)")
    parser.add_argument("--ports", type=Path, metavar="DIR", help="where ports are installed (default: user cache)")
    parser.add_argument("--beside", type=Path, metavar="DIR", help="another checkout to measure in the same rounds")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the table to FILE")
    options = parser.parse_args()
    known = {port.model for port in PORTS}
    if unknown := set(options.models or ()) - known:
        parser.error(f"expected models from {', '.join(sorted(known))}, got {', '.join(sorted(unknown))}")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # of ports
    folder = (options.ports or default_folder()).resolve()
    sys.path.append(str(folder))  # after the environment's own packages
    zoos = [Zoo(path.resolve()) for path in (ROOT, options.beside) if path is not None]
    beside = options.beside is not None
    found = [
        f"{cpu_model()}, one thread, Python {platform.python_version()}, torch {torch.__version__}, "
        f"{datetime.now(UTC).date()}. Medians of {options.rounds} rounds, CPU milliseconds, forward and backward, "
        f"float32, L = {LENGTH}, B = {BATCH}, H = {HEADS}, E = {WIDTH}, D = {DIM}; with a mask, {KEPT} tokens.",
        "",
        f"| model | port | ours, ms | port, ms | port / ours |{' before, ms | port / before |' if beside else ''} "
        "the port |",
        f"|---|---|---|---|---|{'---|---|' if beside else ''}---|",
    ]
    print("\n".join(found), flush=True)
    for port in PORTS:
        if options.models is None or port.model in options.models:
            found.append(line(race(port, zoos, folder, options.rounds), beside=beside))
            print(found[-1], flush=True)
    if options.out:
        options.out.write_text("\n".join(found) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
