"""Shows reviews to people."""

from collections.abc import Mapping
from typing import Any

from lra_data.task_parts import Viewer


class TextViewer(Viewer):
    """Reviews with their stars."""

    def __init__(self, label_names: tuple[str, ...]) -> None:
        self._names = label_names

    def show(self, row: Mapping[str, Any]) -> str:
        """Label, stars, path and the text on one line."""
        text = bytes(row["inputs"]).decode().replace("\n", " ")
        return f"{self._names[row['label']]} ({row['rating']} stars, {row['source']}): {text}"

    def explain(self, row: Mapping[str, Any]) -> str:
        """The text with its line breaks, and the origin of its label."""
        text = bytes(row["inputs"]).decode().replace("<br />", "\n")
        return (
            f"{row['source']}: {row['rating']} of 10 stars, so the label is {row['label']}, "
            f"{self._names[row['label']]}; {len(row['inputs']):,} bytes\n\n{text}"
        )
