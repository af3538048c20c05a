"""Finds equal examples of a set, within a split and across splits, by the digests of all rows, in bounded memory.

Each range of rows has a file of its digests, sorted (`RowDigests`). The files are read one after another and divided
into buckets by the first bits of a digest; equal digests are in the same bucket. With more than one bucket, the buckets
are files in a temporary folder, 28 bytes a row.
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lra_data.paths import write_failure

# Rows of a bucket, on average: 28 bytes each, and about three times as much while they are sorted.
BUCKET_ROWS = 2**22

# One row in a bucket: the two words of its digest, the number of its split, and its row number.
_ROW = np.dtype([("first", "<u8"), ("second", "<u8"), ("split", "<u4"), ("row", "<u8")])


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """Examples that occur more than once.

    within: rows of each split that repeat an earlier row of the same split.
    across: number of distinct examples that appear in two splits, by the pair of splits, such as `validation and test`.
    first: one pair of `across` in words, such as `train 5 and test 7`; empty if `across` is empty.
    """

    within: dict[str, int]
    across: dict[str, int]
    first: str


@dataclass(frozen=True, kw_only=True)
class RowDigests:
    """The digests of the rows from `start` on, sorted by their two little-endian words.

    words: uint64, shape (rows, 2).
    rows: uint32, shape (rows,): the place of each digest's row, counted from `start`.
    """

    split: str
    start: int
    words: NDArray[np.uint64]
    rows: NDArray[np.uint32]

    @classmethod
    def of(cls, split: str, start: int, digests: NDArray[np.uint8]) -> "RowDigests":
        """From digests in row order: uint8, shape (rows, 16)."""
        words = np.ascontiguousarray(digests).view("<u8")
        rows = np.lexsort((words[:, 1], words[:, 0]))
        return cls(split=split, start=start, words=words[rows], rows=rows.astype(np.uint32))

    def to_bytes(self) -> bytes:
        """The file's content: all words, then all row numbers, little-endian."""
        return self.words.astype("<u8").tobytes() + self.rows.astype("<u4").tobytes()

    @classmethod
    def from_bytes(cls, split: str, start: int, data: bytes) -> "RowDigests":
        """The inverse of `to_bytes`."""
        count = len(data) // 20
        words = np.frombuffer(data, dtype="<u8", count=2 * count).reshape(count, 2)
        return cls(
            split=split, start=start, words=words, rows=np.frombuffer(data, dtype="<u4", offset=16 * count, count=count)
        )


def find_duplicates(sizes: Mapping[str, int], digests: Iterable[RowDigests]) -> Duplicates:
    """The duplicates among all rows. sizes: number of rows by split. digests: of every range, read once.

    Raises BuildError if the temporary folder is full.
    """
    splits = list(sizes)
    buckets = max(1, -(-sum(sizes.values()) // BUCKET_ROWS))
    distinct = dict.fromkeys(splits, 0)
    across = dict.fromkeys(combinations(splits, 2), 0)
    first: dict[tuple[str, str], str] = {}
    for rows in _buckets(digests, splits, buckets):
        found, pairs = _in_bucket(rows, splits)
        for split, count in found.items():
            distinct[split] += count
        for pair, (count, example) in pairs.items():
            across[pair] += count
            first.setdefault(pair, example)  # buckets come in the order of digests
    return Duplicates(
        within={split: sizes[split] - distinct[split] for split in splits},
        across={" and ".join(pair): count for pair, count in across.items() if count},
        first=next((first[pair] for pair in across if pair in first), ""),
    )


def _buckets(digests: Iterable[RowDigests], splits: list[str], count: int) -> Iterator[NDArray[np.void]]:
    """The rows of each bucket, in the order of the buckets."""
    if count == 1:
        yield np.concatenate([_table(piece, splits) for piece in digests])
        return
    # Upper bounds of the first word; the last bucket has none.
    bounds = np.array([2**64 * number // count for number in range(1, count)], dtype=np.uint64)
    folder = Path(tempfile.gettempdir())
    try:
        with tempfile.TemporaryDirectory(prefix="lra-data-digests-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            with ExitStack() as stack:
                files = [stack.enter_context((folder / str(number)).open("wb")) for number in range(count)]
                for piece in digests:
                    table = _table(piece, splits)
                    cuts = np.searchsorted(piece.words[:, 0], bounds)
                    for file, rows in zip(files, np.split(table, cuts), strict=True):
                        file.write(rows.tobytes())
            for number in range(count):
                yield np.fromfile(folder / str(number), dtype=_ROW)
                (folder / str(number)).unlink()
    except OSError as error:
        raise write_failure(folder, error) from error


def _table(piece: RowDigests, splits: list[str]) -> NDArray[np.void]:
    table = np.empty(len(piece.rows), dtype=_ROW)
    table["first"], table["second"] = piece.words[:, 0], piece.words[:, 1]
    table["split"], table["row"] = splits.index(piece.split), piece.rows
    table["row"] += piece.start
    return table


def _in_bucket(
    table: NDArray[np.void], splits: list[str]
) -> tuple[dict[str, int], dict[tuple[str, str], tuple[int, str]]]:
    """The number of distinct rows of each split, and for each pair of splits the number of distinct rows in both, with
    the first of them in words.
    """
    table = table[np.lexsort((table["row"], table["split"], table["second"], table["first"]))]
    another = np.ones(len(table), dtype=bool)
    another[1:] = (table["first"][1:] != table["first"][:-1]) | (table["second"][1:] != table["second"][:-1])
    numbers = np.cumsum(another)
    # The first row of each split among equal rows.
    firsts = another.copy()
    firsts[1:] |= table["split"][1:] != table["split"][:-1]
    leading = {split: np.flatnonzero(firsts & (table["split"] == place)) for place, split in enumerate(splits)}
    pairs = {}
    for one, other in combinations(splits, 2):
        both, ones, others = np.intersect1d(
            numbers[leading[one]], numbers[leading[other]], assume_unique=True, return_indices=True
        )
        if len(both):
            rows = (table["row"][leading[one][ones[0]]], table["row"][leading[other][others[0]]])
            pairs[one, other] = len(both), f"{one} {rows[0]} and {other} {rows[1]}"
    return {split: len(rows) for split, rows in leading.items()}, pairs
