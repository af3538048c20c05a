"""How often the tracer, which sees only pictures, agrees with the labels: `python -m benchmarks.pathfinder.tracer`.

    python -m benchmarks.pathfinder.tracer [--pictures 2000] [PRESET ...]

The pictures are from the test split of seed 0, which was not used to tune the tracer. The figures are recorded in
lra_data/pathfinder/checks/tracer_agreement.py and docs/pathfinder.md.
"""

import argparse
from time import perf_counter

import numpy as np

from lra_data import generate
from lra_data.arrow_columns import numbers, rows_of
from lra_data.confidence import wilson_interval
from lra_data.pathfinder.checks.tracer import trace
from lra_data.pathfinder.config import PRESETS

_Z_95 = 1.959964


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description="Measure the agreement of the tracer with the labels.")
    parser.add_argument("presets", nargs="*", default=list(PRESETS), metavar="PRESET")
    parser.add_argument("--pictures", type=int, default=2000, help="number of pictures of each preset (default: 2000)")
    options = parser.parse_args()
    print("| preset | pictures | agreement | 95 % interval | no two markers | pictures/s |")
    print("|---|---|---|---|---|---|")
    for preset in options.presets:
        batch = generate(f"pathfinder/{preset}", "test", 0, options.pictures)
        side = PRESETS[preset].config.resolution
        pictures, labels = rows_of(batch["inputs"]).reshape(-1, side, side), numbers(batch["label"])
        trace(pictures[:1])
        began = perf_counter()
        answers = trace(pictures)
        rate = len(pictures) / (perf_counter() - began)
        share = float((answers == labels).mean())
        low, high = wilson_interval(share, len(labels), _Z_95)
        unseen = int(np.count_nonzero(answers < 0))
        print(
            f"| {preset} | {len(labels):,} | {share:.1%} | {low:.1%} to {high:.1%} | {unseen} | {rate:,.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
