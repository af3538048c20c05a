"""Philox4x64 with ten rounds, written from the paper, as the tests' own source of random words.

It is for checking other code: plain NumPy, one line of the paper per line of code. It deliberately does not hold a
state, count blocks, draw numbers from words or try to be fast, and it shares no code with the package under test.

Source: J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]

ROUNDS: Final = 10
MULTIPLIER_0: Final = np.uint64(0xD2E7470EE14C6C93)
MULTIPLIER_1: Final = np.uint64(0xCA5A826395121157)
WEYL_0: Final = np.uint64(0x9E3779B97F4A7C15)
WEYL_1: Final = np.uint64(0xBB67AE8584CAA73B)

LOW_HALF: Final = np.uint64(0xFFFFFFFF)
HALF_BITS: Final = np.uint64(32)

# (counter, key, expected words), from the file kat_vectors of Random123, the lines "philox4x64 10".
KNOWN_ANSWERS: Final[tuple[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]], ...]] = (
    (
        (0x0000000000000000, 0x0000000000000000, 0x0000000000000000, 0x0000000000000000),
        (0x0000000000000000, 0x0000000000000000),
        (0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B),
    ),
    (
        (0xFFFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF),
        (0xFFFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF),
        (0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0),
    ),
    (
        (0x243F6A8885A308D3, 0x13198A2E03707344, 0xA4093822299F31D0, 0x082EFA98EC4E6C89),
        (0x452821E638D01377, 0xBE5466CF34E90C6C),
        (0xA528F45403E61D95, 0x38C72DBD566E9788, 0xA5A1610E72FD18B5, 0x57BD43B5E52B7FE6),
    ),
)


def multiply(multiplier: np.uint64, words: Words) -> tuple[Words, Words]:
    """Return the high and the low 64 bits of each 128-bit product multiplier * word."""
    a_high, a_low = multiplier >> HALF_BITS, multiplier & LOW_HALF
    b_high, b_low = words >> HALF_BITS, words & LOW_HALF

    low_low = a_low * b_low
    low_high = a_low * b_high
    high_low = a_high * b_low
    high_high = a_high * b_high

    # Three summands below 2**32 each: the column cannot overflow 64 bits.
    middle = (low_low >> HALF_BITS) + (low_high & LOW_HALF) + (high_low & LOW_HALF)

    low = (middle << HALF_BITS) | (low_low & LOW_HALF)
    high = high_high + (low_high >> HALF_BITS) + (high_low >> HALF_BITS) + (middle >> HALF_BITS)
    return high, low


def philox4x64(counters: Words, key: Words) -> Words:
    """Return the blocks of the counters, shape (n, 4), under one key, shape (2,): an array of shape (n, 4)."""
    if counters.dtype != np.uint64 or counters.ndim != 2 or counters.shape[1] != 4:
        raise ValueError(f"counters must be uint64 of shape (n, 4), not {counters.dtype} of shape {counters.shape}")
    if key.dtype != np.uint64 or key.shape != (2,):
        raise ValueError(f"key must be uint64 of shape (2,), not {key.dtype} of shape {key.shape}")

    word_0, word_1, word_2, word_3 = counters[:, 0], counters[:, 1], counters[:, 2], counters[:, 3]
    # Slices, not scalars: NumPy warns when a scalar sum wraps round, and here it is meant to.
    key_0, key_1 = key[0:1], key[1:2]

    for round_number in range(ROUNDS):
        if round_number > 0:
            key_0 = key_0 + WEYL_0
            key_1 = key_1 + WEYL_1
        high_0, low_0 = multiply(MULTIPLIER_0, word_0)
        high_1, low_1 = multiply(MULTIPLIER_1, word_2)
        word_0, word_1, word_2, word_3 = high_1 ^ word_1 ^ key_0, low_1, high_0 ^ word_3 ^ key_1, low_0

    return np.stack([word_0, word_1, word_2, word_3], axis=1)
