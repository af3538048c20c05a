"""An independent solver of Pathfinder: a tracer that sees only the picture.

It finds the two marker discs, and every place where a dash fits the ink, and follows dashes by good continuation. Links
between dashes are scored by turn, gap and offset, dashes by the share of their ink that is present. For chains of 6, 9
and 14 dashes, it finds the best chain from disc to disc, and the best chains from each disc to another place. From
these scores and the number of dashes, a logistic regression for each chain length estimates whether the discs are on
one contour; another regression estimates the probability of each length.

The regressions were fitted by `python -m benchmarks.pathfinder.tune_tracer` on pictures of seed 77, which no
measurement uses; `tracer_weights.json` holds them.

`look.py` describes the pictures, `dashes.py` finds discs and dashes, `dash_chains.py` follows them.

The tracer shares no code and no tables with the generator. It knows only the sizes of discs, dashes and gaps, as a
viewer of the pictures does, and not the generator's limits (clearances, allowed turns). If two contours truly overlap,
it can only guess.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lra_data.pathfinder.checks.dash_chains import LEAST, chain_scores, nodes_of
from lra_data.pathfinder.checks.dashes import find_dashes, find_discs
from lra_data.pathfinder.checks.look import (
    DISC_OFFSET,
    Floats,
    dash_templates,
    disc_template,
    look_of,
    nearest_known,
)

CONTOUR_LENGTHS = np.array([6, 9, 14])  # dashes of LRA's contours
WEIGHTS = Path(__file__).parent / "tracer_weights.json"

NUM_FEATURES = 15  # features of `_describe`: four for each of the three lengths, and three of the whole picture
ROUND_ENDS = 0.6  # pixels by which a dash's ink is longer than the line that chains follow


def find_markers(picture: NDArray[np.uint8]) -> Floats | None:
    """Centres (2, 2) of the two discs as (y, x) in pixels from the centre of pixel (0, 0); None if not found."""
    spots = np.zeros((2, 2), np.int64)
    if not find_discs(picture / 255.0, disc_template(look_of(len(picture)).radius), spots):
        return None
    return spots.astype(np.float64) + DISC_OFFSET


def features(pictures: NDArray[np.uint8]) -> tuple[Floats, NDArray[np.bool_]]:
    """The features for the regressions, float64 (n, NUM_FEATURES), and whether two discs were found, bool (n,)."""
    look = look_of(pictures.shape[-1])
    templates = dash_templates(look.length, look.width, look.flat_width)
    pad = int(templates[:, 1:, :2].max())
    found = np.zeros((len(pictures), NUM_FEATURES))
    seen = np.zeros(len(pictures), dtype=np.bool_)
    for index, picture in enumerate(pictures):
        discs = find_markers(picture)
        if discs is None:
            continue
        seen[index] = True
        padded = np.pad(np.minimum(picture / 255.0 / look.brightness, 1), pad)
        dashes = find_dashes(padded, pad, templates, discs, look.radius, look.coverage)
        nodes = nodes_of(dashes, padded, pad, templates, discs, look.length - ROUND_ENDS)
        spreads = (look.gap_spread, look.turn_spread, look.slip_spread)
        scores = np.array([chain_scores(nodes, gap, *spreads, CONTOUR_LENGTHS) for gap in look.gaps])
        found[index] = _describe(scores, len(dashes), float(picture.sum()) / 255)
    return found, seen


def _describe(scores: Floats, num_dashes: int, ink: float) -> Floats:
    """The features of one picture from its chain scores (gaps, lengths, 3), for the gap that explains it best."""
    joined, free = 2 * scores[..., 0], scores[..., 1] + scores[..., 2]
    gap = int(np.maximum(joined, free).max(axis=1).argmax())
    margin = joined[gap] - free[gap]
    return np.concatenate(
        [
            scores[gap, :, 0],
            np.sort(scores[gap, :, 1:], axis=1).ravel(),
            np.maximum(margin, LEAST),
            [joined[gap].max() - free[gap].max(), float(num_dashes), ink],
        ]
    )


class Weights(NamedTuple):
    """Regressions of one resolution: mean and spread of the features, then rows of weights and a constant.

    joined: (lengths, features + 1), for each number of dashes, the probability that the discs are joined.
    lengths: the same shape, the probability of this number of dashes, up to a common factor.
    """

    mean: Floats
    spread: Floats
    joined: Floats
    lengths: Floats


@cache
def _weights(resolution: int) -> Weights:
    found: dict[str, Any] = json.loads(WEIGHTS.read_text())[str(resolution)]
    return Weights(**{name: np.array(values) for name, values in found.items()})


def probability(found: Floats, weights: Weights) -> Floats:
    """The probability that the discs are ends of one contour, float64 (n,), from features."""
    scaled = np.column_stack([(found - weights.mean) / weights.spread, np.ones(len(found))])
    logits = scaled @ weights.lengths.T
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    joined: Floats = (shares / (1 + np.exp(-scaled @ weights.joined.T))).sum(axis=1)
    return joined


def trace(pictures: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Per picture (n, R, R): 1 if its discs are ends of one contour, 0 if not, -1 if two discs were not found."""
    if not len(pictures):
        return np.zeros(0, dtype=np.int64)
    found, seen = features(pictures)
    joined = probability(found, _weights(nearest_known(pictures.shape[-1]))) > 0.5
    return np.where(seen, joined, -1).astype(np.int64)
