"""Draws the columns of any rows with the kernels, one block of rows after another: `draw_rows`.

Three kernels share the work: contours (`contours.py`), distractors (`distractors.py`), pictures (`pictures.py`). Each
takes the paddles that the previous kernels found. All their memory is allocated here.

`draw_tables.py` draws the patches, `generated_task.py` makes Arrow rows, and `checks/` checks them without code of the
kernels. This module loads numba.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lra_data.errors import BuildError
from lra_data.pathfinder.config import Config
from lra_data.pathfinder.generator.canvas import PADDLE_X, PADDLE_Y, PATCH
from lra_data.pathfinder.generator.chains import STATE_COLUMNS
from lra_data.pathfinder.generator.contours import MAX_ATTEMPTS, draw_contours
from lra_data.pathfinder.generator.distractors import draw_distractors
from lra_data.pathfinder.generator.kernel_tables import Tables, prepare
from lra_data.pathfinder.generator.pictures import draw_pictures
from lra_data.pathfinder.generator.words import draw_heads, new_stream

# Maximum number of pictures, and of attempts at contours, between two moments when interrupts are handled.
ROWS_A_CALL = 64
ATTEMPTS_A_CALL = 2**13

Columns = dict[str, NDArray[Any]]


def draw_rows(
    config: Config,
    key: tuple[np.uint64, np.uint64],
    indices: NDArray[np.int64],
    failure: Callable[[int, int, NDArray[np.int32]], str],
) -> Columns:
    """The columns of the rows with these indices by name, including geometry.

    Also `offsets` of the distractors, int32 (n + 1,), and `counters`, int64 (n, 4): see `chains.EXTENSIONS`.
    failure: gives the text of the BuildError if all attempts fail, for (place in indices, margin, attempts so far).
    """
    n = len(indices)
    margins = np.array(config.paddle_margin_list, dtype=np.int8)
    label, origin, margin_places = np.empty((3, n), dtype=np.int64)
    draw_heads(indices, *key, np.uint64(len(margins)), label, margin_places, origin)
    most_strewn = config.num_distractor_snakes * config.distractor_length + max(
        config.num_single_paddles(margin) for margin in config.paddle_margin_list
    )
    columns: Columns = {
        "inputs": np.zeros((n, config.resolution**2), dtype=np.uint8),
        "label": label,
        "margin": margins[margin_places],
        "attempts": np.zeros(n, dtype=np.int32),
        "origin": origin,
        "tips": np.zeros((n, 8), dtype=np.int16),
        "contours": np.zeros((n, 2 * config.contour_length * 4), dtype=np.int16),
        "distractors": np.zeros((n, most_strewn, 4), dtype=np.int16),
        "counters": np.zeros((n, 4), dtype=np.int64),
        "placed": np.zeros((n, 2), dtype=np.int16),
    }
    for place, margin in enumerate(config.paddle_margin_list):
        block = _Block(config, prepare(config, margin), key, most_strewn)
        rows = np.flatnonzero(margin_places == place)
        for start in range(0, len(rows), ROWS_A_CALL):
            undrawn = block.draw(rows[start : start + ROWS_A_CALL], indices, columns)
            if undrawn is not None:
                raise BuildError(failure(undrawn, margin, columns["attempts"]))
    placed = columns.pop("placed").astype(np.int64)
    counts = placed[:, 0] * config.distractor_length + placed[:, 1]
    used = np.arange(most_strewn) < counts[:, None]
    return columns | {
        "origin": origin.astype(np.int8),
        "distractors": columns["distractors"][used].ravel(),
        "offsets": np.concatenate([[0], np.cumsum(4 * counts)]).astype(np.int32),
        "num_distractors": placed[:, 0].astype(np.int16),
    }


class _Block:
    """Draws up to ROWS_A_CALL rows of one margin; holds the kernels' working memory."""

    def __init__(self, config: Config, tables: Tables, key: tuple[np.uint64, np.uint64], most_strewn: int) -> None:
        self._tables = tables
        self._distractor_length = config.distractor_length
        self._stream = new_stream(*key)
        self._masks = np.tile(tables.empty_mask, (2, 1))
        self._wides = np.tile(tables.empty_wide, (2, 1))
        self._light = np.empty(len(tables.empty_mask), dtype=np.int32)
        self._state = np.zeros((2, STATE_COLUMNS), dtype=np.int64)
        self._snakes = np.zeros(2, dtype=np.int64)
        self._cumulated = np.zeros(tables.chains.turns[:, 1].max(), dtype=np.uint64)
        self._contours = np.zeros((ROWS_A_CALL, 2, config.contour_length, 4), dtype=np.int64)
        self._strewn = np.zeros((ROWS_A_CALL, most_strewn + config.distractor_length, 4), dtype=np.int64)

    def draw(self, rows: NDArray[np.int64], indices: NDArray[np.int64], columns: Columns) -> int | None:
        """Fill these rows of the columns; returns None, or the row for which all attempts failed."""
        undrawn = self._draw_contours(rows, indices, columns)
        if undrawn is not None:
            return undrawn
        tables = self._tables
        draw_distractors(
            rows, indices, self._stream, tables.rules, tables.grid, tables.stamps, tables.chains, tables.footprints,
            tables.empty_mask, tables.empty_wide, self._masks, self._wides, self._state[0], self._cumulated,
            self._contours, self._strewn, columns["placed"], columns["counters"],
        )  # fmt: skip
        # The distractors' kernel does not clear its masks, and the contours' kernel needs empty masks.
        self._masks[:], self._wides[:] = tables.empty_mask, tables.empty_wide
        placed = columns["placed"][rows].astype(np.int64)
        num_strewn = placed[:, 0] * self._distractor_length + placed[:, 1]
        draw_pictures(
            rows, columns["label"], columns["origin"], tables.rules, tables.grid, tables.ink, self._contours,
            self._strewn, num_strewn, self._light, columns["inputs"],
        )  # fmt: skip
        contours, most_strewn = self._contours[: len(rows)], columns["distractors"].shape[1]
        columns["tips"][rows] = contours[:, :, [0, -1], :][..., [PADDLE_Y, PADDLE_X]].reshape(-1, 8)
        columns["contours"][rows] = self._stored(contours).reshape(len(rows), -1)
        columns["distractors"][rows] = self._stored(self._strewn[: len(rows), :most_strewn])
        return None

    def _draw_contours(self, rows: NDArray[np.int64], indices: NDArray[np.int64], columns: Columns) -> int | None:
        tables = self._tables
        start, failed = 0, 0
        while start < len(rows):
            drawn, failed = draw_contours(
                rows[start:], indices, columns["origin"], self._stream, tables.rules, tables.grid, tables.stamps,
                tables.chains, tables.starts, tables.empty_mask, tables.empty_wide, self._masks, self._wides,
                self._state, self._snakes, self._cumulated, self._contours[start:], columns["attempts"],
                columns["counters"], failed, ATTEMPTS_A_CALL,
            )  # fmt: skip
            start += drawn
            if failed == MAX_ATTEMPTS:
                return int(rows[start])
        return None

    def _stored(self, paddles: NDArray[np.int64]) -> NDArray[np.int64]:
        """Paddles (..., 4) as a row holds them: y, x, angle as drawn, contrast."""
        stored = paddles.copy()
        stored[..., PATCH] = self._tables.drawn_angles[paddles[..., PATCH]]
        return stored
