"""How much of ListOps' batches is padding, with and without sorting by length within windows."""

from collections.abc import Iterator
from pathlib import Path

import lra_data
from benchmarks.loading.contenders import BATCH
from benchmarks.loading.sets import LISTOPS

BUCKET_WINDOW = 4096


def padding(root: Path) -> Iterator[str]:
    """Lines of a table: the share of padding among all elements of an epoch's batches."""
    dataset = lra_data.load(LISTOPS, split="train", root=root)
    for window in (None, BUCKET_WINDOW):
        total = kept = 0
        for batch in dataset.batches(BATCH, shuffle=True, bucket_window=window, dtype="uint8"):
            total += batch.inputs.size
            kept += int(batch.lengths.sum())
        yield f"| bucket_window={window} | {1 - kept / total:.1%} |"
