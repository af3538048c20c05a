"""Draws the tables of a configuration with Pillow and OpenCV: every patch, step and weight for drawing a picture.

The number of orientations is finite: 360 whole degrees for the first paddle of a contour, and the pixels of a small
ring for all others. So all drawing, and all arithmetic with sines, is done once, here; the kernel only adds and
compares integers. `docs/pathfinder_draws.md` defines each table and its name.

Angles are numbered: 0 to 359 are -180 to 179 degrees, 360 + c is the angle of ring candidate c.

This module and OpenCV are not imported for reading or building a preset, since the presets' tables are files
(`drawing_tables.py`).
"""

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from lra_data.errors import UsageError
from lra_data.pathfinder.config import Config
from lra_data.pathfinder.generator.patches import DEGREES, footprint, marker_classes, marker_reach

Array = NDArray[Any]

WEIGHT_ONE = 2**30


def draw_tables(config: Config) -> dict[str, Array]:
    """The tables of a configuration: tables of each margin m, with names that end in `_m`, and tables without a margin.

    start_by_parity int16 (2, 360, 2)   second tail less first, for even and odd coordinates of the first
    markers         uint8 (k, k, s, s)  discs by class of y and of x, see `patches.marker_classes`
    ring_m          int16 (c, 2)        ring candidates
    lines_m, masks_m uint8 (360 + c, 2R + 1, 2R + 1)  drawn at the angle, for candidates at its reverse
    drawn_angles_m  int16 (360 + c)     the angle as drawn, in hundredths of a degree
    heads_m, pivots_m int16 (360, 2)    tail to head, head to pivot
    steps_m         int16 (360 + c, 2)  last pivot to new pivot
    weights_m       uint32 (360 + c, c) turn weights
    leaves_m        bool (360)          whether the footprint can leave the image
    starts_m        int16 (360, 4)      first row and column of the start pixels, their rows and columns
    """
    tables: dict[str, Array] = {"start_by_parity": _second_tails(config), "markers": _draw_markers(config)}
    for margin in config.paddle_margin_list:
        tables |= {f"{name}_{margin}": table for name, table in _draw_margin(config, margin).items()}
    return tables


def shift(distance: float, angle: float) -> tuple[int, int]:
    """(y, x) of a step, first rounded to nine decimals, so that no last bit of a sine matters, then rounded up."""
    return math.ceil(round(distance * math.sin(angle), 9)), math.ceil(round(distance * math.cos(angle), 9))


def reverse(angle: float) -> float:
    """The opposite direction, from -pi to pi."""
    return angle + math.pi if angle < 0 else angle - math.pi


def ring_candidates(radius: int) -> Array:
    """Pixels of the ring, sampled once per pixel of arc, as in the original: int16 (c, 2), sorted by y, then x."""
    pixels = set()
    step = 0
    while step / radius < 2 * math.pi:
        angle = step / radius
        pixels.add((math.floor(radius * math.sin(angle)), math.floor(radius * math.cos(angle))))
        step += 1
    return np.array(sorted(pixels), dtype=np.int16)


def _disc(radius: int) -> Array:
    offsets = np.arange(-radius, radius + 1)
    return (offsets[:, None] ** 2 + offsets**2 <= radius**2).astype(np.uint8)


def _reduced(large: Array, size: int) -> Array:
    return np.asarray(Image.fromarray(large).resize((size, size), Image.Resampling.LANCZOS))


def _draw_paddle(config: Config, margin: int, angle: float) -> tuple[Array, Array]:
    """Line and mask of a paddle drawn at an angle."""
    scale = config.antialias_scale
    reach = config.paddle_length + math.ceil(config.paddle_thickness) + margin
    centre = reach * scale
    down, right = shift(config.paddle_length * scale, angle)
    canvas = Image.new("F", (2 * centre + 1, 2 * centre + 1), 0)
    ImageDraw.Draw(canvas).line(
        [(centre, centre), (centre + right, centre + down)], fill=255, width=round(config.paddle_thickness * scale)
    )
    line = np.asarray(canvas).astype(np.uint8)
    mask = np.asarray(cv2.dilate(line, _disc(margin * scale)))
    return _reduced(line, 2 * reach + 1), _reduced(mask, 2 * reach + 1)


def _draw_margin(config: Config, margin: int) -> dict[str, Array]:
    length = config.paddle_length
    ring = ring_candidates(length + margin)
    degrees = [math.radians(degree) for degree in range(-180, 180)]
    candidates = [math.atan2(y, x) for y, x in ring.tolist()]
    drawn = degrees + [reverse(angle) for angle in candidates]
    patches = [_draw_paddle(config, margin, angle) for angle in drawn]
    footprints = [footprint(mask, length, margin) for _, mask in patches[:DEGREES]]
    leaves, starts = _draw_starts(config, footprints)
    return {
        "ring": ring,
        "lines": np.array([line for line, _ in patches]),
        "masks": np.array([mask for _, mask in patches]),
        "drawn_angles": np.array([round(math.degrees(angle) * 100) for angle in drawn], dtype=np.int16),
        "heads": _steps(length, degrees),
        "pivots": _steps(length + margin, [reverse(angle) for angle in degrees]),
        "steps": _steps(length + 2 * margin, degrees + candidates),
        "weights": _turn_weights(config.continuity, degrees + candidates, candidates),
        "leaves": leaves,
        "starts": starts,
    }


def _steps(distance: float, angles: list[float]) -> Array:
    return np.array([shift(distance, angle) for angle in angles], dtype=np.int16)


def _turn_weights(continuity: float, before: list[float], after: list[float]) -> Array:
    weights = np.zeros((len(before), len(after)), dtype=np.uint32)
    for i, last in enumerate(before):
        for j, angle in enumerate(after):
            turn = min(abs(angle - last), 2 * math.pi - abs(angle - last))
            weights[i, j] = math.floor(WEIGHT_ONE * math.cos(min(continuity * turn, math.pi / 2)) ** 2 + 0.5)
    return weights


def _draw_starts(config: Config, footprints: list[Array]) -> tuple[Array, Array]:
    """`leaves` and `starts` of one margin: OpenCV's dilation of the frame around the start pixels.

    All places that are farther from the edges and corners of the frame than a footprint reaches give the same result.
    So the dilation is done on a picture without most of them, and the resulting rectangle is enlarged again.
    """
    frame = max(2 * config.seed_distance, config.padding)
    middle = config.resolution - 2 * frame
    enough = len(footprints[0]) + 1
    small_frame, small_middle = min(frame, enough), min(middle, 2 * enough)
    blocked = np.pad(np.zeros((small_middle, small_middle)), small_frame, constant_values=1)
    leaves = np.zeros(DEGREES, dtype=bool)
    starts = np.zeros((DEGREES, 4), dtype=np.int16)
    for number, element in enumerate(footprints):
        dilated = cv2.dilate(blocked, element)
        # Where no pixel of the footprint is inside the image, OpenCV gives the smallest possible number.
        leaves[number] = dilated.min() < 0
        rows, columns = np.nonzero((dilated >= 0) & (dilated <= 0.3))
        if not len(rows):
            continue
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        if height * width != len(rows):
            raise UsageError(
                "pathfinder: expected start pixels that fill a rectangle, got gaps: a paddle of "
                f"{config.paddle_length} x {config.paddle_thickness} pixels falls apart, make it thicker or shorter"
            )
        moved, larger = frame - small_frame, middle - small_middle
        starts[number] = rows.min() + moved, columns.min() + moved, height + larger, width + larger
    return leaves, starts


def _second_tails(config: Config) -> Array:
    """By parity of the first tail's coordinate and whole degrees: ties are rounded to even, so the parity matters."""
    tails = np.zeros((2, DEGREES, 2), dtype=np.int16)
    for parity in range(2):
        for degree in range(DEGREES):
            angle = math.radians(degree)
            exact = [round(config.seed_distance * value, 9) for value in (math.sin(angle), math.cos(angle))]
            tails[parity, degree] = [round(parity + value) - parity for value in exact]
    return tails


def _draw_markers(config: Config) -> Array:
    """Discs on every class of coordinates."""
    size, scale = config.resolution, config.antialias_scale
    reach = marker_reach(config)
    classes = marker_classes(size, reach)
    count = int(classes.max()) + 1
    # Only the distance to the nearest edges matters, so a picture just wide enough for every class is enough.
    canvas_size = min(size, 2 * count + 1)
    coordinates = {int(number): place for place, number in enumerate(marker_classes(canvas_size, reach))}
    offsets = np.arange(canvas_size * scale)
    discs = np.zeros((count, count, 2 * reach + 1, 2 * reach + 1), dtype=np.uint8)
    for i, y in coordinates.items():
        for j, x in coordinates.items():
            squares = (offsets[:, None] - y * scale) ** 2 + (offsets - x * scale) ** 2
            large = np.where(squares <= (config.marker_radius * scale) ** 2, 255, 0).astype(np.uint8)
            picture = np.pad(_reduced(large, canvas_size), reach)
            discs[i, j] = picture[y : y + 2 * reach + 1, x : x + 2 * reach + 1]
            picture[y : y + 2 * reach + 1, x : x + 2 * reach + 1] = 0
            if picture.any():
                raise AssertionError("a marker reaches beyond its patch")
    return discs
