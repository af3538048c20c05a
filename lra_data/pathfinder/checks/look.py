"""The tracer's prior knowledge of pictures: the sizes of discs, dashes and gaps, as a viewer can see them."""

import math
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Look(NamedTuple):
    """The appearance of pictures of one resolution; lengths are in pixels.

    radius: radius of the discs.
    length, width: length and width of a dash's ink.
    flat_width: width of dashes FLAT_ANGLES off the horizontal, which look thinner.
    brightness: brightness of dashes, relative to the discs.
    gaps: possible gaps between consecutive dashes; all gaps of a picture are the same.
    gap_spread: standard deviation of gaps from that value.
    turn_spread: standard deviation of the turn between consecutive dashes, in radians.
    slip_spread: standard deviation of the slip, in radians: half of a turn should come before the gap, and half after.
    coverage: minimum share of a dash's ink.
    """

    radius: float
    length: float
    width: float
    flat_width: float
    brightness: float
    gaps: tuple[float, ...]
    gap_spread: float
    turn_spread: float
    slip_spread: float
    coverage: float


# Chosen on pictures of seed 77.
LOOKS = {
    32: Look(1.5, 2.6, 0.9, 0.9, 0.75, (1.4, 2.0), 0.5, 0.5, 0.3, 0.75),
    64: Look(2.5, 5.65, 1.1, 0.7, 0.8, (1.4, 2.0), 0.8, 0.4, 0.5, 0.7),
    128: Look(3.0, 5.65, 1.6, 1.22, 0.9, (4.0, 6.0), 0.8, 0.4, 0.2, 0.8),
    256: Look(5.0, 5.65, 2.05, 1.7, 1.0, (5.4,), 0.8, 0.4, 0.2, 0.8),
}
NUM_ANGLES = 36  # of dashes, over half a turn
DISC_OFFSET = -0.25  # offset of disc centres from a pixel's centre
FLAT_ANGLES = (0.04, 0.54)  # radians off the horizontal, 2 to 31 degrees
FINE = 8  # templates are drawn this many times larger in each direction, and averaged


def nearest_known(resolution: int) -> int:
    """The resolution in LOOKS that is nearest by ratio."""
    return min(LOOKS, key=lambda known: abs(math.log(known / resolution)))


def look_of(resolution: int) -> Look:
    """The look at any resolution: the look of the nearest known resolution, with scaled lengths."""
    nearest = nearest_known(resolution)
    look = LOOKS[nearest]
    if nearest == resolution:
        return look
    scale = resolution / nearest
    return look._replace(
        radius=look.radius * scale,
        length=look.length * scale,
        width=look.width * scale,
        flat_width=look.flat_width * scale,
        gaps=tuple(gap * scale for gap in look.gaps),
        gap_spread=look.gap_spread * scale,
    )


@cache
def disc_template(radius: float) -> Floats:
    """A disc as the share of each pixel that it covers, float64 (side, side)."""
    reach = math.ceil(radius) + 1
    fine = (np.arange((2 * reach + 1) * FINE) + 0.5) / FINE - 0.5 - reach - DISC_OFFSET
    inside = np.hypot(fine[:, None], fine[None, :]) < radius
    disc: Floats = inside.reshape(2 * reach + 1, FINE, 2 * reach + 1, FINE).mean((1, 3))
    return disc


@cache
def dash_templates(length: float, width: float, flat_width: float) -> Floats:
    """(4 * angles, 1 + pixels, 4): dashes with centres on half pixels, as pixels (dy, dx, ink), most ink first.

    The first row of each dash is (number of pixels, -, -, total ink).
    """
    reach = math.ceil((length + width) / 2 + 0.5)
    side = 2 * reach + 1
    fine = (np.arange(side * FINE) + 0.5) / FINE - 0.5 - reach
    templates = np.zeros((4 * NUM_ANGLES, 1 + side * side, 4))
    for number, template in enumerate(templates):
        angle = math.pi * (number // 4) / NUM_ANGLES
        flat = FLAT_ANGLES[0] < min(angle, math.pi - angle) < FLAT_ANGLES[1]
        y, x = fine[:, None] - number % 4 // 2 / 2, fine[None, :] - number % 2 / 2
        along, across = y * math.sin(angle) + x * math.cos(angle), x * math.sin(angle) - y * math.cos(angle)
        inside = (abs(along) < length / 2) & (abs(across) < (flat_width if flat else width) / 2)
        ink = inside.reshape(side, FINE, side, FINE).mean((1, 3)).ravel()
        order = np.argsort(-ink, kind="stable")
        template[0, 0], template[0, 3] = np.count_nonzero(ink), ink.sum()
        template[1:, 0], template[1:, 1], template[1:, 2] = order // side - reach, order % side - reach, ink[order]
    return templates
