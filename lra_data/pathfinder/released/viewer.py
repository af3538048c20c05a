"""Shows released pictures to people, without their contours, which are unknown."""

from collections.abc import Mapping
from typing import Any

from lra_data.pathfinder.viewer import PathfinderViewer


class ReleasedViewer(PathfinderViewer):
    """Pictures framed by label, with the names of their files."""

    def show(self, row: Mapping[str, Any]) -> str:
        """One line in words, with the file's name."""
        return f"imgs/{row['batch']}/sample_{row['sample']}.png, {self._label_names[row['label']]}"

    def explain(self, row: Mapping[str, Any]) -> str:
        """The origin of the row; nothing else is known about a released picture."""
        return f"{self.show(row)}, margin {row['margin']}; the release tells no contours"

    def drawing(self, row: Mapping[str, Any]) -> None:
        """None, since the contours are unknown."""
