"""Shows CIFAR-10's pictures to people."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lra_data.arrow_columns import rows_of
from lra_data.image.cifar import CLASSES, SIDE
from lra_data.image.config import Config
from lra_data.picture_files import contact_sheet
from lra_data.task_parts import Viewer


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
        """The pictures of the rows."""
        shape = (SIDE, SIDE, 3) if self._config.channels == 3 else (SIDE, SIDE)
        return contact_sheet(rows_of(batch["inputs"]).reshape(-1, *shape))
