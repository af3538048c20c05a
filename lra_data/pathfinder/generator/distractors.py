"""The kernel that draws distractors and single paddles around the contours: stages 2 and 3 of the page."""

import numpy as np
from numpy.typing import NDArray

from lra_data.kernel_cache import compiled, compiled_part
from lra_data.pathfinder.generator.canvas import add_paddle, copy_bytes, copy_window, place_of
from lra_data.pathfinder.generator.chains import DRAWINGS, TRIES, begin, extend, note
from lra_data.pathfinder.generator.kernel_tables import Chains, Footprints, Grid, Rules, Stamps
from lra_data.pathfinder.generator.words import (
    FULL_TURN,
    INDEX,
    STAGE_DISTRACTORS,
    STAGE_SINGLES,
    below,
    one_of,
    open_stream,
)

PIXEL_TRIALS = 16
FREE = np.uint8(76)  # 0.3 of 255


@compiled_part
def _is_open(place: np.int64, places: NDArray[np.int64], mask: NDArray[np.uint8], inside: NDArray[np.uint8]) -> bool:
    num_inside = 0
    for i in range(len(places)):
        if mask[place + places[i]] > FREE:
            return False
        num_inside += inside[place + places[i]] > 0
    return num_inside > 0


@compiled_part
def _has_room(grid: Grid, mask: NDArray[np.uint8]) -> bool:
    """Whether at least 1 % of the image's pixels are free; stops counting there."""
    size = grid.resolution
    free = 0
    for y in range(size):
        at = place_of(y, np.int64(0), grid)
        row = mask[at : at + size]
        for x in range(size):
            free += row[x] <= FREE
        if free * 100 >= size * size:
            return True
    return False


@compiled_part
def _open_pixel(
    stream: NDArray[np.uint64],
    grid: Grid,
    places: NDArray[np.int64],
    mask: NDArray[np.uint8],
    inside: NDArray[np.uint8],
) -> np.int64:
    """The number of a uniformly drawn open pixel, or -1 if no pixel is open."""
    size = grid.resolution
    for _ in range(PIXEL_TRIALS):
        pixel = np.int64(below(stream, np.uint64(size * size)))
        if _is_open(place_of(pixel // size, pixel % size, grid), places, mask, inside):
            return pixel
    rank = np.int64(-1)
    for second_pass in range(2):
        num_open = np.int64(0)
        for pixel in range(size * size):
            if _is_open(place_of(pixel // size, pixel % size, grid), places, mask, inside):
                if num_open == rank:
                    return np.int64(pixel)
                num_open += 1
        if second_pass or num_open == 0:
            break
        rank = np.int64(below(stream, np.uint64(num_open)))
    return np.int64(-1)


@compiled_part
def _try_distractor(
    stream: NDArray[np.uint64],
    rules: Rules,
    grid: Grid,
    stamps: Stamps,
    chains: Chains,
    footprints: Footprints,
    length: np.int64,
    mask: NDArray[np.uint8],
    wide: NDArray[np.uint8],
    state: NDArray[np.int64],
    paddles: NDArray[np.int64],
    cumulated: NDArray[np.uint64],
    counts: NDArray[np.int64],
) -> np.int64:
    """One try at a distractor of `length` paddles; returns the number found; the try has succeeded if all were found.

    All paddles found except the last are added to the mask; after success, also the last.
    """
    counts[TRIES] += 1
    for number in range(length):
        contrast = one_of(stream, rules.num_snake_contrasts)
        if rules.same_contrast:
            contrast = contrast * rules.num_paddle_contrasts + one_of(stream, rules.num_paddle_contrasts)
        if number == 0:
            found = False
            for _ in range(rules.paddle_trials):
                counts[DRAWINGS] += 1
                degree = np.int64(below(stream, FULL_TURN))
                if (chains.leaves[degree] and not rules.all_angles) or not _has_room(grid, mask):
                    return np.int64(0)
                places = footprints.place[footprints.first[degree] : footprints.first[degree + 1]]
                pixel = _open_pixel(stream, grid, places, mask, stamps.inside)
                if pixel < 0:
                    return np.int64(0)
                size = grid.resolution
                found = begin(pixel // size, pixel % size, degree, size, chains, state)
                if found:
                    break
            if not found:
                return np.int64(0)
            counts[DRAWINGS] += 1
        else:
            if not extend(
                stream, rules.paddle_trials, grid, chains.turns, chains.near, stamps.thresholds, state, mask, wide,
                cumulated, counts,
            ):  # fmt: skip
                return np.int64(number)
            add_paddle(paddles[number - 1], grid, stamps, mask, wide)
        note(paddles[number], state, contrast)
    add_paddle(paddles[length - 1], grid, stamps, mask, wide)
    return length


@compiled_part
def _lay_contours(
    rules: Rules,
    grid: Grid,
    stamps: Stamps,
    contours: NDArray[np.int64],
    mask: NDArray[np.uint8],
    wide: NDArray[np.uint8],
) -> None:
    """Add the paddles that distractors avoid: all, except the last of contour 0 without `separate_contours`."""
    for contour in range(2):
        for number in range(rules.contour_length):
            if contour == 1 or rules.separate_contours or number < rules.contour_length - 1:
                add_paddle(contours[contour, number], grid, stamps, mask, wide)


@compiled(nogil=True)  # threads of a loader draw in parallel
def draw_distractors(
    rows: NDArray[np.int64],
    indices: NDArray[np.int64],
    stream: NDArray[np.uint64],
    rules: Rules,
    grid: Grid,
    stamps: Stamps,
    chains: Chains,
    footprints: Footprints,
    empty_mask: NDArray[np.uint8],
    empty_wide: NDArray[np.uint8],
    masks: NDArray[np.uint8],
    wides: NDArray[np.uint8],
    state: NDArray[np.int64],
    cumulated: NDArray[np.uint64],
    contours: NDArray[np.int64],
    strewn: NDArray[np.int64],
    placed: NDArray[np.int16],
    counters: NDArray[np.int64],
) -> None:
    """Draw the distractors and single paddles of indices[rows], whose contours are `contours`.

    strewn: (rows, room for all, 4), receives their paddles one after another.
    placed: (n, 2), receives the number of distractors and of single paddles, at the rows.
    counters: (n, 4), incremented.
    masks, wides: (2, canvas), two pairs of canvases with any content.
    """
    mask, wide = masks[0], wides[0]
    kept_mask, kept_wide = masks[1], wides[1]  # the canvases after the last success
    canvas = len(empty_mask)
    for done in range(len(rows)):
        row = rows[done]
        stream[INDEX] = np.uint64(indices[row])
        copy_bytes(mask, empty_mask, canvas)
        copy_bytes(wide, empty_wide, canvas)
        _lay_contours(rules, grid, stamps, contours[done], mask, wide)
        copy_bytes(kept_mask, mask, canvas)
        copy_bytes(kept_wide, wide, canvas)
        used = np.int64(0)
        for kind in range(2):
            singles = kind == 1
            stage = STAGE_SINGLES if singles else STAGE_DISTRACTORS
            count = rules.num_singles if singles else rules.num_distractors
            tries = rules.paddle_trials if singles else rules.distractor_tries
            length = np.int64(1) if singles else rules.distractor_length
            placed[row, kind] = 0
            for number in range(count):
                for one_try in range(tries):
                    open_stream(stream, stage, np.uint64(number * tries + one_try))
                    own = strewn[done, used : used + length]
                    found = _try_distractor(
                        stream, rules, grid, stamps, chains, footprints, length, mask, wide, state, own, cumulated,
                        counters[row],
                    )  # fmt: skip
                    for i in range(found):
                        if found == length:
                            copy_window(own[i], grid, mask, wide, kept_mask, kept_wide)
                        else:
                            copy_window(own[i], grid, kept_mask, kept_wide, mask, wide)
                    if found == length:
                        used += length
                        placed[row, kind] += 1
                        break
