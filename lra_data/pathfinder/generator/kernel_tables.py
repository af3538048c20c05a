"""The drawing tables in the layout of the kernel's canvas, as the kernels read them in their loops.

A canvas is a picture with a margin around it, so that patches need no clipping, as one flat array of bytes, row by row.
The rows of a patch are padded to a multiple of LANES bytes, so that patches are added in whole vectors.
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
    """The parameters of contours, distractors and markers of a configuration, as int64."""

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


class Grid(NamedTuple):
    """The sizes of a canvas and of its patches, in pixels or bytes, as int64."""

    resolution: int
    border: int
    stride: int
    reach: int
    row_bytes: int
    wide_reach: int
    wide_row_bytes: int
    ring_radius: int


class Stamps(NamedTuple):
    """The patches for masks.

    The first three are flat: one patch after another, row by row, each row padded to a multiple of LANES.
    thresholds: a byte of the mask above this rejects the paddle.
    masks, wide_masks: a paddle's mask, and that mask dilated.
    inside: 255 in the image, 0 around it, as a canvas.
    """

    thresholds: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    wide_masks: NDArray[np.uint8]
    inside: NDArray[np.uint8]


class Chains(NamedTuple):
    """The tables for the successor of a paddle.

    heads, pivots: for each degree the step from tail to head, and from head to pivot.
    leaves: for each degree whether the footprint can leave the image.
    turns: for each angle the first row in `near`, the number of rows, and the step to the new pivot.
    near: the ring candidates with a turn weight: place on the canvas relative to the pivot, weight, number, y and x
        relative to the pivot.
    """

    heads: NDArray[np.int64]
    pivots: NDArray[np.int64]
    leaves: NDArray[np.bool_]
    turns: NDArray[np.int64]
    near: NDArray[np.int64]


class Starts(NamedTuple):
    """The tables for the start of contours.

    contour_0: for each degree first row and column of the start pixels, their rows and columns.
    contour_1: by parity of the first tail's coordinate and by direction, second tail less first.
    """

    contour_0: NDArray[np.int64]
    contour_1: NDArray[np.int64]


class Footprints(NamedTuple):
    """place[first[d] : first[d + 1]] are the pixels of the footprint at degree d, relative to its own place."""

    first: NDArray[np.int64]
    place: NDArray[np.int64]


class Ink(NamedTuple):
    """The tables for painting pictures: lines by patch, discs by class of y and x, and brightness by contrast."""

    lines: NDArray[np.uint8]
    markers: NDArray[np.uint8]
    marker_class: NDArray[np.int64]
    contour_values: NDArray[np.int64]
    distractor_values: NDArray[np.int64]


class Tables(NamedTuple):
    """All tables that the kernels read at one margin, with the initial canvases and the angles as drawn."""

    rules: Rules
    grid: Grid
    stamps: Stamps
    chains: Chains
    starts: Starts
    footprints: Footprints
    ink: Ink
    empty_mask: NDArray[np.uint8]
    empty_wide: NDArray[np.uint8]
    drawn_angles: NDArray[np.int16]


@lru_cache(maxsize=8)
def prepare(config: Config, margin: int) -> Tables:
    """The tables of a configuration at one of its margins."""
    tables = drawing_tables(config)
    masks = tables[f"masks_{margin}"]
    ring = tables[f"ring_{margin}"].astype(np.int64)
    grid = _grid(config, margin, reach=masks.shape[1] // 2)
    wide = _dilated(np.pad(masks, ((0, 0), (margin, margin), (margin, margin))), margin)
    turns, near = _turns(tables[f"steps_{margin}"], tables[f"weights_{margin}"], ring, grid.stride)
    footprints = [_footprint_places(mask, config.paddle_length, margin, grid.stride) for mask in masks[:DEGREES]]
    inside, empty_mask, empty_wide = _canvases(config, margin, grid)
    marker_value, contour_values, distractor_values = contrast_values(config)
    return Tables(
        rules=_rules(config, margin, marker_value),
        grid=grid,
        stamps=Stamps(
            thresholds=_in_lanes(
                np.where(masks >= TOO_MUCH - 255, TOO_MUCH - 1 - masks.astype(np.int64), NEVER), NEVER
            ),
            masks=_in_lanes(masks, 0),
            wide_masks=_in_lanes(wide, 0),
            inside=inside,
        ),
        chains=Chains(
            heads=tables[f"heads_{margin}"].astype(np.int64),
            pivots=tables[f"pivots_{margin}"].astype(np.int64),
            leaves=tables[f"leaves_{margin}"],
            turns=turns,
            near=near,
        ),
        starts=Starts(
            contour_0=tables[f"starts_{margin}"].astype(np.int64),
            contour_1=tables["start_by_parity"].astype(np.int64),
        ),
        footprints=Footprints(first=_firsts(footprints), place=np.concatenate(footprints)),
        ink=Ink(
            lines=tables[f"lines_{margin}"],
            markers=tables["markers"],
            marker_class=marker_classes(config.resolution, marker_reach(config)),
            contour_values=contour_values,
            distractor_values=distractor_values,
        ),
        empty_mask=empty_mask,
        empty_wide=empty_wide,
        drawn_angles=tables[f"drawn_angles_{margin}"],
    )


def _rules(config: Config, margin: int, marker_value: int) -> Rules:
    return Rules(
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
    )


def _grid(config: Config, margin: int, reach: int) -> Grid:
    radius = config.paddle_length + margin
    # The margin has room for a patch on any pixel of the image, and for the ring around any pivot whose ring reaches
    # the image.
    border = max(reach + margin, marker_reach(config), 2 * radius + 1)
    return Grid(
        resolution=config.resolution,
        border=border,
        stride=config.resolution + 2 * border,
        reach=reach,
        row_bytes=_full_lanes(2 * reach + 1),
        wide_reach=reach + margin,
        wide_row_bytes=_full_lanes(2 * (reach + margin) + 1),
        ring_radius=radius,
    )


def _canvases(
    config: Config, margin: int, grid: Grid
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """`inside` of Stamps, and the two initial canvases."""
    inside, empty_mask = np.zeros((2, grid.stride, grid.stride), dtype=np.uint8)
    image = slice(grid.border, grid.border + grid.resolution)
    clear = slice(grid.border + config.padding, grid.border + grid.resolution - config.padding)
    inside[image, image] = 255
    empty_mask[image, image] = 255
    empty_mask[clear, clear] = 0
    empty_wide = np.full((grid.stride, grid.stride), 255, dtype=np.uint8)
    padded = np.pad(empty_mask[image, image][None], ((0, 0), (margin, margin), (margin, margin)))
    empty_wide[image, image] = _dilated(padded, margin)[0, margin:-margin, margin:-margin]
    return _canvas(inside), _canvas(empty_mask), _canvas(empty_wide)


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
    """Each patch dilated with the disc of radius `margin`; patches must have a border of zeros of that width."""
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
    """One row after another; the last row of a patch may extend LANES bytes beyond its window."""
    return np.concatenate([picture.ravel(), np.zeros(LANES, dtype=np.uint8)])


def _firsts(lists: list[Any]) -> NDArray[np.int64]:
    return np.cumsum([0, *map(len, lists)], dtype=np.int64)


def _turns(
    steps: NDArray[Any], weights: NDArray[Any], ring: NDArray[np.int64], stride: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`turns` and `near` of Chains."""
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
