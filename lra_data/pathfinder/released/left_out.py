"""Decides which pictures of a copy of the release are left out of a set, and reports them.

For a copy that should be whole, only the folders are checked; for a copy that may be partial, every picture is read.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lra_data.corpora.archive import count_hidden
from lra_data.corpora.ignored_files import HIDDEN, described, sentence
from lra_data.errors import SetError
from lra_data.pathfinder.config import DIFFICULTIES
from lra_data.pathfinder.released.layout_metadata import Metadata, ReleasedPicture
from lra_data.pathfinder.released.picture_faults import (
    CAUSES,
    EMPTY,
    GREY,
    MISSING,
    OTHER_LENGTH,
    SEVERAL_LINES,
    examine,
    unnamed,
)
from lra_data.picture_files import decode_png

_NAMED = 5
_ADVICE = "`lra-data audit` lists every fault, --allow-partial leaves those pictures out"


def common_difficulty(
    source: Path, pictures: Sequence[ReleasedPicture], asked: str | None, *, allow_partial: bool
) -> str:
    """The contour length of all pictures, or in a partial copy of most pictures."""
    lengths = Counter(picture.contour_length for picture in pictures)
    length, count = lengths.most_common(1)[0]
    found = next((name for name, known in DIFFICULTIES.items() if known == length), None)
    enough = 2 * count > len(pictures) if allow_partial else count == len(pictures)
    if found is None or not enough or asked not in (None, found):
        wanted = asked or "one of 6, 9 or 14"
        raise SetError(f"{source}: expected contours of {wanted} paddles, got {sorted(lengths)} in the metadata")
    return found


def absent(source: Path, pictures: Sequence[ReleasedPicture]) -> tuple[dict[str, str], int]:
    """The missing or empty files, with the cause, and the resolution, from the folders alone."""
    left_out = {}
    for entry in pictures:
        try:
            if not (source / entry.file).stat().st_size:
                left_out[entry.file] = EMPTY
        except OSError:
            left_out[entry.file] = MISSING
    several = _named_twice(pictures)
    if several:
        raise SetError(
            f"{source}: {several[0]}: expected one line of metadata, got more ({len(several)} such pictures): "
            f"`lra-data audit {source}` lists them; --allow-partial leaves them out and marks the set"
        )
    first = next((entry for entry in pictures if entry.file not in left_out), None)
    if first is None:
        raise SetError(f"{source}: expected pictures, all {len(pictures)} are missing or empty")
    return left_out, len(read_picture(source / first.file))


def at_fault(source: Path, pictures: Sequence[ReleasedPicture], length: int) -> tuple[dict[str, str], int]:
    """Every file that is left out, with the cause, after reading all files; and the resolution of most others."""
    left_out = dict.fromkeys((entry.file for entry in pictures if entry.contour_length != length), OTHER_LENGTH)
    left_out |= dict.fromkeys(_named_twice(pictures), SEVERAL_LINES)
    examined = examine(source, [entry for entry in pictures if entry.file not in left_out])
    left_out |= examined.bad
    if examined.side is None or len(left_out) == len({entry.file for entry in pictures}):
        counts = ", ".join(f"{count:,} {cause}" for cause, count in Counter(left_out.values()).items())
        raise SetError(f"{source}: expected pictures, all {len(pictures)} are at fault: {counts}")
    return left_out, examined.side


def _named_twice(pictures: Sequence[ReleasedPicture]) -> list[str]:
    """Files with several lines of metadata, of which the right one is unknown."""
    return [file for file, count in Counter(entry.file for entry in pictures).items() if count > 1]


def copy_counts(source: Path, metadata: Metadata, left_out: Mapping[str, str]) -> dict[str, Any]:
    """The counts about the copy that the record holds next to its facts; empty without such counts."""
    causes = Counter(left_out.values())
    lost = {
        "pictures without a line": len(unnamed(source, metadata.pictures)),
        "lines that cannot be read": metadata.lost_lines,
        "files that cannot be read": metadata.lost_files,
    }
    metadata.passed_over[HIDDEN] += count_hidden(source)
    counted = {
        "left out": {cause: causes[cause] for cause in CAUSES if causes[cause]},
        "metadata": {name: count for name, count in lost.items() if count},
    }
    return described({name: counts for name, counts in counted.items() if counts}, metadata.passed_over)


def read_picture(path: Path, side: int | None = None) -> NDArray[np.uint8]:
    """A released picture, uint8 (side, side); raises SetError for any other file content."""
    try:
        found, mode = decode_png(path.read_bytes())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise SetError(f"{path}: {reason}: {_ADVICE}") from error
    wanted = side if side is not None else len(found)
    if mode != GREY or found.shape != (wanted, wanted):
        got = " x ".join(map(str, found.shape))
        raise SetError(
            f"{path}: expected a grey picture of {wanted} x {wanted} pixels, got {got} of mode {mode}: {_ADVICE}"
        )
    return found


def left_out_text(facts: Mapping[str, Any]) -> list[str]:
    """Sentences about pictures that were left out, about unreadable metadata, and about other counts."""
    files, source = facts["left_out"], facts.get("source", {})
    causes, metadata = source.get("left out", {}), source.get("metadata", {})
    found = []
    if files:
        more = f" and {len(files) - _NAMED:,} more" if len(files) > _NAMED else ""
        were = "files were" if len(files) > 1 else "file was"
        found.append(f"{len(files):,} {were} left out: {', '.join(files[:_NAMED])}{more}.")
    if causes:
        found.append(f"Causes: {', '.join(f'{count:,} {cause}' for cause, count in causes.items())}.")
    if metadata:
        found.append(f"Metadata: {', '.join(f'{count:,} {what}' for what, count in metadata.items())}.")
    return [*found, *filter(None, [sentence(source)])]
