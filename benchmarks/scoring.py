"""CPU seconds and memory of scoring ten million predictions, against the bare comparison of two arrays.

    python -m benchmarks.scoring [--examples 10000000]

Labels and logits of ten classes are drawn; so are two features, one with many values and one with few. Everything that
`lra_data.score` does once it has the labels is measured: reading indices in another order, groups, intervals, McNemar's
test, and in the second line calibration from logits in float64. Prints Markdown.
"""

import argparse
import resource
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lra_data.results.measures import by_group, calibration, mcnemar, share
from lra_data.results.predictions import predictions_of

CLASSES = 10


def seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def peak_mb() -> float:
    """Greatest resident memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def bare(one: NDArray[np.int64], other: NDArray[np.int64]) -> int:
    return int((one == other).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=10_000_000)
    n = parser.parse_args().examples
    rng = np.random.default_rng(0)
    labels, places = rng.integers(0, CLASSES, n), range(n)
    table = pa.table({"index": rng.permutation(n), "label": rng.integers(0, CLASSES, n)})
    other = rng.integers(0, CLASSES, n)
    features = [rng.integers(0, 5000, n), rng.integers(0, 8, n)]

    def whole() -> None:
        right = predictions_of(table, places, CLASSES, "a benchmark").labels == labels
        share(int(right.sum()), n)
        mcnemar(right, predictions_of(other, places, CLASSES, "a benchmark").labels == labels)
        for values in (labels, *features):
            by_group(right, values, None)

    before = peak_mb()
    floor = seconds(lambda: bare(labels, other))
    print(
        "| work | examples | CPU, s | times the bare comparison | memory above that of the inputs, MB |\n"
        "|---|---:|---:|---:|---:|"
    )
    took = seconds(whole)
    peak = peak_mb() - before
    print(f"| labels | {n:,} | {took:.1f} | {took / floor:.0f} | {peak:,.0f} |", flush=True)
    few = n // 10
    logits = rng.normal(size=(few, CLASSES))
    took = seconds(lambda: calibration(logits, labels[:few]))
    peak = peak_mb() - before
    print(f"| calibration | {few:,} | {took:.1f} | {took / floor:.0f} | {peak:,.0f} |")


if __name__ == "__main__":
    main()
