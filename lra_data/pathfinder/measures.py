"""The measures of Pathfinder's pictures for `lra-data stats`, and the predictive value of their geometry."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lra_data.arrow_columns import numbers, rows_of
from lra_data.pathfinder.config import Config
from lra_data.task_parts import Statistics

PICTURE_GROUPS = ("marker distance", "contour crossings", "distractors")


class PathfinderStatistics(Statistics):
    """Lit pixels, and with geometry distances and paths."""

    group_features = PICTURE_GROUPS

    def __init__(self, config: Config) -> None:
        self._config = config

    def groups(self, batch: pa.RecordBatch) -> dict[str, NDArray[np.int64]]:
        """Distance between the markers in pixels, places where the contours cross, and distractors; with geometry."""
        if not self._config.geometry:
            return {}
        measured = self.measures(batch)
        crossings = self._crossings(batch)
        return {name: crossings if name == "contour crossings" else measured[name] for name in self.group_features}

    def measures(self, batch: pa.RecordBatch) -> dict[str, NDArray[np.int64]]:
        """Pixels lit by more than 0, 16 and 127; with geometry also marker distance and path length in pixels."""
        found = lit_pixels(batch)
        if self._config.geometry:
            found |= {
                "marker distance": np.rint(self._marker_distances(batch)).astype(np.int64),
                "path length": np.rint(self._path_lengths(batch)).astype(np.int64),
                "distractors": numbers(batch["num_distractors"]).astype(np.int64),
                "attempts": numbers(batch["attempts"]).astype(np.int64),
            }
        return found

    def shortcuts(self, batch: pa.RecordBatch) -> dict[str, NDArray[np.int64]]:
        """Brightness, lit pixels, and with geometry the places of the markers; in about a hundred steps each."""
        found = picture_shortcuts(batch)
        if self._config.geometry:
            side = self._config.resolution
            first, last = self._markers(batch)
            middle = (side - 1) / 2
            found |= {
                "marker distance": (self._marker_distances(batch) * 96 / side).astype(np.int64),
                "last marker off the middle": (np.hypot(*(last - middle).T) * 96 / side).astype(np.int64),
                "direction between markers": np.degrees(np.arctan2(*(last - first).T)).astype(np.int64) // 5,
            }
        return found

    def _markers(self, batch: pa.RecordBatch) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(y, x) of the marker on a first end, and of the marker on a last end: float64 (n, 2) each."""
        tips = rows_of(batch["tips"]).reshape(-1, 2, 2, 2).astype(np.float64)
        origin = numbers(batch["origin"]).astype(np.int64)
        terminal = np.where(numbers(batch["label"]) == 1, origin, 1 - origin)
        rows = np.arange(len(batch))
        return tips[rows, origin, 0], tips[rows, terminal, 1]

    def _marker_distances(self, batch: pa.RecordBatch) -> NDArray[np.float64]:
        first, last = self._markers(batch)
        distances: NDArray[np.float64] = np.hypot(*(last - first).T)
        return distances

    def _crossings(self, batch: pa.RecordBatch) -> NDArray[np.int64]:
        """Number of places where the lines through the paddles of the two contours cross."""
        paddles = rows_of(batch["contours"]).reshape(len(batch), 2, -1, 4).astype(np.float64)
        angles = np.radians(paddles[..., 2] / 100)
        starts = paddles[..., :2]
        ends = starts + self._config.paddle_length * np.stack([np.sin(angles), np.cos(angles)], axis=-1)
        middles = (starts + ends) / 2
        points = np.concatenate([starts[:, :, :1], middles, ends[:, :, -1:]], axis=2)
        one, other = points[:, 0, :, None], points[:, 1, None, :]
        a, b = one[:, :-1], one[:, 1:]
        c, d = other[:, :, :-1], other[:, :, 1:]
        apart = (_side(a, b, c) * _side(a, b, d) < 0) & (_side(c, d, a) * _side(c, d, b) < 0)
        count: NDArray[np.int64] = np.count_nonzero(apart, axis=(1, 2)).astype(np.int64)
        return count

    def _path_lengths(self, batch: pa.RecordBatch) -> NDArray[np.float64]:
        """Length of the line through the paddles of the contour with the first marker, in pixels."""
        paddles = rows_of(batch["contours"]).reshape(len(batch), 2, -1, 4)[..., :2].astype(np.float64)
        marked = paddles[np.arange(len(batch)), numbers(batch["origin"]).astype(np.int64)]
        steps = np.diff(marked, axis=1)
        lengths: NDArray[np.float64] = np.hypot(steps[..., 0], steps[..., 1]).sum(axis=1)
        return lengths


def _side(a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64]) -> NDArray[np.float64]:
    """Above 0 where the point c is on one side of the line from a to b, below 0 on the other."""
    found: NDArray[np.float64] = (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (
        c[..., 0] - a[..., 0]
    )
    return found


class PictureStatistics(Statistics):
    """The measures of a picture without geometry, such as a released picture."""

    group_features = PICTURE_GROUPS

    def measures(self, batch: pa.RecordBatch) -> dict[str, NDArray[np.int64]]:
        """Lit pixels."""
        return lit_pixels(batch)

    def shortcuts(self, batch: pa.RecordBatch) -> dict[str, NDArray[np.int64]]:
        """Brightness and lit pixels."""
        return picture_shortcuts(batch)


def lit_pixels(batch: pa.RecordBatch) -> dict[str, NDArray[np.int64]]:
    """Pixels above three levels."""
    pictures = rows_of(batch["inputs"])
    return {f"pixels > {level}": np.count_nonzero(pictures > level, axis=1).astype(np.int64) for level in (0, 16, 127)}


def picture_shortcuts(batch: pa.RecordBatch) -> dict[str, NDArray[np.int64]]:
    """The features of a picture that need no geometry."""
    pictures = rows_of(batch["inputs"])
    pixels = pictures.shape[1]
    return {
        "mean brightness": pictures.sum(axis=1, dtype=np.int64) * 4 // pixels,
        "lit pixels": np.count_nonzero(pictures, axis=1).astype(np.int64) * 200 // pixels,
        "bright pixels": np.count_nonzero(pictures > 127, axis=1).astype(np.int64) * 1000 // pixels,
    }
