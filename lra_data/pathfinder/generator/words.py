"""Random words, read one after another from the stream of (index, stage, number); and the first draws of a picture.

`docs/pathfinder_draws.md` says which word decides what, and defines the terms used here.
"""

import numpy as np
from numpy.typing import NDArray

from lra_data.kernel_cache import compiled, compiled_part
from lra_data.pathfinder.generator.patches import DEGREES
from lra_data.random_bits import multiply_wide, philox4x64

STAGE_PICTURE, STAGE_CONTOURS, STAGE_DISTRACTORS, STAGE_SINGLES = (np.uint64(stage) for stage in range(4))
FULL_TURN = np.uint64(DEGREES)

# The eleven words of a stream: four words of the block, the next position in it, the counter of the next block (its
# number, the stream's number, index, stage), and two words of the key.
_POSITION, _BLOCK, _NUMBER, INDEX, _STAGE, _KEY_0, _KEY_1 = range(4, 11)

_ZERO, _ONE, _TWO, _FOUR = np.uint64(0), np.uint64(1), np.uint64(2), np.uint64(4)


def new_stream(key_0: np.uint64, key_1: np.uint64) -> NDArray[np.uint64]:
    """A stream with this key, for a kernel to open: uint64 (11,)."""
    stream = np.zeros(11, dtype=np.uint64)
    stream[_KEY_0], stream[_KEY_1] = key_0, key_1
    return stream


@compiled_part
def open_stream(stream: NDArray[np.uint64], stage: np.uint64, number: np.uint64) -> None:
    """Go to the first word of (the stream's index, stage, number)."""
    stream[_POSITION] = _FOUR
    stream[_BLOCK] = _ZERO
    stream[_NUMBER] = number
    stream[_STAGE] = stage


@compiled_part
def below(stream: NDArray[np.uint64], count: np.uint64) -> np.uint64:
    """The next word of the stream as a number below `count`."""
    if stream[_POSITION] == _FOUR:
        stream[0], stream[1], stream[2], stream[3] = philox4x64(
            stream[_BLOCK], stream[_NUMBER], stream[INDEX], stream[_STAGE], stream[_KEY_0], stream[_KEY_1]
        )
        stream[_POSITION] = _ZERO
        stream[_BLOCK] += _ONE
    word = stream[stream[_POSITION]]
    stream[_POSITION] += _ONE
    return multiply_wide(word, count)[0]


@compiled_part
def one_of(stream: NDArray[np.uint64], count: np.int64) -> np.int64:
    """A position in a list of `count` entries; a list of one entry uses no word."""
    return np.int64(below(stream, np.uint64(count))) if count > 1 else np.int64(0)


@compiled
def draw_heads(
    indices: NDArray[np.int64],
    key_0: np.uint64,
    key_1: np.uint64,
    num_margins: np.uint64,
    labels: NDArray[np.int64],
    margins: NDArray[np.int64],
    origins: NDArray[np.int64],
) -> None:
    """Stage 0 of each index: label, position of the margin, and the contour with the first marker."""
    for i in range(len(indices)):
        words = philox4x64(_ZERO, _ZERO, np.uint64(indices[i]), STAGE_PICTURE, key_0, key_1)
        labels[i] = multiply_wide(words[0], _TWO)[0]
        margins[i] = multiply_wide(words[1], num_margins)[0]
        origins[i] = multiply_wide(words[2], _TWO)[0]
