"""Draws the positions that an attention looks at: a small picture of `dense_weights`, one row per query.

The model is untrained and its tokens are random, so the picture shows the pattern and nothing learned.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lra_data import paths
from reference_models.attention.base import Shape
from reference_models.attention.catalogue import attention_class

LENGTH = 64
_SCALE = 3
_MOST_BRIGHT = 255

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


def draw(name: str, folder: Path) -> Path:
    """Write FOLDER/<name>.png; raises UsageError if the folder is not writable."""
    from PIL import Image

    path = paths.local_path(folder, "a folder for the pictures") / f"{name}.png"
    drawn = Image.fromarray(pattern(name))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn.save(path, optimize=True)
    except OSError as error:
        raise paths.write_failure(path, error) from error
    return path
