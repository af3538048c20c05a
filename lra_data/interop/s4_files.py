"""The text set that S4 and S5 read: `imdb/{train,test}.parquet` with `text`, a string, and `label`, 0 neg and 1 pos.

Their reader calls `load_dataset("imdb")` (state-spaces/s4 and lindermanlab/S5, dataloaders/lra.py), which takes a
folder of that name in the working directory, and the splits train and test of it. The order is that of the set.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lra_data.arrow_columns import class_label, make_schema, numbers
from lra_data.store.row_access import Rows

FOLDER = "imdb"


def write_imdb(rows: Rows, folder: Path, tell: Callable[[str], None]) -> Iterator[Path]:
    """Write the splits into `folder`/imdb; yields each finished file.

    A validation split that holds the test reviews is left out, which `tell` hears: these readers take test for it.
    """
    schema = make_schema([pa.field("text", pa.string()), class_label("label", rows.task.card.label_names)])
    (folder / FOLDER).mkdir()
    for split in rows.sizes:
        if split == "validation" and not rows.task.config.holdout:
            tell(f"left out validation, {rows.sizes[split]:,} rows that are those of test, which S4 and S5 validate on")
            continue
        path = folder / FOLDER / f"{split}.parquet"
        with pq.ParquetWriter(path, schema) as writer:
            for batch in rows.batches(split):
                writer.write_batch(pa.RecordBatch.from_arrays([_texts(batch["inputs"]), batch["label"]], schema=schema))
        yield path


def _texts(inputs: pa.Array) -> pa.Array:
    """A list array of bytes as strings, without a copy; the corpus's reader has seen that they are UTF-8."""
    offsets, values = numbers(inputs.offsets), numbers(inputs.values)
    return pa.Array.from_buffers(pa.string(), len(inputs), [None, pa.py_buffer(offsets), pa.py_buffer(values)])
