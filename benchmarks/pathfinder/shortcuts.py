"""The shortcut audit of every preset: what predictors score that look at one trivial thing.

    python -m benchmarks.pathfinder.shortcuts [--pictures 9000] [PRESET ...]

Two thirds of the pictures teach each predictor the best guess for every value it sees, the rest measure it; seed 0. It
is what `lra-data stats` prints for a whole set, on fewer pictures, with the original's presets beside the clean ones.
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
    parser.add_argument("--pictures", type=int, default=9000, help="a preset (default: 9000)")
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
