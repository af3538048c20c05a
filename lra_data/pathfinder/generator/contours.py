"""The kernel that draws the two contours of pictures: attempts until one succeeds, stage 1 of the page.

Nearly all of Pathfinder's time is spent in attempts that fail: thousands per picture in the hard presets, most of them
late. So an attempt touches little memory. Masks are on a canvas with a margin around the image, so that patches need no
clipping (`kernel_tables.py`, `canvas.py`). The dilated mask is updated together with the mask, because the dilation of
a maximum is the maximum of the dilations. Changes of an attempt are restored window by window. And only ring candidates
with a turn weight are considered (`chains.py`).
"""

import numpy as np
from numpy.typing import NDArray

from lra_data.kernel_cache import compiled, compiled_part
from lra_data.pathfinder.generator.canvas import PADDLE_X, PADDLE_Y, add_paddle, copy_window
from lra_data.pathfinder.generator.chains import DRAWINGS, LAST_X, LAST_Y, begin, extend, note
from lra_data.pathfinder.generator.kernel_tables import Chains, Grid, Rules, Stamps, Starts
from lra_data.pathfinder.generator.words import FULL_TURN, INDEX, STAGE_CONTOURS, below, one_of, open_stream

# A picture whose attempts all fail ends with an error. At 64-hard-clean, the hardest preset, about 1 attempt in 9,000
# succeeds, so the chance that so many attempts fail is below 1e-50.
MAX_ATTEMPTS = 2**20


@compiled_part
def _begin_contours(
    stream: NDArray[np.uint64],
    snakes: NDArray[np.int64],
    rules: Rules,
    size: np.int64,
    chains: Chains,
    starts: Starts,
    state: NDArray[np.int64],
    paddles: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> np.int64:
    """Find the first paddle of each contour; returns the number of paddles found."""
    for contour in range(2):
        contrast = snakes[contour] * rules.num_paddle_contrasts + one_of(stream, rules.num_paddle_contrasts)
        found = False
        for _ in range(rules.paddle_trials):
            degree = np.int64(below(stream, FULL_TURN))
            if contour == 0:
                counts[DRAWINGS] += 1
                height, width = starts.contour_0[degree, 2], starts.contour_0[degree, 3]
                if (chains.leaves[degree] and not rules.all_angles) or height == 0:
                    return np.int64(0)
                chosen = np.int64(below(stream, np.uint64(height * width)))
                y = starts.contour_0[degree, 0] + chosen // width
                x = starts.contour_0[degree, 1] + chosen % width
            else:
                direction = np.int64(below(stream, FULL_TURN))
                y, x = state[0, LAST_Y], state[0, LAST_X]
                y += starts.contour_1[y & 1, direction, 0]
                x += starts.contour_1[x & 1, direction, 1]
            found = begin(y, x, degree, size, chains, state[contour])
            if found:
                break
        if not found:
            return np.int64(contour)
        counts[DRAWINGS] += 1
        note(paddles[contour, 0], state[contour], contrast)
    return np.int64(2)


@compiled_part
def _attempt(
    stream: NDArray[np.uint64],
    rules: Rules,
    grid: Grid,
    stamps: Stamps,
    chains: Chains,
    starts: Starts,
    masks: NDArray[np.uint8],
    wides: NDArray[np.uint8],
    state: NDArray[np.int64],
    snakes: NDArray[np.int64],
    paddles: NDArray[np.int64],
    cumulated: NDArray[np.uint64],
    counts: NDArray[np.int64],
) -> np.int64:
    """One attempt at two contours; `paddles` (2, contour_length, 4) gets them.

    Returns the number of paddles found for both contours together, including the first ones; the attempt has succeeded
    if all were found. `masks` and `wides` are the canvases of contours 0 and 1; without `separate_contours` only the
    first is used.
    """
    count = rules.num_snake_contrasts
    snakes[0] = snakes[1] = 0
    if count > 1:
        snakes[0] = np.int64(below(stream, np.uint64(2 * count)))
        snakes[1] = np.int64(below(stream, np.uint64(2 * count - 1)))
        snakes[1] = (snakes[1] + (snakes[1] >= snakes[0])) % count
        snakes[0] %= count
    found = _begin_contours(stream, snakes, rules, grid.resolution, chains, starts, state, paddles, counts)
    if found < 2:
        return found
    # The first paddles are already found, since no mask is checked before the second paddles.
    for number in range(rules.contour_length):
        contrast = one_of(stream, rules.num_paddle_contrasts) if number > 0 else np.int64(0)
        for contour in range(2):
            lane = contour if rules.separate_contours else 0
            if number > 0:
                if not extend(
                    stream, rules.paddle_trials, grid, chains.turns, chains.near, stamps.thresholds, state[contour],
                    masks[lane], wides[lane], cumulated, counts,
                ):  # fmt: skip
                    return np.int64(2 * number + contour)
                add_paddle(paddles[contour, number - 1], grid, stamps, masks[lane], wides[lane])
                note(paddles[contour, number], state[contour], snakes[contour] * rules.num_paddle_contrasts + contrast)
            if rules.separate_contours:
                add_paddle(paddles[contour, number], grid, stamps, masks[1 - lane], wides[1 - lane])
    return np.int64(2 * rules.contour_length)


@compiled_part
def _distance_class(a: NDArray[np.int64], b: NDArray[np.int64], step: np.int64) -> np.int64:
    y, x = a[PADDLE_Y] - b[PADDLE_Y], a[PADDLE_X] - b[PADDLE_X]
    return np.int64(np.sqrt(np.float64(y * y + x * x))) // step


@compiled(nogil=True)  # threads of a loader draw in parallel
def draw_contours(
    rows: NDArray[np.int64],
    indices: NDArray[np.int64],
    origins: NDArray[np.int64],
    stream: NDArray[np.uint64],
    rules: Rules,
    grid: Grid,
    stamps: Stamps,
    chains: Chains,
    starts: Starts,
    empty_mask: NDArray[np.uint8],
    empty_wide: NDArray[np.uint8],
    masks: NDArray[np.uint8],
    wides: NDArray[np.uint8],
    state: NDArray[np.int64],
    snakes: NDArray[np.int64],
    cumulated: NDArray[np.uint64],
    paddles: NDArray[np.int64],
    attempts: NDArray[np.int32],
    counters: NDArray[np.int64],
    failed: np.int64,
    budget: np.int64,
) -> tuple[np.int64, np.int64]:
    """Draw the contours of indices[rows], all of one margin.

    paddles: (rows, 2, contour_length, 4), receives the contours.
    attempts, counters: (n,) and (n, 4), see `chains.EXTENSIONS`; updated at the rows.
    masks, wides: (2, canvas), the canvases, empty before and after.
    failed: number of failed attempts at the first row in earlier calls.
    budget: approximate number of attempts in this call, so that the interpreter can handle signals between two calls;
        the result does not depend on it.

    Returns the number of drawn rows, and the number of failed attempts at the next row, which is at most MAX_ATTEMPTS.
    """
    num_lanes = 2 if rules.separate_contours else 1
    last = rules.contour_length - 1
    for done in range(len(rows)):
        row = rows[done]
        own = paddles[done]
        origin = origins[row]
        stream[INDEX] = np.uint64(indices[row])
        succeeded = False
        while not succeeded:
            if budget <= 0 or failed == MAX_ATTEMPTS:
                return np.int64(done), failed
            budget -= 1
            open_stream(stream, STAGE_CONTOURS, np.uint64(failed))
            found = _attempt(
                stream, rules, grid, stamps, chains, starts, masks, wides, state, snakes, own, cumulated, counters[row]
            )
            succeeded = found == 2 * rules.contour_length
            if succeeded and rules.distance_step:
                first = own[origin, 0]
                joined = _distance_class(first, own[origin, last], rules.distance_step)
                succeeded = joined == _distance_class(first, own[1 - origin, last], rules.distance_step)
            for contour in range(2):
                for number in range((found + 1 - contour) // 2):
                    for lane in range(num_lanes):
                        copy_window(own[contour, number], grid, empty_mask, empty_wide, masks[lane], wides[lane])
            failed += 1
        attempts[row] = failed
        failed = np.int64(0)
    return np.int64(len(rows)), np.int64(0)
