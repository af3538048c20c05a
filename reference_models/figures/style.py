"""How all figures look, and how they are written: sizes, fonts, few shades, and the same bytes for the same input.

A figure has one accent colour, for the user's own models. It is Okabe and Ito's blue, which the colour-blind see and
which is darker in print than the grey of the others; own models also have thicker lines, filled marks and bold names.
So no figure needs its colours. Fonts are embedded in PDF as TrueType (Type 42), as journals ask; SVG has outlines.

Not here: what a figure shows (`scores.py` and so on), where names are placed (`labels.py`).
"""

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lra_data import UsageError, optional_import, paths
from reference_models.model.checkpoint import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito, "Color Universal Design", 2008.
ACCENT = "#0072B2"
STRONG, PLAIN, FAINT = "black", "0.45", "0.85"

# Inches: the width of a column of a paper with two columns, and the narrowest that names fit into.
COLUMN, NARROWEST = 3.25, 2.0
POINTS = 7.0

# By file name suffix, the entries of metadata that would change the bytes but not the picture: dates and versions.
FORMATS: dict[str, dict[str, None]] = {
    ".pdf": {"Creator": None, "Producer": None, "CreationDate": None},
    ".svg": {"Creator": None, "Date": None},
    ".png": {"Software": None},
}

_SETTINGS: dict[str, Any] = {
    "font.size": POINTS,
    "axes.titlesize": POINTS,
    "axes.titlelocation": "left",
    "axes.labelsize": POINTS,
    "xtick.labelsize": POINTS,
    "ytick.labelsize": POINTS,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 0.9,
    "text.parse_math": False,  # a name is shown as it is
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "lra-data",
}


@contextmanager
def settings() -> Iterator[None]:
    """A block in which matplotlib has these settings and no others, whatever the user's own are.

    Raises UsageError if the library matplotlib is not installed, and if the names leave no room for what they name.
    """
    matplotlib = optional_import.require("matplotlib", "plots")
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        warnings.filterwarnings("error", "constrained_layout not applied", UserWarning)
        try:
            yield
        except UserWarning as error:
            if "constrained_layout" not in str(error):
                raise
            raise UsageError(
                "expected names that leave room for the figure: give a larger --width, or shorter names"
            ) from error


def figure_file(path: Path) -> Path:
    """The local path of a figure; raises UsageError for a suffix other than those of FORMATS."""
    found = paths.local_path(path, "a file for the figure")
    if found.suffix.lower() not in FORMATS:
        known = ", ".join(FORMATS)
        raise UsageError(f"expected a file for the figure that ends in one of {known}, got {found.name!r}")
    return found


def check_width(width: float) -> float:
    """The width in inches; raises UsageError for one into which no figure fits."""
    if not NARROWEST <= width <= 40:
        raise UsageError(f"--width must be from {NARROWEST} to 40 inches, got {width}")
    return width


def save(drawing: "Figure", path: Path, *, dots_per_inch: int = 200) -> Path:
    """Write a figure in the format of the file name's suffix, and return the path.

    dots_per_inch: of PNG.

    Raises UsageError for an unknown suffix, and CheckpointError if the file cannot be written.
    """
    path = figure_file(path)
    kind = path.suffix.lower()
    data = io.BytesIO()
    with settings():
        smaller: dict[str, Any] = {"pil_kwargs": {"optimize": True}} if kind == ".png" else {}
        drawing.savefig(data, format=kind[1:], dpi=dots_per_inch, metadata=FORMATS[kind], **smaller)
    write_whole(path, data.getvalue())
    return path


def highlighted(own: Mapping[str, bool], asked: Sequence[str] | None) -> frozenset[str]:
    """The names in the accent colour: those that are asked for, or the user's own if `asked` is None.

    own: whether each name of the figure is the user's. Raises UsageError for a name that is not in the figure.
    """
    for name in asked or ():
        if name not in own:
            raise UsageError(f"--highlight must be in the figure: {', '.join(sorted(own))}; got {name!r}")
    return frozenset(name for name, users in own.items() if (users if asked is None else name in asked))


def new_figure(width: float, height: float, *, rows: int = 1, columns: int = 1) -> tuple["Figure", list[Any]]:
    """An empty figure of a size in inches, and its axes row by row; call it within `settings`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03)
    drawing = Figure(figsize=(check_width(width), height), layout=layout)
    FigureCanvasAgg(drawing)  # measures texts
    return drawing, list(drawing.subplots(rows, columns, squeeze=False).flat)
