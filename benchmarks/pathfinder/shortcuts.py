"""The shortcut audit of every preset: the accuracy of predictors that use one trivial measure.

    python -m benchmarks.pathfinder.shortcuts [--pictures 9000] [PRESET ...]

On two thirds of the pictures each predictor learns the best guess for every value of its measure; the others score it;
seed 0. `lra-data stats` prints the same for a whole set. Here it is on fewer pictures, for the original's presets and
the clean ones.
"""

import argparse

from lra_data import get_task
from lra_data.checking.set_statistics import statistics
from lra_data.pathfinder.config import PRESETS
from lra_data.store.row_access import VirtualRows


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description="Measure the shortcuts of Pathfinder's presets.")
    parser.add_argument("presets", nargs="*", default=list(PRESETS), metavar="PRESET")
    parser.add_argument("--pictures", type=int, default=9000, help="number of pictures of each preset (default: 9000)")
    options = parser.parse_args()
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
