"""The shortcut audit of every preset: the accuracy of predictors that use one trivial measure.

    python -m benchmarks.pathfinder.shortcuts [--pictures 9000] [PRESET ...]
    python -m benchmarks.pathfinder.shortcuts --offsets 160000 24-mini 32-mini

On two thirds of the pictures each predictor learns the best guess for every value of its measure; the others score it;
seed 0. `lra-data stats` prints the same for a whole set. Here it is on fewer pictures, for the original's presets and
the clean ones.

With --offsets, the measure is the exact offset from one marker to the other, in rows and columns. A table of thousands
of offsets needs more pictures: so many of train are learned, 20,000 of test score.
"""

import argparse

import numpy as np
from numpy.typing import NDArray

from lra_data import get_task
from lra_data.arrow_columns import numbers, rows_of
from lra_data.checking.set_statistics import statistics
from lra_data.confidence import wilson_interval
from lra_data.pathfinder.config import PRESETS
from lra_data.store.row_access import VirtualRows

SCORED = 20_000


def offsets_and_labels(preset: str, split: str, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns from the marker on a first end to the other, as one number (n,); labels (n,)."""
    side = PRESETS[preset].config.resolution
    batch = get_task(f"pathfinder/{preset}").generate(split, 0, count)
    tips = rows_of(batch["tips"]).reshape(-1, 2, 2, 2).astype(np.int64)
    origin, labels = (numbers(batch[name]).astype(np.int64) for name in ("origin", "label"))
    place = np.arange(count)
    offsets = tips[place, np.where(labels == 1, origin, 1 - origin), 1] - tips[place, origin, 0] + side
    return offsets[:, 0] * 2 * side + offsets[:, 1], labels


def accuracy_of_offsets(preset: str, pictures: int) -> tuple[int, tuple[float, float]]:
    """Right guesses among SCORED, and the 95 % interval of their share."""
    cells = 4 * PRESETS[preset].config.resolution ** 2
    offsets, labels = offsets_and_labels(preset, "train", pictures)
    connected = np.bincount(offsets, weights=2 * labels - 1, minlength=cells) > 0
    offsets, labels = offsets_and_labels(preset, "test", SCORED)
    right = int((connected[offsets] == labels).sum())
    return right, wilson_interval(right / SCORED, SCORED, 1.96)


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description="Measure the shortcuts of Pathfinder's presets.")
    parser.add_argument("presets", nargs="*", default=list(PRESETS), metavar="PRESET")
    parser.add_argument("--pictures", type=int, default=9000, help="number of pictures of each preset (default: 9000)")
    parser.add_argument("--offsets", type=int, metavar="N", help="the exact offset alone, learned on N pictures")
    options = parser.parse_args()
    if options.offsets is not None:
        for preset in options.presets:
            right, (low, high) = accuracy_of_offsets(preset, options.offsets)
            print(f"| {preset} | {right / SCORED:.1%} | {low:.1%} to {high:.1%} |", flush=True)
        return
    names: list[str] = []
    for preset in options.presets:
        rows = VirtualRows(get_task(f"pathfinder/{preset}"), 0)
        third = options.pictures // 6
        rows.sizes = {"train": options.pictures - 2 * third, "validation": third, "test": third}
        found = statistics(rows)
        scores = found["trivial_predictors"]
        if not names:
            names = list(scores)
            print(f"| preset | attempts | {' | '.join(names)} |\n|{'---|' * (len(names) + 2)}")
        half = max((score["high"] - score["low"]) / 2 for score in scores.values())
        attempts = found["splits"]["train"]["measures"]["attempts"]["mean"]
        cells = " | ".join(f"{scores[name]['accuracy']:.1%}" for name in names)
        print(f"| {preset} (± {half:.1%}) | {attempts:,.1f} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
