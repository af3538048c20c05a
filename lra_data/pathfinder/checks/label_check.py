"""Derives every label again from a row's geometry and its picture, exactly, with NumPy and the drawing tables.

Each contour must be a chain: every paddle follows from the previous paddle by a step and a ring candidate that the turn
allows. The chains' ends give the tips. The paddles are drawn again with markers on each of the four possible pairs of
tips. One pair must give the picture, byte for byte; this pair determines the label.

This file shares only the tables with the kernel. `tracer.py` solves from the picture alone.
"""

from collections.abc import Mapping
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lra_data.pathfinder.config import Config
from lra_data.pathfinder.generator.drawing_tables import drawing_tables
from lra_data.pathfinder.generator.patches import DEGREES, marker_classes, marker_reach

Array = NDArray[Any]


class WrongGeometry(Exception):  # noqa: N818
    """The geometry is inconsistent; the message says how."""


def problem(config: Config, row: Mapping[str, Any]) -> str | None:
    """The fault of a row, or None. `row` holds NumPy arrays and numbers by column name, including geometry."""
    try:
        margin = row["margin"]
        if margin not in config.paddle_margin_list:
            raise WrongGeometry(f"expected a margin of {config.paddle_margin_list}, got {margin}")
        contours = row["contours"].reshape(2, config.contour_length, 4)
        chains = [_follow(config, margin, paddles) for paddles in contours]
        distractors, single_paddles = _split_distractors(config, row)
        strewn = [_follow(config, margin, paddles) for paddles in (*distractors, *single_paddles)]
        tips = np.concatenate([paddles[[0, -1], :2].ravel() for paddles in contours])
        if not np.array_equal(tips, row["tips"]):
            raise WrongGeometry(f"expected tips {tips.tolist()}, the ends of the contours, got {row['tips'].tolist()}")
        values = _contrast_values(config)
        light = _Light(config, margin)
        for paddles, patches in zip(contours, chains, strict=True):
            light.add_paddles(paddles, patches, values["contours"])
        for paddles, patches in zip((*distractors, *single_paddles), strewn, strict=True):
            light.add_paddles(paddles, patches, values["distractors"])
        stored = (row["origin"], row["label"])
        if stored in _PAIRS and light.shows(row["inputs"], tips, *stored, values["marker"]):
            return None
        for origin, label in _PAIRS:
            if light.shows(row["inputs"], tips, origin, label, values["marker"]):
                return f"expected label {label} and origin {origin}, found from picture and paddles, got {stored[::-1]}"
    except WrongGeometry as error:
        return str(error)
    return "expected the picture of these paddles with two markers on their tips, got another picture"


_PAIRS = tuple(product((0, 1), (0, 1)))  # (origin, label)


def _split_distractors(config: Config, row: Mapping[str, Any]) -> tuple[Array, Array]:
    """The distractors (n, distractor_length, 4) and the single paddles (n, 1, 4) of a row."""
    paddles = row["distractors"]
    in_distractors = row["num_distractors"] * config.distractor_length
    singles = len(paddles) // 4 - in_distractors
    most = config.num_single_paddles(row["margin"])
    if len(paddles) % 4 or not 0 <= row["num_distractors"] <= config.num_distractor_snakes or not 0 <= singles <= most:
        raise WrongGeometry(
            f"expected up to {config.num_distractor_snakes} distractors of {config.distractor_length} paddles and up "
            f"to {most} single paddles, got {row['num_distractors']} distractors in {len(paddles)} numbers"
        )
    paddles = paddles.reshape(-1, 4)
    return (
        paddles[:in_distractors].reshape(-1, config.distractor_length, 4),
        paddles[in_distractors:].reshape(-1, 1, 4),
    )


def _follow(config: Config, margin: int, paddles: Array) -> list[int]:
    """The patches of a chain's paddles; raises WrongGeometry if a paddle does not follow from the previous paddle."""
    chain = _chain_tables(config, margin)
    tail_y, tail_x, degrees, _ = paddles[0].tolist()
    angle = degrees // 100 + 180
    if degrees % 100 or not 0 <= angle < DEGREES:
        raise WrongGeometry(f"expected a first paddle of whole degrees, got {degrees / 100}")
    y = tail_y + chain.heads[angle][0] + chain.pivots[angle][0]
    x = tail_x + chain.heads[angle][1] + chain.pivots[angle][1]
    patches = [angle]
    for number, (head_y, head_x, degrees, _) in enumerate(paddles[1:].tolist(), start=1):
        y, x = y + chain.steps[angle][0], x + chain.steps[angle][1]
        candidate = chain.candidates.get((head_y - y, head_x - x))
        if candidate is None or not chain.weights[angle, candidate]:
            raise WrongGeometry(f"expected paddle {number} to follow from the previous, got {(head_y, head_x)}")
        angle = DEGREES + candidate
        if chain.drawn_angles[angle] != degrees:
            raise WrongGeometry(f"expected paddle {number} at {chain.drawn_angles[angle] / 100}, got {degrees / 100}")
        patches.append(angle)
    return patches


class _ChainTables:
    """The tables for following chains, as Python lists, which are faster for single numbers."""

    def __init__(self, tables: Mapping[str, Array], margin: int) -> None:
        self.heads = tables[f"heads_{margin}"].tolist()
        self.pivots = tables[f"pivots_{margin}"].tolist()
        self.steps = tables[f"steps_{margin}"].tolist()
        self.drawn_angles = tables[f"drawn_angles_{margin}"].tolist()
        self.weights = tables[f"weights_{margin}"]
        self.candidates = {tuple(pixel): number for number, pixel in enumerate(tables[f"ring_{margin}"].tolist())}


@lru_cache(maxsize=8)
def _chain_tables(config: Config, margin: int) -> _ChainTables:
    return _ChainTables(drawing_tables(config), margin)


@lru_cache(maxsize=4)
def _contrast_values(config: Config) -> dict[str, Any]:
    """Brightness of marker and paddles in millionths: contrasts have at most three decimals, products six."""
    snakes = [round(contrast * 1000) for contrast in config.snake_contrast_list]
    paddles = [round(contrast * 1000) for contrast in config.paddle_contrast_list]
    products = np.array([snake * paddle for snake in snakes for paddle in paddles])
    return {
        "marker": 10**6,
        "contours": products,
        "distractors": products if config.same_contrast else np.array(snakes) * 1000,
    }


class _Light:
    """Brightness of an unfinished picture, on a canvas with room for patches that extend beyond its edge."""

    def __init__(self, config: Config, margin: int) -> None:
        tables = drawing_tables(config)
        self.size = config.resolution
        self.lines = tables[f"lines_{margin}"].astype(np.int64)
        self.markers = tables["markers"].astype(np.int64)
        self.marker_class = marker_classes(config.resolution, marker_reach(config))
        self.border = max(self.lines.shape[1], self.markers.shape[2])
        self.canvas = np.zeros((self.size + 2 * self.border, self.size + 2 * self.border), dtype=np.int64)

    def add_paddles(self, paddles: Array, patches: list[int], values: Array) -> None:
        """Draw a chain."""
        for (y, x, _, contrast), patch in zip(paddles.tolist(), patches, strict=True):
            if not 0 <= contrast < len(values):
                raise WrongGeometry(f"expected a contrast below {len(values)}, got {contrast}")
            self._add(self.canvas, y, x, self.lines[patch] * values[contrast])

    def shows(self, picture: Array, tips: Array, origin: int, label: int, value: int) -> bool:
        """Whether the picture is this canvas with markers for that origin and label."""
        terminal = origin if label else 1 - origin
        canvas = self.canvas.copy()
        for y, x in (tips[4 * origin : 4 * origin + 2], tips[4 * terminal + 2 : 4 * terminal + 4]):
            self._add(canvas, y, x, self.markers[self.marker_class[y], self.marker_class[x]] * value)
        inside = canvas[self.border : -self.border, self.border : -self.border]
        above, span = inside - inside.min(), int(inside.max() - inside.min())
        return np.array_equal(((510 * above + span) // (2 * span)).ravel(), picture)

    def _add(self, canvas: Array, y: int, x: int, patch: Array) -> None:
        if not (0 <= y < self.size and 0 <= x < self.size):
            raise WrongGeometry(f"expected paddles inside the picture, got one at {(y, x)}")
        reach = len(patch) // 2
        rows = slice(y + self.border - reach, y + self.border + reach + 1)
        columns = slice(x + self.border - reach, x + self.border + reach + 1)
        canvas[rows, columns] = np.maximum(canvas[rows, columns], patch)
