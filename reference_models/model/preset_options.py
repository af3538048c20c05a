"""The attentions' options in a preset; options that are not named keep their defaults, which follow the papers.

Sources as in `presets.py`.
"""

from collections.abc import Mapping
from math import isqrt
from typing import Any

# Models whose layers keep a CLS token apart from the tokens that they pool or learn.
_POOLING = ("funnel", "token_learner")


def options_of(name: str, task: str, attention: str, *, cls: bool, vectors: int) -> dict[str, Any]:
    """The options of an attention in a preset.

    cls: whether a CLS token is in front of the sequence.
    vectors: greatest number of vectors that the stem makes of a sequence; of pictures they are a square grid.
    """
    grid = (isqrt(vectors),) * 2 if task in ("image", "pathfinder") else None
    if attention == "image_transformer" and grid is not None:
        # 8 x 8 queries see their own block and 8 pixels more on each side.
        found = {"mode": "2d", "grid": grid, "num_prefix": int(cls)}
        return found if grid[0] > 8 else {**found, **_SMALL_GRID}
    table = _OPTIONS
    if name.startswith("mini"):
        table = _MINI_64 if vectors <= 64 else _MINI_128 if vectors <= 128 else _MINI_1024
    return {**table.get(attention, {}), **_changes(name, attention, grid=grid, cls=cls)}


def _changes(name: str, attention: str, *, grid: tuple[int, int] | None, cls: bool) -> dict[str, Any]:
    """The options that depend on the task or on a CLS token."""
    changes: dict[str, Any] = {}
    picture = grid is not None
    if attention == "axial":
        # A CLS token has no place on the grid.
        changes = {**({"grid": grid} if picture else {}), "num_prefix": int(cls)}
    elif attention in _POOLING:
        changes = {"separate_cls": cls}
    elif attention == "mega" and picture:
        changes = {"function": "laplace"}
    elif attention == "linformer" and name == "lra-release":
        changes = {"k": 16}  # the release's configuration for Text sets 32, which never reaches the model
    elif attention == "local" and picture and name.startswith("lra"):
        changes = {"block": 64}
    return changes


_OPTIONS: dict[str, Mapping[str, Any]] = {
    "local": {"block": 50},
    "sparse": {"pattern": "fixed", "stride": 50, "summary": 10},
    "longformer": {"window": 512},
    "bigbird": {"block": 64, "num_random": 3},
    # The paper's 230 global tokens hold sentences and passages, which the input here does not mark.
    "etc": {"radius": 84, "num_global": 64},
    # Linear in the length, as the other models; the authors call it MEGA-chunk.
    "mega": {"chunk": 128},
    "nystromformer": {"num_landmarks": 64, "kernel": 35},
    "perceiver": {"num_latents": 256, "tower_layers": 1},
}

# Sizes that cover the same share of 512 or 1,024 positions as the published sizes cover of 2,000 to 4,000.
_MINI_1024: dict[str, Mapping[str, Any]] = {
    "local": {"block": 64},
    "sparse": {"pattern": "fixed", "stride": 32, "summary": 8},
    "longformer": {"window": 128},
    "bigbird": {"block": 32, "num_random": 3},
    "linformer": {"k": 64},
    "sinkhorn": {"block": 64},
    "image_transformer": {"mode": "1d", "block": 64, "memory": 64},
    "transformer_xl": {"segment": 128, "memory": 128},
    "compressive": {"segment": 128, "memory": 128, "compressed": 64},
    "cluster_former": {"window": 64, "num_clusters": 32, "update_every": 20},
    "etc": {"radius": 42, "num_global": 16},
    "long_short": {"window": 8, "rank": 16},
    "luna": {"projected_length": 64},
    "mega": {"chunk": 128},
    "nystromformer": {"num_landmarks": 32, "kernel": 35},
    "perceiver": {"num_latents": 64, "tower_layers": 1},
    "poolingformer": {"window": 32, "pooling_window": 128},
    "s4d": {"state": 16},
    "short_conv": {"kernel": 15},
}

# The same shares of 128 positions; options whose defaults follow from the length are not named.
_MINI_128: dict[str, Mapping[str, Any]] = {
    "local": {"block": 16},
    "sparse": {"pattern": "fixed", "stride": 16, "summary": 4},
    "longformer": {"window": 32},
    "bigbird": {"block": 8, "num_random": 3},
    "linformer": {"k": 32},
    "reformer": {"chunk": 16},
    "routing": {"local_window": 16},
    "set_transformer": {"num_inducing": 32},
    "sinkhorn": {"block": 16},
    "image_transformer": {"mode": "1d", "block": 16, "memory": 16},
    "transformer_xl": {"segment": 32, "memory": 32},
    "compressive": {"segment": 32, "memory": 32, "compressed": 16},
    "cluster_former": {"window": 16, "num_clusters": 16, "update_every": 20},
    "etc": {"radius": 8, "num_global": 8},
    "h_transformer": {"rank": 8},
    "long_short": {"window": 8, "rank": 8},
    "luna": {"projected_length": 32},
    "mega": {"chunk": 32},
    "nystromformer": {"num_landmarks": 16, "kernel": 9},
    "perceiver": {"num_latents": 32, "tower_layers": 1},
    "poolingformer": {"window": 8, "pooling_window": 32},
    "s4d": {"state": 16},
    "short_conv": {"kernel": 7},
}

# The same shares of 64 positions, the patches of a picture.
_MINI_64: dict[str, Mapping[str, Any]] = {
    "local": {"block": 8},
    "sparse": {"pattern": "fixed", "stride": 8, "summary": 2},
    "longformer": {"window": 16},
    "bigbird": {"block": 4, "num_random": 3},
    "linformer": {"k": 16},
    "reformer": {"chunk": 8},
    "routing": {"local_window": 8},
    "set_transformer": {"num_inducing": 16},
    "sinkhorn": {"block": 8},
    "transformer_xl": {"segment": 16, "memory": 16},
    "compressive": {"segment": 16, "memory": 16, "compressed": 8},
    "cluster_former": {"window": 8, "num_clusters": 8, "update_every": 20},
    "etc": {"radius": 4, "num_global": 4},
    "h_transformer": {"rank": 4},
    "long_short": {"window": 4, "rank": 4},
    "luna": {"projected_length": 16},
    "mega": {"chunk": 16},
    "nystromformer": {"num_landmarks": 8, "kernel": 5},
    "perceiver": {"num_latents": 16, "tower_layers": 1},
    "poolingformer": {"window": 4, "pooling_window": 16},
    "s4d": {"state": 16},
    "short_conv": {"kernel": 5},
}

# Of the Image Transformer on 64 patches or fewer.
_SMALL_GRID = {"height": 4, "width": 4, "memory_height": 2, "memory_width": 2}
