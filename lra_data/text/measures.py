"""The measures of reviews for `lra-data stats`: lengths, cut reviews, and duplicates."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lra_data.arrow_columns import numbers
from lra_data.errors import UsageError
from lra_data.splits import SPLITS
from lra_data.task_parts import Statistics
from lra_data.text.near_duplicates import near_duplicates

# Common lengths at which reviews are cut, including those of LRA's configurations.
CUTS = (1_000, 2_000, 3_000, 4_000)


class TextStatistics(Statistics):
    """Lengths, stars, cuts and duplicates."""

    group_features = ("length", "rating")

    def groups(self, batch: pa.RecordBatch) -> dict[str, NDArray[np.int64]]:
        """Bytes of the review, and its stars."""
        return self.measures(batch)

    def measures(self, batch: pa.RecordBatch) -> dict[str, NDArray[np.int64]]:
        """Bytes per review, and stars."""
        return {
            "length": np.diff(numbers(batch["inputs"].offsets)).astype(np.int64),
            "rating": numbers(batch["rating"]).astype(np.int64),
        }

    def shortcuts(self, batch: pa.RecordBatch) -> dict[str, NDArray[np.int64]]:
        """Length in steps of 100 bytes, and the first and the last byte."""
        offsets, values = numbers(batch["inputs"].offsets), numbers(batch["inputs"].values)
        return {
            "length / 100": np.diff(offsets).astype(np.int64) // 100,
            "first byte": values[offsets[:-1]].astype(np.int64),
            "last byte": values[offsets[1:] - 1].astype(np.int64),
        }

    def figures(self, batches: Callable[[str], Iterator[pa.RecordBatch]]) -> dict[str, Any]:
        """Number of reviews that each length cuts, and exact and near-duplicates within and across splits."""
        texts: dict[str, bytes] = {}
        splits: dict[str, list[str]] = {}
        for split in SPLITS:
            splits[split] = []
            for batch in batches(split):
                for path, inputs in zip(batch["source"].to_pylist(), batch["inputs"], strict=True):
                    texts[path] = numbers(inputs.values).tobytes()
                    splits[split].append(path)
        found: dict[str, Any] = {}
        for split, paths in splits.items():
            lengths = [len(texts[path]) for path in paths]
            found[f"{split} longer than"] = {f"{cut:,}": sum(length > cut for length in lengths) for cut in CUTS}
        return found | _duplicate_figures(texts, splits)


def _duplicate_figures(texts: Mapping[str, bytes], splits: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Number of pairs of reviews with the same, or nearly the same, text, by their two splits."""
    paths = list(texts)
    by_text: dict[bytes, list[str]] = {}
    for path in paths:
        by_text.setdefault(texts[path], []).append(path)
    exact = [pair for group in by_text.values() for pair in combinations(group, 2)]
    found = {"the same review in": _counted([(path, path) for path in paths], splits, same=True)}
    found["exact duplicates"] = _counted(exact, splits, same=False)
    try:
        near = near_duplicates([texts[path] for path in paths])
    except UsageError as error:
        return found | {"near-duplicates": f"not looked for: {error}"}
    return found | {"near-duplicates": _counted([(paths[i], paths[j]) for i, j in near], splits, same=False)}


def _counted(pairs: Iterable[tuple[str, str]], splits: Mapping[str, Sequence[str]], *, same: bool) -> dict[str, int]:
    """Number of pairs by the splits of their reviews, such as `train` (within) or `train and test`."""
    inside = {split: set(paths) for split, paths in splits.items()}
    counts: Counter[str] = Counter()
    for one, other in pairs:
        for first, second in combinations(SPLITS, 2):
            if (one in inside[first] and other in inside[second]) or (other in inside[first] and one in inside[second]):
                counts[f"{first} and {second}"] += 1
        if not same:
            for split in SPLITS:
                if one in inside[split] and other in inside[split]:
                    counts[split] += 1
    return dict(sorted(counts.items()))
