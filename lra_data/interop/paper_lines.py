"""Retrieval's TSV files, `new_aan_pairs.{train,eval,test}.tsv`: label, id1, id2, text1, text2.

There is no header and no quoting, so TAB, LF, CR and NUL in a text would break its line: each becomes one space. All
other bytes are unchanged, UTF-8 or not (LRA matching/input_pipeline.py:34-54).

S4 and S5 read these files with `datasets.load_dataset("csv", delimiter="\\t")`, which uses pandas. Unlike LRA's own
reader it requires UTF-8, treats a quotation mark at the beginning of a text as quoting, which joins the fields after
it, and treats some words as missing values. This module counts such rows, and makes texts ASCII on request.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lra_data.arrow_columns import list_column, numbers
from lra_data.interop.layouts import ExportJob
from lra_data.task import Task

FILE_NAMES = {
    "train": "new_aan_pairs.train.tsv",
    "validation": "new_aan_pairs.eval.tsv",
    "test": "new_aan_pairs.test.tsv",
}

# For each byte, the byte that is written.
WITHOUT_BREAKS = np.arange(256, dtype=np.uint8)
WITHOUT_BREAKS[[0, 9, 10, 13]] = ord(" ")
_TABLE = WITHOUT_BREAKS.tobytes()
_BREAKS = np.frombuffer(b"\t\n\r\0", dtype=np.uint8)

_PRINTABLE = np.zeros(256, dtype=np.bool_)
_PRINTABLE[0x20:0x7F] = True
_ASCII = np.where(_PRINTABLE, np.arange(256), ord(" ")).astype(np.uint8)

# The texts that pandas.read_csv treats as missing values, quoted or not (its documentation, `na_values`).
_MISSING = frozenset(
    b"|#N/A|#N/A N/A|#NA|-1.#IND|-1.#QNAN|-NaN|-nan|1.#IND|1.#QNAN|<NA>|N/A|NA|NULL|NaN|None|n/a|nan|null".split(b"|")
)
_QUOTE = b'"'


def pair_units(task: Task) -> tuple[str, ...]:
    """One file per split; the training file appears last."""
    return tuple(reversed(FILE_NAMES.values()))


def write_pairs(job: ExportJob, *, quoted: bool) -> Iterator[Path]:
    """Write all splits; tell the user about replaced bytes, and about rows that S4 and S5 cannot read.

    quoted: write a text that begins with a quotation mark in quotation marks, as CSV requires; LRA's own reader does
        not expect them.
    """
    lines = _PaperLines(ascii_only=job.ascii_only, quoted=quoted)
    for split in job.rows.sizes:
        yield lines.write(split, job.rows.batches(split), job.folder)
    for listener, message in ((job.tell, lines.replaced), (job.warn, lines.warning)):
        if message:
            listener(message)


class _PaperLines:
    """Writes the files of one export, split after split, and counts."""

    def __init__(self, *, ascii_only: bool, quoted: bool) -> None:
        self._ascii_only, self._quoted = ascii_only, quoted
        self._rows = self._unreadable = self._not_utf8 = self._opening_quotes = self._missing = 0
        self._replaced_bytes = self._replaced_rows = self._replaced_breaks = 0

    def write(self, split: str, batches: Iterable[pa.RecordBatch], folder: Path) -> Path:
        """Write one split into `folder`, which must exist."""
        path = folder / FILE_NAMES[split]
        with path.open("wb") as file:
            for batch in self._counted(batches):
                columns = (batch[name].to_pylist() for name in ("label", "source_1", "source_2"))
                for label, first, second, texts in zip(*columns, _cleaned_texts(batch), strict=True):
                    fields = map(_in_quotes, texts) if self._quoted else texts
                    file.write(f"{label:.1f}\t{first}\t{second}\t".encode() + b"\t".join(fields) + b"\n")
        return path

    @property
    def replaced(self) -> str:
        """The number of bytes that became spaces, in words; empty without `ascii_only`."""
        if not self._ascii_only:
            return ""
        return (
            f"--ascii: {self._replaced_bytes:,} bytes in {self._replaced_rows:,} of {self._rows:,} rows are not "
            f"printable ASCII and were written as spaces; {self._replaced_breaks:,} of them are TAB, LF, CR or NUL, "
            "which are spaces without --ascii too"
        )

    @property
    def warning(self) -> str:
        """The number of rows that S4 and S5 cannot read, and the reasons; empty if they can read all rows."""
        reasons = [
            (self._not_utf8, "hold bytes that are not UTF-8 (--ascii writes them as spaces)"),
            (
                self._opening_quotes,
                "begin a text with a quotation mark, which is CSV's quoting (--layout s4 quotes it)",
            ),
            (self._missing, "have a text that pandas takes for a missing value"),
        ]
        if not self._unreadable:
            return ""
        shown = ", ".join(f"{count:,} {reason}" for count, reason in reasons if count)
        return f"S4 and S5 cannot read {self._unreadable:,} of {self._rows:,} rows: {shown}"

    def _counted(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for given in batches:
            batch = self._in_ascii(given) if self._ascii_only else given
            self._rows += len(batch)
            for texts in _cleaned_texts(batch):
                faults = (
                    any(not _is_utf8(text) for text in texts),
                    not self._quoted and any(text.startswith(_QUOTE) for text in texts),
                    any(text in _MISSING for text in texts),
                )
                self._not_utf8 += faults[0]
                self._opening_quotes += faults[1]
                self._missing += faults[2]
                self._unreadable += any(faults)
            yield batch

    def _in_ascii(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        replaced: NDArray[np.int64] = np.zeros(len(batch), dtype=np.int64)
        for name in ("inputs_1", "inputs_2"):
            offsets, values = numbers(batch[name].offsets), numbers(batch[name].values)
            before = np.concatenate([[0], np.cumsum(~_PRINTABLE[values])])
            replaced += np.diff(before[offsets])
            self._replaced_breaks += int(np.isin(values[offsets[0] : offsets[-1]], _BREAKS).sum())
            place = batch.schema.get_field_index(name)
            batch = batch.set_column(place, batch.schema.field(place), list_column(offsets, _ASCII[values]))
        self._replaced_bytes += int(replaced.sum())
        self._replaced_rows += int(np.count_nonzero(replaced))
        return batch


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _cleaned_texts(batch: pa.RecordBatch) -> Iterator[tuple[bytes, bytes]]:
    """The two texts of each row as they are written in a line."""
    for text_1, text_2 in zip(batch["inputs_1"], batch["inputs_2"], strict=True):
        yield numbers(text_1.values).tobytes().translate(_TABLE), numbers(text_2.values).tobytes().translate(_TABLE)


def _in_quotes(text: bytes) -> bytes:
    return _QUOTE + text.replace(_QUOTE, _QUOTE * 2) + _QUOTE if text.startswith(_QUOTE) else text
