"""The reading of pictures that S4 and Mega share: torchvision's grey and floats, and the parts of torch's
`random_split`.

For a partial corpus, the orders contain the available pictures, in the order of the whole corpus.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lra_data.arrow_columns import numbers, rows_of
from lra_data.interop.encoders import has_colour
from lra_data.interop.protocol import Order, Read
from lra_data.interop.torch_shuffle import random_split
from lra_data.pathfinder.config import DIFFICULTIES
from lra_data.splits import SPLITS
from lra_data.store.row_access import Rows
from lra_data.task import Task

_SEED = 42


def image_order(rows: Rows) -> Order:
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


def pathfinder_order(rows: Rows) -> Order:
    """80, 10 and 10 % of all pictures in the order of the release; for generated pictures, in that of their export."""
    listed = [(split, index) for split in SPLITS for index in range(rows.sizes[split])]
    if "line" in rows.task.schema.names:  # a converted release, which has `batch` and `line` as well
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
    """The grey values of pictures in colour, as torchvision's Grayscale computes them with Pillow: (n, pixels)."""
    from PIL import Image

    side = int((batch["inputs"].type.list_size // 3) ** 0.5)
    pictures = rows_of(batch["inputs"]).reshape(-1, side, side, 3)
    grey = np.array([np.asarray(Image.fromarray(picture).convert("L")) for picture in pictures], dtype=np.uint8)
    return grey.reshape(len(pictures), side * side)


def normalised(pixels: NDArray[np.uint8], mean: float, deviation: float) -> NDArray[np.float32]:
    """torchvision's ToTensor and Normalize, also in float32."""
    unit = pixels.astype(np.float32) / np.float32(255)
    floats: NDArray[np.float32] = (unit - np.float32(mean)) / np.float32(deviation)
    return floats


def colours_as_floats(batch: pa.RecordBatch, learned: None, *, mean: float, deviation: float) -> Read:
    """Pictures in colour as normalised grey values."""
    return _read(batch, pillow_grey(batch), mean, deviation)


def greys_as_floats(batch: pa.RecordBatch, learned: None, *, mean: float, deviation: float) -> Read:
    """Pictures in grey, normalised."""
    return _read(batch, rows_of(batch["inputs"]), mean, deviation)


def _read(batch: pa.RecordBatch, pixels: NDArray[np.uint8], mean: float, deviation: float) -> Read:
    inputs = normalised(pixels[:, None], mean, deviation)
    lengths = np.full(inputs.shape[:2], inputs.shape[2], dtype=np.int32)
    return Read(inputs, lengths, np.ones(inputs.shape, dtype=bool), numbers(batch["label"]))


def only_colour(task: Task) -> str:
    """The refusal of readers that compute grey values themselves."""
    return "" if has_colour(task) else "reads image/rgb, of which it makes its own grey"


def only_hard(task: Task) -> str:
    """The refusal of readers that read only one difficulty of Pathfinder."""
    is_hard = task.config.contour_length == DIFFICULTIES["hard"]
    return "" if is_hard else "reads the hard difficulty of Pathfinder alone"
