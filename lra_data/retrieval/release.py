"""The layout of the original release, `new_aan_pairs.{train,eval,test}.tsv`: label, id1, id2, text1, text2.

There is no header and no quoting, so TAB, LF, CR and NUL in a text would break its line: each becomes one space. All
other bytes are as they are, UTF-8 or not (LRA matching/input_pipeline.py:34-54).
"""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from lra_data.columns import numbers

FILE_NAMES = {
    "train": "new_aan_pairs.train.tsv",
    "validation": "new_aan_pairs.eval.tsv",
    "test": "new_aan_pairs.test.tsv",
}
_CLEANED = bytes.maketrans(b"\t\n\r\0", b"    ")


def write_release(split: str, batches: Iterable[pa.RecordBatch], folder: Path) -> Path:
    """Write one split as the original's TSV file into `folder`."""
    path = folder / FILE_NAMES[split]
    with path.open("wb") as file:
        for batch in batches:
            columns = (batch[name] for name in ("label", "source_1", "source_2", "inputs_1", "inputs_2"))
            for label, first, second, text_1, text_2 in zip(*columns, strict=True):
                texts = [numbers(text.values).tobytes().translate(_CLEANED) for text in (text_1, text_2)]
                head = f"{label.as_py():.1f}\t{first.as_py()}\t{second.as_py()}\t".encode()
                file.write(head + b"\t".join(texts) + b"\n")
    return path
