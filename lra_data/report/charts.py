"""What a chart shows, as values that the page's script hands to uPlot; and pictures as addresses inside the page.

uPlot (Leon Sorokin, MIT licence) is in `uplot/`, as npm has it, with its licence; DIGESTS are of these files.
"""

import base64
import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lra_data.errors import SetError
from lra_data.picture_files import png_bytes

UPLOT_VERSION = "1.6.32"
SCRIPT, STYLE = "uPlot.iife.min.js", "uPlot.min.css"
# SHA-256 of the files of the package `uplot` on npm, folder dist.
DIGESTS = {
    SCRIPT: "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    STYLE: "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
}


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line, or one set of bars. shown: whether it is coloured when the page opens; other lines are grey."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    shown: bool = True


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart. title: for people who do not see it. x, y: labels of the axes with their units.

    logarithmic: whether both axes are. picker: name of the group of charts whose lines are chosen together, or "".
    """

    kind: Literal["lines", "bars"]
    title: str
    x: str
    y: str
    series: tuple[Series, ...]
    logarithmic: bool = False
    picker: str = ""

    def to_json(self) -> dict[str, Any]:
        """The values for the page's script."""
        return {
            "kind": self.kind,
            "title": self.title,
            "x": self.x,
            "y": self.y,
            "logarithmic": self.logarithmic,
            "picker": self.picker,
            "series": [
                {"name": line.name, "x": line.x, "y": line.y, "shown": line.shown} for line in self.series
            ],
        }  # fmt: skip


def uplot(name: str) -> str:
    """A file of uPlot; raises SetError if it is not the one of DIGESTS."""
    data = files("lra_data.report").joinpath("uplot", name).read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != DIGESTS[name]:
        raise SetError(
            f"{name}: expected uPlot {UPLOT_VERSION} with SHA-256 {DIGESTS[name]}, got {found}: install the package "
            "again"
        )
    return data.decode()


def picture_address(picture: NDArray[np.uint8]) -> str:
    """A picture (height, width) or (height, width, 3) as a PNG inside an address, data:image/png;base64,…"""
    return "data:image/png;base64," + base64.b64encode(png_bytes(picture)).decode()
