"""PNG in and out, with Pillow, which is imported when a picture is at hand."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray


def png_bytes(picture: NDArray[np.uint8]) -> bytes:
    """A picture (height, width) or (height, width, 3) as PNG. The bytes depend on Pillow's release and its zlib."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()


def read_png(data: bytes) -> NDArray[np.uint8]:
    """The picture in a PNG file; raises ValueError, in one line, if it holds none that can be read to its end."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            return np.array(image)
    # Pillow meets damage with whatever its decoder stumbles over first.
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        reason = "an empty file" if not data else (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"expected a PNG picture, got {reason}") from error


def png_versions() -> dict[str, str]:
    """The libraries on which the bytes of a PNG depend."""
    import PIL
    from PIL import features

    zlib: Any = features.version("zlib_ng") or features.version("zlib")
    return {"pillow": PIL.__version__, "zlib": str(zlib)}
