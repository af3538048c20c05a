"""What the marked ends tell: they are read from the geometry, and nothing else of it enters."""

import numpy as np
import pytest

import lra_data
from benchmarks.pathfinder.marked_ends import accuracy_of_ends, ends_and_labels
from lra_data.pathfinder.viewer import marked_tips

pytestmark = pytest.mark.framework


def test_the_ends_are_those_of_the_markers() -> None:
    ends, labels = ends_and_labels("128-hard", "test", 40)
    rows = lra_data.take("pathfinder/128-hard", "test", range(40)).to_pylist()
    swapped = 0
    for row, numbers, label in zip(rows, ends, labels, strict=True):
        tips = np.array(marked_tips(row))
        assert label == row["label"]
        offset, leaving = numbers[:2] * 128, numbers[2:].reshape(2, 2)
        order = 1 if np.allclose(offset, tips[1] - tips[0], atol=1e-3) else -1
        swapped += order < 0
        assert np.allclose(offset, order * (tips[1] - tips[0]), atol=1e-3)
        assert np.allclose(np.linalg.norm(leaving, axis=1), 1, atol=1e-6)
        picture = np.array(row["inputs"]).reshape(128, 128)
        for tip, direction in zip(tips[::order], leaving, strict=True):
            assert picture[tuple(np.rint(tip + 5 * direction).astype(int))] > 0  # its paddle is five pixels long
    assert 10 < swapped < 30


@pytest.mark.slow
def test_they_tell_more_than_the_trivial_predictors() -> None:
    """Learned on 20,000 pictures of 32-easy, where the best trivial predictor has 60 % (docs/pathfinder.md)."""
    right, (low, high) = accuracy_of_ends("32-easy", 20_000)
    assert low < right / 20_000 < high
    assert low > 0.7
