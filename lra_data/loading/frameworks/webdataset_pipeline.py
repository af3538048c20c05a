"""A built set's tar files through the `webdataset` library's own pipeline: its shuffles, its splitting by node and
worker, our decoding.

Use it for an existing webdataset pipeline. It has neither exact epochs over ranks nor a state; `Dataset.batches` reads
the same files and has both.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lra_data.arrow_columns import picture_shapes, webdataset_members
from lra_data.errors import UsageError
from lra_data.loading.dataset import Dataset
from lra_data.loading.frameworks.file_links import without_cuts
from lra_data.optional_import import require
from lra_data.store.row_access import BuiltRows


def webdataset_pipeline(dataset: Dataset, *, options: Mapping[str, Any] | None = None) -> Any:
    """A webdataset.WebDataset of dicts: the columns of the schema, `inputs` as uint8 (L,), and the sample's `__key__`.

    options: WebDataset's own options by name, such as shardshuffle or nodesplitter. Raises UsageError for a slice of a
    split, or a set without tar files (choose the format with `load(…, format_name="webdataset")`).
    """
    library = require("webdataset", "webdataset")
    rows = dataset.rows
    if not isinstance(rows, BuiltRows) or rows.format != "webdataset":
        raise UsageError(
            'expected a set in the format webdataset, got another format: load(…, format_name="webdataset")'
        )
    if len(dataset) != rows.sizes[dataset.split]:
        raise UsageError(f"expected a whole split, as webdataset reads whole files, got {dataset.selected}")
    urls = [str(path) for path in without_cuts(rows.shard_paths(dataset.split))]
    pipeline = library.WebDataset(urls, **{"shardshuffle": False, **(options or {})})
    in_colour = any(len(shape) > 2 for shape in picture_shapes(dataset.task.schema).values())
    return pipeline.decode("rgb8" if in_colour else "l8").map(_Decoder(dataset.task.schema))


class _Decoder:
    """Decodes the members of a sample to columns; a class, so that it can be sent to worker processes."""

    def __init__(self, schema: Any) -> None:
        self._members = webdataset_members(schema)
        self._pictures = picture_shapes(schema)

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        sequences = {name: np.asarray(sample[member]) for name, member in self._members.items()}
        for name in self._pictures:
            sequences[name] = sequences[name].reshape(-1)
        return {**sequences, "label": sample["cls"], **sample["json"]}
