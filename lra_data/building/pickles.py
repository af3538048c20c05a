"""The layout of Nyströmformer's LRA code, which Skyformer shares: `lra-<task>.{train,dev,test}.pickle`.

Each file is a list of dictionaries with `input_ids_0`, for Retrieval also `input_ids_1`, int32 arrays of one length,
and `label`, an int (mlpen/Nystromformer, LRA/datasets/*.py). Its reader takes every 0 for padding, black pixels too.

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

from lra_data.columns import numbers
from lra_data.errors import UsageError
from lra_data.task import Task

SPLIT_NAMES = {"train": "train", "validation": "dev", "test": "test"}

_PROTOCOL = 3
_HEAD = b"\x80\x03"
_EMPTY_LIST, _MARK, _APPENDS, _STOP = b"]", b"(", b"e", b"."


@dataclass(frozen=True)
class _Form:
    """offset: what is added to each value. cut: values that are kept. length: that of the array, the rest is 0."""

    offset: int
    cut: int
    length: int


_FORMS = {
    "listops": _Form(0, 2000, 2048),
    "text": _Form(1, 1000, 1024),
    "retrieval": _Form(1, 4000, 4096),
    "image": _Form(0, 1024, 1024),
    "pathfinder": _Form(0, 1024, 1024),
}


def write_pickle(task: Task, split: str, batches: Iterable[pa.RecordBatch], folder: Path) -> Path:
    """Write one split into `folder`; raises UsageError for a set that the layout never held."""
    if task.pickle_name is None:
        raise UsageError(
            f"{task.name}: expected a set that Nyströmformer's layout holds, it never held this one: "
            f"{task.other_layout}"
        )
    form = _FORMS[task.family]
    path = folder / f"lra-{task.pickle_name}.{SPLIT_NAMES[split]}.pickle"
    with path.open("wb") as file:
        file.write(_HEAD + _EMPTY_LIST)
        for batch in batches:
            items = b"".join(_item(example) for example in _examples(batch, form))
            file.write(_MARK + items + _APPENDS)
        file.write(_STOP)
    return path


def _examples(batch: pa.RecordBatch, form: _Form) -> Iterator[dict[str, Any]]:
    names = [name for name in batch.schema.names if name.startswith("inputs")]
    for row in range(len(batch)):
        ids = {
            f"input_ids_{place}": _padded(numbers(batch[name][row].values), form) for place, name in enumerate(names)
        }
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
