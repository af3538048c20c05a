"""Pictures for people: a contact sheet of many examples, and one enlarged example with coloured parts."""

from collections.abc import Mapping, Sequence
from math import cos, radians, sin
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from lra_data.arrow_columns import numbers, rows_of
from lra_data.errors import UsageError
from lra_data.pathfinder.config import Config
from lra_data.picture_files import contact_sheet
from lra_data.picture_words import Entry, with_legend
from lra_data.task_parts import Viewer
from lra_data.words import counted

CONNECTED, NOT_CONNECTED = (86, 180, 233), (230, 159, 0)  # sky blue and orange, which all people tell apart
CONTOUR_COLOURS = ((255, 170, 60), (90, 170, 255))
DISTRACTOR_COLOUR, MARKER_COLOUR = (150, 150, 150), (255, 80, 160)

DRAWING_SIDE = 1024


class PathfinderViewer(Viewer):
    """Pictures framed by label, and one with its contours coloured."""

    def __init__(self, config: Config, name: str, label_names: tuple[str, ...]) -> None:
        self._config, self._name, self._label_names = config, name, label_names

    def show(self, row: Mapping[str, Any]) -> str:
        """One line in words; the pictures themselves are on the contact sheet."""
        side = self._config.resolution
        text = f"{side} x {side} pixels, {self._label_names[row['label']]}"
        if self._config.geometry:
            text += f", margin {row['margin']}, {row['num_distractors']} distractors, {row['attempts']} attempts"
        return text

    def explain(self, row: Mapping[str, Any]) -> str:
        """The places of the markers, their contours, and the paddles between them."""
        if not self._config.geometry:
            raise UsageError(
                f"{self._name}: the set was built without geometry; explain the task's name, which draws it"
            )
        (y, x), (other_y, other_x) = marked_tips(row)
        origin = row["origin"]
        terminal = origin if row["label"] else 1 - origin
        lines = [
            self._verdict(row),
            f"marker on ({y}, {x}), the first end of contour {origin}",
            f"marker on ({other_y}, {other_x}), the last end of contour {terminal}",
        ]
        paddles = np.asarray(row["contours"]).reshape(2, -1, 4)
        for number, contour in enumerate(paddles.tolist()):
            steps = "  ".join(f"({y}, {x}) {angle / 100:g}°" for y, x, angle, _ in contour)
            lines.append(f"contour {number}, orange and blue in this order: {steps}")
        lines.append(f"{row['num_distractors']} distractors, grey; {row['attempts']} attempts, margin {row['margin']}")
        return "\n".join(lines)

    def contact_sheet(self, batch: pa.RecordBatch) -> NDArray[np.uint8]:
        """The pictures of the rows, framed by label, with index and label in words."""
        side = self._config.resolution
        pictures = rows_of(batch["inputs"]).reshape(-1, side, side)
        return framed(pictures, numbers(batch["label"]), numbers(batch["index"]), self._label_names)

    def drawing(self, row: Mapping[str, Any]) -> NDArray[np.uint8] | None:
        """The example enlarged, with coloured contours, distractors and markers, their legend, and the verdict."""
        entries = [
            *(Entry(f"contour {number}", colour) for number, colour in enumerate(CONTOUR_COLOURS)),
            Entry(counted(row["num_distractors"], "distractor"), DISTRACTOR_COLOUR),
            Entry("markers", MARKER_COLOUR),
        ]
        return with_legend(drawing(self._config, row), f"{row['index']}: {self._verdict(row)}", entries)

    def _verdict(self, row: Mapping[str, Any]) -> str:
        """How the label follows from the markers' contours."""
        origin = row["origin"]
        if row["label"]:
            where = f"both markers are ends of contour {origin}"
        else:
            where = f"one marker is an end of contour {origin}, the other of contour {1 - origin}"
        return f"{where}, so the label is {row['label']}, {self._label_names[row['label']]}"


def framed(
    pictures: NDArray[np.uint8], labels: NDArray[np.int64], indices: NDArray[np.int64], names: Sequence[str]
) -> NDArray[np.uint8]:
    """All pictures (n, side, side) on one sheet, framed blue for label 1 and orange for 0: uint8 (h, w, 3).

    indices: of the pictures in their split, (n,).
    names: of the labels.
    """
    texts = [(str(index), names[label]) for index, label in zip(indices.tolist(), labels.tolist(), strict=True)]
    return contact_sheet(pictures, texts, [CONNECTED if label else NOT_CONNECTED for label in labels])


def drawing(config: Config, row: Mapping[str, Any]) -> NDArray[np.uint8]:
    """One example enlarged: picture dimmed, contours orange and blue, distractors grey, markers ringed: (h, w, 3)."""
    size = config.resolution
    scale = max(1, DRAWING_SIDE // size)
    picture = np.asarray(row["inputs"], dtype=np.uint8).reshape(size, size) // 2
    image = Image.fromarray(picture).resize((size * scale, size * scale), Image.Resampling.NEAREST).convert("RGB")
    draw = ImageDraw.Draw(image)

    def centre(y: float, x: float) -> tuple[float, float]:
        return (x + 0.5) * scale, (y + 0.5) * scale

    def add(paddles: NDArray[Any], colour: tuple[int, int, int]) -> None:
        for y, x, hundredths, _ in paddles.tolist():
            angle = radians(hundredths / 100)
            end = y + config.paddle_length * sin(angle), x + config.paddle_length * cos(angle)
            draw.line([centre(y, x), centre(*end)], fill=colour, width=max(1, scale // 2))

    contours = np.asarray(row["contours"]).reshape(2, config.contour_length, 4)
    add(np.asarray(row["distractors"]).reshape(-1, 4), DISTRACTOR_COLOUR)
    for contour, colour in zip(contours, CONTOUR_COLOURS, strict=True):
        draw.line([centre(y, x) for y, x in contour[:, :2].tolist()], fill=colour, width=1)
        add(contour, colour)
    for y, x in marked_tips(row):
        middle_x, middle_y = centre(y, x)
        radius = (config.marker_radius + 1) * scale
        box = (middle_x - radius, middle_y - radius, middle_x + radius, middle_y + radius)
        draw.ellipse(box, outline=MARKER_COLOUR, width=max(1, scale // 3))
    return np.asarray(image)


def marked_tips(row: Mapping[str, Any]) -> tuple[tuple[int, int], tuple[int, int]]:
    """(y, x) of the two markers."""
    tips = [int(number) for number in row["tips"]]
    origin = row["origin"]
    terminal = origin if row["label"] else 1 - origin
    return (tips[4 * origin], tips[4 * origin + 1]), (tips[4 * terminal + 2], tips[4 * terminal + 3])
