"""One measured cell of `lra-zoo efficiency`: a line of the JSON Lines file, and the reader of that file.

Not here: how a cell is measured (`measure.py`, `cell.py`), summaries of rows (`report.py`).
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

from msgspec import Meta

from lra_data import UsageError, paths
from reference_models.strict_json import Record, RecordError, builtins, decoded

Outcome = Literal["ok", "time cap", "out of memory", "failed"]
Kind = Literal["naive", "sdpa"]

Positive = Annotated[int, Meta(ge=1)]
Seconds = list[float]


class Row(Record, frozen=True, kw_only=True):
    """The measurements of one model at one length, and of the two Transformers in the same rounds.

    model, length: the cell.
    device to lra_data: the settings of the run.
    options: options of the attention.
    attention_sha256: digest of the file of an attention from elsewhere; None for a model of the zoo.
    outcome, error: how the cell's process ended, and its last line of output if it did not end well.
    cap_seconds: time limit of the process.
    seconds, median_seconds: seconds of each timed step, and their median; None without a timed step.
    saved_bytes: bytes that a forward pass keeps for the backward pass.
    peak_bytes, start_bytes: peak memory of the process, and the same before the first step.
    naive_, sdpa_: the same for the two Transformers.
    ratio_to_: the Transformer's median seconds over the model's.
    """

    model: str
    length: Positive
    device: str
    device_name: str
    batch: Positive
    dtype: str
    threads: Positive
    warm_up: int
    steps: int
    malloc: str = ""  # missing in the oldest rows
    torch: str
    lra_data: str
    options: dict[str, Any]
    attention_sha256: str | None = None
    outcome: Outcome
    error: str | None
    cap_seconds: float
    naive_outcome: Outcome
    sdpa_outcome: Outcome
    seconds: Seconds
    median_seconds: float | None
    saved_bytes: int | None
    peak_bytes: int | None
    start_bytes: int | None
    naive_seconds: Seconds
    naive_median_seconds: float | None
    naive_saved_bytes: int | None
    naive_peak_bytes: int | None
    naive_start_bytes: int | None
    sdpa_seconds: Seconds
    sdpa_median_seconds: float | None
    sdpa_saved_bytes: int | None
    sdpa_peak_bytes: int | None
    sdpa_start_bytes: int | None
    steps_per_second: float | None
    ratio_to_naive: float | None
    ratio_to_sdpa: float | None
    python: str
    date: str

    @property
    def baseline_seconds(self) -> dict[Kind, float | None]:
        """Median seconds of the two Transformers."""
        return {"naive": self.naive_median_seconds, "sdpa": self.sdpa_median_seconds}

    @property
    def ratios(self) -> dict[Kind, float | None]:
        """How many times faster the model is than each of the two Transformers."""
        return {"naive": self.ratio_to_naive, "sdpa": self.ratio_to_sdpa}

    def encode(self) -> bytes:
        """A line of the file."""
        values = builtins(self)
        if self.attention_sha256 is None:
            del values["attention_sha256"]
        return json.dumps(values, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def read_rows(path: Path) -> list[Row]:
    """All rows of a file; [] if the file does not exist. An incomplete last line, without a newline, is left out.

    For a line that is not a row, raises UsageError, whose one line names the wrong entry.
    """
    if not path.exists():
        return []
    rows = []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        try:
            rows.append(decoded(line, Row))
        except RecordError as error:
            raise UsageError(f"{path}: line {number} must be a row of this measurement, got: {error}") from error
    return rows


def append_row(path: Path, row: Row) -> None:
    """Write a row after the last whole line, and wait until it is on the disk."""
    with opened(path) as file:
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
        file.write(row.encode())
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file of rows, made if it does not exist; raises BuildError, in one line, if it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            yield file
    except OSError as error:
        raise paths.write_failure(path, error) from error
