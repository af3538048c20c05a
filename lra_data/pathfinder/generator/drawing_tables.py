"""Loads or draws a configuration's drawing tables; their digest is part of its key.

The presets' tables are files in this folder, so that no release of Pillow or OpenCV can change them. Other tables are
drawn when they are first needed.

    python -m lra_data.pathfinder.generator.drawing_tables     draws the presets' files with the installed libraries
"""

import hashlib
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lra_data.errors import LraDataError
from lra_data.pathfinder.config import MINI, Config, standard_config

FOLDER = Path(__file__).parent / "tables"

# The digest of each committed file's tables. Drawn with Pillow 13.0.0 and OpenCV 5.0.0.
COMMITTED = {
    "32": "7235d76b96e652fee9a84e81c66a0fe93d715211cc27494a6ccc5ce5c5e2549e",
    "64": "db8952564ff49894018aa05b3b346e02c71d7335531079706897e7ec65d5e412",
    "128": "29be67ceed1da5e359bada4778941ea10b4f1530ca9094742fa6c48497d9894e",
    "256": "459250eb1677ecc19d442a4fb564c668f188ea0809742fed905ecd6da0d08337",
    "24-mini": "ffd3d3dc98ed4fa0104f2941b591f9a19a31956a63b88f3f4dea50f2a93bae51",
    "32-mini": "0b1173bb02718c96e723b1cf701a113874254d44e31e74a2ecc9b0c3fb4c0906",
}

# The fields of a configuration that decide its tables.
_DRAWN_FROM = (
    "resolution",
    "padding",
    "antialias_scale",
    "seed_distance",
    "marker_radius",
    "continuity",
    "paddle_length",
    "paddle_thickness",
    "paddle_margin_list",
)


def tables_digest(config: Config) -> str:
    """64 hex digits that identify the tables of a configuration. For a preset, no table is read or drawn."""
    return _tables_digest(_drawn_from(config))


def drawing_tables(config: Config) -> dict[str, NDArray[Any]]:
    """The tables of a configuration, see `draw_tables.draw_tables`; raises LraDataError for a damaged file."""
    return _drawing_tables(_drawn_from(config))


def _drawn_from(config: Config) -> Config:
    """The same configuration for all that share their tables, as the key of a cache."""
    return replace(Config(), **{name: getattr(config, name) for name in _DRAWN_FROM})


@lru_cache(maxsize=64)
def _tables_digest(config: Config) -> str:
    committed = _committed(config)
    return COMMITTED[committed] if committed is not None else digest_of(_drawing_tables(config))


@lru_cache(maxsize=4)
def _drawing_tables(config: Config) -> dict[str, NDArray[Any]]:
    committed = _committed(config)
    if committed is None:
        from lra_data.pathfinder.generator.draw_tables import draw_tables

        return draw_tables(config)
    path = FOLDER / f"{committed}.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            tables = {name: file[name] for name in file.files}
    except (OSError, ValueError) as error:
        raise LraDataError(f"{path}: expected the drawing tables, got: {error}: install lra-data again") from error
    digest = digest_of(tables)
    if digest != COMMITTED[committed]:
        raise LraDataError(
            f"{path}: expected tables with digest {COMMITTED[committed]}, got {digest}: install lra-data again"
        )
    return tables


def digest_of(tables: dict[str, NDArray[Any]]) -> str:
    """SHA-256 over names, types, shapes and little-endian values of the tables, sorted by name."""
    digest = hashlib.sha256()
    for name, table in sorted(tables.items()):
        values = table.astype(table.dtype.newbyteorder("<"))
        digest.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def write_committed_tables() -> None:
    """Draw the presets' tables with the installed libraries, write the files and print their digests."""
    from lra_data.pathfinder.generator.draw_tables import draw_tables

    FOLDER.mkdir(exist_ok=True)
    for name in COMMITTED:
        tables = draw_tables(config_of(name))
        np.savez_compressed(FOLDER / f"{name}.npz", **tables)  # type: ignore[arg-type]
        print(f'    "{name}": "{digest_of(tables)}",')


def config_of(name: str) -> Config:
    """A configuration that is drawn with the tables of this name: a resolution, or a preset."""
    return MINI[name] if name in MINI else standard_config(int(name))


def _committed(config: Config) -> str | None:
    """The name of the tables of the presets that share them, for a configuration from `_drawn_from`."""
    return next((name for name in COMMITTED if _drawn_from(config_of(name)) == config), None)


if __name__ == "__main__":
    write_committed_tables()
