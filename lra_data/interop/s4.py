"""state-spaces/s4 at e757cef: src/dataloaders/{lra,basic,base}.py and configs/{dataset,experiment}.

Its files, below its DATA_PATH (src/dataloaders/README.md): LRA's own in the folders listops, aan and pathfinder, and
for Text `imdb/{train,test}.parquet` with `text`, a string, and `label`, 0 neg and 1 pos. The reader of S4 and S5 calls
`load_dataset("imdb")` (state-spaces/s4 and lindermanlab/S5, dataloaders/lra.py), which reads the splits train and test
of a folder of that name in the working directory. The order is that of the set.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lra_data.arrow_columns import class_label, make_schema, numbers
from lra_data.interop.encoders import padded, sequences_of
from lra_data.interop.layouts import ExportJob, Layout, TaskFiles
from lra_data.interop.lra_2020 import LISTOPS_FILES, PATHFINDER_FILES, RETRIEVAL_FILES
from lra_data.interop.paper_lines import write_pairs
from lra_data.interop.protocol import CodeBase, Read, Reading, View
from lra_data.interop.torch_pictures import (
    colours_as_floats,
    greys_as_floats,
    image_order,
    only_colour,
    only_hard,
    pathfinder_order,
)
from lra_data.store.row_access import Rows
from lra_data.task import Task

# Its readers.

_UNKNOWN, _END = 1, 2  # 0 is padding
_LISTOPS_WORDS = 2047

_image_floats = partial(colours_as_floats, mean=122.6 / 255.0, deviation=61.0 / 255.0)
_pathfinder_floats = partial(greys_as_floats, mean=0.0, deviation=1.0)


def _listops_words(rows: Rows) -> NDArray[np.int32]:
    """S4's id for each of our ids: by frequency in train, then alphabetically, after the three marks."""
    vocabulary = rows.task.vocabulary
    if vocabulary is None:
        raise AssertionError("ListOps has words")
    counts: Counter[int] = Counter()
    for batch in rows.batches("train"):
        for (ids,) in sequences_of(batch):
            counts.update(dict(enumerate(np.bincount(ids[:_LISTOPS_WORDS]).tolist())))
    counts = +counts

    def rank(number: int) -> tuple[int, str]:
        word = vocabulary[number - 1]
        return -counts[number], "X" if word == "]" else word

    table = np.full(len(vocabulary) + 1, _UNKNOWN, dtype=np.int32)
    for place, number in enumerate(sorted(counts, key=rank)):
        table[number] = _END + 1 + place
    return table


def _listops_ids(batch: pa.RecordBatch, words: NDArray[np.int32]) -> Read:
    end = np.array([_END], dtype=np.int32)
    ids = [[np.concatenate([words[ids[:_LISTOPS_WORDS]], end]) for ids in row] for row in sequences_of(batch)]
    return padded(batch, ids, None)


_CHARACTERS = (
    "Unicode characters of decoded text, in a vocabulary by frequency that torchtext builds; bytes and characters are "
    "different things in any text that is not ASCII"
)

_READINGS = {
    "image": Reading(
        reader="src/dataloaders/basic.py, CIFAR10 with grayscale",
        ids="no ids: float32 (grey / 255 - 122.6 / 255) / (61 / 255)",
        vocab_size=None,
        max_length=1024,
        cut="nothing",
        padding="none",
        mask="nothing",
        splits="torch.utils.data.random_split of the 50,000 with seed 42: 45,000, 5,000; test",
        order="of the split's permutation of upstream's order; test in upstream's order",
        grey="torchvision Grayscale, which is Pillow's convert('L')",
        view=View(encode=_image_floats, order=image_order, refusal=only_colour),
    ),
    "listops": Reading(
        reader="src/dataloaders/lra.py, ListOps",
        ids="<pad> 0, <unk> 1, <eos> 2, then words by frequency in train, equal ones by alphabet",
        vocab_size=18,
        end_mark="<eos>",
        max_length=2048,
        cut="the first 2,047 words",
        padding="0 on the right to the longest of a batch",
        mask="nothing; lengths are handed on",
        splits="basic_train.tsv, basic_val.tsv, basic_test.tsv",
        order="of the files",
        view=View(encode=_listops_ids, learn=_listops_words),
    ),
    "pathfinder": Reading(
        reader="src/dataloaders/lra.py, PathFinder and PathFinderDataset",
        ids="no ids: float32 grey / 255; before 2023 its configuration had (grey / 255 - 0.5) / 0.5",
        vocab_size=None,
        max_length=0,
        cut="nothing",
        padding="none",
        mask="nothing",
        splits="torch.utils.data.random_split of all pictures of the hard difficulty with seed 42: 80, 10, 10 %",
        order="of the split's permutation of the metadata files by number, line by line",
        grey="Pillow's convert('L') of pictures that are grey",
        view=View(encode=_pathfinder_floats, order=pathfinder_order, refusal=only_hard),
    ),
    "retrieval": Reading(
        reader="src/dataloaders/lra.py, AAN",
        ids="characters, by frequency in train behind <pad>, <unk>, <eos>",
        vocab_size=98,
        end_mark="<eos>",
        max_length=4000,
        cut="the first 3,999 characters",
        padding="0 on the right to the longest of a batch",
        mask="nothing; lengths are handed on",
        splits="new_aan_pairs.train.tsv, .eval.tsv, .test.tsv",
        order="of the files",
        differences=(
            _CHARACTERS,
            "the files are read as CSV with quoting, which joins or cuts texts that hold quotation marks",
            "its vocabulary of 98 shows that its copy of the texts was reduced to ASCII",
        ),
    ),
    "text": Reading(
        reader="src/dataloaders/lra.py, IMDB",
        ids="characters seen 15 times in train, by frequency, behind <pad>, <unk>, <eos>",
        vocab_size=135,
        end_mark="<eos>",
        max_length=4096,
        cut="the first 4,095 characters",
        padding="0 on the right to the longest of a batch",
        mask="nothing; lengths are handed on",
        splits="train and test of Hugging Face's imdb; validation is test",
        order="of Hugging Face's imdb",
        differences=(_CHARACTERS, "the order is that of Hugging Face's imdb, which changed with its versions"),
    ),
}


# Its files.

_IMDB = "imdb"


def _in_folder(name: str, files: TaskFiles) -> TaskFiles:
    """The same files, in a folder."""
    return replace(files, units=partial(_units_in, name, files), write=partial(_write_in, name, files))


def _units_in(name: str, files: TaskFiles, task: Task) -> tuple[str, ...]:
    return tuple(f"{name}/{unit}" for unit in files.units(task))


def _write_in(name: str, files: TaskFiles, job: ExportJob) -> Iterator[Path]:
    folder = job.folder / name
    folder.mkdir()
    return files.write(replace(job, folder=folder))


def _imdb_units(task: Task) -> tuple[str, ...]:
    return (_IMDB,)


def _write_imdb(job: ExportJob) -> Iterator[Path]:
    """Leave out a validation split that equals test, since these readers use test for validation."""
    rows = job.rows
    schema = make_schema([pa.field("text", pa.string()), class_label("label", rows.task.card.label_names)])
    (job.folder / _IMDB).mkdir()
    for split in rows.sizes:
        if split == "validation" and not rows.task.config.holdout:
            job.tell(
                f"left out validation, {rows.sizes[split]:,} rows equal to test, which S4 and S5 use for validation"
            )
            continue
        path = job.folder / _IMDB / f"{split}.parquet"
        with pq.ParquetWriter(path, schema) as writer:
            for batch in rows.batches(split):
                writer.write_batch(pa.RecordBatch.from_arrays([_texts(batch["inputs"]), batch["label"]], schema=schema))
        yield path


def _texts(inputs: pa.Array) -> pa.Array:
    """A list array of bytes as strings, without a copy; the corpus's reader has checked that they are UTF-8."""
    offsets, values = numbers(inputs.offsets), numbers(inputs.values)
    return pa.Array.from_buffers(pa.string(), len(inputs), [None, pa.py_buffer(offsets), pa.py_buffer(values)])


CODE_BASE = CodeBase(
    name="s4",
    readings=_READINGS,
    layouts=(
        Layout(
            name="s4",
            summary="for S4 and S5: imdb/*.parquet, and the files of lra-release in listops, aan and pathfinder",
            tasks={
                "text": TaskFiles(units=_imdb_units, write=_write_imdb),
                "listops": _in_folder("listops", LISTOPS_FILES),
                "retrieval": _in_folder("aan", replace(RETRIEVAL_FILES, write=partial(write_pairs, quoted=True))),
                "pathfinder": _in_folder("pathfinder", PATHFINDER_FILES),
            },
            absent={"image": "S4 reads CIFAR-10 itself"},
        ),
    ),
)
