"""The layouts of Nyströmformer's LRA code, `<task>.{train,dev,test}.pickle`, and of Skyformer's, `lra-<task>.….pickle`.

Each file is a list of dictionaries with `input_ids_0`, for Retrieval also `input_ids_1`, int32 arrays of one length,
and `label`, an int (mlpen/Nystromformer, LRA/datasets/*.py and LRA/code/run_tasks.py; pkuzengqi/Skyformer,
src/preprocess/*.py and code/main.py). The two differ in their names and in the length of Text. Both readers take every
0 for padding, black pixels too. Retrieval's ids are those that LRA's pipeline makes of the files of `lra-release`,
where TAB, LF, CR and NUL are spaces.

Writing a pickle is safe; only reading a foreign one is not. The list is written item by item, so memory does not grow
with it, and an array asks its reader for nothing but `numpy.frombuffer`, a name that all releases of NumPy have.
"""

import io
import pickle
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lra_data.arrow_columns import numbers
from lra_data.task import Task

SPLIT_NAMES = {"train": "train", "validation": "dev", "test": "test"}

_PROTOCOL = 3
_HEAD = b"\x80\x03"
_EMPTY_LIST, _MARK, _APPENDS, _STOP = b"]", b"(", b"e", b"."


# What stands in LRA's TSV files for the bytes that would break a line (`lra_data/retrieval/release.py`).
_NO_BREAKS = np.arange(256, dtype=np.uint8)
_NO_BREAKS[[0, 9, 10, 13]] = 32


@dataclass(frozen=True)
class _Form:
    """offset: what is added to each value. cut: values that are kept. length: that of the array, the rest is 0."""

    offset: int
    cut: int
    length: int


_NYSTROMFORMER = {
    "listops": _Form(0, 2000, 2048),
    "text": _Form(1, 1000, 1024),
    "retrieval": _Form(1, 4000, 4096),
    "image": _Form(0, 1024, 1024),
    "pathfinder": _Form(0, 1024, 1024),
}
# Before each task's name, and the forms: Skyformer's create_text.py asks for 4,000 and adds 96.
_LAYOUTS = {
    "nystromformer": ("", _NYSTROMFORMER),
    "skyformer": ("lra-", {**_NYSTROMFORMER, "text": _Form(1, 4000, 4096)}),
}
PICKLES = tuple(_LAYOUTS)


def pickle_file(task: Task, layout: str, split: str) -> str:
    """The file of one split, such as `listops.train.pickle`; of a task that has a `pickle_name`."""
    prefix, _ = _LAYOUTS[layout]
    return f"{prefix}{task.pickle_name}.{SPLIT_NAMES[split]}.pickle"


def write_pickle(task: Task, layout: str, split: str, batches: Iterable[pa.RecordBatch], folder: Path) -> Path:
    """Write one split into `folder`."""
    form = _LAYOUTS[layout][1][task.family]
    path = folder / pickle_file(task, layout, split)
    with path.open("wb") as file:
        file.write(_HEAD + _EMPTY_LIST)
        for batch in batches:
            items = b"".join(_item(example) for example in _examples(batch, form, task.family))
            file.write(_MARK + items + _APPENDS)
        file.write(_STOP)
    return path


def _examples(batch: pa.RecordBatch, form: _Form, family: str) -> Iterator[dict[str, Any]]:
    names = [name for name in batch.schema.names if name.startswith("inputs")]
    for row in range(len(batch)):
        values = [numbers(batch[name][row].values) for name in names]
        if family == "retrieval":
            values = [_NO_BREAKS[text] for text in values]
        ids = {f"input_ids_{place}": _padded(text, form) for place, text in enumerate(values)}
        yield {**ids, "label": batch["label"][row].as_py()}


def _padded(values: NDArray[Any], form: _Form) -> NDArray[np.int32]:
    ids = np.zeros(form.length, dtype=np.int32)
    kept = values[: form.cut]
    ids[: len(kept)] = kept
    ids[: len(kept)] += form.offset
    return ids


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return np.frombuffer, (value.tobytes(), value.dtype.str)
        return NotImplemented


def _item(example: dict[str, Any]) -> bytes:
    """A pickled dictionary without the head and the end that a whole pickle has."""
    buffer = io.BytesIO()
    pickler = _Pickler(buffer, protocol=_PROTOCOL)
    pickler.fast = True  # nothing refers back, so items can stand one after another
    pickler.dump(example)
    return buffer.getvalue().removeprefix(_HEAD).removesuffix(_STOP)
