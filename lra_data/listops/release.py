"""The layout of the original release, `basic_{train,val,test}.tsv`, byte for byte in form (LRA data/listops.py:97-190).

There a tree is a chain of pairs, so that an operator of n arguments opens n + 1 parentheses and closes one after each
argument and one after its bracket: `( ( ( [SM 3 ) 6 ) ] )`. Rows end in CRLF, as Python's csv writer leaves them.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa

from lra_data.listops.vocabulary import CLOSE_ID, VOCABULARY

FILE_NAMES = {"train": "basic_train.tsv", "validation": "basic_val.tsv", "test": "basic_test.tsv"}


def release_source(ids: Sequence[int]) -> str:
    """The `Source` field of one example: its tokens with the parentheses of the pair encoding, single-spaced."""
    words: list[str] = []
    opened: list[list[int]] = []  # for each open operator: the position of its word, and the pairs closed since
    for number in ids:
        words.append(VOCABULARY[number - 1])
        if words[-1].startswith("["):
            opened.append([len(words) - 1, 0])
            continue
        finished_argument = bool(opened)
        if number == CLOSE_ID:
            words.append(")")
            position, pairs = opened.pop()
            words[position] = "( " * (pairs + 1) + words[position]
            finished_argument = bool(opened)
        if finished_argument:
            words.append(")")
            opened[-1][1] += 1
    return " ".join(words)


def write_release(split: str, batches: Iterable[pa.RecordBatch], folder: Path) -> Path:
    """Write one split as the original's TSV file into `folder`."""
    path = folder / FILE_NAMES[split]
    with path.open("w", newline="", encoding="ascii") as file:
        file.write("Source\tTarget\r\n")
        for batch in batches:
            for ids, label in zip(batch["inputs"].to_pylist(), batch["label"].to_pylist(), strict=True):
                file.write(f"{release_source(ids)}\t{label}\r\n")
    return path
