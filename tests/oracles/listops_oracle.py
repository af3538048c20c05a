"""ListOps examples drawn exactly as docs/listops_draws.md says, one tree at a time, by plain recursion.

It is for checking the fast kernel example by example. It deliberately does not share code with the package under
test, make batches, write files, or try to be fast; where the page gives no answer it raises instead of guessing.
"""

import hashlib
import json
import math
import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from .philox_oracle import philox4x64

# A digit, or an operator's name with its arguments.
Tree: TypeAlias = "int | tuple[str, list[Tree]]"

VERSION: Final = 1
CONFIG_FIELDS: Final = ("max_args", "max_depth", "max_length", "min_args", "min_length", "operators")
OPERATOR_ORDER: Final = ("MIN", "MAX", "MED", "SM")

CLOSE: Final = "]"
TOKEN_IDS: Final[dict[str, int]] = {
    "[MIN": 1,
    "[MAX": 2,
    "[MED": 3,
    "[SM": 4,
    "]": 5,
    "0": 6,
    "1": 7,
    "2": 8,
    "3": 9,
    "4": 10,
    "5": 11,
    "6": 12,
    "7": 13,
    "8": 14,
    "9": 15,
}

# The page sets no bound on either; these only turn an endless loop or a dead interpreter into an error.
MOST_ATTEMPTS: Final = 1_000_000
DEEPEST_TREE: Final = 20_000

# Reading ahead changes no chunk, since a block depends only on its counter; it only saves calls of NumPy.
BLOCKS_PER_READ: Final = 8


@dataclass(frozen=True)
class OracleExample:
    """One example; `root` is the root operator's name ("MIN"), or the digit ("3") if the tree is only a digit."""

    tokens: list[str]
    token_ids: list[int]
    label: int
    depth: int
    attempts: int
    root: str


class TreeTooLongError(Exception):
    """The tree being drawn already has more than max_length tokens, so its attempt cannot be accepted."""


class ChunkReader:
    """The 16-bit chunks of one attempt, in order."""

    def __init__(self, key: tuple[int, int], index: int, attempt: int) -> None:
        self.key = np.array(key, dtype=np.uint64)
        self.index = index
        self.attempt = attempt
        self.next_draw = 0
        self.chunks: list[int] = []
        self.position = 0

    def read_blocks(self) -> None:
        """Replace the used-up chunks by those of the next blocks."""
        draws = range(self.next_draw, self.next_draw + BLOCKS_PER_READ)
        counters = np.array([[draw, self.attempt, self.index, 0] for draw in draws], dtype=np.uint64)
        self.next_draw += BLOCKS_PER_READ
        self.chunks = []
        self.position = 0
        for block in philox4x64(counters, self.key).tolist():
            for word in block:
                for lowest_bit in (0, 16, 32, 48):
                    self.chunks.append((word >> lowest_bit) & 0xFFFF)

    def next_chunk(self) -> int:
        """Return the next chunk, skipped or not."""
        if self.position == len(self.chunks):
            self.read_blocks()
        chunk = self.chunks[self.position]
        self.position += 1
        return chunk


class TreeDrawer:
    """Draws the tree of one attempt."""

    def __init__(self, config: dict[str, Any], reader: ChunkReader) -> None:
        self.reader = reader
        self.operators: list[str] = list(config["operators"])
        self.min_args: int = config["min_args"]
        self.max_depth: int = config["max_depth"]
        self.max_length: int = config["max_length"]
        self.arities = config["max_args"] - config["min_args"] + 1
        self.picks = len(self.operators) * self.arities
        self.limit = chunk_limit(self.picks)
        self.tokens_so_far = 0

    def next_top_and_x(self) -> tuple[int, int]:
        """Return `top` and `x` of the next chunk that is not skipped."""
        while True:
            chunk = self.reader.next_chunk()
            top = chunk >> 14
            x = chunk & 0x3FFF
            if x < self.limit:
                return top, x

    def count_tokens(self, number: int) -> None:
        """Count tokens that the tree is now sure to have, and give up if they are too many."""
        self.tokens_so_far += number
        if self.tokens_so_far > self.max_length:
            raise TreeTooLongError

    def draw_node(self, depth: int) -> Tree:
        """Draw a node at this depth (the root's is 1) and all that is below it."""
        top, x = self.next_top_and_x()
        if depth < self.max_depth and top == 0:
            self.count_tokens(2)
            pick = x // (self.limit // self.picks)
            name = self.operators[pick // self.arities]
            number_of_arguments = self.min_args + pick % self.arities
            arguments: list[Tree] = []
            for _ in range(number_of_arguments):
                arguments.append(self.draw_node(depth + 1))
            return name, arguments
        self.count_tokens(1)
        return x % 10


def chunk_limit(picks: int) -> int:
    """Return LIMIT for R = picks."""
    step = math.lcm(10, picks)
    if step > 16384:
        raise ValueError(f"no multiple of lcm(10, {picks}) = {step} but zero is at most 16384")
    return 16384 // step * step


def tree_tokens(tree: Tree) -> list[str]:
    """Return the tokens of a tree, as written."""
    if isinstance(tree, int):
        return [str(tree)]
    name, arguments = tree
    tokens = ["[" + name]
    for argument in arguments:
        tokens.extend(tree_tokens(argument))
    tokens.append(CLOSE)
    return tokens


def tree_value(tree: Tree) -> int:
    """Return the value of a tree."""
    if isinstance(tree, int):
        return tree
    name, arguments = tree
    values: list[int] = []
    for argument in arguments:
        values.append(tree_value(argument))
    if name == "MIN":
        return min(values)
    if name == "MAX":
        return max(values)
    if name == "MED":
        return math.floor(statistics.median(values))
    if name == "SM":
        return sum(values) % 10
    raise ValueError(f"unknown operator {name!r}")


def tree_depth(tree: Tree) -> int:
    """Return the greatest number of operators open at once: 0 for a digit."""
    if isinstance(tree, int):
        return 0
    _, arguments = tree
    deepest = 0
    for argument in arguments:
        deepest = max(deepest, tree_depth(argument))
    return 1 + deepest


def tree_root(tree: Tree) -> str:
    """Return the root operator's name, or the digit if the tree is only a digit."""
    if isinstance(tree, int):
        return str(tree)
    return tree[0]


def check_config(config: dict[str, Any]) -> None:
    """Refuse a configuration for which the page says nothing, or from which nothing can be drawn."""
    if sorted(config) != sorted(CONFIG_FIELDS):
        raise ValueError(f"the configuration's fields must be {CONFIG_FIELDS}, not {tuple(config)}")
    for field in CONFIG_FIELDS:
        # bool is an int to Python, but JSON writes it otherwise, and so the key would differ.
        if field != "operators" and type(config[field]) is not int:
            raise ValueError(f"{field} must be an integer, not {config[field]!r}")
    operators = list(config["operators"])
    if not operators or operators != [name for name in OPERATOR_ORDER if name in operators]:
        raise ValueError(f"operators must be some of {OPERATOR_ORDER}, once each and in this order, not {operators}")
    if not 1 <= config["min_args"] <= config["max_args"]:
        raise ValueError("an operator needs an argument, and max_args must be at least min_args")
    if config["max_length"] - config["min_length"] < 2:
        raise ValueError("no length lies strictly between min_length and max_length")


def stream_key(config: dict[str, Any], seed: int, split: str) -> tuple[int, int]:
    """Return the two key words of a split."""
    check_config(config)
    stream = {"task": "listops", "version": VERSION, "config": config, "seed": seed, "split": split}
    text = json.dumps(stream, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    digest = hashlib.sha256(text.encode("ascii")).digest()
    return int.from_bytes(digest[0:8], "little"), int.from_bytes(digest[8:16], "little")


@contextmanager
def recursion_room(config: dict[str, Any]) -> Iterator[None]:
    """Let the recursive functions go as deep as a tree of this configuration can."""
    # Every open operator has two tokens, and drawing stops beyond max_length tokens.
    deepest = max(0, min(config["max_depth"], config["max_length"] // 2 + 2))
    if deepest > DEEPEST_TREE:
        raise ValueError(f"trees may be {deepest} deep; the recursive oracle goes down to {DEEPEST_TREE}")
    limit_before = sys.getrecursionlimit()
    sys.setrecursionlimit(limit_before + deepest)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit_before)


def draw_example(config: dict[str, Any], seed: int, split: str, index: int) -> OracleExample:
    """Return example number `index` of a split: its first accepted attempt."""
    key = stream_key(config, seed, split)
    with recursion_room(config):
        for attempt in range(MOST_ATTEMPTS):
            drawer = TreeDrawer(config, ChunkReader(key, index, attempt))
            try:
                tree = drawer.draw_node(depth=1)
            except TreeTooLongError:
                continue
            tokens = tree_tokens(tree)
            if config["min_length"] < len(tokens) < config["max_length"]:
                return OracleExample(
                    tokens=tokens,
                    token_ids=[TOKEN_IDS[token] for token in tokens],
                    label=tree_value(tree),
                    depth=tree_depth(tree),
                    attempts=attempt + 1,
                    root=tree_root(tree),
                )
    raise RuntimeError(f"none of {MOST_ATTEMPTS} attempts was accepted")
