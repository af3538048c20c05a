"""Shows CIFAR-10's pictures to people."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lra_data.arrow_columns import rows_of
from lra_data.image.cifar import CLASSES, SIDE
from lra_data.image.config import Config
from lra_data.picture_files import contact_sheet, enlarged
from lra_data.picture_words import Entry, with_legend
from lra_data.task_parts import Viewer

_DRAWING_SIDE = 768


class ImageViewer(Viewer):
    """Pictures on a contact sheet, and a line for each."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def show(self, row: Mapping[str, Any]) -> str:
        """One line in words; the pictures themselves are on the contact sheet."""
        return f"{CLASSES[row['label']]}, picture {row['number']} of its half"

    def explain(self, row: Mapping[str, Any]) -> str:
        """The origin of the row; the label comes from the corpus."""
        return f"{self.show(row)}; the label is {row['label']}, as CIFAR-10 has it"

    def contact_sheet(self, batch: pa.RecordBatch) -> NDArray[np.uint8]:
        """The pictures of the rows, with their indices and classes."""
        texts = [
            (str(index), CLASSES[label])
            for index, label in zip(batch["index"].to_pylist(), batch["label"].to_pylist(), strict=True)
        ]
        return contact_sheet(rows_of(batch["inputs"]).reshape(-1, *self._shape), texts)

    def drawing(self, row: Mapping[str, Any]) -> NDArray[np.uint8]:
        """The picture enlarged, with its class, and how its pixels become a sequence."""
        picture = np.asarray(row["inputs"], dtype=np.uint8).reshape(self._shape)
        kind = "red, green and blue of each pixel" if len(self._shape) == 3 else "grey of each pixel, 0 is black"
        title = f"{row['index']}: the label is {row['label']}, {CLASSES[row['label']]}, as CIFAR-10 has it"
        order = f"{SIDE} x {SIDE} pixels, read row by row: {picture.size:,} values, {kind}"
        return with_legend(enlarged(picture, _DRAWING_SIDE // SIDE), title, [Entry(order)])

    @property
    def _shape(self) -> tuple[int, ...]:
        return (SIDE, SIDE, 3) if self._config.channels == 3 else (SIDE, SIDE)
