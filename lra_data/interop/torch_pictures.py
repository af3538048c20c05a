"""What S4 and Mega share in reading pictures: torchvision's grey, and the parts that torch's `random_split` makes.

The orders say, for each split of those readers, our split and index of each example. Of a partial corpus they name what
is there, in the order of the whole.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lra_data.arrow_columns import numbers, rows_of
from lra_data.interop.torch_shuffle import random_split
from lra_data.splits import SPLITS

_SEED = 42

Order = dict[str, Sequence[tuple[str, int]]]


class PictureSet(Protocol):
    """The rows of a set of pictures: those of `lra_data/store/row_access.py`."""

    sizes: dict[str, int]

    def batches(self, split: str) -> Iterator[pa.RecordBatch]:
        """All rows of a split in order."""


def image_order(rows: PictureSet) -> Order:
    """Upstream's 50,000 training pictures in two parts, 45,000 and 5,000; test in upstream's order."""
    where: dict[str, dict[int, tuple[str, int]]] = {"train": {}, "test": {}}
    for split in SPLITS:
        for batch in rows.batches(split):
            for number, index in zip(numbers(batch["number"]), numbers(batch["index"]), strict=True):
                where["test" if split == "test" else "train"][int(number)] = (split, int(index))
    train, validation = random_split([45_000, 5_000], _SEED)
    return {
        "train": [where["train"][place] for place in train.tolist() if place in where["train"]],
        "validation": [where["train"][place] for place in validation.tolist() if place in where["train"]],
        "test": [where["test"][number] for number in sorted(where["test"])],
    }


def pathfinder_order(rows: PictureSet, columns: Sequence[str]) -> Order:
    """80, 10 and 10 % of all pictures in the order of the release: for pictures drawn here that of their export.

    columns: those of the task's schema; a converted release has `batch` and `line`.
    """
    listed = [(split, index) for split in SPLITS for index in range(rows.sizes[split])]
    if "line" in columns:
        numbered = [
            (batch_number, line, split, index)
            for split in SPLITS
            for batch in rows.batches(split)
            for batch_number, line, index in zip(
                *(batch[name].to_pylist() for name in ("batch", "line", "index")), strict=True
            )
        ]
        listed = [(split, index) for _, _, split, index in sorted(numbered)]
    tenth = int(0.1 * len(listed))
    parts = random_split([len(listed) - 2 * tenth, tenth, tenth], _SEED)
    return {split: [listed[place] for place in part] for split, part in zip(SPLITS, parts, strict=True)}


def pillow_grey(batch: pa.RecordBatch) -> NDArray[np.uint8]:
    """The grey values of pictures in colour as torchvision's Grayscale makes them, which is Pillow's: (n, pixels)."""
    from PIL import Image

    side = int((batch["inputs"].type.list_size // 3) ** 0.5)
    pictures = rows_of(batch["inputs"]).reshape(-1, side, side, 3)
    grey = np.array([np.asarray(Image.fromarray(picture).convert("L")) for picture in pictures], dtype=np.uint8)
    return grey.reshape(len(pictures), side * side)
