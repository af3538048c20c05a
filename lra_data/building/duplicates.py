"""No example may stand in two splits: found by the digests of all rows before the manifest is written."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lra_data.errors import BuildError


def count_duplicates(digests: Mapping[str, NDArray[np.uint8]]) -> dict[str, int]:
    """Rows of each split that repeat an earlier row of the same split.

    digests: for each split the row digests, uint8 of shape (rows, 16), in row order. Raises BuildError for an example
    that stands in two splits, naming both.
    """
    splits = list(digests)
    words = [np.ascontiguousarray(digests[split]).view("<u8") for split in splits]
    table = np.concatenate(words)
    split_of = np.repeat(np.arange(len(splits)), [len(rows) for rows in words])
    row_of = np.concatenate([np.arange(len(rows)) for rows in words])
    order = np.lexsort((row_of, split_of, table[:, 1], table[:, 0]))
    same = (table[order][1:] == table[order][:-1]).all(axis=1)
    later, earlier = order[1:][same], order[:-1][same]
    across = np.flatnonzero(split_of[later] != split_of[earlier])
    if len(across):
        one, other = (f"{splits[split_of[rows[across[0]]]]} {row_of[rows[across[0]]]}" for rows in (earlier, later))
        raise BuildError(
            f"the same example stands in two splits, as {one} and {other} (of {len(across)} such pairs): "
            "build with another --seed"
        )
    return {split: int((split_of[later] == number).sum()) for number, split in enumerate(splits)}
