"""facebookresearch/mega at 09f1a87: examples/mega/lra/data_process.py, README.lra.md, fairseq/tasks.

Pictures are exact without its shuffle: as data_process.py writes them and `lra-image` reads them with --no-shuffle.

Its files are the DATA of fairseq's tasks, one folder per task (fairseq/tasks/long_range_arena.py).

`lra-image`: `input/{train,valid,test}.src`, one picture per line, grey values separated by spaces, and
`label/{train,valid,test}.label`, one class per line; in the splits and the order of examples/mega/lra/data_process.py.

`lra-text`: `src-bin/{train,valid,test}`, for Retrieval also `src1-bin/…`, and `label-bin/…`, one example per line,
words separated by spaces; `src-bin/dict.txt` and `label-bin/dict.txt`, one `<word> <count>` per line. fairseq calls
this format `--dataset-impl raw`, and uses it by default if such files exist. It numbers the words of a dictionary from
4, cuts at `--max-positions`, and appends </s>. A byte's word is its number, 0 to 255, and the dictionaries are in the
order of the numbers, so an id is 4 + byte and a class is the label.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lra_data.arrow_columns import numbers, rows_of, sequence_names
from lra_data.interop.encoders import has_colour
from lra_data.interop.layouts import ExportJob, Layout, TaskFiles
from lra_data.interop.paper_lines import WITHOUT_BREAKS
from lra_data.interop.protocol import CodeBase, Order, Reading, View
from lra_data.interop.torch_pictures import (
    colours_as_floats,
    greys_as_floats,
    image_order,
    only_colour,
    only_hard,
    pathfinder_order,
    pillow_grey,
)
from lra_data.splits import SPLITS
from lra_data.store.row_access import Rows
from lra_data.task import Task

# Its readers.

_READER = "examples/mega/lra/data_process.py"
_IDS = "<s> 0, <pad> 1, </s> 2, <unk> 3, then a dictionary by frequency in prepared files"
_PREPARED = "it reads an archive of prepared files, lra.zip; how they were made is not in the repository"
_LABELS = "a class's number is its rank by frequency in train, not the label"
_UNSHUFFLED = "before the shuffle: exact with --no-shuffle, without which numpy shuffles every split by the run's seed"

_READINGS = {
    "image": Reading(
        reader=_READER,
        ids="no ids: float32 (grey / 255 - 0.48) / 0.24",
        vocab_size=None,
        max_length=1024,
        cut="nothing",
        padding="none",
        mask="nothing",
        splits="torch.utils.data.random_split of the 50,000 with seed 42: 45,000, 5,000; test",
        order=f"of the split's permutation of upstream's order; test in upstream's order; {_UNSHUFFLED}",
        grey="torchvision Grayscale, which is Pillow's convert('L')",
        view=View(encode=partial(colours_as_floats, mean=0.48, deviation=0.24), order=image_order, refusal=only_colour),
    ),
    "listops": Reading(
        reader="README.lra.md",
        ids=_IDS,
        vocab_size=None,
        end_mark="</s>, which the cut takes from longer examples",
        max_length=2002,
        cut="the first 2,002 ids",
        padding="1 on the right to the longest of a batch",
        mask="ids of 1",
        splits="as prepared",
        order="shuffled by numpy with a seed, every split",
        differences=(_PREPARED, _LABELS),
    ),
    "pathfinder": Reading(
        reader=_READER,
        ids="no ids: float32 (grey / 255 - 0.5) / 0.5",
        vocab_size=None,
        max_length=0,
        cut="nothing",
        padding="none",
        mask="nothing",
        splits="torch.utils.data.random_split of all pictures of the hard difficulty with seed 42: 80, 10, 10 %",
        order=f"of the split's permutation of the metadata files by number, line by line; {_UNSHUFFLED}",
        grey="Pillow's convert('L') of pictures that are grey",
        view=View(encode=partial(greys_as_floats, mean=0.5, deviation=0.5), order=pathfinder_order, refusal=only_hard),
    ),
    "retrieval": Reading(
        reader="README.lra.md",
        ids=_IDS,
        vocab_size=None,
        end_mark="</s>, which the cut takes from longer examples",
        max_length=4002,
        cut="the first 4,002 ids",
        padding="1 on the right to the longest of a batch",
        mask="ids of 1",
        splits="as prepared",
        order="shuffled by numpy with a seed, every split",
        differences=(_PREPARED, _LABELS),
    ),
    "text": Reading(
        reader="README.lra.md",
        ids=_IDS,
        vocab_size=None,
        end_mark="</s>, which the cut takes from longer examples",
        max_length=4002,
        cut="the first 4,002 ids",
        padding="1 on the right to the longest of a batch",
        mask="ids of 1",
        splits="as prepared",
        order="shuffled by numpy with a seed, every split",
        differences=(_PREPARED, _LABELS),
    ),
}

# Its files.

_SPLIT_NAMES = {"train": "train", "validation": "valid", "test": "test"}
_DICTIONARY = "dict.txt"
_VALUES = [b"%d" % value for value in range(256)]

# The part of a text that `mega_lra_aan` keeps, --max-positions 4002. Uncut, the pairs of LRA would be about 34 GB of
# lines, which fairseq reads into memory.
_PAPER_CUT = 4002


def _picture_units(task: Task) -> tuple[str, ...]:
    return ("label", "input")


def _text_units(task: Task) -> tuple[str, ...]:
    return ("label-bin", *reversed(_sources(task)))


def _sources(task: Task) -> tuple[str, ...]:
    return ("src-bin", "src1-bin")[: len(sequence_names(task.schema))]


def _own_grey(task: Task) -> str:
    return "" if has_colour(task) else "holds image/rgb, of which it makes its own grey"


def _write_texts(job: ExportJob, *, through_tsv: bool) -> Iterator[Path]:
    """Write all splits. through_tsv: texts as in LRA's TSV files, from which Mega takes its pairs, and cut."""
    rows, task, folder = job.rows, job.rows.task, job.folder
    for unit in _text_units(task):
        (folder / unit).mkdir()
    words = [word.encode() for word in task.vocabulary] if task.vocabulary is not None else _VALUES
    first_id = 1 if task.vocabulary is not None else 0
    classes = _VALUES[: task.num_classes]
    counts, label_counts = np.zeros(len(words), dtype=np.int64), np.zeros(len(classes), dtype=np.int64)
    num_cut = num_texts = 0
    for split in rows.sizes:
        names = sequence_names(task.schema)
        paths = [folder / unit / _SPLIT_NAMES[split] for unit in _sources(task)]
        label_path = folder / "label-bin" / _SPLIT_NAMES[split]
        files = [path.open("wb") for path in (*paths, label_path)]
        try:
            for batch in rows.batches(split):
                for name, file in zip(names, files[:-1], strict=True):
                    texts = [numbers(text.values) for text in batch[name]]
                    if through_tsv:
                        num_cut += sum(len(text) > _PAPER_CUT for text in texts)
                        texts = [WITHOUT_BREAKS[text[:_PAPER_CUT]] for text in texts]
                    num_texts += len(texts)
                    ids = [text.astype(np.int64) - first_id for text in texts]
                    if split == "train":
                        counts += np.bincount(np.concatenate(ids), minlength=len(words))
                    _write_lines(file, ids, words)
                labels = numbers(batch["label"])
                if split == "train":
                    label_counts += np.bincount(labels, minlength=len(classes))
                _write_lines(files[-1], labels[:, None], classes)
        finally:
            for file in files:
                file.close()
        yield from (*paths, label_path)
    if num_cut:
        job.tell(
            f"cut {num_cut:,} of {num_texts:,} texts after {_PAPER_CUT:,} bytes, which is all that Mega keeps of a text"
        )
    for unit, symbols, numbers_of in (("src-bin", words, counts), ("label-bin", classes, label_counts)):
        path = folder / unit / _DICTIONARY
        lines = (b"%s %d\n" % (word, count) for word, count in zip(symbols, numbers_of.tolist(), strict=True))
        path.write_bytes(b"".join(lines))
        yield path


def _write_lines(file: IO[bytes], rows: Iterable[NDArray[Any]], words: list[bytes]) -> None:
    for row in rows:
        file.write(b" ".join([words[number] for number in row.tolist()]) + b"\n")


def _write_pictures(
    job: ExportJob,
    *,
    order_of: Callable[[Rows], Order],
    grey_of: Callable[[pa.RecordBatch], NDArray[np.uint8]],
) -> Iterator[Path]:
    """Write all splits in the order and with the grey values of data_process.py."""
    rows, folder = job.rows, job.folder
    for unit in _picture_units(rows.task):
        (folder / unit).mkdir()
    order = order_of(rows)
    pixels, labels = {}, {}
    for split in SPLITS:
        # The set is read once, in its own order. Mega's order and splits differ, so the values are first stored in a
        # file.
        spool = folder / f"{split}.pixels"
        found = []
        with spool.open("wb") as file:
            for batch in rows.batches(split):
                file.write(grey_of(batch).tobytes())
                found.append(numbers(batch["label"]))
        labels[split] = np.concatenate([np.zeros(0, dtype=np.int64), *found])
        size = spool.stat().st_size
        shape = (len(labels[split]), size // max(len(labels[split]), 1))
        pixels[split] = np.memmap(spool, dtype=np.uint8, mode="r", shape=shape) if size else np.zeros(shape, np.uint8)
    for split, places in order.items():
        paths = (folder / "input" / f"{_SPLIT_NAMES[split]}.src", folder / "label" / f"{_SPLIT_NAMES[split]}.label")
        with paths[0].open("wb") as sources, paths[1].open("wb") as classes:
            for own, index in places:
                _write_lines(sources, pixels[own][index : index + 1], _VALUES)
                classes.write(b"%d\n" % labels[own][index])
        yield from paths
    pixels.clear()
    for split in SPLITS:
        (folder / f"{split}.pixels").unlink()


def _stored_grey(batch: pa.RecordBatch) -> NDArray[np.uint8]:
    return rows_of(batch["inputs"])


_TEXTS = TaskFiles(units=_text_units, write=partial(_write_texts, through_tsv=False))

CODE_BASE = CodeBase(
    name="mega",
    readings=_READINGS,
    layouts=(
        Layout(
            name="mega",
            summary="for Mega's fairseq tasks: pictures as input and label, texts as src-bin, src1-bin and label-bin",
            tasks={
                "image": TaskFiles(
                    units=_picture_units,
                    write=partial(_write_pictures, order_of=image_order, grey_of=pillow_grey),
                    refusal=_own_grey,
                ),
                "pathfinder": TaskFiles(
                    units=_picture_units,
                    write=partial(_write_pictures, order_of=pathfinder_order, grey_of=_stored_grey),
                ),
                "listops": _TEXTS,
                "text": _TEXTS,
                "retrieval": TaskFiles(units=_text_units, write=partial(_write_texts, through_tsv=True)),
            },
        ),
    ),
)
