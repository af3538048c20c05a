"""Which faults of a task's rows and reading `lra-zoo check` finds, and how large a change of accuracy must be.

    python -m benchmarks.check_power listops/mini pathfinder/24-mini
    python -m benchmarks.check_power text/holdout --corpus ARCHIVE
    python -m benchmarks.check_power image/lra --corpus ARCHIVE --allow-partial --models full,linear

For every fault of `tests/support/faults_of_tasks.py` the check is run as the command runs it, on rows of the cards' own
seed, and its first finding is shown. A digest of the recorded rows finds any change of one of them. For a generated
task, rows of another seed are in no card: there the models must tell, and the change of their accuracy, together, is
shown, with whether it is found. The second table has the least change of accuracy that is found with a probability of
50 and of 95 %. Prints Markdown.
"""

import argparse
import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from statistics import NormalDist

import torch

import lra_data
from lra_data.corpus import corpus_from_options
from lra_data.loading.dataset import Dataset
from lra_data.task import Task
from reference_models.drift.check import LEVEL, Report, check
from reference_models.drift.fingerprint import groups
from reference_models.drift.trained import Model, trained_on
from reference_models.model.bundled import BUNDLED
from tests.support.faults_of_tasks import READING_FAULTS_OF_TASKS, ROWS_FAULTS, faulty_rows
from tests.support.faulty_sets import batches_with

CPU = torch.device("cpu")
OTHER_SEED = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="+")
    parser.add_argument("--models", help="names of bundled models; all by default")
    parser.add_argument("--corpus")
    parser.add_argument("--pairs")
    parser.add_argument("--allow-partial", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    corpus = corpus_from_options(given.corpus, given.pairs, given.allow_partial)
    least: list[str] = []
    print("| task | fault | first finding on recorded rows | accuracy on other rows, points | figures outside |")
    print("|---|---|---|---|---|")
    for name in given.tasks:
        task = lra_data.load(name, split="test", corpus=corpus).task
        models = trained_on(task, BUNDLED, given.models.split(",") if given.models else None, CPU)

        def opened(split: str, seed: int, name: str = name) -> Dataset:
            return lra_data.load(name, split=split, seed=seed, corpus=corpus)

        faults: dict[str, Callable[[], AbstractContextManager[None]]] = {
            "none": nullcontext,
            **{fault: partial(faulty_rows, task.family, made) for fault, made in ROWS_FAULTS[task.family].items()},
            **{
                fault: partial(batches_with, made)
                for fault, made in READING_FAULTS_OF_TASKS.get(task.family, {}).items()
            },
        }
        for fault, made in faults.items():
            with made():
                print(f"| {task.name} | {fault} | {' | '.join(cells(models, opened, task))} |", flush=True)
        least.append(f"| {task.name} | {len(models)} | {' | '.join(least_changes(models, opened))} |")
    print("\n| task | models | change of accuracy found with 50 %, points | with 95 % |\n|---|---|---|---|")
    print("\n".join(least))


def cells(models: dict[str, Model], opened: Callable[[str, int], Dataset], task: Task) -> list[str]:
    """The cause and the text of the first finding; for a generated task, what the models say of other rows."""
    known = next(iter(models.values())).card.data.seed
    report = check(models, opened, seed=known, other_seed=OTHER_SEED, device=CPU)
    if task.converted:
        return [first(report), "–", "–"]
    measured = report.measured.values()
    right = sum(model["correct"] for model in measured) / sum(model["examples"] for model in measured)
    due = sum(
        found["examples"] * model.fresh.correct / model.fresh.examples
        for found, model in zip(measured, models.values(), strict=True)
    ) / sum(model["examples"] for model in measured)
    outside = report.lines[-1].partition("answered, ")[2]
    return [first(report), f"{100 * (right - due):+.2f}", outside]


def first(report: Report) -> str:
    """The cause of the first finding, and how many blocks differ."""
    if not report.findings:
        return "nothing"
    finding = report.findings[0]
    where = finding.text.partition("got ")[2].partition(" of 1000")[0]
    return f"{finding.cause}: {where}"


def least_changes(models: dict[str, Model], opened: Callable[[str, int], Dataset]) -> list[str]:
    """The changes of accuracy, in points, that are found with 50 and 95 %; for a corpus digests find any change."""
    if any(model.card.fresh is None for model in models.values()):
        return ["any changed row", "any changed row"]
    rows = min(model.fresh.examples for model in models.values())
    shares = [model.fresh.correct / model.fresh.examples for model in models.values()]
    new = sum(share * (1 - share) for share in shares) / len(shares) / rows
    recorded = sum(math.sqrt(share * (1 - share) / rows) for share in shares) / len(shares)
    figures = 1 + len(set(groups(opened("train[:1000]", 0))))
    deviation = math.sqrt(new + recorded**2)
    least = NormalDist().inv_cdf(1 - (1 - LEVEL) / figures / 2) * deviation
    return [f"{100 * least:.2f}", f"{100 * (least + NormalDist().inv_cdf(0.95) * deviation):.2f}"]


if __name__ == "__main__":
    main()
