"""Draws Pathfinder pictures in compiled code, as `docs/pathfinder_draws.md` states it; the page's words are used here.

The time goes into attempts at two contours that fail: thousands an image in the hard presets, most of them late. So
an attempt touches little. Masks lie on a canvas with a margin around the image, so that patches need no clipping
(`kernel_tables.py`, `canvas.py`); the dilated mask is kept beside the mask and grows with it, for the dilation of a
maximum is the maximum of the dilations; what an attempt changed is restored window by window; and of the ring
candidates only those with a turn weight are looked at.

Not here: where the patches come from (`draw_tables.py`), Arrow (`generated_task.py`), and checking (`label_check.py`,
`tracer.py`, which share nothing with this file).
"""

import numpy as np
from numpy.typing import NDArray

from lra_data.kernel_cache import compiled
from lra_data.pathfinder.generator.canvas import (
    CONTRAST,
    PADDLE_X,
    PADDLE_Y,
    PATCH,
    add_paddle,
    copy_bytes,
    copy_window,
    fits,
    place_of,
)
from lra_data.pathfinder.generator.kernel_tables import Plates, Rules
from lra_data.pathfinder.generator.patches import DEGREES
from lra_data.random_bits import multiply_wide, philox4x64

# A picture whose attempts all fail ends with an error. At 64-hard-clean, the rarest of the presets, 1 attempt in some
# 9,000 succeeds, so that so many failures have a chance below 1e-50.
MAX_ATTEMPTS = 2**20
PIXEL_TRIALS = 16

FREE = np.uint8(76)  # 0.3 of 255
LEAST_WEIGHT = np.uint64(27_380_416)  # 1e-4 of 255 x 2^30

STAGE_PICTURE, STAGE_CONTOURS, STAGE_DISTRACTORS, STAGE_SINGLES = (np.uint64(stage) for stage in range(4))
ZERO, ONE, TWO, FOUR = np.uint64(0), np.uint64(1), np.uint64(2), np.uint64(4)
FULL_TURN = np.uint64(DEGREES)
FULL = np.uint64(255)

# Columns of a contour's state.
PIVOT_Y, PIVOT_X, ANGLE, LAST_Y, LAST_X = range(5)
# Columns of the counters: extensions; candidates chosen for them; tries at distractors; and paddles that the original
# would have drawn, footprints included, which is what it spends its time with.
EXTENSIONS, CHOICES, TRIES, DRAWINGS = range(4)


# A stream is eleven words: the block's four, the next position in it, the next block, number, index, stage, key.
@compiled
def _open_stream(stream: NDArray[np.uint64], stage: np.uint64, number: np.uint64) -> None:
    stream[4] = FOUR
    stream[5] = ZERO
    stream[6] = number
    stream[8] = stage


@compiled
def _below(stream: NDArray[np.uint64], count: np.uint64) -> np.uint64:
    """The next word of the stream as a number below `count`."""
    if stream[4] == FOUR:
        stream[0], stream[1], stream[2], stream[3] = philox4x64(
            stream[5], stream[6], stream[7], stream[8], stream[9], stream[10]
        )
        stream[4] = ZERO
        stream[5] += ONE
    word = stream[np.int64(stream[4])]
    stream[4] += ONE
    return multiply_wide(word, count)[0]


@compiled
def _one_of(stream: NDArray[np.uint64], count: np.int64) -> np.int64:
    return np.int64(_below(stream, np.uint64(count))) if count > 1 else np.int64(0)


@compiled
def _is_inside(y: int, x: int, size: int) -> bool:
    return 0 <= y < size and 0 <= x < size


@compiled
def _extend(
    stream: NDArray[np.uint64],
    rules: Rules,
    turns: NDArray[np.int64],
    near: NDArray[np.int64],
    thresholds: NDArray[np.uint8],
    state: NDArray[np.int64],
    mask: NDArray[np.uint8],
    wide: NDArray[np.uint8],
    cumulated: NDArray[np.uint64],
    counts: NDArray[np.int64],
) -> bool:
    """Find a successor to a chain's last paddle and move `state` on to it. Nothing is added to the mask."""
    counts[EXTENSIONS] += 1
    angle = state[ANGLE]
    y = state[PIVOT_Y] + turns[angle, 2]
    x = state[PIVOT_X] + turns[angle, 3]
    radius, size = rules.ring_radius, rules.resolution
    if y < -radius or x < -radius or y >= size + radius or x >= size + radius:
        return False
    pivot = place_of(y, x, rules.border, rules.stride)
    choices = near[turns[angle, 0] : turns[angle, 0] + turns[angle, 1]]
    total = ZERO
    for i in range(len(choices)):
        total += (FULL - np.uint64(wide[pivot + choices[i, 0]])) * np.uint64(choices[i, 1])
        cumulated[i] = total
    if total <= LEAST_WEIGHT:
        return False
    for _ in range(rules.paddle_trials):
        counts[CHOICES] += 1
        counts[DRAWINGS] += 1
        drawn = _below(stream, total)
        chosen = 0
        while cumulated[chosen] <= drawn:
            chosen += 1
        patch = DEGREES + choices[chosen, 2]
        head_y, head_x = y + choices[chosen, 3], x + choices[chosen, 4]
        if fits(head_y, head_x, patch, rules, thresholds, mask):
            state[PIVOT_Y], state[PIVOT_X], state[ANGLE] = y, x, patch
            state[LAST_Y], state[LAST_X] = head_y, head_x
            return True
    return False


@compiled
def _begin(y: np.int64, x: np.int64, degree: np.int64, rules: Rules, plates: Plates, state: NDArray[np.int64]) -> bool:
    """Set a chain's state to a first paddle with this tail; False if its head or pivot lies outside the image."""
    head_y, head_x = y + plates.heads[degree, 0], x + plates.heads[degree, 1]
    pivot_y, pivot_x = head_y + plates.pivots[degree, 0], head_x + plates.pivots[degree, 1]
    if not (_is_inside(head_y, head_x, rules.resolution) and _is_inside(pivot_y, pivot_x, rules.resolution)):
        return False
    state[PIVOT_Y], state[PIVOT_X], state[ANGLE] = pivot_y, pivot_x, degree
    state[LAST_Y], state[LAST_X] = y, x
    return True


@compiled
def _note(paddles: NDArray[np.int64], number: np.int64, state: NDArray[np.int64], contrast: np.int64) -> None:
    """Write down a chain's last paddle."""
    paddles[number, PADDLE_Y], paddles[number, PADDLE_X] = state[LAST_Y], state[LAST_X]
    paddles[number, PATCH], paddles[number, CONTRAST] = state[ANGLE], contrast


@compiled
def _attempt(
    stream: NDArray[np.uint64],
    rules: Rules,
    plates: Plates,
    masks: NDArray[np.uint8],
    wides: NDArray[np.uint8],
    state: NDArray[np.int64],
    paddles: NDArray[np.int64],
    cumulated: NDArray[np.uint64],
    counts: NDArray[np.int64],
) -> np.int64:
    """One attempt at two contours; `paddles` (2, contour_length, 4) gets them.

    Returns the number of paddles found of both contours together, first ones included; the attempt has succeeded if
    they are all. `masks` and `wides` are the canvases of contour 0 and 1, of which without `separate_contours` only the
    first is used.
    """
    num_snakes, num_paddles = rules.num_snake_contrasts, rules.num_paddle_contrasts
    snake_0 = snake_1 = np.int64(0)
    if num_snakes > 1:
        snake_0 = np.int64(_below(stream, np.uint64(2 * num_snakes)))
        snake_1 = np.int64(_below(stream, np.uint64(2 * num_snakes - 1)))
        snake_1 = (snake_1 + (snake_1 >= snake_0)) % num_snakes
        snake_0 %= num_snakes

    contrast = snake_0 * num_paddles + _one_of(stream, num_paddles)
    found = False
    for _ in range(rules.paddle_trials):
        counts[DRAWINGS] += 1
        degree = np.int64(_below(stream, FULL_TURN))
        height, width = plates.starts[degree, 2], plates.starts[degree, 3]
        if (plates.leaves[degree] and not rules.all_angles) or height == 0:
            return np.int64(0)
        chosen = np.int64(_below(stream, np.uint64(height * width)))
        y, x = plates.starts[degree, 0] + chosen // width, plates.starts[degree, 1] + chosen % width
        found = _begin(y, x, degree, rules, plates, state[0])
        if found:
            break
    if not found:
        return np.int64(0)
    counts[DRAWINGS] += 1
    _note(paddles[0], 0, state[0], contrast)

    contrast = snake_1 * num_paddles + _one_of(stream, num_paddles)
    tail_y, tail_x = state[0, LAST_Y], state[0, LAST_X]
    found = False
    for _ in range(rules.paddle_trials):
        degree = np.int64(_below(stream, FULL_TURN))
        direction = np.int64(_below(stream, FULL_TURN))
        y = tail_y + plates.start_by_parity[tail_y & 1, direction, 0]
        x = tail_x + plates.start_by_parity[tail_x & 1, direction, 1]
        found = _begin(y, x, degree, rules, plates, state[1])
        if found:
            break
    if not found:
        return np.int64(1)
    counts[DRAWINGS] += 1
    _note(paddles[1], 0, state[1], contrast)

    if rules.separate_contours:
        for contour in range(2):
            add_paddle(
                paddles[contour, 0],
                rules,
                plates,
                masks[1 - contour],
                wides[1 - contour],
            )
    for number in range(1, rules.contour_length):
        paddle = _one_of(stream, num_paddles)
        for contour in range(2):
            lane = contour if rules.separate_contours else 0
            if not _extend(
                stream, rules, plates.turns, plates.near, plates.thresholds, state[contour], masks[lane], wides[lane],
                cumulated, counts,
            ):  # fmt: skip
                return np.int64(2 * number + contour)
            add_paddle(
                paddles[contour, number - 1],
                rules,
                plates,
                masks[lane],
                wides[lane],
            )
            snake = snake_1 if contour else snake_0
            _note(paddles[contour], number, state[contour], snake * num_paddles + paddle)
            if rules.separate_contours:
                add_paddle(
                    paddles[contour, number],
                    rules,
                    plates,
                    masks[1 - lane],
                    wides[1 - lane],
                )
    return np.int64(2 * rules.contour_length)


@compiled
def _distance_class(a: NDArray[np.int64], b: NDArray[np.int64], step: np.int64) -> np.int64:
    y, x = a[PADDLE_Y] - b[PADDLE_Y], a[PADDLE_X] - b[PADDLE_X]
    return np.int64(np.sqrt(np.float64(y * y + x * x))) // step


@compiled
def _find_contours(
    stream: NDArray[np.uint64],
    rules: Rules,
    plates: Plates,
    origin: np.int64,
    masks: NDArray[np.uint8],
    wides: NDArray[np.uint8],
    state: NDArray[np.int64],
    paddles: NDArray[np.int64],
    cumulated: NDArray[np.uint64],
    counts: NDArray[np.int64],
    start: np.int64,
    stop: np.int64,
) -> np.int64:
    """Make the attempts start .. stop - 1 at two contours until one succeeds; returns its number plus 1, or 0 if all
    of them failed.

    The canvases must be empty, and then hold the contours; what failed attempts did to them is undone.
    """
    num_lanes = 2 if rules.separate_contours else 1
    last = rules.contour_length - 1
    for attempt in range(start, stop):
        _open_stream(stream, STAGE_CONTOURS, np.uint64(attempt))
        found = _attempt(stream, rules, plates, masks, wides, state, paddles, cumulated, counts)
        succeeded = found == 2 * rules.contour_length
        if succeeded and rules.distance_step:
            first = paddles[origin, 0]
            joined = _distance_class(first, paddles[origin, last], rules.distance_step)
            succeeded = joined == _distance_class(first, paddles[1 - origin, last], rules.distance_step)
        if succeeded:
            return np.int64(attempt + 1)
        for contour in range(2):
            for number in range((found + 1 - contour) // 2):
                for lane in range(num_lanes):
                    copy_window(
                        paddles[contour, number], rules, plates.empty_mask, plates.empty_wide, masks[lane], wides[lane]
                    )
    return np.int64(0)


@compiled
def _is_open(place: np.int64, places: NDArray[np.int64], mask: NDArray[np.uint8], inside: NDArray[np.uint8]) -> bool:
    num_inside = 0
    for i in range(len(places)):
        if mask[place + places[i]] > FREE:
            return False
        num_inside += inside[place + places[i]] > 0
    return num_inside > 0


@compiled
def _has_room(rules: Rules, mask: NDArray[np.uint8]) -> bool:
    """Whether 1 % of the image's pixels are free; counts no further than that."""
    size = rules.resolution
    free = 0
    for y in range(size):
        at = place_of(y, 0, rules.border, rules.stride)
        row = mask[at : at + size]
        for x in range(size):
            free += row[x] <= FREE
        if free * 100 >= size * size:
            return True
    return False


@compiled
def _open_pixel(
    stream: NDArray[np.uint64],
    rules: Rules,
    places: NDArray[np.int64],
    mask: NDArray[np.uint8],
    inside: NDArray[np.uint8],
) -> np.int64:
    """The number of a uniformly drawn open pixel, or -1 if there is none."""
    size = rules.resolution
    for _ in range(PIXEL_TRIALS):
        pixel = np.int64(_below(stream, np.uint64(size * size)))
        if _is_open(place_of(pixel // size, pixel % size, rules.border, rules.stride), places, mask, inside):
            return pixel
    num_open = 0
    for y in range(size):
        at = place_of(y, 0, rules.border, rules.stride)
        for x in range(size):
            num_open += _is_open(at + x, places, mask, inside)
    if num_open == 0:
        return np.int64(-1)
    rank = np.int64(_below(stream, np.uint64(num_open)))
    for pixel in range(size * size):
        if _is_open(place_of(pixel // size, pixel % size, rules.border, rules.stride), places, mask, inside):
            if rank == 0:
                return np.int64(pixel)
            rank -= 1
    return np.int64(-1)


@compiled
def _distractor_contrast(stream: NDArray[np.uint64], rules: Rules) -> np.int64:
    contrast = _one_of(stream, rules.num_snake_contrasts)
    if rules.same_contrast:
        contrast = contrast * rules.num_paddle_contrasts + _one_of(stream, rules.num_paddle_contrasts)
    return contrast


@compiled
def _try_distractor(
    stream: NDArray[np.uint64],
    rules: Rules,
    plates: Plates,
    length: np.int64,
    mask: NDArray[np.uint8],
    wide: NDArray[np.uint8],
    state: NDArray[np.int64],
    paddles: NDArray[np.int64],
    cumulated: NDArray[np.uint64],
    counts: NDArray[np.int64],
) -> np.int64:
    """One try at a distractor of `length` paddles; returns how many were found, and has succeeded if they are all.

    All paddles found but the last are added to the mask, and the last too after success.
    """
    counts[TRIES] += 1
    contrast = _distractor_contrast(stream, rules)
    found = False
    for _ in range(rules.paddle_trials):
        counts[DRAWINGS] += 1
        degree = np.int64(_below(stream, FULL_TURN))
        if (plates.leaves[degree] and not rules.all_angles) or not _has_room(rules, mask):
            return np.int64(0)
        places = plates.footprint_place[plates.footprint_first[degree] : plates.footprint_first[degree + 1]]
        pixel = _open_pixel(stream, rules, places, mask, plates.inside)
        if pixel < 0:
            return np.int64(0)
        found = _begin(pixel // rules.resolution, pixel % rules.resolution, degree, rules, plates, state)
        if found:
            break
    if not found:
        return np.int64(0)
    counts[DRAWINGS] += 1
    _note(paddles, 0, state, contrast)
    for number in range(1, length + 1):
        if number < length:
            contrast = _distractor_contrast(stream, rules)
            if not _extend(
                stream, rules, plates.turns, plates.near, plates.thresholds, state, mask, wide, cumulated, counts
            ):
                return np.int64(number)
        add_paddle(paddles[number - 1], rules, plates, mask, wide)
        if number < length:
            _note(paddles, number, state, contrast)
    return np.int64(length)


@compiled
def _strew(
    stream: NDArray[np.uint64],
    stage: np.uint64,
    count: np.int64,
    tries: np.int64,
    length: np.int64,
    rules: Rules,
    plates: Plates,
    mask: NDArray[np.uint8],
    wide: NDArray[np.uint8],
    kept_mask: NDArray[np.uint8],
    kept_wide: NDArray[np.uint8],
    state: NDArray[np.int64],
    paddles: NDArray[np.int64],
    cumulated: NDArray[np.uint64],
    counts: NDArray[np.int64],
) -> np.int64:
    """Place up to `count` distractors of `length` paddles; returns how many. `paddles` gets them one after another.

    `kept_mask` and `kept_wide` hold the canvases as the last success left them.
    """
    placed = np.int64(0)
    for number in range(count):
        for one_try in range(tries):
            _open_stream(stream, stage, np.uint64(number * tries + one_try))
            own = paddles[placed * length :]
            found = _try_distractor(stream, rules, plates, length, mask, wide, state, own, cumulated, counts)
            for i in range(found):
                if found == length:
                    copy_window(own[i], rules, mask, wide, kept_mask, kept_wide)
                else:
                    copy_window(own[i], rules, kept_mask, kept_wide, mask, wide)
            if found == length:
                placed += 1
                break
    return placed


@compiled
def _light_patch(
    y: np.int64,
    x: np.int64,
    patch: NDArray[np.uint8],
    value: np.int64,
    rules: Rules,
    light: NDArray[np.int32],
) -> None:
    """Raise brightness to that of a patch with its centre on (y, x)."""
    side = patch.shape[0]
    at = place_of(y - side // 2, x - side // 2, rules.border, rules.stride)
    for i in range(side):
        for j in range(side):
            brightness = np.int32(np.int64(patch[i, j]) * value)
            light[at + j] = max(light[at + j], brightness)
        at += rules.stride


@compiled
def _develop(rules: Rules, light: NDArray[np.int32], picture: NDArray[np.uint8]) -> None:
    """Stretch brightness to 0 .. 255. Slices are taken row by row, since only then the loops become vector code."""
    size = rules.resolution
    low = high = light[place_of(0, 0, rules.border, rules.stride)]
    for y in range(size):
        at = place_of(y, 0, rules.border, rules.stride)
        row = light[at : at + size]
        for x in range(size):
            low = min(low, row[x])
            high = max(high, row[x])
    span = np.int64(high) - np.int64(low)
    for y in range(size):
        at = place_of(y, 0, rules.border, rules.stride)
        row, developed = light[at : at + size], picture[y * size : (y + 1) * size]
        for x in range(size):
            above = np.int64(row[x]) - np.int64(low)
            developed[x] = np.uint8((510 * above + span) // (2 * span)) if above else np.uint8(0)


@compiled
def _render(
    rules: Rules,
    plates: Plates,
    paddles: NDArray[np.int64],
    strewn: NDArray[np.int64],
    origin: np.int64,
    terminal: np.int64,
    light: NDArray[np.int32],
    picture: NDArray[np.uint8],
) -> None:
    """Draw contours, distractors, and markers on the first end of `origin` and the last of `terminal`."""
    light[:] = 0
    for contour in range(2):
        for number in range(rules.contour_length):
            one = paddles[contour, number]
            value = plates.contour_values[one[CONTRAST]]
            _light_patch(one[PADDLE_Y], one[PADDLE_X], plates.lines[one[PATCH]], value, rules, light)
    for number in range(len(strewn)):
        one = strewn[number]
        value = plates.distractor_values[one[CONTRAST]]
        _light_patch(one[PADDLE_Y], one[PADDLE_X], plates.lines[one[PATCH]], value, rules, light)
    for tip in range(2):
        one = paddles[terminal, rules.contour_length - 1] if tip else paddles[origin, 0]
        y, x = one[PADDLE_Y], one[PADDLE_X]
        disc = plates.markers[plates.marker_class[y], plates.marker_class[x]]
        _light_patch(y, x, disc, rules.marker_value, rules, light)
    _develop(rules, light, picture)


@compiled
def _store(paddles: NDArray[np.int64], count: np.int64, plates: Plates, values: NDArray[np.int16]) -> None:
    """Write paddles as four numbers each."""
    for i in range(count):
        values[4 * i], values[4 * i + 1] = paddles[i, PADDLE_Y], paddles[i, PADDLE_X]
        values[4 * i + 2], values[4 * i + 3] = plates.drawn_angles[paddles[i, PATCH]], paddles[i, CONTRAST]


@compiled
def draw_heads(
    indices: NDArray[np.int64],
    key_0: np.uint64,
    key_1: np.uint64,
    num_margins: np.int64,
    labels: NDArray[np.int64],
    margins: NDArray[np.int64],
    origins: NDArray[np.int64],
) -> None:
    """Stage 0 of each index: label, position of the margin, and the contour with the first marker."""
    for i in range(len(indices)):
        words = philox4x64(ZERO, ZERO, np.uint64(indices[i]), STAGE_PICTURE, key_0, key_1)
        labels[i] = np.int64(multiply_wide(words[0], TWO)[0])
        margins[i] = np.int64(multiply_wide(words[1], np.uint64(num_margins))[0])
        origins[i] = np.int64(multiply_wide(words[2], TWO)[0])


@compiled(nogil=True)  # threads of a loader draw side by side
def draw_images(
    rows: NDArray[np.int64],
    indices: NDArray[np.int64],
    key_0: np.uint64,
    key_1: np.uint64,
    labels: NDArray[np.int64],
    origins: NDArray[np.int64],
    rules: Rules,
    plates: Plates,
    pictures: NDArray[np.uint8],
    attempts: NDArray[np.int32],
    tips: NDArray[np.int16],
    contours: NDArray[np.int16],
    distractors: NDArray[np.int16],
    placed: NDArray[np.int16],
    counters: NDArray[np.int64],
    failed: np.int64,
    budget: np.int64,
) -> tuple[np.int64, np.int64]:
    """Draw the pictures of indices[rows], all of one margin, into the same rows of the outputs.

    failed: attempts at the first row that earlier calls made in vain. budget: about how many attempts this call may
    make, so that the interpreter hears signals between two calls; which call makes an attempt decides nothing.

    pictures (n, resolution^2), attempts (n,), tips (n, 8), contours (n, 2 x contour_length x 4), distractors (n, room
    for all x 4), placed (n, 2): distractors and single paddles; counters (n, 4), see EXTENSIONS. Returns how many rows
    are drawn, and how many attempts at the next one failed; MAX_ATTEMPTS are all that it may have.
    """
    canvas = len(plates.empty_mask)
    masks = np.empty((2, canvas), np.uint8)
    wides = np.empty((2, canvas), np.uint8)
    kept_mask = np.empty(canvas, np.uint8)
    kept_wide = np.empty(canvas, np.uint8)
    light = np.zeros(canvas, np.int32)
    stream = np.zeros(11, np.uint64)
    stream[9], stream[10] = key_0, key_1
    state = np.zeros((2, 5), np.int64)
    paddles = np.zeros((2, rules.contour_length, 4), np.int64)
    strewn = np.zeros((distractors.shape[1] // 4 + rules.distractor_length, 4), np.int64)
    cumulated = np.zeros(plates.turns[:, 1].max(), np.uint64)
    num_lanes = 2 if rules.separate_contours else 1
    for lane in range(num_lanes):
        copy_bytes(masks[lane], plates.empty_mask, canvas)
        copy_bytes(wides[lane], plates.empty_wide, canvas)

    for done in range(len(rows)):
        if budget <= 0:
            return np.int64(done), np.int64(0)
        row = rows[done]
        counts = counters[row]
        stream[7] = np.uint64(indices[row])
        origin = origins[row]
        stop = min(failed + budget, MAX_ATTEMPTS)
        attempts[row] = _find_contours(
            stream, rules, plates, origin, masks, wides, state, paddles, cumulated, counts, failed, stop
        )
        if attempts[row] == 0:
            return np.int64(done), np.int64(stop)
        budget -= attempts[row] - failed
        failed = np.int64(0)

        mask, wide = masks[0], wides[0]
        if rules.separate_contours:
            for i in range(canvas):
                mask[i] = max(mask[i], masks[1, i])
                wide[i] = max(wide[i], wides[1, i])
        else:
            add_paddle(paddles[1, rules.contour_length - 1], rules, plates, mask, wide)
        copy_bytes(kept_mask, mask, canvas)
        copy_bytes(kept_wide, wide, canvas)
        num_distractors = _strew(
            stream, STAGE_DISTRACTORS, rules.num_distractors, rules.distractor_tries, rules.distractor_length,
            rules, plates, mask, wide, kept_mask, kept_wide, state[0], strewn, cumulated, counts,
        )  # fmt: skip
        in_distractors = num_distractors * rules.distractor_length
        num_singles = _strew(
            stream, STAGE_SINGLES, rules.num_singles, rules.paddle_trials, np.int64(1),
            rules, plates, mask, wide, kept_mask, kept_wide, state[0], strewn[in_distractors:], cumulated, counts,
        )  # fmt: skip

        terminal = origin if labels[row] else 1 - origin
        num_strewn = in_distractors + num_singles
        _render(rules, plates, paddles, strewn[:num_strewn], origin, terminal, light, pictures[row])

        for contour in range(2):
            first, last = paddles[contour, 0], paddles[contour, rules.contour_length - 1]
            tips[row, 4 * contour], tips[row, 4 * contour + 1] = first[PADDLE_Y], first[PADDLE_X]
            tips[row, 4 * contour + 2], tips[row, 4 * contour + 3] = last[PADDLE_Y], last[PADDLE_X]
            values = contours[row, 4 * rules.contour_length * contour :]
            _store(paddles[contour], rules.contour_length, plates, values)
        _store(strewn, num_strewn, plates, distractors[row])
        placed[row, 0], placed[row, 1] = num_distractors, num_singles
        for lane in range(num_lanes):
            copy_bytes(masks[lane], plates.empty_mask, canvas)
            copy_bytes(wides[lane], plates.empty_wide, canvas)
    return np.int64(len(rows)), np.int64(0)
