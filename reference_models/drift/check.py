"""Checks a dataset with models that learned it: they must give the answers, and reach the accuracy, in their cards.

Rows of the cards' own seed are compared with the cards: the digests of the rows, the digests of the batches made from
them, and the answers. On rows of another seed, which are in no card, two figures are compared with the card: the share
of right answers, and the mean of label - answer in each group of rows (`fingerprint.groups`). That mean moves when a
rule of the labels changes on which few answers depend. All intervals together hold at 99.9 %.

Several models divide the rows among them: each answers its share, the figures are compared for all together, and
digests are of all rows. A thorough check lets every model answer every row, which takes as many times as long as there
are models. Each finding is attributed to a cause:

    data changed        the rows differ, or the figures on rows that are in no card
    reading changed     the rows are the same, the batches made from them differ
    models drifted      rows and batches are the same, the answers differ

Not here: whether labels are right, which `lra-data verify` derives from the rows themselves.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch

from lra_data import UsageError, phases
from reference_models.drift.fingerprint import BLOCK, Answers, answers, as_answers, errors, groups, rows_digests
from reference_models.drift.shared_rows import shared_rows
from reference_models.drift.trained import Model
from reference_models.evaluation.model_inputs import reading
from reference_models.evaluation.significance import differ, means_differ, pooled_means_differ

if TYPE_CHECKING:
    from lra_data.loading.dataset import Dataset

Cause = Literal["data changed", "reading changed", "models drifted"]

# Share of answers that may differ although data and reading are the same: rounding differs between machines.
MOST_DIFFERENT = 0.005
LEVEL = 0.999

_Errors = Mapping[str, tuple[int, int, int]]
OpenSplit = Callable[[str, int], "Dataset"]


@dataclass(frozen=True)
class Finding:
    """One difference from the record. text: what was expected, and what was found."""

    cause: Cause
    text: str


@dataclass
class Report:
    """The result of a check.

    findings: the differences found; empty if there are none.
    lines: what was compared, for a reader.
    measured: the underlying numbers, by model.
    """

    findings: list[Finding] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    measured: dict[str, dict[str, Any]] = field(default_factory=dict)


def check(
    models: Mapping[str, Model],
    open_split: OpenSplit,
    *,
    seed: int,
    other_seed: int,
    device: torch.device,
    thorough: bool = False,
    num_workers: int = 0,
    tell: phases.Tell | None = None,
) -> Report:
    """Compare a set with the cards of models that were trained on its configuration.

    If the set has the cards' seed, its rows are compared with the cards, and then the figures on rows of `other_seed`.
    If it has another seed, rows of the cards' seed are generated and compared, and then the figures on the set's rows.
    A corpus has one set of rows, which is compared with the cards.

    open_split: opens a slice of a split under a seed: of the set for its own seed, otherwise generated on the fly.
    seed: the set's own seed.
    other_seed: seed of further rows, used if the set has the cards' seed.
    thorough: whether every model answers every row; otherwise several models divide the rows among them.
    tell: hears how many examples of each split were answered.
    """
    known = _known_seed(models)
    checking = _Checking(models, open_split, device, num_workers, tell, divided=not thorough and len(models) > 1)
    if all(model.card.fresh is not None for model in models.values()):
        if known == other_seed:
            raise UsageError(f"the other seed must be one that no model learned, got {other_seed}")
        checking.compare(known)
        checking.count(other_seed if seed == known else seed)
    elif seed == known:
        checking.compare(known)
    else:
        raise UsageError(f"expected a set of seed {known}, which the models learned, got one of seed {seed}")
    return checking.report


def _known_seed(models: Mapping[str, Model]) -> int:
    """The seed whose rows all cards record; raises UsageError for models that recorded different rows."""
    if not models:
        raise UsageError("expected at least one trained model to check with, got none")
    first_name, first = next(iter(models.items()))
    for name, model in models.items():
        if model.card.data.seed != first.card.data.seed:
            raise UsageError(
                f"expected models that learned one seed, {first_name} and {name} did not: choose with --models"
            )
        for split, entry in first.recorded.items():
            if model.recorded[split].rows != entry.rows:
                raise UsageError(f"expected models with the same recorded rows, {name} has others")
    return first.card.data.seed


class _Checking:
    """One check; each comparison adds to its report."""

    def __init__(
        self,
        models: Mapping[str, Model],
        open_split: OpenSplit,
        device: torch.device,
        num_workers: int,
        tell: phases.Tell | None,
        *,
        divided: bool,
    ) -> None:
        self.models, self.open_split, self.divided = models, open_split, divided
        self.device, self.num_workers, self.tell = device, num_workers, tell
        self.report = Report(measured={name: {} for name in models})

    def compare(self, seed: int) -> None:
        """Compare rows of the cards' own seed with the cards."""
        recorded = next(iter(self.models.values())).recorded
        different, compared, same = dict.fromkeys(self.models, 0), dict.fromkeys(self.models, 0), True
        for split, entry in recorded.items():
            whole = self.open_split(split, seed)
            if self._another_copy(whole, split):
                self._compare_shared(whole, split, different, compared)
                continue
            there = len(whole)
            # Of a set with fewer rows, the whole blocks are compared.
            rows = entry.examples if there >= entry.examples else there // BLOCK * BLOCK
            if rows == 0:
                self.report.lines.append(f"{split}: not compared: {there} rows are less than one block of {BLOCK}")
                continue
            dataset = self.open_split(f"{split}[:{rows}]", seed)
            found = self._answers(dataset)
            same &= self._same_blocks(split, rows, entry.rows, rows_digests(dataset), "data changed", "rows")
            if same:
                same &= self._same_blocks(split, rows, entry.read, found.read, "reading changed", "batches")
            for name, model in self.models.items():
                was, asked = as_answers(model.recorded[split].predictions)[:rows], found.asked(name)
                different[name] += int((found.predicted[name] != was)[asked].sum())
                compared[name] += int(asked.sum())
        if not any(compared.values()):
            raise UsageError(f"expected at least {BLOCK} rows in train or test, got a set with fewer: build more")
        for name, changed in different.items():
            self.report.measured[name] |= {"compared": compared[name], "different": changed}
            if same and changed > MOST_DIFFERENT * compared[name]:
                self._find(
                    "models drifted",
                    f"{name}: expected at most {MOST_DIFFERENT:.1%} changed answers on the same batches, got "
                    f"{changed:,} of {compared[name]:,}",
                )

    def _another_copy(self, whole: "Dataset", split: Literal["train", "test"]) -> bool:
        """Whether the models learned from another copy of the corpus, and their cards tell its rows apart."""
        first = next(iter(self.models.values()))
        identity = getattr(first.card.data.identities, split)
        return whole.task.converted and whole.identity != identity and first.recorded[split].keys is not None

    def _compare_shared(
        self, whole: "Dataset", split: Literal["train", "test"], different: dict[str, int], compared: dict[str, int]
    ) -> None:
        """Compare the recorded rows that this copy has, too."""
        models = {name: model.classifier for name, model in self.models.items()}
        entries = {name: model.recorded[split] for name, model in self.models.items()}
        shared = shared_rows(models, whole, entries, device=self.device, divided=self.divided)
        self.report.lines.append(
            f"{split}: another copy of the corpus has {shared.found:,} of {shared.recorded:,} recorded rows"
        )
        for fault in shared.faults():
            self._find("data changed", f"{split}: {fault}")
        for name in self.models:
            different[name] += shared.different[name]
            compared[name] += shared.asked[name]

    def count(self, seed: int) -> None:
        """Compare right answers, and the mean of label - answer in each group, on rows that are in no card."""
        examples = min(model.fresh.examples for model in self.models.values())
        dataset = self.open_split(f"train[:{examples}]", seed)
        found = self._answers(dataset)
        group_of_row = groups(dataset)
        now = {name: errors(found, name, group_of_row) for name in self.models}
        for name in self.models:
            self.report.measured[name] |= {
                "seed": seed,
                "examples": int(found.asked(name).sum()),
                "correct": found.correct(name),
                "errors": now[name],
            }
        comparisons, outside = (self._together if self.divided else self._each)(found, now)
        self.report.lines.append(
            f"seed {seed}: {len(found.labels):,} examples answered, {len(outside)} of {comparisons} figures outside"
        )
        if outside:
            # A finding in the recorded rows explains this one too.
            cause = self.report.findings[0].cause if self.report.findings else "data changed"
            self._find(
                cause,
                f"seed {seed}: expected the recorded figures within joint {LEVEL:.1%} intervals, got "
                f"{', '.join(outside)}",
            )

    def _each(self, found: Answers, now: Mapping[str, _Errors]) -> tuple[int, list[str]]:
        """The number of comparisons, and in words those that are outside: of each model by itself."""
        comparisons = sum(1 + len(model.fresh.errors) for model in self.models.values())
        outside = []
        for name, model in self.models.items():
            fresh, correct, examples = model.fresh, found.correct(name), len(found.labels)
            if differ(correct, examples, fresh.correct, fresh.examples, comparisons=comparisons, level=LEVEL):
                outside.append(
                    f"{name} accuracy {correct / examples:.2%} instead of {fresh.correct / fresh.examples:.2%}"
                )
            for group, was in fresh.errors.items():
                if means_differ(now[name].get(group, (0, 0, 0)), was, comparisons=comparisons, level=LEVEL):
                    outside.append(
                        f"{name} mean error {_mean(now[name][group]):+.3f} in {group} instead of {_mean(was):+.3f}"
                    )
        return comparisons, outside

    def _together(self, found: Answers, now: Mapping[str, _Errors]) -> tuple[int, list[str]]:
        """The same of all models together, each of which answered its share of the rows."""
        right = [
            ((int(found.asked(name).sum()), *[found.correct(name)] * 2), (fresh.examples, *[fresh.correct] * 2))
            for name, fresh in ((name, model.fresh) for name, model in self.models.items())
        ]
        figures = {"accuracy": right}
        for group in sorted({group for model in self.models.values() for group in model.fresh.errors}):
            figures[group] = [
                (now[name].get(group, (0, 0, 0)), model.fresh.errors.get(group, (0, 0, 0)))
                for name, model in self.models.items()
            ]
        outside = []
        for what, pairs in figures.items():
            if pooled_means_differ(pairs, comparisons=len(figures), level=LEVEL):
                rows = sum(new[0] for new, _ in pairs)
                found_mean = sum(new[1] for new, _ in pairs) / max(rows, 1)
                due = sum(new[0] * _mean(was) for new, was in pairs) / max(rows, 1)
                outside.append(
                    f"accuracy of all models together {found_mean:.2%} instead of {due:.2%}"
                    if what == "accuracy"
                    else f"mean error of all models together {found_mean:+.3f} in {what} instead of {due:+.3f}"
                )
        return len(figures), outside

    def _answers(self, dataset: "Dataset") -> Answers:
        ways = {str(reading(model.classifier.config, dataset)) for model in self.models.values()}
        if len(ways) > 1:
            raise UsageError(
                f"expected models that read the data the same way, got {len(ways)} ways: choose with --models"
            )
        return answers(
            {name: model.classifier for name, model in self.models.items()},
            dataset,
            device=self.device,
            num_workers=self.num_workers,
            divided=self.divided,
            progress=phases.counter(self.tell, f"answering {dataset.split}, seed {dataset.rows.seed}", len(dataset)),
        )

    def _same_blocks(
        self, split: str, rows: int, expected: list[str], found: list[str], cause: Cause, what: str
    ) -> bool:
        """Whether all digests are the recorded ones; otherwise a finding says which blocks differ."""
        changed = [number for number, digest in enumerate(found) if digest != expected[number]]
        self.report.lines.append(f"{split}: {what} of {rows:,} examples, {len(changed)} of {len(found)} blocks changed")
        if changed:
            self._find(
                cause,
                f"{split}: expected the recorded {what}, got {len(changed)} of {len(found)} blocks of {BLOCK} that "
                f"differ, the first at example {changed[0] * BLOCK:,}",
            )
        return not changed

    def _find(self, cause: Cause, text: str) -> None:
        self.report.findings.append(Finding(cause, text))


def _mean(figures: Sequence[int]) -> float:
    """The mean of (number, sum, sum of squares)."""
    return figures[1] / max(figures[0], 1)
