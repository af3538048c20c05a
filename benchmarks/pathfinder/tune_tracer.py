"""Fits the regressions of the tracer: `python -m benchmarks.pathfinder.tune_tracer` writes tracer_weights.json.

    python -m benchmarks.pathfinder.tune_tracer [--pictures 1500] [32 64 128 256]

The pictures are from the train split of seed 77, for the presets that follow the original. Measurements use other
seeds.
"""

import argparse
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lra_data import generate
from lra_data.arrow_columns import numbers, rows_of
from lra_data.pathfinder.checks.tracer import WEIGHTS, Weights, features, probability
from lra_data.pathfinder.config import DIFFICULTIES

Floats = NDArray[np.float64]

RIDGE = 0.01
DECIMALS = 5


def fit(inputs: Floats, targets: Floats) -> Floats:
    """Weights (classes, columns) of a logistic regression onto targets (n, classes), each class separately."""
    rows = []
    for target in targets.T:
        weights = np.zeros(inputs.shape[1])
        for _ in range(30):
            chance = 1 / (1 + np.exp(-inputs @ weights))
            slope = inputs.T @ (chance - target) / len(inputs) + RIDGE * weights
            curve = (inputs.T * (chance * (1 - chance))) @ inputs / len(inputs) + RIDGE * np.eye(len(weights))
            weights -= np.linalg.solve(curve, slope)
        rows.append(weights)
    return np.array(rows)


def fit_resolution(resolution: int, count: int) -> Weights:
    """The weights of one resolution. Also prints their accuracy on the pictures they were fitted to."""
    parts, labels, classes = [], [], []
    for number, difficulty in enumerate(DIFFICULTIES):
        batch = generate(f"pathfinder/{resolution}-{difficulty}", "train", 0, count, seed=77)
        found, seen = features(rows_of(batch["inputs"]).reshape(-1, resolution, resolution))
        parts.append(found[seen])
        labels.append(numbers(batch["label"])[seen])
        classes.append(np.full(int(seen.sum()), number))
    found, label, length = np.concatenate(parts), np.concatenate(labels), np.concatenate(classes)
    mean, spread = found.mean(axis=0).round(DECIMALS), (found.std(axis=0) + 1e-3).round(DECIMALS)
    scaled = np.column_stack([(found - mean) / spread, np.ones(len(found))])
    joined = [fit(scaled[length == number], label[length == number, None].astype(np.float64))[0] for number in range(3)]
    lengths = fit(scaled, (length[:, None] == np.arange(3)).astype(np.float64))
    weights = Weights(mean, spread, np.array(joined).round(DECIMALS), lengths.round(DECIMALS))
    right = (probability(found, weights) > 0.5) == label
    shares = ", ".join(f"{name} {right[length == number].mean():.1%}" for number, name in enumerate(DIFFICULTIES))
    print(f"{resolution}: {shares} of the pictures it was fitted to", flush=True)
    return weights


def main() -> None:
    """Fit and write."""
    parser = argparse.ArgumentParser(description="Fit the tracer's regressions.")
    parser.add_argument("resolutions", nargs="*", type=int, default=[32, 64, 128, 256], metavar="RESOLUTION")
    parser.add_argument("--pictures", type=int, default=1500, help="number of pictures of each preset (default: 1500)")
    options = parser.parse_args()
    found: dict[str, Any] = json.loads(WEIGHTS.read_text()) if WEIGHTS.exists() else {}
    for resolution in options.resolutions:
        weights = fit_resolution(resolution, options.pictures)
        found[str(resolution)] = {name: values.tolist() for name, values in weights._asdict().items()}
    WEIGHTS.write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
