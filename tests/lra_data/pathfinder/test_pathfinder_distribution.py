"""The pictures follow the law of the original generator, as measured on it.

The figures are those of the original's own code, run unmodified with LRA's parameters (numbers of images in the second
column). A mean of ours is held against one of theirs with the sampling error of both: the spread over images is taken
from ours, and a figure given with few digits may be off by half a digit. Seed 0 was fixed before the first run.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from lra_data import get_task
from lra_data.pathfinder.generated_task import Pathfinder
from lra_data.pathfinder.generator.chains import DRAWINGS, EXTENSIONS, TRIES
from tests.support.reference_pathfinder import original_pictures

pytestmark = pytest.mark.long

# A difference of more standard errors has a chance of 1 in 1,000.
LIMIT = 3.29


class Measured(NamedTuple):
    """One row of measurements. accepted: share of two-contour attempts in percent, with half a unit of its last digit.

    The others are means a picture: distractors placed, tries at them, extensions of contours and distractors, paddles
    drawn (footprints included).
    """

    images: int
    accepted: tuple[float, float]
    placed: tuple[float, float]
    tries: tuple[float, float]
    extensions: tuple[float, float]
    drawings: tuple[float, float]


MEASURED = {
    "32-easy": Measured(720, (4.84, 0.005), (3.3, 0.05), (42.7, 0.05), (19, 0.5), (90, 0.5)),
    "32-intermediate": Measured(400, (1.53, 0.005), (1.8, 0.05), (26.0, 0.05), (64, 0.5), (167, 0.5)),
    "32-hard": Measured(120, (0.346, 0.0005), (1.2, 0.05), (22.6, 0.05), (297, 0.5), (654, 0.5)),
    "64-easy": Measured(903, (8.61, 0.005), (8.0, 0.05), (35.1, 0.05), (34, 0.5), (97, 0.5)),
    "64-intermediate": Measured(384, (0.543, 0.0005), (4.5, 0.05), (23.9, 0.05), (454, 0.5), (751, 0.5)),
    "64-hard": Measured(53, (0.023, 0.0005), (2.9, 0.05), (18.3, 0.05), (10482, 0.5), (16789, 0.5)),
    "128-easy": Measured(449, (55.8, 0.05), (17.0, 0.05), (20.3, 0.05), (35, 0.5), (81, 0.5)),
    "128-intermediate": Measured(302, (9.10, 0.005), (10.9, 0.05), (16.4, 0.05), (142, 0.5), (206, 0.5)),
    "128-hard": Measured(58, (0.317, 0.0005), (7.7, 0.05), (15.5, 0.05), (3314, 0.5), (4213, 0.5)),
    "256-easy": Measured(216, (59.7, 0.05), (15.0, 0.05), (16.4, 0.05), (30, 0.5), (68, 0.5)),
    "256-intermediate": Measured(200, (37.1, 0.05), (10.0, 0.05), (11.8, 0.05), (55, 0.5), (87, 0.5)),
    "256-hard": Measured(100, (13.0, 0.05), (7.0, 0.05), (9.2, 0.05), (137, 0.5), (178, 0.5)),
}

# Shares of pixels above 0, 16 and 127; then means and standard deviations of distances: of the two ends of a contour,
# of the markers in connected pictures, and of the markers in the others.
LOOKS = {
    "32-easy": ((0.228, 0.099, 0.052), (14.9, 3.1), (14.9, 3.2), (14.8, 4.2)),
    "128-easy": ((0.110, 0.048, 0.024), (51.7, 6.4), (50.7, 6.2), (53.7, 14.1)),
    "256-easy": ((0.030, 0.014, 0.009), (57.0, 4.4), (56.6, 4.3), (62.7, 17.4)),
}

# The rarest, which take the longest; 32-hard stays.
QUICK = ("32-easy", "32-hard")
OURS = {"64-hard": 600, "128-hard": 2000, "64-intermediate": 3000, "256-easy": 3000}


@cache
def drawn(preset: str) -> dict[str, NDArray[Any]]:
    task = get_task(f"pathfinder/{preset}")
    assert isinstance(task, Pathfinder)
    return task.draw("train", np.arange(OURS.get(preset, 4000)), 0)


def errors_between(ours: NDArray[Any], theirs: float, images: int, rounding: float) -> float:
    """Difference of means in standard errors, the rounding taken off."""
    difference = max(0.0, abs(float(ours.mean()) - theirs) - rounding)
    return difference / float(ours.std() * np.sqrt(1 / images + 1 / len(ours)) + 1e-12)


@pytest.mark.parametrize(
    "preset", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in MEASURED]
)
def test_work_and_outcome_are_the_originals(preset: str) -> None:
    measured, found = MEASURED[preset], drawn(preset)
    share, half = measured.accepted
    attempts = 100 / share
    differences = {
        "attempts": errors_between(found["attempts"], attempts, measured.images, attempts * half / share),
        "placed": errors_between(found["num_distractors"], measured.placed[0], measured.images, measured.placed[1]),
    }
    for name, counter in (("tries", TRIES), ("extensions", EXTENSIONS), ("drawings", DRAWINGS)):
        theirs, rounding = getattr(measured, name)
        differences[name] = errors_between(found["counters"][:, counter], theirs, measured.images, rounding)
    assert {name: value for name, value in differences.items() if value > LIMIT} == {}


@pytest.mark.parametrize("preset", LOOKS)
def test_pictures_look_like_the_originals(preset: str) -> None:
    lit, *distances = LOOKS[preset]
    found, images = drawn(preset), MEASURED[preset].images
    for level, theirs in zip((0, 16, 127), lit, strict=True):
        shares = (found["inputs"] > level).mean(axis=1)
        assert errors_between(shares, theirs, images, 0.0005) <= LIMIT, level
    tips = found["tips"].astype(np.float64).reshape(-1, 2, 2, 2)
    label, origin = found["label"], found["origin"].astype(np.int64)
    rows = np.arange(len(tips))
    marked = np.hypot(*(tips[rows, origin, 0] - tips[rows, np.where(label == 1, origin, 1 - origin), 1]).T)
    ours = (np.hypot(*(tips[:, :, 0] - tips[:, :, 1]).reshape(-1, 2).T), marked[label == 1], marked[label == 0])
    for values, (mean, spread), share in zip(ours, distances, (1, 0.5, 0.5), strict=True):
        n = images * share
        assert errors_between(values, mean, int(n), 0.05) <= LIMIT
        # The sampling error of a variance, from the fourth moment of ours.
        error = np.sqrt((np.mean((values - values.mean()) ** 4) - values.var() ** 2) / n) / (2 * values.std())
        assert abs(values.std() - spread) <= LIMIT * error + 0.05


@pytest.mark.parametrize("preset", LOOKS)
def test_single_pictures_are_distributed_as_the_originals(preset: str) -> None:
    """Kolmogorov-Smirnov over pictures drawn by the original itself: lit pixels and brightness."""
    originals, _ = original_pictures(preset)
    ours = drawn(preset)["inputs"]
    for one, other in (
        ((ours > 0).mean(axis=1), (originals > 0).mean(axis=1)),
        ((ours > 127).mean(axis=1), (originals > 127).mean(axis=1)),
        (ours.mean(axis=1), originals.mean(axis=1)),
    ):
        assert stats.ks_2samp(one, other).pvalue > 0.001


def test_levels_are_the_originals() -> None:
    """The brightest pixel is 255 in every picture, and at 32 pixels that is often a distractor's, not a marker's."""
    for preset in LOOKS:
        originals, _ = original_pictures(preset)
        ours = drawn(preset)["inputs"]
        assert set(ours.max(axis=1)) == set(originals.max(axis=1)) == {255}
        assert set(ours.min(axis=1)) == set(originals.min(axis=1)) == {0}
        full = [(pictures == 255).sum(axis=1) for pictures in (ours, originals)]
        assert stats.ks_2samp(*full).pvalue > 0.001


def test_labels_are_fair_and_hidden() -> None:
    found = drawn("128-easy")
    labels = found["label"]
    assert abs(labels.mean() - 0.5) <= LIMIT * 0.5 / np.sqrt(len(labels))
    brightness = found["inputs"].mean(axis=1)
    assert stats.ttest_ind(brightness[labels == 0], brightness[labels == 1]).pvalue > 0.001
