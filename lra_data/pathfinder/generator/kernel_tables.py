"""The drawing tables laid out for the kernel's canvas: what `kernel.py` and `canvas.py` read in their loops.

A canvas is a picture with a margin around it, so that patches need no clipping, as one flat array of bytes, row by row.
A patch is a run of rows that are filled up to a multiple of LANES bytes, so that it is laid on in whole vectors.
"""

from fractions import Fraction
from functools import lru_cache
from math import lcm
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lra_data.pathfinder.config import Config
from lra_data.pathfinder.generator.drawing_tables import drawing_tables
from lra_data.pathfinder.generator.patches import DEGREES, footprint, marker_classes, marker_reach

LANES = 32  # bytes of a canvas row compared or written at once
TOO_MUCH = 459  # 1.8 of 255: mask and new paddle's mask together
NEVER = 255  # a threshold that no byte exceeds


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


@lru_cache(maxsize=8)
def prepare(config: Config, margin: int) -> tuple[Rules, Plates]:
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
