"""ListOps expressions as trees, for people: parses token ids, and prints the tree with the value of every node.

Plain Python, one example at a time; `solver.py` checks whole sets.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from lra_data.errors import UsageError
from lra_data.listops.vocabulary import CLOSE, VOCABULARY, parse_tokens


@dataclass(frozen=True)
class Node:
    """A digit (no operator, no arguments) or an operator with its arguments; `value` is 0 to 9."""

    value: int
    operator: str = ""
    arguments: tuple["Node", ...] = ()


def evaluate(text: str) -> int:
    """The value of an expression written as text, such as `[MAX 4 3 [MIN 2 3 ] 1 ]`."""
    return parse_tree(parse_tokens(text)).value


def parse_tree(ids: Sequence[int]) -> Node:
    """The tree of an example's token ids; raises UsageError if they do not form an expression."""
    open_nodes: list[tuple[str, list[Node]]] = [("", [])]
    for position, number in enumerate(ids):
        word = VOCABULARY[number - 1]
        if word.startswith("["):
            open_nodes.append((word[1:], []))
        elif word == CLOSE:
            operator, arguments = open_nodes.pop()
            if not open_nodes or not arguments:
                raise UsageError(f"token {position} closes {'an empty operator' if open_nodes else 'nothing'}")
            open_nodes[-1][1].append(
                Node(_value(operator, [node.value for node in arguments]), operator, tuple(arguments))
            )
        else:
            open_nodes[-1][1].append(Node(int(word)))
    if len(open_nodes) != 1 or len(open_nodes[0][1]) != 1:
        raise UsageError(f"expected one whole expression, got {len(open_nodes) - 1} operators left open")
    return open_nodes[0][1][0]


def _value(operator: str, values: list[int]) -> int:
    if operator == "MIN":
        return min(values)
    if operator == "MAX":
        return max(values)
    if operator == "MED":
        return int(median(values))
    return sum(values) % 10


def draw_tree(root: Node) -> str:
    """One line per operator: `[MAX 3 7 (5) ] = 7`, indented by depth; (5) is an argument that is printed below."""
    lines = []
    pending = [(root, 0)]
    while pending:
        node, depth = pending.pop()
        if not node.operator:
            lines.append(f"{'  ' * depth}{node.value}")
            continue
        shown = " ".join(f"({child.value})" if child.operator else str(child.value) for child in node.arguments)
        lines.append(f"{'  ' * depth}[{node.operator} {shown} ] = {node.value}")
        pending.extend((child, depth + 1) for child in reversed(node.arguments) if child.operator)
    return "\n".join(lines)
