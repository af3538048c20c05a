"""The three splits, their other names, and slices such as `train[:10%]`.

The size of a split is in the task's `sizes`, or for a built set in its manifest.
"""

import re

from lra_data.errors import UsageError, unknown_name

SPLITS = ("train", "validation", "test")
ALIASES = {"val": "validation", "valid": "validation", "dev": "validation", "eval": "validation"}

_SLICED = re.compile(r"(?P<name>[a-z]+)(\[(?P<start>-?\d[\d_]*%?)?:(?P<stop>-?\d[\d_]*%?)?\])?")


def split_name(name: str) -> str:
    """`train`, `validation` or `test` for any accepted name; raises UsageError for another name."""
    if not isinstance(name, str):
        raise UsageError(f"expected the name of one split, {', '.join(SPLITS)}, got {name!r}")
    canonical = ALIASES.get(name, name)
    if canonical not in SPLITS:
        raise unknown_name("split", name, [*SPLITS, *ALIASES])
    return canonical


def parse_split(text: str, sizes: dict[str, int]) -> tuple[str, range]:
    """The split and the row range that `text` names, as in `train`, `val[:10%]`, `train[1_000:-500]`.

    Percentages of the split's size are rounded to the nearest row; bounds are clipped to the split, as in Python
    slices. Raises UsageError for bounds in the wrong order, which would select no row.
    """
    if not isinstance(text, str):
        raise UsageError(f"expected one split as text, such as 'train' or 'train[:10%]', got {text!r}")
    match = _SLICED.fullmatch(text)
    if match is None:
        raise UsageError(f"expected a split such as 'train' or 'train[:10%]', got {text!r}")
    name = split_name(match["name"])
    size = sizes[name]
    rows = range(size)[slice(_row(match["start"], size), _row(match["stop"], size))]
    if rows.start > rows.stop:
        raise UsageError(
            f"expected a split whose first row comes before its last, got {text!r}, which is rows {rows.start} to "
            f"{rows.stop} of {size}: swap the bounds"
        )
    return name, rows


def _row(bound: str | None, size: int) -> int | None:
    if bound is None:
        return None
    if bound.endswith("%"):
        return round(size * int(bound[:-1].replace("_", "")) / 100)
    return int(bound.replace("_", ""))
