"""The order of an epoch: a keyed permutation of range(n). Each place is computed directly from the key.

Position p of an epoch is example `Permutation(n, seed=…, epoch=…)(p)`. Every position costs the same, so an iteration
resumes from its position alone, and ranks and workers share an order without communication.

range(n) is arranged in a grid of a x b cells, a = ceil(sqrt(n)), b = ceil(n / a). A generalised Feistel network
permutes the cells: column and row of a cell are shifted alternately, each by a hash of the other (Black and Rogaway,
"Ciphers with arbitrary finite domains", CT-RSA 2002, section 4). A result beyond n goes through the network again
(cycle walking, section 3). Below 256 the halves are too small to hash, so a Fisher-Yates shuffle is stored instead.

Ranks and batches are in `batches.py`; orders that read one shard at a time, or group similar lengths, in `windowed.py`.
"""

import hashlib
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from lra_data.errors import UsageError

MOST = 2**48
ROUNDS = 8  # an even number; tests/lra_data/loading/test_permutation.py shows the bias of fewer rounds

_SMALL = 256

# The mixing step of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014), with the constants of Stafford's variant 13.
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFT_1, _SHIFT_2, _SHIFT_3 = np.uint64(30), np.uint64(27), np.uint64(31)


class Permutation:
    """A permutation of range(n), a pure function of (n, seed, epoch, part); `part` gives several permutations."""

    def __init__(self, n: int, *, seed: int, epoch: int, part: str = "", rounds: int = ROUNDS) -> None:
        if not 0 <= n <= MOST:
            raise UsageError(f"expected from 0 to {MOST} examples in an order, got {n}")
        self.n = n
        self._a = max(1, isqrt(max(n - 1, 0)) + 1)
        self._b = max(1, -(-n // self._a))
        words = hashlib.shake_256(f"order {n} {seed} {epoch}{part}".encode()).digest(8 * max(_SMALL, rounds))
        self._keys = np.frombuffer(words, dtype="<u8").astype(np.uint64)
        self._rounds = rounds
        self._kept = self._shuffled() if n <= _SMALL else None

    def __call__(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The examples at these positions: int64 of any shape to int64 of that shape."""
        if self._kept is not None:
            return self._kept[positions]
        found = self._network(positions.astype(np.uint64))
        while True:
            beyond = found >= self.n
            if not beyond.any():
                return found.astype(np.int64)
            found[beyond] = self._network(found[beyond])

    def _network(self, cells: NDArray[np.uint64]) -> NDArray[np.uint64]:
        a, b = np.uint64(self._a), np.uint64(self._b)
        left, right = cells % a, cells // a
        for number in range(self._rounds):
            moved = left + _mixed(right + self._keys[number]) % (b if number % 2 else a)
            left, right = right, moved % (b if number % 2 else a)
        return right * a + left

    def _shuffled(self) -> NDArray[np.int64]:
        places = list(range(self.n))
        for last in range(self.n - 1, 0, -1):
            # 64 bits over at most 256 places: the modulo's bias is below 2^-56.
            other = int(self._keys[last]) % (last + 1)
            places[last], places[other] = places[other], places[last]
        return np.array(places, dtype=np.int64)


def _mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    words = (words ^ (words >> _SHIFT_1)) * _MIX_1
    words = (words ^ (words >> _SHIFT_2)) * _MIX_2
    return words ^ (words >> _SHIFT_3)
