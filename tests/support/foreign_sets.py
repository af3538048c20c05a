"""Small sets with their exported files, what their rows hold, and the comparison of a view with a foreign reader."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lra_data
from lra_data import get_task
from lra_data.corpus import Corpus
from lra_data.interop.export import export
from lra_data.pathfinder.released.converted_task import open_release
from lra_data.store.row_access import Rows, VirtualRows, open_rows
from tests.oracles.foreign_readers import Read

SPLITS = ("train", "validation", "test")
TSV_NAMES = {"train": "basic_train.tsv", "validation": "basic_val.tsv", "test": "basic_test.tsv"}
PAIR_NAMES = {"train": "train", "validation": "eval", "test": "test"}
PICKLE_NAMES = {"train": "train", "validation": "dev", "test": "test"}
HARD = "pathfinder32/curv_contour_length_14"
BREAKS = b"\t\n\r\0"
LISTOPS_SIZES = {"train": 60, "validation": 20, "test": 20}
PATHFINDER_SIZES = {"train": 61, "validation": 21, "test": 20}


@dataclass(frozen=True)
class Exported:
    """A set, and the folder that holds its release files."""

    rows: Rows
    files: Path


def build_and_export(name: str, root: Path, sizes: dict[str, int], seed: int = 0) -> Exported:
    lra_data.build(name, root / "sets", sizes=sizes, seed=seed)
    rows = open_rows(root / "sets" / name)
    export(rows, root / "files")
    return Exported(rows, root / "files")


def lay_out_release(source: Path, root: Path, *, reverse_lines: bool) -> Exported:
    """Pictures in twelve batches, whose numbers sort otherwise as strings."""
    lines = [line for path in sorted((source / "metadata").iterdir()) for line in path.read_text().splitlines()]
    for batch in range(12):
        (root / HARD / "imgs" / str(batch)).mkdir(parents=True)
        metadata = root / HARD / "metadata" / f"{batch}.npy"
        metadata.parent.mkdir(exist_ok=True)
        written = []
        for sample, line in enumerate(lines[batch::12]):
            fields = line.split(" ")
            png = (source / fields[0] / fields[1]).read_bytes()
            (root / HARD / "imgs" / str(batch) / f"sample_{sample}.png").write_bytes(png)
            written.append(" ".join([f"imgs/{batch}", f"sample_{sample}.png", str(sample), *fields[3:]]) + "\n")
        metadata.write_text("".join(reversed(written) if reverse_lines else written))
    return Exported(VirtualRows(open_release(Corpus(root, allow_partial=True)), 0), root)


def corpus_rows(name: str, archive: Path) -> Rows:
    return VirtualRows(get_task(name).over(Corpus(archive, allow_partial=True)), 0)


def generated(name: str, train: int = 60, validation: int = 21, test: int = 20) -> Rows:
    rows = VirtualRows(get_task(name), 0)
    rows.sizes = {"train": train, "validation": validation, "test": test}
    return rows


def texts_of(rows: Rows, split: str) -> list[tuple[bytes, ...]]:
    names = [name for name in rows.task.schema.names if name.startswith("inputs")]
    return [tuple(bytes(row[name]) for name in names) for batch in rows.batches(split) for row in batch.to_pylist()]


def labels_of(rows: Rows, split: str) -> list[int]:
    return [label for batch in rows.batches(split) for label in batch["label"].to_pylist()]


def printable(text: bytes) -> bytes:
    return re.sub(rb"[^ -~]", b" ", text)


def unbroken(text: bytes) -> bytes:
    return re.sub(rb"[\t\n\r\0]", b" ", text)


def check_view(
    view: Any,
    expected: dict[str, list[Read]],
    *,
    dtype: type[np.int32] | type[np.float32] = np.int32,
    padded_to: int | None = None,
    hides_zeros: bool,
) -> None:
    """The whole of each split, and some rows in any order, repeated ones too. Without `padded_to` a batch decides."""
    assert view.sizes == {split: len(reads) for split, reads in expected.items()}
    for split, reads in expected.items():
        count = len(reads)
        assert count > 0
        for positions in (list(range(count)), [count - 1, 0, count // 2, 0], [count // 3]):
            batch = view.take(split, positions)
            chosen = [reads[position] for position in positions]
            longest = max(len(side) for read in chosen for side in read.sides)
            shape = (len(chosen), len(chosen[0].sides), padded_to or longest)
            inputs, keep = np.zeros(shape, dtype), np.zeros(shape, np.bool_)
            for row, read in enumerate(chosen):
                for place, side in enumerate(read.sides):
                    inputs[row, place, : len(side)] = side
                    keep[row, place, : len(side)] = True
            lengths = [[len(side) for side in read.sides] for read in chosen]
            np.testing.assert_array_equal(batch.inputs, inputs, strict=True)
            np.testing.assert_array_equal(batch.keep, inputs != 0 if hides_zeros else keep, strict=True)
            np.testing.assert_array_equal(batch.lengths, np.array(lengths, np.int32), strict=True)
            np.testing.assert_array_equal(batch.labels, np.array([read.label for read in chosen]), strict=True)


def plain(expected: dict[str, list[Read]]) -> list[tuple[list[int], int]]:
    """All splits, one after the other: the ids of a single text, and the class."""
    return [(read.sides[0].tolist(), read.label) for reads in expected.values() for read in reads]


def all_rows(family: str, request: pytest.FixtureRequest) -> Rows:
    """A small set of the family."""
    makers: dict[str, Callable[[], Rows]] = {
        "listops": lambda: request.getfixturevalue("listops").rows,
        "pathfinder": lambda: request.getfixturevalue("pathfinder").rows,
        "text": lambda: corpus_rows("text/lra", request.getfixturevalue("long_text")),
        "retrieval": lambda: corpus_rows("retrieval/by-pair", request.getfixturevalue("long_papers")),
        "image": lambda: corpus_rows("image/lra", request.getfixturevalue("corpora")["image"]),
    }
    return makers[family]()
