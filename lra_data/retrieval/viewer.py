"""Shows pairs of papers to people."""

from collections.abc import Mapping
from typing import Any

from lra_data.task_parts import Viewer


class RetrievalViewer(Viewer):
    """Ids, years and the beginnings of the texts. source: the list from which the labels follow."""

    def __init__(self, label_names: tuple[str, ...], source: str) -> None:
        self._names, self._source = label_names, source

    def show(self, row: Mapping[str, Any]) -> str:
        """Ids, label and the beginnings of the texts."""
        begins = [_readable_start(row[f"inputs_{number}"]) for number in (1, 2)]
        return f"{row['source_1']} and {row['source_2']}: {self._names[row['label']]}; {begins[0]} … and {begins[1]} …"

    def explain(self, row: Mapping[str, Any]) -> str:
        """The origin of the label, and the length and frequency of the papers."""
        link = "lists a citation" if row["label"] else "lists no citation"
        lines = [f"label {row['label']}: {self._source} {link} between {row['source_1']} and {row['source_2']}"]
        for number in (1, 2):
            lines.append(
                f"{row[f'source_{number}']} of {row[f'year_{number}']}: {len(row[f'inputs_{number}']):,} bytes, in "
                f"{row[f'times_{number}']} pairs of this split: {_readable_start(row[f'inputs_{number}'])} …"
            )
        return "\n".join(lines)


def _readable_start(text: Any) -> str:
    return " ".join(bytes(text[:120]).decode("utf-8", "replace").split())[:80]
