"""Shows released pictures to people, without their contours, which are unknown."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lra_data.pathfinder.viewer import DRAWING_SIDE, PathfinderViewer
from lra_data.picture_files import enlarged
from lra_data.picture_words import Entry, with_legend


class ReleasedViewer(PathfinderViewer):
    """Pictures framed by label, with the names of their files."""

    def show(self, row: Mapping[str, Any]) -> str:
        """One line in words, with the file's name."""
        return f"imgs/{row['batch']}/sample_{row['sample']}.png, {self._label_names[row['label']]}"

    def explain(self, row: Mapping[str, Any]) -> str:
        """The origin of the row; nothing else is known about a released picture."""
        return f"{self.show(row)}, margin {row['margin']}; the release tells no contours"

    def drawing(self, row: Mapping[str, Any]) -> NDArray[np.uint8]:
        """The picture enlarged, with its label; the contours are unknown."""
        size = self._config.resolution
        picture = np.asarray(row["inputs"], dtype=np.uint8).reshape(size, size)
        title = f"{row['index']}: the label is {row['label']}, {self._label_names[row['label']]}, as the release has it"
        return with_legend(enlarged(picture, max(1, DRAWING_SIDE // size)), title, [Entry("contours are unknown")])
