"""The kernel that paints pictures: the brightest of all lines and of the two markers, stretched to 0 .. 255."""

import numpy as np
from numpy.typing import NDArray

from lra_data.kernel_cache import compiled, compiled_part
from lra_data.pathfinder.generator.canvas import CONTRAST, PADDLE_X, PADDLE_Y, PATCH, place_of
from lra_data.pathfinder.generator.kernel_tables import Grid, Ink, Rules


@compiled_part
def _light_patch(
    y: np.int64, x: np.int64, patch: NDArray[np.uint8], value: np.int64, grid: Grid, light: NDArray[np.int32]
) -> None:
    """Raise brightness to the values of a patch with its centre on (y, x)."""
    side = patch.shape[0]
    at = place_of(y - side // 2, x - side // 2, grid)
    for i in range(side):
        for j in range(side):
            brightness = np.int32(np.int64(patch[i, j]) * value)
            light[at + j] = max(light[at + j], brightness)
        at += grid.stride


@compiled_part
def _light_paddles(
    paddles: NDArray[np.int64],
    count: np.int64,
    values: NDArray[np.int64],
    lines: NDArray[np.uint8],
    grid: Grid,
    light: NDArray[np.int32],
) -> None:
    for number in range(count):
        one = paddles[number]
        _light_patch(one[PADDLE_Y], one[PADDLE_X], lines[one[PATCH]], values[one[CONTRAST]], grid, light)


@compiled_part
def _develop(grid: Grid, light: NDArray[np.int32], picture: NDArray[np.uint8]) -> None:
    """Stretch brightness to 0 .. 255. Slices are taken row by row, since only then the loops are vectorised."""
    size = grid.resolution
    low = high = light[place_of(np.int64(0), np.int64(0), grid)]
    for y in range(size):
        at = place_of(y, np.int64(0), grid)
        row = light[at : at + size]
        for x in range(size):
            low = min(low, row[x])
            high = max(high, row[x])
    span = np.int64(high) - np.int64(low)
    for y in range(size):
        at = place_of(y, np.int64(0), grid)
        row, developed = light[at : at + size], picture[y * size : (y + 1) * size]
        for x in range(size):
            above = np.int64(row[x]) - np.int64(low)
            developed[x] = np.uint8((510 * above + span) // (2 * span)) if above else np.uint8(0)


@compiled(nogil=True)  # threads of a loader draw in parallel
def draw_pictures(
    rows: NDArray[np.int64],
    labels: NDArray[np.int64],
    origins: NDArray[np.int64],
    rules: Rules,
    grid: Grid,
    ink: Ink,
    contours: NDArray[np.int64],
    strewn: NDArray[np.int64],
    num_strewn: NDArray[np.int64],
    light: NDArray[np.int32],
    pictures: NDArray[np.uint8],
) -> None:
    """Paint the rows of `pictures` (n, resolution^2) from contours (rows, 2, contour_length, 4) and strewn paddles.

    light: (canvas,), working memory for brightness, with any content.
    """
    last = rules.contour_length - 1
    for done in range(len(rows)):
        row = rows[done]
        light[:] = 0
        for contour in range(2):
            _light_paddles(contours[done, contour], rules.contour_length, ink.contour_values, ink.lines, grid, light)
        _light_paddles(strewn[done], num_strewn[done], ink.distractor_values, ink.lines, grid, light)
        origin = origins[row]
        terminal = origin if labels[row] else 1 - origin
        for tip in range(2):
            one = contours[done, terminal, last] if tip else contours[done, origin, 0]
            y, x = one[PADDLE_Y], one[PADDLE_X]
            disc = ink.markers[ink.marker_class[y], ink.marker_class[x]]
            _light_patch(y, x, disc, rules.marker_value, grid, light)
        _develop(grid, light, pictures[row])
