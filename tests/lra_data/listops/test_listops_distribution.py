"""Our ListOps against the original's: 100,000 examples of one seed, two-sample tests at level 0.001.

The other side is what was measured on the original's own functions (`reference_listops.py`). A printed figure is met
if any number that is printed so is met; both samples' errors count, ours and that of the original's run. The exact law
of lengths (`lra_data.listops.law`) is held against both samples. At the end, rows that the original script itself wrote
are read, written and solved.

Not here: whether each example is what `docs/listops_draws.md` says.
"""

import gzip
import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray
from scipy import stats

import lra_data
from lra_data.interop.lra_2020 import listops_source
from lra_data.listops.config import PRESETS
from lra_data.listops.law import exact_law, length_distribution
from lra_data.listops.solver import SOUND, solve
from lra_data.listops.tree import evaluate
from lra_data.listops.vocabulary import VOCABULARY, parse_tokens
from tests.conftest import ROOT
from tests.support import reference_listops as reference

# Fixed before the first run; a test that rejects is a finding about the generator, not about the seed.
SEED = 0
LEVEL = 0.001

CONFIG = PRESETS["lra"].config
WINDOW = slice(CONFIG.min_length + 1, CONFIG.max_length)

ROWS_AT_A_TIME = 2_000  # keeps the arrays over all tokens of a part at some megabytes
BOOTSTRAPS = 200


# Statistics: each test returns its p-value.


def two_sample_chi_square(counts: ArrayLike, other_counts: ArrayLike) -> float:
    """That both rows of counts come from one distribution."""
    return float(stats.chi2_contingency(np.array([counts, other_counts]), correction=False).pvalue)


def chi_square(counts: NDArray[np.int64], probabilities: NDArray[np.float64]) -> float:
    """That the counts come from these probabilities, which need not add up to 1."""
    return float(stats.chisquare(counts, probabilities / probabilities.sum() * counts.sum()).pvalue)


def z_test(distance: float, error: float) -> float:
    """Two-sided: that a distance with this standard error is 0."""
    return float(2 * stats.norm.sf(abs(distance) / error))


def two_sample_share(printed: reference.Printed, ours: float, num_examples: int) -> float:
    """That a share of ours, of `num_examples`, and a printed one are estimates of the same number."""
    total = num_examples + printed.num_examples
    pooled = (ours * num_examples + printed.value * printed.num_examples) / total
    variance = pooled * (1 - pooled) * (1 / num_examples + 1 / printed.num_examples)
    return z_test(printed.distance(ours), float(np.sqrt(variance)))


# Our sample, measured from the tokens; only the label is taken from its column.


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What the tests need of each example; every array has one entry, or row, an example."""

    labels: NDArray[np.int64]
    root_words: NDArray[np.int64]  # token id of the first word
    lengths: NDArray[np.int64]
    nestings: NDArray[np.int64]  # most operators open at once
    root_arities: NDArray[np.int64]
    token_counts: NDArray[np.int64]  # (examples, 15), in the vocabulary's order

    def labels_under(self, operator: str) -> NDArray[np.int64]:
        """Histogram of the labels of the examples with this root operator."""
        return np.bincount(self.labels[self.root_words == VOCABULARY.index(f"[{operator}") + 1], minlength=10)


@pytest.fixture(scope="module")
def sample() -> Sample:
    batch = lra_data.get_task("listops/lra").generate("train", 0, reference.LARGE, seed=SEED)
    offsets = batch["inputs"].offsets.to_numpy()
    tokens = batch["inputs"].values.to_numpy()
    parts = [
        _measure_tokens(tokens, offsets[start : start + ROWS_AT_A_TIME + 1])
        for start in range(0, len(batch), ROWS_AT_A_TIME)
    ]
    nestings, root_arities, token_counts = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Sample(
        labels=batch["label"].to_numpy(),
        root_words=tokens[offsets[:-1]].astype(np.int64),
        lengths=np.diff(offsets).astype(np.int64),
        nestings=nestings,
        root_arities=root_arities,
        token_counts=token_counts,
    )


def _measure_tokens(
    all_tokens: NDArray[np.uint8], offsets: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Nesting, arguments of the root, and counts of the words, of the rows between these offsets."""
    tokens = all_tokens[offsets[0] : offsets[-1]].astype(np.int64)
    starts = offsets[:-1] - offsets[0]
    opens = tokens <= VOCABULARY.index("[SM") + 1
    closes = tokens == VOCABULARY.index("]") + 1
    open_before = np.cumsum(opens.astype(np.int64) - closes) - opens + closes
    nestings = np.maximum.reduceat(open_before, starts)
    # An argument of the root begins wherever one operator is open, except at the root's own bracket.
    root_arities = np.add.reduceat((open_before == 1) & ~closes, starts, dtype=np.int64)
    rows = np.repeat(np.arange(len(starts)), np.diff(offsets))
    words = len(VOCABULARY)
    token_counts = np.bincount(rows * words + tokens - 1, minlength=len(starts) * words).reshape(-1, words)
    return nestings, root_arities, token_counts


# Labels and root operators.


def test_labels(sample: Sample) -> None:
    counts = np.bincount(sample.labels, minlength=10)
    # Of the tables that are printed as this one, the nearest to ours. It matters little: rounding hides up to 5 of a
    # count, and the difference of two such counts has a standard deviation of 115 or more.
    nearest = [
        printed.nearest(count / len(sample.labels)) * reference.LARGE
        for count, printed in zip(counts, reference.LABELS, strict=True)
    ]
    assert two_sample_chi_square(counts, nearest) >= LEVEL


def test_root_operators(sample: Sample) -> None:
    # The text does not say whose share is which, so each of ours may meet any.
    for operator in CONFIG.operators:
        count = int(sample.labels_under(operator).sum())
        share = count / len(sample.labels)
        nearest = min(reference.ROOT_OPERATORS, key=lambda printed: printed.distance(share))
        assert two_sample_share(nearest, share, len(sample.labels)) >= LEVEL, operator


def test_root_operators_are_uniform(sample: Sample) -> None:
    counts = np.array([sample.labels_under(operator).sum() for operator in CONFIG.operators])
    assert chi_square(counts, np.ones(len(counts))) >= LEVEL


@pytest.mark.parametrize(("operator", "label"), reference.LABEL_GIVEN_ROOT)
def test_label_given_the_root_operator(sample: Sample, operator: str, label: int) -> None:
    counts = sample.labels_under(operator)
    num_examples = int(counts.sum())
    printed = reference.LABEL_GIVEN_ROOT[operator, label]
    assert two_sample_share(printed, counts[label] / num_examples, num_examples) >= LEVEL


def test_labels_under_sum_modulo_ten_are_uniform(sample: Sample) -> None:
    # Exactly so wherever one argument of the root is a digit, and nearly always one is.
    assert chi_square(sample.labels_under("SM"), np.ones(10)) >= LEVEL


# Predictors that read next to nothing. Their best answers are learnt on the examples that they are scored on, so the
# number of examples is part of the figure.


def test_accuracy_of_the_root_operator_alone(sample: Sample) -> None:
    num_examples = reference.ROOT_OPERATOR_ACCURACY.num_examples
    pairs = np.zeros((len(VOCABULARY) + 1, 10), dtype=np.int64)
    np.add.at(pairs, (sample.root_words[:num_examples], sample.labels[:num_examples]), 1)
    accuracy = pairs.max(axis=1).sum() / num_examples
    assert two_sample_share(reference.ROOT_OPERATOR_ACCURACY, accuracy, num_examples) >= LEVEL


def test_accuracy_of_the_most_frequent_label(sample: Sample) -> None:
    num_examples = reference.MAJORITY_ACCURACY.num_examples
    accuracy = np.bincount(sample.labels[:num_examples]).max() / num_examples
    assert two_sample_share(reference.MAJORITY_ACCURACY, accuracy, num_examples) >= LEVEL


# Form: length, depth, arguments of the root, tokens.


def test_histogram_of_lengths(sample: Sample) -> None:
    counts, _ = np.histogram(sample.lengths, bins=reference.LENGTH_BINS)
    assert two_sample_chi_square(counts, reference.LENGTH_HISTOGRAM) >= LEVEL


def test_shortest_and_longest(sample: Sample) -> None:
    # Both ends of the window occur: a sample as large misses the rarer one with probability e^-21.
    assert (sample.lengths.min(), sample.lengths.max()) == (reference.SHORTEST, reference.LONGEST)


def test_mean_length(sample: Sample) -> None:
    printed = reference.MEAN_LENGTH
    error = reference.DEVIATION_OF_LENGTH.value * np.sqrt(1 / len(sample.lengths) + 1 / printed.num_examples)
    assert z_test(printed.distance(float(sample.lengths.mean())), error) >= LEVEL


def test_standard_deviation_of_lengths(sample: Sample) -> None:
    printed = reference.DEVIATION_OF_LENGTH
    # Var(s) is s^2 (kurtosis - 1) / 4n for large n; the lengths' kurtosis is 2.4 and not the normal law's 3.
    variance = printed.value**2 * (stats.kurtosis(sample.lengths, fisher=False) - 1) / 4
    error = np.sqrt(variance * (1 / len(sample.lengths) + 1 / printed.num_examples))
    assert z_test(printed.distance(float(sample.lengths.std())), error) >= LEVEL


@pytest.mark.parametrize("percent", reference.PERCENTILES_OF_LENGTH)
def test_percentiles_of_length(sample: Sample, percent: int) -> None:
    # Of the original's lengths at most `percent` lay below the percentile and at least that many at or below it.
    length = reference.PERCENTILES_OF_LENGTH[percent]
    below, up_to = float(np.mean(sample.lengths < length)), float(np.mean(sample.lengths <= length))
    share = percent / 100
    distance = max(0.0, below - share, share - up_to)
    error = np.sqrt(share * (1 - share) * (1 / len(sample.lengths) + 1 / reference.LARGE))
    assert z_test(distance, error) >= LEVEL


def test_share_of_lengths_up_to_1024(sample: Sample) -> None:
    share = float(np.mean(sample.lengths <= 1024))
    assert two_sample_share(reference.AT_MOST_1024, share, len(sample.lengths)) >= LEVEL


def test_all_examples_nest_to_the_cap(sample: Sample) -> None:
    assert np.flatnonzero(sample.nestings != reference.NESTING).tolist() == []


def test_arguments_of_the_root(sample: Sample) -> None:
    arities = sample.root_arities[: reference.SMALL]
    counts = np.bincount(arities, minlength=reference.ROOT_ARITIES.stop)
    assert counts[: reference.ROOT_ARITIES.start].sum() == 0
    assert two_sample_chi_square(counts[reference.ROOT_ARITIES.start :], reference.ROOT_ARITY_HISTOGRAM) >= LEVEL


def test_shares_of_tokens(sample: Sample) -> None:
    """Shares of all tokens, so ratios of sums; their errors by drawing whole examples again with replacement."""
    shares = sample.token_counts.sum(axis=0) / sample.token_counts.sum()
    random = np.random.default_rng(0)
    num_examples = len(sample.lengths)
    replicates = np.empty((BOOTSTRAPS, len(VOCABULARY)))
    for replicate in range(BOOTSTRAPS):
        weights = np.bincount(random.integers(num_examples, size=num_examples), minlength=num_examples)
        totals = weights @ sample.token_counts
        replicates[replicate] = totals / totals.sum()
    errors = replicates.std(axis=0, ddof=1)
    for word, share, error in zip(VOCABULARY, shares, errors, strict=True):
        printed = reference.TOKEN_SHARES[word]
        both = error * np.sqrt(1 + num_examples / printed.num_examples)
        assert z_test(printed.distance(float(share)), both) >= LEVEL, word


def test_operators_and_digits_are_uniform(sample: Sample) -> None:
    # A tree is kept for its shape, which says nothing of its words: so each token is a draw of its own.
    totals = sample.token_counts.sum(axis=0)
    close = VOCABULARY.index("]")
    assert chi_square(totals[:close], np.ones(4)) >= LEVEL
    assert chi_square(totals[close + 1 :], np.ones(10)) >= LEVEL


# The exact law, against both samples.


def test_exact_law_gives_the_originals_acceptance() -> None:
    test = stats.binomtest(reference.LARGE, reference.NUM_PROPOSALS, exact_law(CONFIG).acceptance)
    assert test.pvalue >= LEVEL


def test_exact_law_gives_the_originals_rejections() -> None:
    shares = length_distribution(CONFIG)
    for printed, share in (
        (reference.BARE_DIGIT, shares[1]),
        (reference.TOO_SHORT, shares[: WINDOW.start].sum()),
        (reference.TOO_LONG, 1 - shares.sum()),
    ):
        error = np.sqrt(share * (1 - share) / printed.num_examples)
        assert z_test(printed.distance(share), error) >= LEVEL, printed


def test_exact_law_gives_the_originals_lengths() -> None:
    shares = length_distribution(CONFIG)
    edges = [max(WINDOW.start, edge) for edge in reference.LENGTH_BINS]
    binned = np.array([shares[start:stop].sum() for start, stop in pairwise(edges)])
    assert chi_square(np.array(reference.LENGTH_HISTOGRAM), binned) >= LEVEL


def test_exact_law_gives_our_lengths(sample: Sample) -> None:
    shares = length_distribution(CONFIG)[WINDOW]
    counts = np.bincount(sample.lengths, minlength=WINDOW.stop)[WINDOW]
    # Every length is a bin of its own: the rarest is expected 21 times.
    assert (shares / shares.sum() * len(sample.lengths)).min() >= 20
    assert chi_square(counts, shares) >= LEVEL


@pytest.mark.parametrize("preset", ["4k", "8k", "16k"])
def test_long_presets_accept_about_one_draw_in_twenty_five(preset: str) -> None:
    assert 0.03 <= exact_law(PRESETS[preset].config).acceptance <= 0.05


# Rows that the original script wrote.


@pytest.fixture(scope="module")
def original_rows() -> list[tuple[str, int]]:
    """Source and target of each row of the sample."""
    folder = os.environ.get("LRA_DATA_RAW") or ROOT.parent / "shared" / "data"
    path = Path(folder) / "original_listops_sample.tsv.gz"
    if not path.is_file():
        pytest.skip(f"{path} is absent: set LRA_DATA_RAW to the folder that holds {path.name}")
    header, *lines, end = gzip.decompress(path.read_bytes()).decode("ascii").split("\r\n")
    assert (header, len(lines), end) == ("Source\tTarget", 500, "")
    return [(source, int(target)) for source, target in (line.split("\t") for line in lines)]


def test_original_rows_are_written_back_exactly(original_rows: list[tuple[str, int]]) -> None:
    changed = [row for row, (source, _) in enumerate(original_rows) if listops_source(parse_tokens(source)) != source]
    assert changed == []


def test_original_rows_have_their_label(original_rows: list[tuple[str, int]]) -> None:
    wrong = [row for row, (source, label) in enumerate(original_rows) if evaluate(source) != label]
    assert wrong == []


def test_original_rows_are_solved_by_the_stack_machine(original_rows: list[tuple[str, int]]) -> None:
    rows = [parse_tokens(source) for source, _ in original_rows]
    offsets = np.cumsum([0, *map(len, rows)], dtype=np.int32)
    found = np.zeros((len(rows), 6), dtype=np.int64)
    solve(np.concatenate(rows).astype(np.uint8), offsets, found)
    fault, value, nesting, fewest, most, _ = found.T
    assert np.flatnonzero(fault != SOUND).tolist() == []
    assert np.flatnonzero(value != [label for _, label in original_rows]).tolist() == []
    # They also have the form that the configuration names.
    assert np.unique(nesting).tolist() == [reference.NESTING]
    assert (fewest.min(), most.max()) == (CONFIG.min_args, CONFIG.max_args)
    assert CONFIG.min_length < np.diff(offsets).min()
    assert np.diff(offsets).max() < CONFIG.max_length
