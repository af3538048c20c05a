"""Tables that follow from a configuration before anything is drawn: the meaning of each pick, and skipped chunks."""

from math import lcm

import numpy as np
from numpy.typing import NDArray

from lra_data.listops.config import OPERATORS, Config


def operator_records(config: Config) -> NDArray[np.uint64]:
    """The meaning of each pick, in one word: token id, number of arguments and the two ranks whose mean is the value.

    Bits 0-7 token id; 8-15 arguments; 16-23 and 24-31 ranks in the sorted arguments (SM does not use them).
    """
    records = []
    for name in config.operators:
        for arguments in range(config.min_args, config.max_args + 1):
            low, high = {
                "MIN": (0, 0),
                "MAX": (arguments - 1, arguments - 1),
                "MED": ((arguments - 1) // 2, arguments // 2),
                "SM": (0, 0),
            }[name]
            records.append(OPERATORS.index(name) + 1 | arguments << 8 | low << 16 | high << 24)
    return np.array(records, dtype=np.uint64)


def chunk_limit(num_records: int) -> int:
    """Chunks whose lower 14 bits are not below this are skipped, so that 10 and `num_records` both divide the rest."""
    return 2**14 - 2**14 % lcm(10, num_records)
