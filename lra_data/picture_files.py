"""Reads and writes PNG with Pillow, which is imported when it is needed; puts many pictures on one sheet."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lra_data.picture_words import TEXT_COLOUR, Colour, captions

_SHEET_CELL = 96  # maximum size of an enlarged small picture, in pixels
_SHEET_WIDTH = 1200
_FRAME = 2
_GREY = (128, 128, 128)


def contact_sheet(
    pictures: NDArray[np.uint8], texts: Sequence[tuple[str, str]], frames: Sequence[Colour] | None = None
) -> NDArray[np.uint8]:
    """All pictures (n, side, side) or (n, side, side, 3) on one sheet: uint8 (h, w, 3).

    texts: index and label of each, in words, which are written beneath it.
    frames: a colour for each.
    """
    scale = max(1, _SHEET_CELL // pictures.shape[1])
    side = pictures.shape[1] * scale + 2 * _FRAME
    rows = max(1, -(-len(pictures) // max(1, _SHEET_WIDTH // side)))
    columns = max(1, -(-len(pictures) // rows))
    strips = captions(side, texts, frames or [TEXT_COLOUR] * len(pictures))
    height = side + (strips[0].shape[0] if strips else 0)
    sheet = np.zeros((rows * height, columns * side, 3), dtype=np.uint8)
    for number, picture in enumerate(pictures):
        y, x = number // columns * height, number % columns * side
        sheet[y : y + side, x : x + side] = frames[number] if frames is not None else _GREY
        sheet[y + _FRAME : y + side - _FRAME, x + _FRAME : x + side - _FRAME] = enlarged(picture, scale)
        sheet[y + side : y + height, x : x + side] = strips[number]
    return sheet


def enlarged(picture: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """A picture (h, w) or (h, w, 3) whose pixels are squares: uint8 (h scale, w scale, 3)."""
    large = picture.repeat(scale, axis=0).repeat(scale, axis=1)
    return large if large.ndim == 3 else large[..., None].repeat(3, axis=2)


def png_bytes(picture: NDArray[np.uint8]) -> bytes:
    """A picture (height, width) or (height, width, 3) as PNG. The bytes depend on Pillow's release and its zlib."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()


def read_png(data: bytes) -> NDArray[np.uint8]:
    """The picture in a PNG file; raises ValueError, in one line, if it cannot be read completely."""
    return decode_png(data)[0]


def decode_png(data: bytes) -> tuple[NDArray[np.uint8], str]:
    """`read_png`, and Pillow's name for the kind of values: L for 8-bit grey, RGB, P for indices into a palette, …"""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            return np.array(image), image.mode
    # For a damaged file, Pillow raises any error that its decoder meets first.
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        reason = "an empty file" if not data else (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"expected a PNG picture, got {reason}") from error


def png_versions() -> dict[str, str]:
    """The libraries on which the bytes of a PNG depend."""
    import PIL
    from PIL import features

    zlib: Any = features.version("zlib_ng") or features.version("zlib")
    return {"pillow": PIL.__version__, "zlib": str(zlib)}
