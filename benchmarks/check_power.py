"""Which faults of data and reading `lra-zoo check` finds without digests, on rows that are in no card.

    python -m benchmarks.check_power [--models full,linear,performer] [--seed 2]

Each bundled model of listops/mini answers 20,000 rows without a fault and with each fault. Its right answers, and its
mean of label - answer under each root operator, are compared with its card, with the thresholds of a check with all
sixteen models. Prints Markdown.
"""

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch

import lra_data
from lra_data.loading.dataset import Dataset
from reference_models.drift.check import LEVEL
from reference_models.drift.fingerprint import answers, errors, groups
from reference_models.drift.trained import Model, trained_on
from reference_models.evaluation.significance import differ, means_differ
from reference_models.model.bundled import BUNDLED
from tests.support.faulty_sets import DATA_FAULTS, READING_FAULTS, batches_with, rows_with

CPU = torch.device("cpu")
# Right answers and means under four root operators, for sixteen models.
COMPARISONS = 16 * 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="full,linear,performer", help="names of bundled models")
    parser.add_argument("--seed", type=int, default=2, help="seed of the rows (default: 2)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    models = trained_on(lra_data.get_task("listops/mini"), BUNDLED, given.models.split(","), CPU)
    faults: dict[str, Callable[[], AbstractContextManager[None]]] = {
        "none": nullcontext,
        **{name: partial(rows_with, fault) for name, fault in DATA_FAULTS.items()},
        **{name: partial(batches_with, fault) for name, fault in READING_FAULTS.items()},
    }
    print("| fault | " + " | ".join(f"{name}: right, points" for name in models) + " | means that moved |")
    print("|---|" + "---|" * (len(models) + 1))
    for fault, made in faults.items():
        cells, moved = [], []
        for name, model in models.items():
            with made():
                dataset = lra_data.load("listops/mini", split="train[:20000]", seed=given.seed)
                right, found, groups = compared(name, model, dataset)
            cells.append(f"{right:+.2f}{', found' if found else ''}")
            moved.append(f"{len(groups)} of 4")
        print(f"| {fault} | " + " | ".join(cells) + f" | {', '.join(moved)} |", flush=True)


def compared(name: str, model: Model, dataset: Dataset) -> tuple[float, bool, list[str]]:
    """The change of accuracy against the card in percentage points, whether it is found, and the groups in which the
    change of the mean of label - answer is found.
    """
    found = answers({name: model.classifier}, dataset, device=CPU)
    fresh, correct, now = model.fresh, found.correct(name), errors(found, name, groups(dataset))
    counts = (correct, len(found.labels), fresh.correct, fresh.examples)
    moved = [
        group
        for group, was in fresh.errors.items()
        if means_differ(now[group], was, comparisons=COMPARISONS, level=LEVEL)
    ]
    points = 100 * (correct / len(found.labels) - fresh.correct / fresh.examples)
    return points, differ(*counts, comparisons=COMPARISONS, level=LEVEL), moved


if __name__ == "__main__":
    main()
