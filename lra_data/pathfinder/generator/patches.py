"""How to read the drawing tables: numbers of angles, footprints of masks, and the marker for each coordinate."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lra_data.pathfinder.config import Config

Array = NDArray[Any]

# Whole degrees, the angles of first paddles; ring candidate c has the angle number DEGREES + c.
DEGREES = 360

_LANCZOS_REACH = 3  # pixels of the reduced picture that a source pixel can reach


def marker_classes(resolution: int, patch_reach: int) -> Array:
    """The class of each coordinate, int64 (resolution,): coordinates of one class have the same disc.

    Lanczos weights are cut off at the edge of the image, so each coordinate near an edge has its own class; all others
    share one class.
    """
    near = min(patch_reach + _LANCZOS_REACH, resolution // 2)
    coordinates = np.arange(resolution)
    from_end = resolution - 1 - coordinates
    return np.where(coordinates < near, coordinates, np.where(from_end < near, 2 * near - from_end, near))


def marker_reach(config: Config) -> int:
    """Greatest distance, in rows or columns, at which a marker's pixel can differ from 0."""
    return math.ceil(config.marker_radius) + _LANCZOS_REACH


def footprint(mask: Array, length: int, margin: int) -> Array:
    """The structuring element of a paddle's mask: uint8 (2b + 1, 2b + 1), anchored in the middle, not at the tail."""
    reach = length + margin
    centre = len(mask) // 2
    first = centre - reach - 1
    inside: Array = mask[first : first + 2 * reach + 1, first : first + 2 * reach + 1] == 255
    return inside.astype(np.uint8)
