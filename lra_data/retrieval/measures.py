"""The measures of Retrieval for `lra-data stats`."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lra_data.arrow_columns import numbers
from lra_data.task_parts import Statistics

_SOURCES = ("source_1", "source_2")


class RetrievalStatistics(Statistics):
    """Length, age and frequency of the papers, and their predictive value for the label."""

    group_features = ("length 1", "length 2", "shared bytes", "years between")

    def groups(self, batch: pa.RecordBatch) -> dict[str, NDArray[np.int64]]:
        """Bytes of both papers, years between them, and common bytes in hundredths of the shorter text."""
        measured = self.measures(batch)
        return {
            name: _shared_bytes(batch) if name == "shared bytes" else measured[name] for name in self.group_features
        }

    def measures(self, batch: pa.RecordBatch) -> dict[str, NDArray[np.int64]]:
        """Bytes of both papers, years between them, and how often they appear in the split."""
        years = [numbers(batch[name]).astype(np.int64) for name in ("year_1", "year_2")]
        return {
            "length 1": _lengths(batch, 1),
            "length 2": _lengths(batch, 2),
            "years between": years[0] - years[1],
            "times 1": numbers(batch["times_1"]).astype(np.int64),
            "times 2": numbers(batch["times_2"]).astype(np.int64),
        }

    def shortcuts(self, batch: pa.RecordBatch) -> dict[str, NDArray[np.int64]]:
        """Features that should not predict the label: lengths, years, frequency, the paper itself, common bytes."""
        lengths = [_lengths(batch, number) for number in (1, 2)]
        years = [numbers(batch[f"year_{number}"]).astype(np.int64) for number in (1, 2)]
        times = [numbers(batch[f"times_{number}"]).astype(np.int64) for number in (1, 2)]
        papers = [np.array([_number_of(paper) for paper in batch[name].to_pylist()]) for name in _SOURCES]
        return {
            "length 1 / 1000": lengths[0] // 1000,
            "length 2 / 1000": lengths[1] // 1000,
            "length 1 - length 2": (lengths[0] - lengths[1]) // 2000,
            "years between": years[0] - years[1],
            "both years": years[0] * 10_000 + years[1],
            "times of paper 1": times[0],
            "times of paper 2": times[1],
            "paper 1": papers[0],
            "paper 2": papers[1],
            "shared bytes": _shared_bytes(batch),
        }


def _lengths(batch: pa.RecordBatch, number: int) -> NDArray[np.int64]:
    lengths: NDArray[np.int64] = np.diff(numbers(batch[f"inputs_{number}"].offsets)).astype(np.int64)
    return lengths


def _number_of(paper: str) -> int:
    """A unique number for a paper's id."""
    return int.from_bytes(paper.encode()[-8:], "big") >> 1


def _shared_bytes(batch: pa.RecordBatch) -> NDArray[np.int64]:
    """Number of common bytes of both texts, as multisets, in hundredths of the shorter text."""
    counts = []
    for number in (1, 2):
        texts = [numbers(text.values) for text in batch[f"inputs_{number}"]]
        counts.append(np.array([np.bincount(text, minlength=256) for text in texts]).reshape(-1, 256))
    shorter = np.minimum(counts[0].sum(axis=1), counts[1].sum(axis=1))
    shared: NDArray[np.int64] = np.minimum(*counts).sum(axis=1) * 100 // np.maximum(shorter, 1)
    return shared
