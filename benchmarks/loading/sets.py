"""The sets to measure, which are built unless they already exist.

`lra_data.build` refuses a folder with a set of another size, so the smaller sets of `--quick` have their own folder.
"""

from dataclasses import dataclass
from pathlib import Path

import lra_data

FORMATS = ("arrow", "webdataset")
LISTOPS, PICTURES, WIDE = "listops/lra", "pathfinder/32-hard", "pathfinder/128-hard"


@dataclass(frozen=True)
class Sets:
    """Folders of the sets. whole: all sets. quarter: PICTURES with a quarter of the training examples."""

    whole: Path
    quarter: Path


def build_sets(root: Path, *, quick: bool, workers: int) -> Sets:
    """Build the sets that do not exist yet."""
    sizes = {
        LISTOPS: {"train": 8_000, "validation": 64, "test": 64} if quick else None,
        PICTURES: {"train": 16_000, "validation": 64, "test": 64} if quick else None,
        # The whole set would be 3.4 GB; the cost of a batch does not depend on the number of rows.
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
