"""Words in pictures for people: a caption beneath each picture of a sheet, and a legend beneath a drawing."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]

TEXT_COLOUR: Colour = (235, 235, 235)
_CAPTION_SIZE, _LEGEND_SIZE, _MARGIN = 12, 20, 3


class Entry(NamedTuple):
    """A line of a legend: a text, and the colour that it explains, or None."""

    text: str
    colour: Colour | None = None


def captions(width: int, texts: Sequence[tuple[str, str]], colours: Sequence[Colour]) -> list[NDArray[np.uint8]]:
    """A strip for each picture, uint8 (h, width, 3), all of the same height: `12 connected`, or on two lines.

    texts: (index, label) of each picture.
    colours: of each text.
    """
    from PIL import Image, ImageDraw

    font = _font(_CAPTION_SIZE)
    one_line = all(font.getlength(f"{index} {label}") <= width - 2 * _MARGIN for index, label in texts)
    height = (_CAPTION_SIZE + _MARGIN) * (1 if one_line else 2) + _MARGIN
    strips = []
    for (index, label), colour in zip(texts, colours, strict=True):
        strip = Image.new("RGB", (width, height))
        draw = ImageDraw.Draw(strip)
        for line, text in enumerate([f"{index} {label}"] if one_line else [index, label]):
            draw.text((_MARGIN, line * (_CAPTION_SIZE + _MARGIN)), text, fill=colour, font=font)
        strips.append(np.asarray(strip))
    return strips


def with_legend(picture: NDArray[np.uint8], title: str, entries: Sequence[Entry]) -> NDArray[np.uint8]:
    """A picture (h, w, 3) with a title and a legend beneath it, on as many lines as they need: uint8 (h', w, 3)."""
    from PIL import Image, ImageDraw

    width, font, space = picture.shape[1], _font(_LEGEND_SIZE), _LEGEND_SIZE + 2 * _MARGIN
    placed: list[tuple[int, int, Entry]] = []
    x, line = 0, 0
    for entry in [Entry(title), *entries]:
        for part in _wrapped(entry, font, width - 2 * _MARGIN):
            taken = int(font.getlength(part.text)) + (space if part.colour is not None else 0) + 2 * space
            if placed and (x + taken - 2 * space > width - 2 * _MARGIN or line == 0):  # the title is alone on its line
                x, line = 0, line + 1
            placed.append((x, line, part))
            x += taken
    strip = Image.new("RGB", (width, (line + 1) * (space + _MARGIN) + _MARGIN))
    draw = ImageDraw.Draw(strip)
    for left, number, entry in placed:
        x, y = left + _MARGIN, number * (space + _MARGIN) + _MARGIN
        if entry.colour is not None:
            draw.rectangle((x, y + _MARGIN, x + _LEGEND_SIZE, y + _MARGIN + _LEGEND_SIZE), fill=entry.colour)
            x += space
        draw.text((x, y), entry.text, fill=TEXT_COLOUR, font=font)
    return np.concatenate([picture, np.asarray(strip)])


def _wrapped(entry: Entry, font: Any, width: int) -> list[Entry]:
    """The entry in parts that fit; only the first has the colour."""
    parts, words = [""], entry.text.split(" ")
    for word in words:
        longer = f"{parts[-1]} {word}".strip()
        if not parts[-1] or font.getlength(longer) + 2 * _LEGEND_SIZE <= width:
            parts[-1] = longer
        else:
            parts.append(word)
    return [Entry(part, entry.colour if number == 0 else None) for number, part in enumerate(parts)]


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)
