"""Draws Pathfinder pictures in compiled code, as `docs/pathfinder_draws.md` states it; the page's words are used here.

The time goes into attempts at two contours that fail: thousands an image in the hard presets, most of them late. So an
attempt touches little. Masks lie on a canvas with a margin around the image, so that patches need no clipping; the
dilated mask is kept beside the mask and grows with it, for the dilation of a maximum is the maximum of the dilations;
windows of the canvas are compared, raised and restored in rows of 32 bytes, one instruction each; and of the ring
candidates only those with a turn weight are looked at.

Not here: where the patches come from (`drawing.py`), Arrow (`task.py`), and checking (`geometry.py`, `tracer.py`, which
share nothing with this file).
"""

from fractions import Fraction
from math import lcm
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from lra_data.pathfinder.config import Config
from lra_data.pathfinder.patches import DEGREES, footprint, marker_classes, marker_reach
from lra_data.pathfinder.tables import drawing_tables
from lra_data.random_bits import multiply_wide, philox4x64

# A picture whose attempts all fail ends with an error. At 64-hard, the rarest of the presets, 1 attempt in some 4,000
# succeeds, so that so many failures have a chance below 1e-100.
MAX_ATTEMPTS = 2**20
PIXEL_TRIALS = 16

LANES = 32  # bytes of a canvas row compared or written at once
FREE = np.uint8(76)  # 0.3 of 255
TOO_MUCH = 459  # 1.8 of 255: mask and new paddle's mask together
NEVER = 255  # a threshold that no byte exceeds
LEAST_WEIGHT = np.uint64(27_380_416)  # 1e-4 of 255 x 2^30

STAGE_PICTURE, STAGE_CONTOURS, STAGE_DISTRACTORS, STAGE_SINGLES = (np.uint64(stage) for stage in range(4))
ZERO, ONE, TWO, FOUR = np.uint64(0), np.uint64(1), np.uint64(2), np.uint64(4)
FULL_TURN = np.uint64(DEGREES)
FULL = np.uint64(255)

# Columns of a contour's state.
PIVOT_Y, PIVOT_X, ANGLE, LAST_Y, LAST_X = range(5)
# Columns of a paddle: where it is drawn from, its patch, and the position of its contrast.
PADDLE_Y, PADDLE_X, PATCH, CONTRAST = range(4)

# Columns of the counters: extensions; candidates chosen for them; tries at distractors; and paddles that the original
# would have drawn, footprints included, which is what it spends its time with.
EXTENSIONS, CHOICES, TRIES, DRAWINGS = range(4)


class Rules(NamedTuple):
    """What the kernel needs of a configuration at one margin, and the measures of its canvas: int64 each."""

    resolution: int
    contour_length: int
    distractor_length: int
    num_distractors: int
    num_singles: int
    paddle_trials: int
    distractor_tries: int
    num_snake_contrasts: int
    num_paddle_contrasts: int
    all_angles: int
    separate_contours: int
    same_contrast: int
    distance_step: int
    marker_value: int
    max_attempts: int
    border: int
    stride: int
    reach: int
    row_bytes: int
    wide_reach: int
    wide_row_bytes: int
    ring_radius: int


class Plates(NamedTuple):
    """The drawing tables of one margin, laid out for the canvas.

    thresholds: a byte of the mask above this rejects the paddle. masks, wide_masks: a paddle's mask and that mask
    dilated. These three are flat: one patch after the other, row by row, each row filled up to a multiple of LANES.
    turns: for each angle the first row in `near`, the number of rows, and the step to the new pivot. near: the
    candidates with a turn weight; place on the canvas relative to the pivot, weight, number, y and x relative to the
    pivot. footprint_first, footprint_place: for each degree the places of the footprint's pixels relative to its pixel.
    inside: 255 in the image, 0 around it. empty_mask, empty_wide: the canvases at the start.
    """

    lines: NDArray[np.uint8]
    thresholds: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    wide_masks: NDArray[np.uint8]
    heads: NDArray[np.int64]
    pivots: NDArray[np.int64]
    drawn_angles: NDArray[np.int16]
    leaves: NDArray[np.bool_]
    starts: NDArray[np.int64]
    start_by_parity: NDArray[np.int64]
    turns: NDArray[np.int64]
    near: NDArray[np.int64]
    footprint_first: NDArray[np.int64]
    footprint_place: NDArray[np.int64]
    markers: NDArray[np.uint8]
    marker_class: NDArray[np.int64]
    contour_values: NDArray[np.int64]
    distractor_values: NDArray[np.int64]
    inside: NDArray[np.uint8]
    empty_mask: NDArray[np.uint8]
    empty_wide: NDArray[np.uint8]


def prepare(config: Config, margin: int, max_attempts: int = MAX_ATTEMPTS) -> tuple[Rules, Plates]:
    """Rules and plates of a configuration at one of its margins."""
    tables = drawing_tables(config)
    masks = tables[f"masks_{margin}"]
    ring = tables[f"ring_{margin}"].astype(np.int64)
    size = config.resolution
    reach = masks.shape[1] // 2
    radius = config.paddle_length + margin
    # Room for a patch on any pixel of the image, and for the ring around any pivot from which the ring reaches the
    # image.
    border = max(reach + margin, marker_reach(config), 2 * radius + 1)
    stride = size + 2 * border
    wide = _dilated(np.pad(masks, ((0, 0), (margin, margin), (margin, margin))), margin)
    turns, near = _turns(tables[f"steps_{margin}"], tables[f"weights_{margin}"], ring, stride)
    footprints = [_footprint_places(mask, config.paddle_length, margin, stride) for mask in masks[:DEGREES]]
    inside, empty_mask = np.zeros((2, stride, stride), dtype=np.uint8)
    image = slice(border, border + size)
    clear = slice(border + config.padding, border + size - config.padding)
    inside[image, image] = 255
    empty_mask[image, image] = 255
    empty_mask[clear, clear] = 0
    empty_wide = np.full((1, stride, stride), 255, dtype=np.uint8)
    empty_wide[0, image, image] = _dilated(
        np.pad(empty_mask[image, image][None], ((0, 0), (margin,) * 2, (margin,) * 2)), margin
    )[0, margin:-margin, margin:-margin]
    marker_value, contour_values, distractor_values = contrast_values(config)
    rules = Rules(
        resolution=size,
        contour_length=config.contour_length,
        distractor_length=config.distractor_length,
        num_distractors=config.num_distractor_snakes,
        num_singles=config.num_single_paddles(margin),
        paddle_trials=config.max_paddle_retrial + 1,
        distractor_tries=config.max_distractor_contour_retrial + 1,
        num_snake_contrasts=len(config.snake_contrast_list),
        num_paddle_contrasts=len(config.paddle_contrast_list),
        all_angles=int(config.all_angles),
        separate_contours=int(config.separate_contours),
        same_contrast=int(config.same_contrast),
        distance_step=config.distance_step,
        marker_value=marker_value,
        max_attempts=max_attempts,
        border=border,
        stride=stride,
        reach=reach,
        row_bytes=_full_lanes(2 * reach + 1),
        wide_reach=reach + margin,
        wide_row_bytes=_full_lanes(2 * (reach + margin) + 1),
        ring_radius=radius,
    )
    plates = Plates(
        lines=tables[f"lines_{margin}"],
        thresholds=_in_lanes(np.where(masks >= TOO_MUCH - 255, TOO_MUCH - 1 - masks.astype(np.int64), NEVER), NEVER),
        masks=_in_lanes(masks, 0),
        wide_masks=_in_lanes(wide, 0),
        heads=tables[f"heads_{margin}"].astype(np.int64),
        pivots=tables[f"pivots_{margin}"].astype(np.int64),
        drawn_angles=tables[f"drawn_angles_{margin}"],
        leaves=tables[f"leaves_{margin}"],
        starts=tables[f"starts_{margin}"].astype(np.int64),
        start_by_parity=tables["start_by_parity"].astype(np.int64),
        turns=turns,
        near=near,
        footprint_first=_firsts(footprints),
        footprint_place=np.concatenate(footprints),
        markers=tables["markers"],
        marker_class=marker_classes(size, marker_reach(config)),
        contour_values=contour_values,
        distractor_values=distractor_values,
        inside=_canvas(inside),
        empty_mask=_canvas(empty_mask),
        empty_wide=_canvas(empty_wide[0]),
    )
    return rules, plates


def contrast_values(config: Config) -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
    """Brightness of marker, contours' and distractors' paddles in whole parts of one common unit, by contrast."""
    snakes = [Fraction(str(contrast)) for contrast in config.snake_contrast_list]
    paddles = [Fraction(str(contrast)) for contrast in config.paddle_contrast_list]
    products = [snake * paddle for snake in snakes for paddle in paddles]
    distractors = products if config.same_contrast else snakes
    unit = lcm(*(contrast.denominator for contrast in [*products, *distractors]))
    contour_values, distractor_values = (
        np.array([int(contrast * unit) for contrast in contrasts], dtype=np.int64)
        for contrasts in (products, distractors)
    )
    return unit, contour_values, distractor_values


def _dilated(patches: NDArray[np.uint8], margin: int) -> NDArray[np.uint8]:
    """Each patch dilated with the disc of radius `margin`; they must have zeros of that width around them."""
    dilated = np.zeros_like(patches)
    for y in range(-margin, margin + 1):
        for x in range(-margin, margin + 1):
            if y * y + x * x <= margin * margin:
                np.maximum(dilated, np.roll(patches, (y, x), axis=(1, 2)), out=dilated)
    return dilated


def _in_lanes(patches: NDArray[Any], fill: int) -> NDArray[np.uint8]:
    missing = _full_lanes(patches.shape[2]) - patches.shape[2]
    return np.pad(patches, ((0, 0), (0, 0), (0, missing)), constant_values=fill).astype(np.uint8).ravel()


def _full_lanes(width: int) -> int:
    return -(-width // LANES) * LANES


def _canvas(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One row after the other; the last row of a patch may reach LANES bytes beyond its window."""
    return np.concatenate([picture.ravel(), np.zeros(LANES, dtype=np.uint8)])


def _firsts(lists: list[Any]) -> NDArray[np.int64]:
    return np.cumsum([0, *map(len, lists)], dtype=np.int64)


def _turns(
    steps: NDArray[Any], weights: NDArray[Any], ring: NDArray[np.int64], stride: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`turns` and `near` of Plates."""
    angles, candidates = np.nonzero(weights)
    near = np.column_stack(
        [
            ring[candidates, 0] * stride + ring[candidates, 1],
            weights[angles, candidates],
            candidates,
            ring[candidates],
        ]
    )
    counts = np.bincount(angles, minlength=len(weights))
    return np.column_stack([np.cumsum(counts) - counts, counts, steps]), near


def _footprint_places(mask: NDArray[np.uint8], length: int, margin: int, stride: int) -> NDArray[np.int64]:
    element = footprint(mask, length, margin)
    if not element.any():
        element[0, 0] = 1  # as OpenCV takes it
    rows, columns = np.nonzero(element)
    return (rows - length - margin) * stride + columns - length - margin


def _vector(context: Any, builder: Any, signature: Any, arguments: Any, array: int, place: int) -> Any:
    """Pointer to LANES bytes of an array argument, from the index that is another argument."""
    view = context.make_array(signature.args[array])(context, builder, arguments[array])
    return builder.bitcast(builder.gep(view.data, [arguments[place]]), ir.VectorType(ir.IntType(8), LANES).as_pointer())


def _load(builder: Any, pointer: Any) -> Any:
    word = builder.load(pointer)
    word.align = 1
    return word


def _greater(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_unsigned(">", a, b), a, b)


@intrinsic
def _raise_row(typing_context: Any, target: Any, at: Any, source: Any, start: Any) -> Any:
    """target[at : at + LANES] = the greater of it and source[start : start + LANES], byte by byte."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _vector(context, builder, signature, arguments, 0, 1)
        added = _load(builder, _vector(context, builder, signature, arguments, 2, 3))
        builder.store(_greater(builder, _load(builder, place), added), place).align = 1
        return context.get_dummy_value()

    return types.void(target, at, source, start), emit


@intrinsic
def _raise_row_inside(typing_context: Any, target: Any, at: Any, source: Any, start: Any, inside: Any) -> Any:
    """The same where inside[at : at + LANES] is 255; where it is 0, target stays."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _vector(context, builder, signature, arguments, 0, 1)
        added = _load(builder, _vector(context, builder, signature, arguments, 2, 3))
        kept = _load(builder, _vector(context, builder, signature, arguments, 4, 1))
        builder.store(_greater(builder, _load(builder, place), builder.and_(added, kept)), place).align = 1
        return context.get_dummy_value()

    return types.void(target, at, source, start, inside), emit


@intrinsic
def _row_exceeds(typing_context: Any, values: Any, at: Any, thresholds: Any, start: Any) -> Any:
    """One bit for each of LANES bytes: whether values[at + i] is above thresholds[start + i]."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = _load(builder, _vector(context, builder, signature, arguments, 0, 1))
        threshold = _load(builder, _vector(context, builder, signature, arguments, 2, 3))
        return builder.bitcast(builder.icmp_unsigned(">", value, threshold), ir.IntType(LANES))

    return types.uint32(values, at, thresholds, start), emit


@intrinsic
def _copy_row(typing_context: Any, target: Any, at: Any, source: Any) -> Any:
    """target[at : at + LANES] = source[at : at + LANES]."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _vector(context, builder, signature, arguments, 0, 1)
        kept = _load(builder, _vector(context, builder, signature, arguments, 2, 1))
        builder.store(kept, place).align = 1
        return context.get_dummy_value()

    return types.void(target, at, source), emit


@intrinsic
def _copy_bytes(typing_context: Any, target: Any, source: Any, count: Any) -> Any:
    """target[:count] = source[:count]."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointers = [context.make_array(signature.args[i])(context, builder, arguments[i]).data for i in (0, 1)]
        cgutils.raw_memcpy(builder, *pointers, arguments[2], 1)
        return context.get_dummy_value()

    return types.void(target, source, count), emit


# A stream is eleven words: the block's four, the next position in it, the next block, number, index, stage, key.
@njit(cache=True)
def _open_stream(stream: NDArray[np.uint64], stage: np.uint64, number: np.uint64) -> None:
    stream[4] = FOUR
    stream[5] = ZERO
    stream[6] = number
    stream[8] = stage


@njit(cache=True)
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


@njit(cache=True)
def _one_of(stream: NDArray[np.uint64], count: np.int64) -> np.int64:
    return np.int64(_below(stream, np.uint64(count))) if count > 1 else np.int64(0)


@njit(cache=True)
def _is_inside(y: int, x: int, size: int) -> bool:
    return 0 <= y < size and 0 <= x < size


@njit(cache=True)
def _place(y: np.int64, x: np.int64, border: np.int64, stride: np.int64) -> np.int64:
    return (y + border) * stride + x + border


@njit(cache=True)
def _add_paddle(
    paddle: NDArray[np.int64],
    rules: Rules,
    plates: Plates,
    mask: NDArray[np.uint8],
    wide: NDArray[np.uint8],
) -> None:
    """Add a paddle's patch to a mask and to its dilated twin."""
    y, x, patch = paddle[PADDLE_Y], paddle[PADDLE_X], paddle[PATCH]
    at = _place(y - rules.reach, x - rules.reach, rules.border, rules.stride)
    start = patch * (2 * rules.reach + 1) * rules.row_bytes
    for _ in range(2 * rules.reach + 1):
        for lane in range(0, rules.row_bytes, LANES):
            _raise_row_inside(mask, at + lane, plates.masks, start + lane, plates.inside)
        at += rules.stride
        start += rules.row_bytes
    at = _place(y - rules.wide_reach, x - rules.wide_reach, rules.border, rules.stride)
    start = patch * (2 * rules.wide_reach + 1) * rules.wide_row_bytes
    for _ in range(2 * rules.wide_reach + 1):
        for lane in range(0, rules.wide_row_bytes, LANES):
            _raise_row(wide, at + lane, plates.wide_masks, start + lane)
        at += rules.stride
        start += rules.wide_row_bytes


@njit(cache=True)
def _copy_window(
    paddle: NDArray[np.int64],
    rules: Rules,
    source_mask: NDArray[np.uint8],
    source_wide: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    wide: NDArray[np.uint8],
) -> None:
    """Copy what a paddle may have changed from other canvases."""
    at = _place(paddle[PADDLE_Y] - rules.wide_reach, paddle[PADDLE_X] - rules.wide_reach, rules.border, rules.stride)
    for _ in range(2 * rules.wide_reach + 1):
        for lane in range(0, rules.wide_row_bytes, LANES):
            _copy_row(mask, at + lane, source_mask)
            _copy_row(wide, at + lane, source_wide)
        at += rules.stride


@njit(cache=True)
def _fits(
    y: np.int64, x: np.int64, patch: np.int64, rules: Rules, thresholds: NDArray[np.uint8], mask: NDArray[np.uint8]
) -> bool:
    """Whether mask and paddle together stay below TOO_MUCH everywhere."""
    at = _place(y - rules.reach, x - rules.reach, rules.border, rules.stride)
    start = patch * (2 * rules.reach + 1) * rules.row_bytes
    exceeded = np.uint32(0)
    for _ in range(2 * rules.reach + 1):
        for lane in range(0, rules.row_bytes, LANES):
            exceeded |= _row_exceeds(mask, at + lane, thresholds, start + lane)
        at += rules.stride
        start += rules.row_bytes
    return exceeded == np.uint32(0)


@njit(cache=True)
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
    pivot = _place(y, x, rules.border, rules.stride)
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
        if _fits(head_y, head_x, patch, rules, thresholds, mask):
            state[PIVOT_Y], state[PIVOT_X], state[ANGLE] = y, x, patch
            state[LAST_Y], state[LAST_X] = head_y, head_x
            return True
    return False


@njit(cache=True)
def _begin(y: np.int64, x: np.int64, degree: np.int64, rules: Rules, plates: Plates, state: NDArray[np.int64]) -> bool:
    """Set a chain's state to a first paddle with this tail; False if its head or pivot lies outside the image."""
    head_y, head_x = y + plates.heads[degree, 0], x + plates.heads[degree, 1]
    pivot_y, pivot_x = head_y + plates.pivots[degree, 0], head_x + plates.pivots[degree, 1]
    if not (_is_inside(head_y, head_x, rules.resolution) and _is_inside(pivot_y, pivot_x, rules.resolution)):
        return False
    state[PIVOT_Y], state[PIVOT_X], state[ANGLE] = pivot_y, pivot_x, degree
    state[LAST_Y], state[LAST_X] = y, x
    return True


@njit(cache=True)
def _note(paddles: NDArray[np.int64], number: np.int64, state: NDArray[np.int64], contrast: np.int64) -> None:
    """Write down a chain's last paddle."""
    paddles[number, PADDLE_Y], paddles[number, PADDLE_X] = state[LAST_Y], state[LAST_X]
    paddles[number, PATCH], paddles[number, CONTRAST] = state[ANGLE], contrast


@njit(cache=True)
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
            _add_paddle(
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
            _add_paddle(
                paddles[contour, number - 1],
                rules,
                plates,
                masks[lane],
                wides[lane],
            )
            snake = snake_1 if contour else snake_0
            _note(paddles[contour], number, state[contour], snake * num_paddles + paddle)
            if rules.separate_contours:
                _add_paddle(
                    paddles[contour, number],
                    rules,
                    plates,
                    masks[1 - lane],
                    wides[1 - lane],
                )
    return np.int64(2 * rules.contour_length)


@njit(cache=True)
def _distance_class(a: NDArray[np.int64], b: NDArray[np.int64], step: np.int64) -> np.int64:
    y, x = a[PADDLE_Y] - b[PADDLE_Y], a[PADDLE_X] - b[PADDLE_X]
    return np.int64(np.sqrt(np.float64(y * y + x * x))) // step


@njit(cache=True)
def _is_open(place: np.int64, places: NDArray[np.int64], mask: NDArray[np.uint8], inside: NDArray[np.uint8]) -> bool:
    num_inside = 0
    for i in range(len(places)):
        if mask[place + places[i]] > FREE:
            return False
        num_inside += inside[place + places[i]] > 0
    return num_inside > 0


@njit(cache=True)
def _has_room(rules: Rules, mask: NDArray[np.uint8]) -> bool:
    """Whether 1 % of the image's pixels are free; counts no further than that."""
    size = rules.resolution
    free = 0
    for y in range(size):
        at = _place(y, 0, rules.border, rules.stride)
        row = mask[at : at + size]
        for x in range(size):
            free += row[x] <= FREE
        if free * 100 >= size * size:
            return True
    return False


@njit(cache=True)
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
        if _is_open(_place(pixel // size, pixel % size, rules.border, rules.stride), places, mask, inside):
            return pixel
    num_open = 0
    for y in range(size):
        at = _place(y, 0, rules.border, rules.stride)
        for x in range(size):
            num_open += _is_open(at + x, places, mask, inside)
    if num_open == 0:
        return np.int64(-1)
    rank = np.int64(_below(stream, np.uint64(num_open)))
    for pixel in range(size * size):
        if _is_open(_place(pixel // size, pixel % size, rules.border, rules.stride), places, mask, inside):
            if rank == 0:
                return np.int64(pixel)
            rank -= 1
    return np.int64(-1)


@njit(cache=True)
def _distractor_contrast(stream: NDArray[np.uint64], rules: Rules) -> np.int64:
    contrast = _one_of(stream, rules.num_snake_contrasts)
    if rules.same_contrast:
        contrast = contrast * rules.num_paddle_contrasts + _one_of(stream, rules.num_paddle_contrasts)
    return contrast


@njit(cache=True)
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
        _add_paddle(paddles[number - 1], rules, plates, mask, wide)
        if number < length:
            _note(paddles, number, state, contrast)
    return np.int64(length)


@njit(cache=True)
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
                    _copy_window(own[i], rules, mask, wide, kept_mask, kept_wide)
                else:
                    _copy_window(own[i], rules, kept_mask, kept_wide, mask, wide)
            if found == length:
                placed += 1
                break
    return placed


@njit(cache=True)
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
    at = _place(y - side // 2, x - side // 2, rules.border, rules.stride)
    for i in range(side):
        for j in range(side):
            brightness = np.int32(np.int64(patch[i, j]) * value)
            light[at + j] = max(light[at + j], brightness)
        at += rules.stride


@njit(cache=True)
def _develop(rules: Rules, light: NDArray[np.int32], picture: NDArray[np.uint8]) -> None:
    """Stretch brightness to 0 .. 255. Slices are taken row by row, since only then the loops become vector code."""
    size = rules.resolution
    low = high = light[_place(0, 0, rules.border, rules.stride)]
    for y in range(size):
        at = _place(y, 0, rules.border, rules.stride)
        row = light[at : at + size]
        for x in range(size):
            low = min(low, row[x])
            high = max(high, row[x])
    span = np.int64(high) - np.int64(low)
    for y in range(size):
        at = _place(y, 0, rules.border, rules.stride)
        row, developed = light[at : at + size], picture[y * size : (y + 1) * size]
        for x in range(size):
            above = np.int64(row[x]) - np.int64(low)
            developed[x] = np.uint8((510 * above + span) // (2 * span)) if above else np.uint8(0)


@njit(cache=True)
def _store(paddles: NDArray[np.int64], count: np.int64, plates: Plates, values: NDArray[np.int16]) -> None:
    """Write paddles as four numbers each."""
    for i in range(count):
        values[4 * i], values[4 * i + 1] = paddles[i, PADDLE_Y], paddles[i, PADDLE_X]
        values[4 * i + 2], values[4 * i + 3] = plates.drawn_angles[paddles[i, PATCH]], paddles[i, CONTRAST]


@njit(cache=True)
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


@njit(cache=True)
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
) -> np.int64:
    """Draw the pictures of indices[rows], all of one margin, into the same rows of the outputs.

    pictures (n, resolution^2), attempts (n,), tips (n, 8), contours (n, 2 x contour_length x 4), distractors (n, room
    for all x 4), placed (n, 2): distractors and single paddles; counters (n, 4), see EXTENSIONS. Returns -1,
    or the row whose attempts all failed; attempts there is rules.max_attempts.
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
    complete = 2 * rules.contour_length
    for lane in range(num_lanes):
        _copy_bytes(masks[lane], plates.empty_mask, canvas)
        _copy_bytes(wides[lane], plates.empty_wide, canvas)

    for row in rows:
        counts = counters[row]
        stream[7] = np.uint64(indices[row])
        origin, other = origins[row], 1 - origins[row]
        succeeded = False
        for attempt in range(rules.max_attempts):
            attempts[row] = attempt + 1
            _open_stream(stream, STAGE_CONTOURS, np.uint64(attempt))
            found = _attempt(stream, rules, plates, masks, wides, state, paddles, cumulated, counts)
            succeeded = found == complete
            if succeeded and rules.distance_step:
                first, last = paddles[origin, 0], rules.contour_length - 1
                succeeded = _distance_class(first, paddles[origin, last], rules.distance_step) == _distance_class(
                    first, paddles[other, last], rules.distance_step
                )
            if succeeded:
                break
            for contour in range(2):
                for number in range((found + 1 - contour) // 2):
                    for lane in range(num_lanes):
                        _copy_window(
                            paddles[contour, number],
                            rules,
                            plates.empty_mask,
                            plates.empty_wide,
                            masks[lane],
                            wides[lane],
                        )
        if not succeeded:
            return row

        mask, wide = masks[0], wides[0]
        if rules.separate_contours:
            for i in range(canvas):
                mask[i] = max(mask[i], masks[1, i])
                wide[i] = max(wide[i], wides[1, i])
        else:
            _add_paddle(paddles[1, rules.contour_length - 1], rules, plates, mask, wide)
        _copy_bytes(kept_mask, mask, canvas)
        _copy_bytes(kept_wide, wide, canvas)
        num_distractors = _strew(
            stream, STAGE_DISTRACTORS, rules.num_distractors, rules.distractor_tries, rules.distractor_length,
            rules, plates, mask, wide, kept_mask, kept_wide, state[0], strewn, cumulated, counts,
        )  # fmt: skip
        in_distractors = num_distractors * rules.distractor_length
        num_singles = _strew(
            stream, STAGE_SINGLES, rules.num_singles, rules.paddle_trials, np.int64(1),
            rules, plates, mask, wide, kept_mask, kept_wide, state[0], strewn[in_distractors:], cumulated, counts,
        )  # fmt: skip

        light[:] = 0
        for contour in range(2):
            for number in range(rules.contour_length):
                one = paddles[contour, number]
                value = plates.contour_values[one[CONTRAST]]
                _light_patch(one[PADDLE_Y], one[PADDLE_X], plates.lines[one[PATCH]], value, rules, light)
        for number in range(in_distractors + num_singles):
            one = strewn[number]
            value = plates.distractor_values[one[CONTRAST]]
            _light_patch(one[PADDLE_Y], one[PADDLE_X], plates.lines[one[PATCH]], value, rules, light)
        marked = origin if labels[row] else other
        for tip in range(2):
            one = paddles[marked, rules.contour_length - 1] if tip else paddles[origin, 0]
            y, x = one[PADDLE_Y], one[PADDLE_X]
            disc = plates.markers[plates.marker_class[y], plates.marker_class[x]]
            _light_patch(y, x, disc, rules.marker_value, rules, light)
        _develop(rules, light, pictures[row])

        for contour in range(2):
            first, last = paddles[contour, 0], paddles[contour, rules.contour_length - 1]
            tips[row, 4 * contour], tips[row, 4 * contour + 1] = first[PADDLE_Y], first[PADDLE_X]
            tips[row, 4 * contour + 2], tips[row, 4 * contour + 3] = last[PADDLE_Y], last[PADDLE_X]
            values = contours[row, 4 * rules.contour_length * contour :]
            _store(paddles[contour], rules.contour_length, plates, values)
        _store(strewn, in_distractors + num_singles, plates, distractors[row])
        placed[row, 0], placed[row, 1] = num_distractors, num_singles
        for lane in range(num_lanes):
            _copy_bytes(masks[lane], plates.empty_mask, canvas)
            _copy_bytes(wides[lane], plates.empty_wide, canvas)
    return np.int64(-1)
