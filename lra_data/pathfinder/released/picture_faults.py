"""Reads every picture of a copy of the release and reports its faults with their causes.

`lra-data audit` lists these faults; a build with --allow-partial leaves the pictures out. Wrong labels and equal
pictures are not checked here.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lra_data.corpora.ignored_files import is_hidden
from lra_data.pathfinder.released.layout_metadata import ReleasedPicture
from lra_data.picture_files import decode_png

GREY = "L"

# Causes for leaving out a picture, worded to follow a count: `3 missing`.
MISSING, EMPTY, UNREADABLE = "missing", "empty", "unreadable"
OTHER_MODE, OTHER_SIZE, BLANK = "of another mode than 8-bit grey", "of another size", "of one grey value"
SEVERAL_LINES, OTHER_LENGTH = "with several lines of metadata", "of another contour length"
CAUSES = (MISSING, EMPTY, UNREADABLE, OTHER_MODE, OTHER_SIZE, BLANK, SEVERAL_LINES, OTHER_LENGTH)


@dataclass(frozen=True, kw_only=True)
class PictureFault:
    """A fault of a picture: one of CAUSES, and a line for the audit."""

    file: str
    cause: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Examined:
    """The pictures of a copy after reading them.

    side: height and width of most grey pictures; None without grey pictures.
    digests: digest of the pixels of each readable picture, in the order of the metadata.
    faults: all faults; a picture may have two.
    """

    side: int | None
    digests: dict[str, bytes]
    faults: list[PictureFault]

    @property
    def bad(self) -> dict[str, str]:
        """The first cause of each file with a fault."""
        return {fault.file: fault.cause for fault in reversed(self.faults)}


def examine(folder: Path, pictures: Sequence[ReleasedPicture]) -> Examined:
    """Read all pictures of a copy, one after another."""
    digests: dict[str, bytes] = {}
    forms: dict[str, tuple[tuple[int, ...], str]] = {}
    faults = []
    for file in dict.fromkeys(entry.file for entry in pictures):
        try:
            data = (folder / file).read_bytes()
            picture, mode = decode_png(data)
        except OSError as error:
            cause = MISSING if isinstance(error, FileNotFoundError) else UNREADABLE
            message = f"expected a picture, as its metadata says, got: {error.strerror or error}"
            faults.append(PictureFault(file=file, cause=cause, message=f"{file}: {message}"))
            continue
        except ValueError as error:
            cause = UNREADABLE if data else EMPTY
            faults.append(PictureFault(file=file, cause=cause, message=f"{file}: {error}"))
            continue
        forms[file] = picture.shape, mode
        digests[file] = hashlib.sha256(repr((mode, picture.shape)).encode() + picture.tobytes()).digest()
        if picture.max() == picture.min():
            faults.append(
                PictureFault(file=file, cause=BLANK, message=f"{file}: expected a picture, got one grey value")
            )
    square = Counter(shape[0] for shape, mode in forms.values() if mode == GREY and shape[0] == shape[1])
    side = square.most_common(1)[0][0] if square else None
    faults += [fault for file, form in forms.items() if (fault := _form_fault(file, form, side)) is not None]
    return Examined(side=side, digests=digests, faults=faults)


def _form_fault(file: str, form: tuple[tuple[int, ...], str], side: int | None) -> PictureFault | None:
    """The fault of a picture whose mode or size differs from most pictures."""
    shape, mode = form
    got = " x ".join(map(str, shape))
    if mode != GREY:
        # Palette indices and single bits have the same dimensions as grey values, but another meaning.
        message = f"{file}: expected {side} x {side} grey pixels, got {got} of mode {mode}"
        return PictureFault(file=file, cause=OTHER_MODE, message=message)
    if shape != (side, side):
        message = f"{file}: expected {side} x {side} grey pixels, got {got}"
        return PictureFault(file=file, cause=OTHER_SIZE, message=message)
    return None


def unnamed(folder: Path, pictures: Sequence[ReleasedPicture]) -> list[str]:
    """Files that no line of metadata names, sorted, without hidden ones."""
    there = {path.relative_to(folder).as_posix() for path in (folder / "imgs").glob("*/*") if path.is_file()}
    return sorted(file for file in there - {entry.file for entry in pictures} if not is_hidden(file))
