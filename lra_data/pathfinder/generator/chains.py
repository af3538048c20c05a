"""Compiled code that starts a chain of paddles, and extends it by one. Contours and distractors are chains."""

import numpy as np
from numpy.typing import NDArray

from lra_data.kernel_cache import compiled_part
from lra_data.pathfinder.generator.canvas import CONTRAST, PADDLE_X, PADDLE_Y, PATCH, fits, place_of
from lra_data.pathfinder.generator.kernel_tables import Chains, Grid
from lra_data.pathfinder.generator.patches import DEGREES
from lra_data.pathfinder.generator.words import below

LEAST_WEIGHT = np.uint64(27_380_416)  # 1e-4 of 255 x 2^30
_FULL = np.uint64(255)

# Columns of a chain's state: its last pivot, angle and paddle.
PIVOT_Y, PIVOT_X, ANGLE, LAST_Y, LAST_X = range(5)
STATE_COLUMNS = 5
# Columns of the counters: extensions; candidates chosen for them; tries at distractors; and paddles that the original
# would have drawn, including footprints, which take most of its time.
EXTENSIONS, CHOICES, TRIES, DRAWINGS = range(4)


@compiled_part
def begin(y: np.int64, x: np.int64, degree: np.int64, size: np.int64, chains: Chains, state: NDArray[np.int64]) -> bool:
    """Set a chain's state to a first paddle with this tail; False if its head or pivot is outside the image."""
    head_y, head_x = y + chains.heads[degree, 0], x + chains.heads[degree, 1]
    pivot_y, pivot_x = head_y + chains.pivots[degree, 0], head_x + chains.pivots[degree, 1]
    if not (0 <= head_y < size and 0 <= head_x < size and 0 <= pivot_y < size and 0 <= pivot_x < size):
        return False
    state[PIVOT_Y], state[PIVOT_X], state[ANGLE] = pivot_y, pivot_x, degree
    state[LAST_Y], state[LAST_X] = y, x
    return True


@compiled_part
def extend(
    stream: NDArray[np.uint64],
    trials: np.int64,
    grid: Grid,
    turns: NDArray[np.int64],
    near: NDArray[np.int64],
    thresholds: NDArray[np.uint8],
    state: NDArray[np.int64],
    mask: NDArray[np.uint8],
    wide: NDArray[np.uint8],
    cumulated: NDArray[np.uint64],
    counts: NDArray[np.int64],
) -> bool:
    """Find a successor to a chain's last paddle and set `state` to it. The mask does not change."""
    counts[EXTENSIONS] += 1
    angle = state[ANGLE]
    y = state[PIVOT_Y] + turns[angle, 2]
    x = state[PIVOT_X] + turns[angle, 3]
    radius, size = grid.ring_radius, grid.resolution
    if y < -radius or x < -radius or y >= size + radius or x >= size + radius:
        return False
    pivot = place_of(y, x, grid)
    first, count = turns[angle, 0], turns[angle, 1]
    total = np.uint64(0)
    for i in range(count):
        total += (_FULL - np.uint64(wide[pivot + near[first + i, 0]])) * np.uint64(near[first + i, 1])
        cumulated[i] = total
    if total <= LEAST_WEIGHT:
        return False
    for _ in range(trials):
        counts[CHOICES] += 1
        counts[DRAWINGS] += 1
        drawn = below(stream, total)
        chosen = 0
        while cumulated[chosen] <= drawn:
            chosen += 1
        chosen += first
        patch = DEGREES + near[chosen, 2]
        head_y, head_x = y + near[chosen, 3], x + near[chosen, 4]
        if fits(head_y, head_x, patch, grid, thresholds, mask):
            state[PIVOT_Y], state[PIVOT_X], state[ANGLE] = y, x, patch
            state[LAST_Y], state[LAST_X] = head_y, head_x
            return True
    return False


@compiled_part
def note(paddle: NDArray[np.int64], state: NDArray[np.int64], contrast: np.int64) -> None:
    """Store a chain's last paddle."""
    paddle[PADDLE_Y], paddle[PADDLE_X] = state[LAST_Y], state[LAST_X]
    paddle[PATCH], paddle[CONTRAST] = state[ANGLE], contrast
