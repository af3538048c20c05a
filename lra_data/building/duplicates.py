"""Finds equal examples of a set, within a split and across splits, by the digests of all rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray


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


def find_duplicates(digests: Mapping[str, NDArray[np.uint8]]) -> Duplicates:
    """The duplicates among all rows.

    digests: for each split the row digests in row order, uint8 of shape (rows, 16).
    """
    numbered = _numbered(digests)
    distinct = {split: np.unique(rows) for split, rows in numbered.items()}
    across, first = {}, ""
    for one, other in combinations(numbered, 2):
        both = np.intersect1d(distinct[one], distinct[other], assume_unique=True)
        if len(both):
            across[f"{one} and {other}"] = len(both)
            places = (f"{split} {np.flatnonzero(numbered[split] == both[0])[0]}" for split in (one, other))
            first = first or " and ".join(places)
    within = {split: len(rows) - len(distinct[split]) for split, rows in numbered.items()}
    return Duplicates(within=within, across=across, first=first)


def _numbered(digests: Mapping[str, NDArray[np.uint8]]) -> dict[str, NDArray[np.int64]]:
    """A number for each row, the same for equal digests: int64 (rows,) per split."""
    table = np.concatenate([np.ascontiguousarray(rows).view("<u8") for rows in digests.values()])
    order = np.lexsort((table[:, 1], table[:, 0]))
    another = (table[order][1:] != table[order][:-1]).any(axis=1)
    numbers = np.empty(len(table), dtype=np.int64)
    numbers[order] = np.concatenate([[0], np.cumsum(another)])
    ends = np.cumsum([len(rows) for rows in digests.values()])
    return dict(zip(digests, np.split(numbers, ends[:-1]), strict=True))
