"""Draws ListOps trees in compiled code: tokens, value and depth of each example, as in `docs/listops_draws.md`.

An example takes about a dozen attempts, nine of which are a bare digit, and about 1,200 nodes. Three techniques make it
fast. Chunks are decoded 32 at a time. A run of digits, up to the next operator or the end of its operator's arguments,
is copied and counted in one step. And an operator's value comes from a histogram of its arguments, packed in one word.

`vocabulary.py` has the meaning of the token ids, `task.py` makes Arrow rows, `solver.py` checks them and shares no code
with this file.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from lra_data.kernel_cache import compiled, compiled_part
from lra_data.listops.config import LARGEST_ARGS, OPERATORS
from lra_data.listops.vocabulary import CLOSE_ID, DIGIT_0_ID
from lra_data.random_bits import philox4x64

CHUNKS = 32  # decoded at a time; two Philox blocks
CHUNKS_PER_BLOCK = 16
RUN = LARGEST_ARGS + 1  # bytes copied for a run of digits of any length

ZERO, ONE, TEN = np.uint64(0), np.uint64(1), np.uint64(10)
LOW_BYTE = np.uint64(0xFF)
LOW_14_BITS = np.uint16(0x3FFF)
BELOW_IS_OPERATOR = np.uint16(0x4000)  # the two top bits of a chunk are zero
CLOSE, DIGIT_0 = np.uint8(CLOSE_ID), np.uint8(DIGIT_0_ID)
SUM_MOD = np.uint64(OPERATORS.index("SM") + 1)

# A histogram of digits is one word of ten six-bit lanes, lane d counting the arguments equal to d (at most 31).
LANE = np.uint64(6)
EVERY_LANE = np.uint64(sum(1 << 6 * digit for digit in range(10)))
LANE_TOPS = np.uint64(sum(32 << 6 * digit for digit in range(10)))
EVEN_LANES = np.uint64(sum(63 << 12 * pair for pair in range(5)))
EVERY_PAIR = np.uint64(sum(1 << 12 * pair for pair in range(5)))


@intrinsic
def _copy_run(typing_context: Any, target: Any, at: Any, source: Any, start: Any) -> Any:
    """Copy RUN bytes from source[start:] to target[at:]. A loop would cost a third of the speed: arrays may overlap."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def address(array: int, offset: int) -> Any:
            view = context.make_array(signature.args[array])(context, builder, arguments[array])
            return builder.gep(view.data, [arguments[offset]])

        cgutils.raw_memcpy(builder, address(0, 1), address(2, 3), context.get_constant(types.intp, RUN), 1)
        return context.get_dummy_value()

    return types.void(target, at, source, start), emit


@intrinsic
def _trailing_zeros(typing_context: Any, word: Any) -> Any:
    """Number of zero bits below the lowest set bit of a uint64; 64 for zero."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), emit


@compiled_part
def _nth_smallest(at_most: np.uint64, rank: np.uint64) -> np.uint64:
    """The digit at `rank` of the sorted arguments: the number of digits d with at most `rank` arguments <= d.

    Lane d of `at_most` holds the number of arguments <= d; adding 31 - rank sets the lane's top bit if it exceeds rank.
    """
    exceeds = ((at_most + (np.uint64(31) - rank) * EVERY_LANE) & LANE_TOPS) >> np.uint64(5)
    return TEN - (((exceeds * EVERY_LANE) >> np.uint64(54)) & np.uint64(63))


@compiled_part
def _value(record: np.uint64, counts: np.uint64) -> np.uint64:
    """The value of a finished operator from the histogram of its arguments."""
    at_most = counts * EVERY_LANE  # multiplying by ones in every lane makes running sums
    low = _nth_smallest(at_most, (record >> np.uint64(16)) & LOW_BYTE)
    high = _nth_smallest(at_most, record >> np.uint64(24))
    # The sum of the arguments is the sum over d of the number of arguments > d, that is 10 n - sum of `at_most`.
    pairs = (at_most & EVEN_LANES) + ((at_most >> LANE) & EVEN_LANES)
    total = TEN * ((record >> np.uint64(8)) & LOW_BYTE) - (((pairs * EVERY_PAIR) >> np.uint64(48)) & np.uint64(0xFFF))
    return total % TEN if (record & LOW_BYTE) == SUM_MOD else (low + high) >> ONE


@compiled_part
def _decode(
    draw: np.uint64,
    attempt: np.uint64,
    index: np.uint64,
    key_0: np.uint64,
    key_1: np.uint64,
    limit: np.uint16,
    words: NDArray[np.uint64],
    chunks: NDArray[np.uint16],
    digits: NDArray[np.uint8],
    counts_before: NDArray[np.uint64],
) -> tuple[np.uint64, np.uint64]:
    """Read CHUNKS chunks, starting with block `draw`; returns how many were kept and which of them are operators.

    `chunks` views `words`. Fills, for each kept chunk, `digits` (its token id as a digit) and `counts_before` (the
    histogram of the digits before it; one entry more than chunks).
    """
    for block in range(CHUNKS // CHUNKS_PER_BLOCK):
        word = 4 * block
        words[word], words[word + 1], words[word + 2], words[word + 3] = philox4x64(
            draw + np.uint64(block), attempt, index, ZERO, key_0, key_1
        )
    num_skipped = np.uint16(0)
    for j in range(CHUNKS):
        num_skipped += np.uint16((chunks[j] & LOW_14_BITS) >= limit)
    num_chunks = CHUNKS
    if num_skipped:
        num_chunks = 0
        for j in range(CHUNKS):
            chunks[num_chunks] = chunks[j]
            num_chunks += (chunks[j] & LOW_14_BITS) < limit
    operators = np.uint32(0)
    for j in range(CHUNKS):
        digits[j] = np.uint8((chunks[j] & LOW_14_BITS) % np.uint16(10)) + DIGIT_0
        operators |= np.uint32(chunks[j] < BELOW_IS_OPERATOR) << np.uint32(j)
    counts = ZERO
    for j in range(CHUNKS):
        counts_before[j] = counts
        counts += ONE << (LANE * np.uint64(digits[j] - DIGIT_0))
    counts_before[CHUNKS] = counts
    return np.uint64(num_chunks), np.uint64(operators)


@compiled_part
def _grow(
    index: np.uint64,
    attempt: np.uint64,
    key_0: np.uint64,
    key_1: np.uint64,
    max_depth: np.uint64,
    max_length: np.uint64,
    limit: np.uint16,
    pick_reciprocal: np.uint64,
    records: NDArray[np.uint64],
    tokens: NDArray[np.uint8],
    start: np.uint64,
    levels: NDArray[np.uint64],
    words: NDArray[np.uint64],
    chunks: NDArray[np.uint16],
    digits: NDArray[np.uint8],
    counts_before: NDArray[np.uint64],
) -> tuple[np.uint64, np.uint64, np.uint64]:
    """Draw one tree into tokens[start:]; returns its length, value and depth, or max_length once it is too long.

    `levels` is the stack of open operators: arguments left, record, histogram. The innermost is in local variables.
    """
    num_chunks, operators = _decode(ZERO, attempt, index, key_0, key_1, limit, words, chunks, digits, counts_before)
    draw = np.uint64(CHUNKS // CHUNKS_PER_BLOCK)
    i = ZERO
    at = start
    shortest_end, end = start + ONE, start + max_length
    level = deepest = ZERO
    left, record, counts = ONE, ZERO, ZERO
    while True:
        may_open = ZERO - np.uint64(level < max_depth - ONE)  # all bits or none
        next_operator = _trailing_zeros(((operators & may_open) >> i) << i)
        stop = min(num_chunks, i + left, next_operator)
        _copy_run(tokens, at, digits, i)
        at += stop - i
        left -= stop - i
        counts += counts_before[stop] - counts_before[i]
        i = stop
        if left == ZERO:
            while left == ZERO:
                if level == ZERO:
                    return at - start, _trailing_zeros(counts) // LANE, deepest
                tokens[at] = CLOSE
                at += ONE
                value = _value(record, counts)
                level -= ONE
                left = levels[level, 0] - ONE
                record = levels[level, 1]
                counts = levels[level, 2] + (ONE << (LANE * value))
        elif i == num_chunks:
            num_chunks, operators = _decode(
                draw, attempt, index, key_0, key_1, limit, words, chunks, digits, counts_before
            )
            draw += np.uint64(CHUNKS // CHUNKS_PER_BLOCK)
            i = ZERO
        else:
            levels[level, 0], levels[level, 1], levels[level, 2] = left, record, counts
            level += ONE
            deepest = max(deepest, level)
            record = records[(np.uint64(chunks[i] & LOW_14_BITS) * pick_reciprocal) >> np.uint64(32)]
            i += ONE
            tokens[at] = np.uint8(record)
            at += ONE
            left = (record >> np.uint64(8)) & LOW_BYTE
            counts = ZERO
            shortest_end += left + ONE  # each argument has at least one token, and the operator a closing bracket
            if shortest_end >= end:
                return max_length, ZERO, deepest


@compiled(nogil=True)  # threads of a loader draw in parallel
def _draw_examples(
    indices: NDArray[np.int64],
    key_0: np.uint64,
    key_1: np.uint64,
    max_depth: np.uint64,
    min_length: np.uint64,
    max_length: np.uint64,
    limit: np.uint16,
    records: NDArray[np.uint64],
    max_attempts: np.int64,
    budget: np.int64,
    tokens: NDArray[np.uint8],
    offsets: NDArray[np.int32],
    labels: NDArray[np.int64],
    depths: NDArray[np.int64],
    levels: NDArray[np.uint64],
    words: NDArray[np.uint64],
    chunks: NDArray[np.uint16],
    digits: NDArray[np.uint8],
    counts_before: NDArray[np.uint64],
) -> np.int64:
    """See `draw_examples`; the last five arrays are working memory with any content."""
    # x div (limit / number of records) as a multiplication; exact, since x < 2^14 and the divisor is above 2^3.
    pick_reciprocal = np.uint64(2**32) // (np.uint64(limit) // np.uint64(len(records))) + ONE
    at = ZERO
    offsets[0] = 0
    for i in range(len(indices)):
        if budget <= 0:
            return np.int64(i)
        index = np.uint64(indices[i])
        length = value = depth = ZERO
        for attempt in range(max_attempts):
            budget -= 1
            word, _, _, _ = philox4x64(ZERO, np.uint64(attempt), index, ZERO, key_0, key_1)
            root = np.uint16(word)
            if root >= BELOW_IS_OPERATOR and (root & LOW_14_BITS) < limit:
                continue  # a bare digit
            length, value, depth = _grow(
                index, np.uint64(attempt), key_0, key_1, max_depth, max_length, limit, pick_reciprocal, records, tokens,
                at, levels, words, chunks, digits, counts_before,
            )  # fmt: skip
            if min_length < length < max_length:
                break
            length = ZERO
        if length == ZERO:
            return np.int64(-1 - i)
        at += length
        offsets[i + 1] = at
        labels[i] = value
        depths[i] = depth
    return np.int64(len(indices))


def draw_examples(
    indices: NDArray[np.int64],
    key_0: np.uint64,
    key_1: np.uint64,
    max_depth: np.uint64,
    min_length: np.uint64,
    max_length: np.uint64,
    limit: np.uint16,
    records: NDArray[np.uint64],
    max_attempts: np.int64,
    budget: np.int64,
    tokens: NDArray[np.uint8],
    offsets: NDArray[np.int32],
    labels: NDArray[np.int64],
    depths: NDArray[np.int64],
) -> int:
    """Draw the examples of `indices` one after another into `tokens`.

    `tokens` needs max_length - 1 bytes per example and RUN bytes at its end, since a run is copied whole. Example i has
    the bytes offsets[i] : offsets[i + 1]. No example is started after `budget` attempts, so that the interpreter can
    handle signals between two calls. Returns the number of drawn examples, or -1 - i if all `max_attempts` attempts at
    example i were outside the window.
    """
    words = np.empty(CHUNKS // 4, np.uint64)
    drawn: int = _draw_examples(
        indices, key_0, key_1, max_depth, min_length, max_length, limit, records, max_attempts, budget, tokens, offsets,
        labels, depths, np.empty((int(max_depth) + 1, 3), np.uint64), words, words.view(np.uint16),
        np.empty(CHUNKS + RUN, np.uint8), np.empty(CHUNKS + 1, np.uint64),
    )  # fmt: skip
    return drawn
