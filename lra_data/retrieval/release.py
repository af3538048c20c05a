"""The layout of the original release, `new_aan_pairs.{train,eval,test}.tsv`: label, id1, id2, text1, text2.

There is no header and no quoting, so TAB, LF, CR and NUL in a text would break its line: each becomes one space. All
other bytes are as they are, UTF-8 or not (LRA matching/input_pipeline.py:34-54).
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from lra_data.arrow_columns import numbers

FILE_NAMES = {
    "train": "new_aan_pairs.train.tsv",
    "validation": "new_aan_pairs.eval.tsv",
    "test": "new_aan_pairs.test.tsv",
}
_CLEANED = bytes.maketrans(b"\t\n\r\0", b"    ")


def write_release(split: str, batches: Iterable[pa.RecordBatch], folder: Path, *, quoted: bool = False) -> Path:
    """Write one split as the original's TSV file into `folder`.

    quoted: a text that begins with a quotation mark is written between two, as CSV readers want it.
    """
    path = folder / FILE_NAMES[split]
    with path.open("wb") as file:
        for batch in batches:
            columns = (batch[name].to_pylist() for name in ("label", "source_1", "source_2"))
            for label, first, second, texts in zip(*columns, cleaned_texts(batch), strict=True):
                fields = map(_quoted, texts) if quoted else texts
                file.write(f"{label:.1f}\t{first}\t{second}\t".encode() + b"\t".join(fields) + b"\n")
    return path


def cleaned_texts(batch: pa.RecordBatch) -> Iterator[tuple[bytes, bytes]]:
    """The two texts of each row as they stand in a line."""
    for text_1, text_2 in zip(batch["inputs_1"], batch["inputs_2"], strict=True):
        yield numbers(text_1.values).tobytes().translate(_CLEANED), numbers(text_2.values).tobytes().translate(_CLEANED)


def _quoted(text: bytes) -> bytes:
    return b'"' + text.replace(b'"', b'""') + b'"' if text.startswith(b'"') else text
