"""`torch.randperm` on the CPU without torch, for splits made by `torch.utils.data.random_split` with a seed.

For n below 2^32 / 20, torch exchanges place i with one of the places >= i, chosen by 32 bits of MT19937 modulo their
number (ATen, TensorFactories.cpp, randperm_cpu). Its generator is seeded like NumPy's `RandomState`.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_MOST = 2**32 // 20


def torch_randperm(n: int, seed: int) -> NDArray[np.int64]:
    """The permutation of `torch.randperm(n, generator=torch.Generator().manual_seed(seed))`: int64 (n,)."""
    if not 0 <= n < _MOST or not 0 <= seed < 2**32:
        raise ValueError(f"expected fewer than {_MOST} places and a seed of 32 bits, got {n} and {seed}")
    generator = np.random.MT19937()
    generator._legacy_seeding(seed)
    words = generator.random_raw(max(n - 1, 0)).tolist()
    places = list(range(n))
    for here, word in enumerate(words):
        other = here + word % (n - here)
        places[here], places[other] = places[other], places[here]
    return np.array(places, dtype=np.int64)


def random_split(counts: Sequence[int], seed: int) -> list[NDArray[np.int64]]:
    """The places of each part of `torch.utils.data.random_split` with a seeded generator."""
    order = torch_randperm(sum(counts), seed)
    return np.split(order, np.cumsum(counts)[:-1])
