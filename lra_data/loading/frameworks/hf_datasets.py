"""Splits for Hugging Face `datasets`: the files as they are, memory-mapped, or a stream in our order."""

from typing import Any

from lra_data.errors import UsageError
from lra_data.loading.batches import Batches
from lra_data.loading.dataset import Dataset
from lra_data.optional_import import require
from lra_data.store.row_access import BuiltRows


def to_hf(dataset: Dataset) -> Any:
    """A datasets.Dataset over the set's Arrow files, without a copy; raises UsageError for a set without Arrow files.

    It has all columns, and labels have names. `with_format("torch")`, `map` and `train_test_split` work as usual, and
    store their results in the cache of `datasets`, not in the set's folder.
    """
    require("datasets", "hf")
    rows = dataset.rows
    if not isinstance(rows, BuiltRows) or rows.format != "arrow":
        raise UsageError("expected a set built in the format arrow, got another format: stream_hf takes any")
    from lra_data.loading.frameworks.hf_files import open_files

    whole = open_files(rows.shard_paths(dataset.split))
    selected = dataset.selected
    return whole if len(selected) == len(whole) else whole.select(selected)


def stream_hf(batches: Batches) -> Any:
    """A datasets.IterableDataset of single examples in the order of `batches`, for its rank.

    Each `iter` is the next epoch; the first is the one that `batches` would give next. `batches` itself does not
    advance.

    Columns: `inputs` (or `inputs_1`, `inputs_2`), values as in the batches but without padding, `label`, `index`.
    """
    require("datasets", "hf")
    from lra_data.loading.frameworks.hf_stream import open_stream

    return open_stream(batches)
