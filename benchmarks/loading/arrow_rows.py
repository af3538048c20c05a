"""The rows of a set's Arrow files by number, as NumPy views of the mapped files; grain and the floor read these."""

from bisect import bisect_right
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lra_data.arrow_columns import numbers
from lra_data.loading.dataset import Dataset


class ArrowRows:
    """Row i is (inputs uint8, label, index). Lookups are prepared, so that reading a row is a search and a slice."""

    def __init__(self, dataset: Dataset) -> None:
        self._starts, self._batches = [0], list[tuple[NDArray[Any], list[int], list[int], list[int]]]()
        for path in dataset.files():
            with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
                for batch in stream:
                    column = batch["inputs"]
                    if pa.types.is_fixed_size_list(column.type):
                        bounds = np.arange(len(column) + 1) * column.type.list_size
                    else:
                        bounds = numbers(column.offsets)
                    labels, indices = numbers(batch["label"]).tolist(), numbers(batch["index"]).tolist()
                    self._batches.append((numbers(column.values), bounds.tolist(), labels, indices))
                    self._starts.append(self._starts[-1] + len(batch))

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, row: int) -> tuple[NDArray[Any], int, int]:
        number = bisect_right(self._starts, row) - 1
        values, bounds, labels, indices = self._batches[number]
        inside = row - self._starts[number]
        return values[bounds[inside] : bounds[inside + 1]], labels[inside], indices[inside]
