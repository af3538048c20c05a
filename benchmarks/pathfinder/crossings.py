"""The share of pictures with lines that cross, and the tracer's agreement with the labels on them.

    python -m benchmarks.pathfinder.crossings [--pictures 1000] [--sheet FILE] [PRESET ...]

A contour is the line through its paddles. Where lines cross, the dashes do not show which line continues where, so a
viewer may err like the tracer. Where both contours end on one pixel, both labels have the same picture.
`--sheet` writes the first pictures of the last preset that cross and mislead the tracer.
"""

import argparse
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lra_data import get_task
from lra_data.pathfinder.checks.tracer import trace
from lra_data.pathfinder.config import PRESETS
from lra_data.pathfinder.viewer import framed
from lra_data.picture_files import png_bytes

SHOWN = 12


def segments(paddles: NDArray[Any], length: float) -> NDArray[np.float64]:
    """The line through a chain's paddles as segments (n, 2, 2), each with its start and end."""
    angles = np.radians(paddles[:, 2] / 100)
    starts = paddles[:, :2].astype(np.float64)
    ends = starts + length * np.column_stack([np.sin(angles), np.cos(angles)])
    middles = (starts + ends) / 2
    return np.stack([np.concatenate([starts[:1], middles]), np.concatenate([middles, ends[-1:]])], axis=1)


def cross(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Whether any segment of one line crosses any of another."""

    def side(a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64]) -> NDArray[np.float64]:
        return (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (c[..., 0] - a[..., 0])

    a, b = one[:, None, 0], one[:, None, 1]
    c, d = other[None, :, 0], other[None, :, 1]
    apart = (side(a, b, c) * side(a, b, d) < 0) & (side(c, d, a) * side(c, d, b) < 0)
    return bool(apart.any())


def has_crossing(task: Any, row: dict[str, Any]) -> bool:
    """Whether two chains of a picture cross, at least one of them a contour."""
    config = task.config
    contours = np.array(row["contours"]).reshape(2, -1, 4)
    distractors = np.array(row["distractors"]).reshape(-1, config.distractor_length, 4)
    lines = [segments(chain, config.paddle_length) for chain in (*contours, *distractors)]
    return any(cross(lines[i], lines[j]) for i, j in combinations(range(len(lines)), 2) if i < 2)


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description="Count pictures whose lines cross.")
    parser.add_argument("presets", nargs="*", default=list(PRESETS), metavar="PRESET")
    parser.add_argument("--pictures", type=int, default=1000, help="number of pictures of each preset (default: 1000)")
    parser.add_argument("--sheet", type=Path, help="PNG file for pictures with a crossing that mislead the tracer")
    options = parser.parse_args()
    print(
        "| preset | pictures with a crossing | tracer agrees on them | on the others | both contours end on one pixel |"
    )
    print("|---|---|---|---|---|")
    sheet = None
    for preset in options.presets:
        task = get_task(f"pathfinder/{preset}")
        batch = task.take("test", range(options.pictures))
        rows = batch.to_pylist()
        pictures = np.array([row["inputs"] for row in rows], dtype=np.uint8)
        pictures = pictures.reshape(-1, task.config.resolution, task.config.resolution)
        labels = np.array([row["label"] for row in rows])
        crossed = np.array([has_crossing(task, row) for row in rows])
        agrees = trace(pictures) == labels
        shares = [f"{agrees[chosen].mean():.1%}" if chosen.any() else "" for chosen in (crossed, ~crossed)]
        tips = np.array([row["tips"] for row in rows]).reshape(-1, 2, 2, 2)
        same = (tips[:, 0, 1] == tips[:, 1, 1]).all(axis=1).mean()
        print(f"| {preset} | {crossed.mean():.1%} | {' | '.join(shares)} | {same:.1%} |", flush=True)
        misled = np.flatnonzero(crossed & ~agrees)[:SHOWN]
        sheet = framed(pictures[misled], labels[misled], misled, ("not connected", "connected"))
    if options.sheet is not None and sheet is not None:
        options.sheet.write_bytes(png_bytes(sheet))


if __name__ == "__main__":
    main()
