"""The measures of pictures for `lra-data stats`."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lra_data.arrow_columns import rows_of
from lra_data.task_parts import Statistics


class ImageStatistics(Statistics):
    """Brightness, and its predictive value."""

    def measures(self, batch: pa.RecordBatch) -> dict[str, NDArray[np.int64]]:
        """Mean value, and the number of values that are 0, which some readers treat as padding."""
        inputs = rows_of(batch["inputs"])
        return {
            "mean": np.rint(inputs.mean(axis=1)).astype(np.int64),
            "zeros": np.count_nonzero(inputs == 0, axis=1).astype(np.int64),
        }

    def shortcuts(self, batch: pa.RecordBatch) -> dict[str, NDArray[np.int64]]:
        """Mean brightness and its spread, in steps of 4, and the first value."""
        inputs = rows_of(batch["inputs"])
        return {
            "mean brightness": (inputs.mean(axis=1) / 4).astype(np.int64),
            "spread": (inputs.std(axis=1) / 4).astype(np.int64),
            "first value": inputs[:, 0].astype(np.int64),
        }
