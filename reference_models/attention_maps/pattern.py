"""Draws the positions that an attention looks at: a small picture of `dense_weights` with axes, one row per query.

The model is untrained and its tokens are random, so the picture shows the pattern and nothing learned.
"""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lra_data import paths
from reference_models.attention.base import Shape
from reference_models.attention.catalogue import attention_class
from reference_models.model.checkpoint import write_whole

if TYPE_CHECKING:
    from PIL import Image

LENGTH = 64
_SCALE = 3
_MOST_BRIGHT, _INK = 255, 60
# Of the axes, in pixels: size of the text, height of a line of it, length of a tick, and the free edge on the right.
_TEXT, _LINE, _TICK, _EDGE = 11, 14, 4, 10
_TICKS = 16  # positions between two ticks
PLACE = (38, 18)  # (x, y) of the pattern's first pixel

# Options that suit a sequence of 64; options that are not named keep their defaults.
OPTIONS: dict[str, Mapping[str, Any]] = {
    "local": {"block": 8},
    "sparse": {"pattern": "fixed", "stride": 8, "summary": 2},
    "longformer": {"window": 8, "num_global": 2},
    "bigbird": {"block": 4, "num_random": 2},
    "linformer": {"k": 8},
    "reformer": {"chunk": 8, "num_hashes": 2},
    "sinkhorn": {"block": 8},
    "image_transformer": {"mode": "2d", "grid": (8, 8), "height": 2, "width": 2, "memory_height": 1, "memory_width": 1},
    "routing": {},
    "set_transformer": {"num_inducing": 8},
    "transformer_xl": {"segment": 16, "memory": 16},
    "compressive": {"segment": 16, "memory": 16, "compressed": 8},
    "cluster_former": {"window": 8, "num_clusters": 8},
    "etc": {"radius": 4, "num_global": 4},
    "funnel": {"form": "local", "separate_cls": False},
    "h_transformer": {"rank": 4},
    "long_short": {"window": 8, "rank": 4},
    "luna": {"projected_length": 8},
    "mega": {"chunk": 16},
    "nystromformer": {"num_landmarks": 8, "kernel": 5},
    "perceiver": {"num_latents": 8, "tower_layers": 0},
    "poolingformer": {"window": 3, "pooling_window": 16},
    "s4d": {"state": 8, "step_min": 0.02, "step_max": 0.2},
    "short_conv": {"kernel": 9},
    "token_learner": {"form": "local"},
}


def pattern(name: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The sizes of the weights, averaged over heads, in each row as shares of its greatest: uint8 (3 L, 3 L)."""
    torch.manual_seed(0)
    shape = Shape(dim=32, heads=2, head_dim=16, max_length=LENGTH, layer=1, num_layers=2)
    model = attention_class(name)(shape, **OPTIONS.get(name, {})).eval()
    with torch.no_grad():
        weights = model.dense_weights(torch.randn(1, LENGTH, 32))[0].abs().mean(dim=0)
    shares = weights / weights.amax(dim=-1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)
    shades = _MOST_BRIGHT - (shares.sqrt() * _MOST_BRIGHT).round().clamp(0, _MOST_BRIGHT).to(torch.uint8).numpy()
    return np.kron(shades, np.ones((_SCALE, _SCALE), dtype=np.uint8))


def with_axes(name: str, shades: np.ndarray[Any, np.dtype[np.uint8]]) -> "Image.Image":
    """The pattern with the model's name, and axes: the query's position downwards, the key's to the right, from 0."""
    from PIL import Image, ImageDraw, ImageFont

    side, font = len(shades), ImageFont.load_default(_TEXT)
    picture = Image.new("L", (PLACE[0] + side + _EDGE, PLACE[1] + side + _TICK + 2 * _LINE), _MOST_BRIGHT)
    picture.paste(Image.fromarray(shades), PLACE)
    draw = ImageDraw.Draw(picture)
    left, top = PLACE
    right, bottom = left + side, top + side
    draw.rectangle((left - 1, top - 1, right, bottom), outline=_INK)
    draw.text((left + side // 2, 1), name, fill=_INK, font=font, anchor="ma")
    for position in (*range(0, LENGTH, _TICKS), LENGTH - 1):
        place = position * _SCALE + _SCALE // 2
        draw.line((left + place, bottom, left + place, bottom + _TICK), fill=_INK)
        draw.line((left - 1 - _TICK, top + place, left - 1, top + place), fill=_INK)
        draw.text((left + place, bottom + _TICK + 1), str(position), fill=_INK, font=font, anchor="ma")
        draw.text((left - 3 - _TICK, top + place), str(position), fill=_INK, font=font, anchor="rm")
    draw.text((left + side // 2, bottom + _TICK + _LINE), "key: attended position", fill=_INK, font=font, anchor="ma")
    words = Image.new("L", (side, _LINE), _MOST_BRIGHT)
    ImageDraw.Draw(words).text((side // 2, 0), "query: attending position", fill=_INK, font=font, anchor="ma")
    picture.paste(words.rotate(90, expand=True), (0, top))
    return picture


def draw(name: str, folder: Path) -> Path:
    """Write FOLDER/<name>.png; raises CheckpointError if the folder is not writable."""
    path = paths.local_path(folder, "a folder for the pictures") / f"{name}.png"
    drawn = with_axes(name, pattern(name))
    data = BytesIO()
    drawn.save(data, format="PNG", optimize=True)
    write_whole(path, data.getvalue())
    return path
