"""Shows ListOps expressions to people."""

from collections.abc import Mapping
from typing import Any

from lra_data.listops.tree import draw_tree, parse_tree
from lra_data.listops.vocabulary import format_tokens
from lra_data.task_parts import Viewer


class ListOpsViewer(Viewer):
    """Expressions as text and as trees."""

    def show(self, row: Mapping[str, Any]) -> str:
        """The expression on one line, then its value."""
        return f"{format_tokens(row['inputs'])} = {row['label']}"

    def explain(self, row: Mapping[str, Any]) -> str:
        """The expression as a tree, with the value of every operator."""
        return draw_tree(parse_tree(row["inputs"]))
