"""The measures of ListOps for `lra-data stats`."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lra_data.arrow_columns import numbers
from lra_data.listops.vocabulary import VOCABULARY
from lra_data.task_parts import Statistics


class ListOpsStatistics(Statistics):
    """Lengths, depths, and the predictive value of the root operator."""

    group_features = ("length", "depth", "root operator")

    def groups(self, batch: pa.RecordBatch) -> dict[str, NDArray[np.int64]]:
        """Length, depth and the outermost operator."""
        return {**self.measures(batch), "root operator": numbers(batch["root_operator"]).astype(np.int64)}

    def group_names(self, feature: str) -> Mapping[int, str] | None:
        """Operators by their words."""
        return dict(enumerate(VOCABULARY)) if feature == "root operator" else None

    def measures(self, batch: pa.RecordBatch) -> dict[str, NDArray[np.int64]]:
        """Length and depth."""
        return {name: numbers(batch[name]).astype(np.int64) for name in ("length", "depth")}

    def shortcuts(self, batch: pa.RecordBatch) -> dict[str, NDArray[np.int64]]:
        """The root operator alone, which scores 36 % on the benchmark's set, and the length in steps of 100."""
        return {
            "root operator": numbers(batch["root_operator"]),
            "length / 100": numbers(batch["length"]).astype(np.int64) // 100,
        }
