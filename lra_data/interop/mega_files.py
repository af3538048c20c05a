"""What Mega's fairseq tasks read as DATA, one folder a task (facebookresearch/mega, fairseq/tasks/long_range_arena.py).

`lra-image`: `input/{train,valid,test}.src`, a picture a line, grey values with spaces between them, and
`label/{train,valid,test}.label`, a class a line; in the splits and the order of examples/mega/lra/data_process.py.

`lra-text`: `src-bin/{train,valid,test}`, for Retrieval also `src1-bin/…`, and `label-bin/…`, an example a line, words
with spaces between them; `src-bin/dict.txt` and `label-bin/dict.txt`, `<word> <count>` a line. fairseq calls this
`--dataset-impl raw` and takes it by itself where such files are; it numbers the words of a dictionary from 4, cuts at
`--max-positions`, and appends </s>. A byte's word is its number, 0 to 255, and the dictionaries are in the order of the
numbers, so an id is 4 + byte and a class is the label.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from lra_data.arrow_columns import numbers, rows_of
from lra_data.interop.torch_pictures import Order, image_order, pathfinder_order, pillow_grey
from lra_data.splits import SPLITS
from lra_data.store.row_access import Rows
from lra_data.task import Task

SPLIT_NAMES = {"train": "train", "validation": "valid", "test": "test"}

_TEXTS, _PICTURES = ("listops", "text", "retrieval"), ("image", "pathfinder")
_DICTIONARY = "dict.txt"
_VALUES = [b"%d" % value for value in range(256)]

# All that `mega_lra_aan` keeps of a text, --max-positions 4002. Whole, the pairs of LRA would be some 34 GB of lines,
# which fairseq reads into memory.
_PAPER_CUT = 4002
# What stands in LRA's TSV files, from which Mega has its pairs, for the bytes that would break a line.
_NO_BREAKS = np.arange(256, dtype=np.uint8)
_NO_BREAKS[[0, 9, 10, 13]] = 32


def mega_units(task: Task) -> tuple[str, ...]:
    """The folders of a set, that which fairseq opens first last; empty for pictures in a grey that is not Mega's."""
    if task.family in _TEXTS:
        sources = ("src1-bin", "src-bin") if task.family == "retrieval" else ("src-bin",)
        return ("label-bin", *sources)
    if task.family == "pathfinder" or (task.family == "image" and task.config.channels == 3):
        return ("label", "input")
    return ()


def write_mega(rows: Rows, folder: Path, tell: Callable[[str], None]) -> Iterator[Path]:
    """Write all splits into `folder`; yields each finished file. `tell` hears what was cut."""
    for unit in mega_units(rows.task):
        (folder / unit).mkdir()
    if rows.task.family in _PICTURES:
        yield from _write_pictures(rows, folder)
    else:
        yield from _write_texts(rows, folder, tell)


def _write_texts(rows: Rows, folder: Path, tell: Callable[[str], None]) -> Iterator[Path]:
    task = rows.task
    words = [word.encode() for word in task.vocabulary] if task.vocabulary is not None else _VALUES
    first_id = 1 if task.vocabulary is not None else 0
    classes = _VALUES[: task.num_classes]
    counts, label_counts = np.zeros(len(words), dtype=np.int64), np.zeros(len(classes), dtype=np.int64)
    num_cut = num_texts = 0
    for split in rows.sizes:
        names = [name for name in task.schema.names if name.startswith("inputs")]
        paths = [folder / unit / SPLIT_NAMES[split] for unit in ("src-bin", "src1-bin")[: len(names)]]
        label_path = folder / "label-bin" / SPLIT_NAMES[split]
        files = [path.open("wb") for path in (*paths, label_path)]
        try:
            for batch in rows.batches(split):
                for name, file in zip(names, files[:-1], strict=True):
                    texts = [numbers(text.values) for text in batch[name]]
                    if task.family == "retrieval":
                        num_cut += sum(len(text) > _PAPER_CUT for text in texts)
                        texts = [_NO_BREAKS[text[:_PAPER_CUT]] for text in texts]
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
        tell(
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


def _write_pictures(rows: Rows, folder: Path) -> Iterator[Path]:
    is_image = rows.task.family == "image"
    order: Order = image_order(rows) if is_image else pathfinder_order(rows, rows.task.schema.names)
    pixels, labels = {}, {}
    for split in SPLITS:
        # The set is read once, front to back; its order and splits are another, so values wait in a file meanwhile.
        spool = folder / f"{split}.pixels"
        found = []
        with spool.open("wb") as file:
            for batch in rows.batches(split):
                file.write((pillow_grey(batch) if is_image else rows_of(batch["inputs"])).tobytes())
                found.append(numbers(batch["label"]))
        labels[split] = np.concatenate([np.zeros(0, dtype=np.int64), *found])
        size = spool.stat().st_size
        shape = (len(labels[split]), size // max(len(labels[split]), 1))
        pixels[split] = np.memmap(spool, dtype=np.uint8, mode="r", shape=shape) if size else np.zeros(shape, np.uint8)
    for split, places in order.items():
        paths = (folder / "input" / f"{SPLIT_NAMES[split]}.src", folder / "label" / f"{SPLIT_NAMES[split]}.label")
        with paths[0].open("wb") as sources, paths[1].open("wb") as classes:
            for own, index in places:
                _write_lines(sources, pixels[own][index : index + 1], _VALUES)
                classes.write(b"%d\n" % labels[own][index])
        yield from paths
    pixels.clear()
    for split in SPLITS:
        (folder / f"{split}.pixels").unlink()
