"""The sets that are measured: built where they are wanted, or found there finished.

A set of another size in the same folder is an error of `lra_data.build`, so quick ones have a folder of their own.
"""

from dataclasses import dataclass
from pathlib import Path

import lra_data

FORMATS = ("arrow", "webdataset")
LISTOPS, PICTURES, WIDE = "listops/lra", "pathfinder/32-hard", "pathfinder/128-hard"


@dataclass(frozen=True)
class Sets:
    """Where the sets are. whole: all of them. quarter: PICTURES with a quarter of the training examples."""

    whole: Path
    quarter: Path


def build_sets(root: Path, *, quick: bool, workers: int) -> Sets:
    """Build what is not there yet."""
    sizes = {
        LISTOPS: {"train": 8_000, "validation": 64, "test": 64} if quick else None,
        PICTURES: {"train": 16_000, "validation": 64, "test": 64} if quick else None,
        # All of it would be 3.4 GB; what a batch costs does not depend on how many rows there are.
        WIDE: {"train": 2_048 if quick else 20_000, "validation": 64, "test": 64},
    }
    where = root / "quick" if quick else root
    sets = Sets(where / "whole", where / "quarter")
    for name, wanted in sizes.items():
        lra_data.build(name, sets.whole, formats=FORMATS, sizes=wanted, workers=workers)
    count = len(lra_data.load(PICTURES, split="train", root=sets.whole))
    fewer = {"train": count // 4, "validation": 64, "test": 64}
    lra_data.build(PICTURES, sets.quarter, formats=("arrow",), sizes=fewer, workers=workers)
    return sets
