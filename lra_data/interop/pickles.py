"""Pickles as Nyströmformer and Skyformer read them: the code that both layouts share.

Each file is a list of dictionaries with `input_ids_0`, for Retrieval also `input_ids_1`, int32 arrays of one length,
and `label`, an int (mlpen/Nystromformer, LRA/datasets/*.py and LRA/code/run_tasks.py; pkuzengqi/Skyformer,
src/preprocess/*.py and code/main.py). Both readers treat every 0 as padding, also black pixels. Retrieval's ids are
those that LRA's pipeline makes from the files of `lra-release`, in which TAB, LF, CR and NUL are spaces.

Writing a pickle is safe; reading a foreign pickle is not. The list is written item by item, so memory does not grow
with its length. An array needs only `numpy.frombuffer` to be read, a name that all releases of NumPy have.
"""

import io
import pickle
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lra_data.interop.encoders import has_32_pixels, has_colour, sequences_of
from lra_data.interop.layouts import ExportJob, TaskFiles, holds_every_set
from lra_data.interop.paper_lines import WITHOUT_BREAKS
from lra_data.pathfinder.released.layout import release_folder
from lra_data.task import Task

_SPLIT_NAMES = {"train": "train", "validation": "dev", "test": "test"}

_PROTOCOL = 3
_HEAD = b"\x80\x03"
_EMPTY_LIST, _MARK, _APPENDS, _STOP = b"]", b"(", b"e", b"."


def family_name(task: Task) -> str:
    """The family."""
    return task.family


def pathfinder_name(task: Task) -> str:
    """The folders of the release, such as `pathfinder32-curv_contour_length_14`."""
    return "-".join(release_folder(task.config).parts)


def refuse_long_expressions(task: Task) -> str:
    """ListOps up to LRA's length."""
    return "" if task.max_length <= 2000 else "holds expressions of at most 2,000 words"


def refuse_colour(task: Task) -> str:
    """Pictures in grey."""
    return "holds image/lra, in grey" if has_colour(task) else ""


def refuse_other_resolutions(task: Task) -> str:
    """Pictures of 32 x 32 pixels."""
    return "" if has_32_pixels(task) else "holds pictures of 32 x 32 pixels"


@dataclass(frozen=True, kw_only=True)
class TaskPickles:
    """The pickles of one task.

    offset: number added to each value.
    cut: number of values that are kept.
    length: length of the arrays; the rest is 0.
    through_tsv: whether texts are as in LRA's TSV files.
    name: the task's name in the file names.
    refusal: see TaskFiles.
    """

    offset: int = 0
    cut: int
    length: int
    through_tsv: bool = False
    name: Callable[[Task], str] = family_name
    refusal: Callable[[Task], str] = holds_every_set


def pickle_files(pickles: TaskPickles, prefix: str = "") -> TaskFiles:
    """One file per split, such as `listops.train.pickle`, after a prefix."""
    return TaskFiles(
        units=partial(_units, pickles, prefix),
        write=partial(_write_all, pickles, prefix),
        refusal=pickles.refusal,
    )


def _units(pickles: TaskPickles, prefix: str, task: Task) -> tuple[str, ...]:
    return tuple(f"{prefix}{pickles.name(task)}.{name}.pickle" for name in reversed(_SPLIT_NAMES.values()))


def _write_all(pickles: TaskPickles, prefix: str, job: ExportJob) -> Iterator[Path]:
    for split in job.rows.sizes:
        path = job.folder / f"{prefix}{pickles.name(job.rows.task)}.{_SPLIT_NAMES[split]}.pickle"
        write_pickle(path, job.rows.batches(split), pickles)
        yield path


def write_pickle(path: Path, batches: Iterable[pa.RecordBatch], pickles: TaskPickles) -> None:
    """Write one split."""
    with path.open("wb") as file:
        file.write(_HEAD + _EMPTY_LIST)
        for batch in batches:
            items = b"".join(_item(example) for example in _examples(batch, pickles))
            file.write(_MARK + items + _APPENDS)
        file.write(_STOP)


def _examples(batch: pa.RecordBatch, pickles: TaskPickles) -> Iterator[dict[str, Any]]:
    for sequences, label in zip(sequences_of(batch), batch["label"].to_pylist(), strict=True):
        values = [WITHOUT_BREAKS[text] for text in sequences] if pickles.through_tsv else sequences
        ids = {f"input_ids_{place}": _padded(text, pickles) for place, text in enumerate(values)}
        yield {**ids, "label": label}


def _padded(values: NDArray[Any], pickles: TaskPickles) -> NDArray[np.int32]:
    ids = np.zeros(pickles.length, dtype=np.int32)
    kept = values[: pickles.cut]
    ids[: len(kept)] = kept
    ids[: len(kept)] += pickles.offset
    return ids


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return np.frombuffer, (value.tobytes(), value.dtype.str)
        return NotImplemented


def _item(example: dict[str, Any]) -> bytes:
    """A pickled dictionary without the header and the end of a whole pickle."""
    buffer = io.BytesIO()
    pickler = _Pickler(buffer, protocol=_PROTOCOL)
    pickler.fast = True  # items contain no back references, so they can be written one after another
    pickler.dump(example)
    return buffer.getvalue().removeprefix(_HEAD).removesuffix(_STOP)
