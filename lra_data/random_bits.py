"""The only source of randomness: Philox4x64-10 words, addressed by (key, index, stage, attempt, draw).

A task asks for the key of (task, version, config, seed, split) and hands it to its compiled kernel; the kernel calls
`philox4x64` with a counter. There is no state, so any example can be drawn alone, in any order, on any machine.

Distributions are not here. Each task's page in `docs/` says which bits decide what.

This module loads numba. Only kernels and `take` methods import it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from lra_data.kernel_cache import compiled
from lra_data.stream_key import stream_bytes

# Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011, table 1 and section 3.3:
# the two multipliers and the two Weyl increments of Philox4x64.
MULTIPLIER_0 = np.uint64(0xD2E7470EE14C6C93)
MULTIPLIER_1 = np.uint64(0xCA5A826395121157)
WEYL_0 = np.uint64(0x9E3779B97F4A7C15)
WEYL_1 = np.uint64(0xBB67AE8584CAA73B)
ROUNDS = 10


def stream_key(
    task: str, version: int, config: Mapping[str, Any], seed: int, split: str
) -> tuple[np.uint64, np.uint64]:
    """The Philox key, two uint64 words, of one split of one dataset: `stream_bytes`, little-endian."""
    key = stream_bytes(task, version, config, seed, split)
    return np.uint64(int.from_bytes(key[:8], "little")), np.uint64(int.from_bytes(key[8:], "little"))


@intrinsic
def multiply_wide(typing_context: Any, a: Any, b: Any) -> Any:
    """The 128-bit product of two uint64 as (upper, lower) words: one machine instruction that numba does not offer."""
    pair = types.UniTuple(types.uint64, 2)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide, word = ir.IntType(128), ir.IntType(64)
        product = builder.mul(*(builder.zext(argument, wide) for argument in arguments))
        upper = builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), word)
        return context.make_tuple(builder, pair, (upper, builder.trunc(product, word)))

    return pair(types.uint64, types.uint64), emit


@compiled
def philox4x64(
    draw: np.uint64, attempt: np.uint64, index: np.uint64, stage: np.uint64, key_0: np.uint64, key_1: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Block `draw` of the stream (index, stage, attempt): four uint64 words.

    The 256-bit counter is (draw, attempt, index, stage), least significant word first. A task that draws an example in
    one piece uses only stage 0.
    """
    c0, c1, c2, c3 = draw, attempt, index, stage
    for _ in range(ROUNDS):
        high_0, low_0 = multiply_wide(MULTIPLIER_0, c0)
        high_1, low_1 = multiply_wide(MULTIPLIER_1, c2)
        c0, c1, c2, c3 = high_1 ^ c1 ^ key_0, low_1, high_0 ^ c3 ^ key_1, low_0
        key_0 += WEYL_0
        key_1 += WEYL_1
    return c0, c1, c2, c3
