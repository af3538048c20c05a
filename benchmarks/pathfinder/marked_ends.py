"""How much of the label the two marked ends tell: where they are, and in which directions their contours leave them.

    python -m benchmarks.pathfinder.marked_ends [--pictures 160000] [PRESET ...]

A model that sees each marker with the paddle on it, and nothing of the contours between, knows these six numbers: the
offset from one marker to the other in rows and columns, and rows and columns of the direction in which either contour
leaves its marker. Which marker comes first is drawn, since the picture does not show it. A small network (two hidden
layers of 64) learns the label from them on train, and is scored on 20,000 rows of test; seed 0. A contour that bends
little from paddle to paddle joins ends that fit each other, so short contours can be told without being followed.
Prints Markdown.
"""

import argparse

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from lra_data import get_task
from lra_data.arrow_columns import numbers, rows_of
from lra_data.confidence import wilson_interval
from lra_data.pathfinder.config import PRESETS

SCORED, EPOCHS, BATCH = 20_000, 12, 512
LEVELS = ("easy", "intermediate", "hard")
CHOSEN = ("24-mini", "32-mini", *(f"32-{level}{clean}" for level in LEVELS for clean in ("", "-clean")), "128-hard")


def ends_and_labels(preset: str, split: str, count: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The six numbers of each picture, float32 (n, 6), and labels (n,). Each split draws orders of its own."""
    config = PRESETS[preset].config
    batch = get_task(f"pathfinder/{preset}").generate(split, 0, count)
    tips = rows_of(batch["tips"]).reshape(-1, 2, 2, 2).astype(np.float64)
    # Row, column, angle in hundredths of a degree, and one more number, of each paddle of both contours.
    angles = np.radians(rows_of(batch["contours"]).reshape(count, 2, config.contour_length, 4)[..., 2] / 100)
    origin, labels = (numbers(batch[name]).astype(np.int64) for name in ("origin", "label"))
    place, other = np.arange(count), np.where(labels == 1, origin, 1 - origin)
    offsets = (tips[place, other, 1] - tips[place, origin, 0]) / config.resolution
    leaving = np.stack([angles[place, origin, 0], angles[place, other, -1]], axis=1)  # angles point into the contour
    leaving = np.stack([np.sin(leaving), np.cos(leaving)], axis=-1)
    swapped = np.random.default_rng(len(split)).random(count) < 0.5
    offsets[swapped] *= -1
    leaving[swapped] = leaving[swapped, ::-1]
    return np.concatenate([offsets, leaving.reshape(count, 4)], axis=1).astype(np.float32), labels


def accuracy_of_ends(preset: str, pictures: int) -> tuple[int, tuple[float, float]]:
    """Right guesses among SCORED, and the 95 % interval of their share."""
    torch.manual_seed(0)
    ends, labels = (torch.from_numpy(values) for values in ends_and_labels(preset, "train", pictures))
    network = nn.Sequential(nn.Linear(6, 64), nn.GELU(), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 2))
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    steps = EPOCHS * (pictures // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(EPOCHS):
        for rows in torch.randperm(pictures)[: pictures // BATCH * BATCH].view(-1, BATCH):
            optimiser.zero_grad()
            functional.cross_entropy(network(ends[rows]), labels[rows]).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    ends, labels = (torch.from_numpy(values) for values in ends_and_labels(preset, "test", SCORED))
    with torch.no_grad():
        right = int((network(ends).argmax(dim=1) == labels).sum())
    return right, wilson_interval(right / SCORED, SCORED, 1.96)


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("presets", nargs="*", default=CHOSEN, metavar="PRESET")
    parser.add_argument("--pictures", type=int, default=160_000, help="pictures of train to learn from")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| preset | marked ends | 95 % interval |\n|---|---|---|")
    for preset in options.presets:
        right, (low, high) = accuracy_of_ends(preset, options.pictures)
        print(f"| {preset} | {right / SCORED:.1%} | {low:.1%} to {high:.1%} |", flush=True)


if __name__ == "__main__":
    main()
