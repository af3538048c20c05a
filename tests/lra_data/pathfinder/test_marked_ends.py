"""What the marked ends tell: they are read from the geometry, and nothing else of it enters."""

import numpy as np
import pytest

import lra_data
from benchmarks.pathfinder.marked_ends import accuracy_of_ends, ends_and_labels
from lra_data.pathfinder.viewer import marked_tips

pytestmark = pytest.mark.framework


def test_the_ends_are_those_of_the_markers() -> None:
    ends, labels = ends_and_labels("32-easy", "test", 40)
    rows = lra_data.take("pathfinder/32-easy", "test", range(40)).to_pylist()
    for row, (rise, run, *angles), label in zip(rows, ends, labels, strict=True):
        first, last = np.array(marked_tips(row))
        assert label == row["label"]
        assert np.allclose([rise, run], (last - first) / 32)
        paddles = np.array(row["contours"]).reshape(2, 6, 4)
        own = row["origin"]
        begin, end = paddles[own, 0, 2], paddles[own if label else 1 - own, -1, 2]
        expected = [f(np.radians(angle / 100)) for angle in (begin, end) for f in (np.sin, np.cos)]
        assert np.allclose(angles, expected, atol=1e-6)


@pytest.mark.slow
def test_they_tell_more_than_the_trivial_predictors() -> None:
    """Learned on 20,000 pictures of 32-easy, where the best trivial predictor has 60 % (docs/pathfinder.md)."""
    right, (low, high) = accuracy_of_ends("32-easy", 20_000)
    assert low < right / 20_000 < high
    assert low > 0.7
