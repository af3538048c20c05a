"""Finds the discs and dashes of a picture, where a template fits the ink; compiled.

All brightness values are relative to the discs.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEAST_LIGHT_OF_DISC = 0.75  # at the pixel of its centre
LEAST_FIT_OF_DISC = 0.8  # minimum share of a disc's ink
LEAST_LIGHT_OF_DASH = 0.3  # at the pixel of its centre
HIDING = 0.5  # dashes with a centre on a disc, or within this many pixels of it, cannot be seen

# Of the places where a dash fits, the best are kept: much of the dash's ink, and little other ink around it.
CROWD_WEIGHT = 0.3  # ink in a window around it, in dashes
COVERAGE_WEIGHT = 1.3  # share of the dash's ink that is present
# Two fits closer than this, in pixels and radians, are one dash.
SAME_PLACE = 2.25
SAME_ANGLE = 0.5


@njit()
def find_discs(picture: Floats, disc: Floats, found: NDArray[np.int64]) -> bool:
    """Fill found (2, 2) with the centre pixels of the two best discs; returns whether there are two."""
    side = disc.shape[0]
    reach = side // 2
    resolution = picture.shape[0]
    total = disc.sum()
    fits = np.zeros((resolution, resolution))
    for y in range(resolution):
        for x in range(resolution):
            if picture[y, x] < LEAST_LIGHT_OF_DISC:
                continue
            missing = 0.0
            for dy in range(side):
                for dx in range(side):
                    yy, xx = y + dy - reach, x + dx - reach
                    ink = picture[yy, xx] if 0 <= yy < resolution and 0 <= xx < resolution else 0.0
                    missing += max(0.0, disc[dy, dx] - ink)
            fits[y, x] = 1 - missing / total
    for number in range(2):
        best = 0.0
        for y in range(resolution):
            for x in range(resolution):
                if fits[y, x] > best and (
                    number == 0 or (y - found[0, 0]) ** 2 + (x - found[0, 1]) ** 2 > (side - 2) ** 2 / 2
                ):
                    best = fits[y, x]
                    found[number, 0], found[number, 1] = y, x
        if best < LEAST_FIT_OF_DISC:
            return False
    return True


@njit()
def fit(padded: Floats, template: Floats, y: int, x: int, least: float) -> float:
    """Share of a dash's ink that is in the picture; 0 if below `least`."""
    total = template[0, 3]
    allowed = (1 - least) * total
    missing = 0.0
    for index in range(1, int(template[0, 0]) + 1):
        ink = padded[y + int(template[index, 0]), x + int(template[index, 1])]
        missing += max(0.0, template[index, 2] - ink)
        if missing > allowed:
            return 0.0
    return 1 - missing / total


@njit()
def find_dashes(padded: Floats, pad: int, templates: Floats, discs: Floats, radius: float, least: float) -> Floats:
    """Dashes (n, 4) as (y, x, angle, coverage): the best fits, without two of nearly the same place and angle."""
    resolution = padded.shape[0] - 2 * pad
    num_angles = templates.shape[0] // 4
    found = []
    ranks = []
    for y in range(resolution):
        for x in range(resolution):
            if padded[y + pad, x + pad] < LEAST_LIGHT_OF_DASH:
                continue
            near = padded[y + 1 : y + 2 * pad, x + 1 : x + 2 * pad].sum()
            for template in range(len(templates)):
                coverage = fit(padded, templates[template], y + pad, x + pad, least)
                if coverage == 0:
                    continue
                cy, cx = y + (template % 4 // 2) / 2, x + (template % 2) / 2
                hidden = False
                for disc in range(2):
                    hidden |= (cy - discs[disc, 0]) ** 2 + (cx - discs[disc, 1]) ** 2 < (radius + HIDING) ** 2
                if not hidden:
                    total = templates[template, 0, 3]
                    found.append((cy, cx, math.pi * (template // 4) / num_angles, coverage))
                    ranks.append(CROWD_WEIGHT * near / total - COVERAGE_WEIGHT * coverage)
    kept = []
    for index in np.argsort(np.array(ranks), kind="mergesort"):
        y, x, angle, coverage = found[index]
        novel = True
        for other in kept:
            between = abs(angle - other[2])
            between = min(between, math.pi - between)
            if (y - other[0]) ** 2 + (x - other[1]) ** 2 < SAME_PLACE**2 and between < SAME_ANGLE:
                novel = False
                break
        if novel:
            kept.append((y, x, angle, coverage))
    dashes = np.empty((len(kept), 4))
    for row, dash in enumerate(kept):
        dashes[row] = dash
    return dashes
