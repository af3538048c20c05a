"""The original: google-research/long-range-arena at cd31e5c, and its released configurations and files.

Its files, byte for byte in form:

`basic_{train,val,test}.tsv` of ListOps (data/listops.py:97-190). In these files a tree is a chain of pairs: an operator
of n arguments opens n + 1 parentheses, and closes one after each argument and one after its bracket:
`( ( ( [SM 3 ) 6 ) ] )`. Rows end in CRLF, as Python's csv writer writes them.

`new_aan_pairs.{train,eval,test}.tsv` of Retrieval: see `paper_lines.py`.

`pathfinder<R>/<difficulty's folder>/{imgs,metadata}` of Pathfinder: see `pathfinder/released/layout.py`.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from lra_data.arrow_columns import numbers, rows_of
from lra_data.interop.encoders import only_grey, padded, pixels_without_black, sequences_of
from lra_data.interop.layouts import ExportJob, Layout, TaskFiles
from lra_data.interop.paper_lines import WITHOUT_BREAKS, pair_units, write_pairs
from lra_data.interop.protocol import CodeBase, Read, Reading, View
from lra_data.listops.vocabulary import CLOSE_ID, VOCABULARY
from lra_data.pathfinder.config import Config
from lra_data.pathfinder.released.layout import release_folder
from lra_data.picture_files import png_bytes
from lra_data.task import Task

# Its readers.

_RETRIEVAL_BYTES, _RETRIEVAL_IDS = 10_000, 4000


def _read_ids(batch: pa.RecordBatch, learned: None, *, cut: int) -> Read:
    return padded(batch, [[ids[:cut] for ids in row] for row in sequences_of(batch)], cut)


def _read_bytes(batch: pa.RecordBatch, learned: None, *, cut: int) -> Read:
    return padded(batch, [[ids[:cut].astype(np.int32) + 1 for ids in row] for row in sequences_of(batch)], cut)


def _read_papers(batch: pa.RecordBatch, learned: None) -> Read:
    kept = [[WITHOUT_BREAKS[text[:_RETRIEVAL_BYTES]] for text in row] for row in sequences_of(batch)]
    ids = [[text[:_RETRIEVAL_IDS].astype(np.int32) + 1 for text in row] for row in kept]
    return padded(batch, ids, _RETRIEVAL_IDS)


def _only_without_holdout(task: Task) -> str:
    return "has the test reviews as validation, as text/lra" if task.config.holdout else ""


_MASK = "the models hide ids of 0, so black pixels too, and the CLS vector where the first pixel is black"

_READINGS = {
    "image": Reading(
        reader="lra_benchmarks/image/input_pipeline.py",
        ids="grey values 0 to 255",
        vocab_size=256,
        max_length=1024,
        cut="nothing",
        padding="none",
        mask=_MASK,
        splits="train[:90%], train[90%:] and test of TensorFlow Datasets: 45,000, 5,000, 10,000",
        order="TensorFlow Datasets; train is shuffled by batches only",
        grey="tf.image.rgb_to_grayscale on integers",
        view=View(encode=pixels_without_black, refusal=only_grey),
    ),
    "listops": Reading(
        reader="lra_benchmarks/listops/input_pipeline.py",
        ids="words of some 1,000 validation examples, numbered from 1; the order there differs between processes",
        vocab_size=17,
        max_length=2000,
        cut="the first 2,000 ids",
        padding="0 on the right to 2,000",
        mask="ids of 0",
        splits="basic_train.tsv, basic_val.tsv, basic_test.tsv",
        order="of the files; read with an unseeded shuffle buffer there",
        view=View(encode=partial(_read_ids, cut=2000)),
    ),
    "pathfinder": Reading(
        reader="lra_benchmarks/data/pathfinder.py, lra_benchmarks/image/input_pipeline.py",
        ids="grey values 0 to 255",
        vocab_size=256,
        max_length=0,
        cut="nothing",
        padding="none",
        mask=_MASK,
        splits="80, 10 and 10 % in the order of TensorFlow Datasets, each difficulty by itself",
        order="TensorFlow Datasets, for a converted release; that of their numbers for pictures drawn here",
        grey="as stored",
        view=View(encode=pixels_without_black),
    ),
    "retrieval": Reading(
        reader="lra_benchmarks/matching/input_pipeline.py",
        ids="byte + 1",
        vocab_size=257,
        max_length=4000,
        cut="the first 10,000 bytes, then the first 4,000 ids",
        padding="0 on the right to 4,000",
        mask="ids of 0",
        splits="new_aan_pairs.train.tsv, .eval.tsv, .test.tsv; TAB, LF, CR and NUL of a text are spaces there",
        order="of the files; read with an unseeded shuffle buffer there, and a last incomplete batch is dropped",
        view=View(encode=_read_papers),
    ),
    "text": Reading(
        reader="lra_benchmarks/text_classification/input_pipeline.py",
        ids="byte + 1",
        vocab_size=257,
        max_length=1000,
        cut="the first 1,000 ids (the paper says 4,000)",
        padding="0 on the right to 1,000",
        mask="ids of 0",
        splits="train and test of TensorFlow Datasets; validation is test",
        order="TensorFlow Datasets",
        view=View(encode=partial(_read_bytes, cut=1000), refusal=_only_without_holdout),
    ),
}


# Its files.

LISTOPS_NAMES = {"train": "basic_train.tsv", "validation": "basic_val.tsv", "test": "basic_test.tsv"}
_PICTURES_A_FOLDER = 1000


def _listops_units(task: Task) -> tuple[str, ...]:
    return tuple(reversed(LISTOPS_NAMES.values()))


def _write_listops(job: ExportJob) -> Iterator[Path]:
    for split in job.rows.sizes:
        path = job.folder / LISTOPS_NAMES[split]
        with path.open("w", newline="", encoding="ascii") as file:
            file.write("Source\tTarget\r\n")
            for batch in job.rows.batches(split):
                for ids, label in zip(batch["inputs"].to_pylist(), batch["label"].to_pylist(), strict=True):
                    file.write(f"{listops_source(ids)}\t{label}\r\n")
        yield path


def listops_source(ids: Sequence[int]) -> str:
    """The `Source` field of one example: its tokens with the parentheses of the pair encoding, single-spaced."""
    words: list[str] = []
    # For each open operator: the position of its word, and the number of pairs closed since.
    opened: list[list[int]] = []
    for number in ids:
        words.append(VOCABULARY[number - 1])
        if words[-1].startswith("["):
            opened.append([len(words) - 1, 0])
            continue
        finished_argument = bool(opened)
        if number == CLOSE_ID:
            words.append(")")
            position, pairs = opened.pop()
            words[position] = "( " * (pairs + 1) + words[position]
            finished_argument = bool(opened)
        if finished_argument:
            words.append(")")
            opened[-1][1] += 1
    return " ".join(words)


def _pathfinder_units(task: Task) -> tuple[str, ...]:
    return (release_folder(task.config).as_posix(),)


def _needs_margins(task: Task) -> str:
    if task.converted:
        return "holds generated pictures; a converted release has these files already"
    return "" if task.config.geometry else "states each picture's margin, so build a set with geometry"


def _write_pathfinder(job: ExportJob) -> Iterator[Path]:
    """Pictures as PNG files in folders of a thousand, numbered across all splits, with one text file per folder."""
    config, folder_number = job.rows.task.config, 0
    target = job.folder / release_folder(config)
    for split, size in job.rows.sizes.items():
        yield from _write_pictures(config, job.rows.batches(split), size, target, folder_number)
        folder_number += -(-size // _PICTURES_A_FOLDER)


def _write_pictures(
    config: Config, batches: Iterable[pa.RecordBatch], size: int, target: Path, folder_number: int
) -> Iterator[Path]:
    """Write one split, whose first folder of pictures is `folder_number`."""
    written = 0
    lines: list[str] = []
    for rows in batches:
        pictures = rows_of(rows["inputs"]).reshape(len(rows), config.resolution, config.resolution)
        for picture, label, margin in zip(pictures, numbers(rows["label"]), numbers(rows["margin"]), strict=True):
            path = target / "imgs" / str(folder_number) / f"sample_{len(lines)}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png_bytes(picture))
            lines.append(_metadata_line(config, folder_number, len(lines), int(label), int(margin)))
            written += 1
            yield path
            if len(lines) == _PICTURES_A_FOLDER or written == size:
                path = target / "metadata" / f"{folder_number}.npy"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("".join(lines), encoding="ascii")
                yield path
                folder_number, lines = folder_number + 1, []


def _metadata_line(config: Config, folder_number: int, number: int, label: int, margin: int) -> str:
    return (
        f"imgs/{folder_number} sample_{number}.png {number} {label} {config.continuity} {config.contour_length} "
        f"{config.distractor_length} {config.paddle_length} {config.paddle_thickness:g} {margin} "
        f"{len(config.paddle_contrast_list)}\n"
    )


LISTOPS_FILES = TaskFiles(units=_listops_units, write=_write_listops)
PATHFINDER_FILES = TaskFiles(units=_pathfinder_units, write=_write_pathfinder, refusal=_needs_margins)
RETRIEVAL_FILES = TaskFiles(units=pair_units, write=partial(write_pairs, quoted=False), takes_ascii=True)

CODE_BASE = CodeBase(
    name="lra-2020",
    readings=_READINGS,
    layouts=(
        Layout(
            name="lra-release",
            summary="for LRA and S5: basic_*.tsv, new_aan_pairs.*.tsv, pathfinder<R>/*/{imgs,metadata}",
            tasks={"listops": LISTOPS_FILES, "retrieval": RETRIEVAL_FILES, "pathfinder": PATHFINDER_FILES},
        ),
    ),
)
