"""The metadata of a copy of the release: the lines about pictures, and unreadable lines and files.

A batch has a text file, called `.npy` as in the release, with one line per picture (see `layout.py`); the original
generator itself writes an array of strings. A byte order mark, blank lines at the end and hidden files are passed over
and counted.
"""

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lra_data.corpora.ignored_files import is_hidden, numbered_lines

_NPY_MAGIC = b"\x93NUMPY"
_LARGEST_MARGIN = 127  # the column has 8 bits

# Integers without leading zeros that fit into 32 bits.
_NUMBER = "(0|[1-9][0-9]{0,8})"
_FOLDER_FIELD = re.compile(f"imgs/{_NUMBER}")
_FILE_FIELD = re.compile(rf"sample_{_NUMBER}\.png")
_COUNT_FIELD = re.compile(_NUMBER)


@dataclass(frozen=True, kw_only=True)
class ReleasedPicture:
    """One line of metadata: picture `sample` of batch `batch`, in line `line` (from 1) of its file."""

    batch: int
    sample: int
    line: int
    label: int
    contour_length: int
    margin: int

    @property
    def file(self) -> str:
        """Path within the difficulty's folder."""
        return f"imgs/{self.batch}/sample_{self.sample}.png"

    def order(self, difficulty: str) -> bytes:
        """TensorFlow Datasets' sort key: MD5 of split name and key (LRA data/pathfinder.py:79-103)."""
        key = f"imgs/{self.batch}_sample_{self.sample}.png_{self.line}"
        return hashlib.md5(f"{difficulty}{key}".encode(), usedforsecurity=False).digest()


@dataclass(kw_only=True)
class Metadata:
    """The content of the metadata files.

    faults: one line of text each.
    lost_lines: number of unreadable lines in readable files.
    lost_files: number of files that are unreadable or have no line.
    passed_over: counts by kind.
    """

    pictures: list[ReleasedPicture] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    lost_lines: int = 0
    lost_files: int = 0
    passed_over: Counter[str] = field(default_factory=Counter)


def load_metadata(folder: Path) -> Metadata:
    """Every line of metadata/*.npy, batches in the order of their numbers."""
    found = Metadata()
    paths = [path for path in (folder / "metadata").glob("*.npy") if not is_hidden(path.name)]
    for path in sorted(paths, key=lambda path: (not path.stem.isdigit(), len(path.stem), path.stem)):
        name = f"metadata/{path.name}"
        try:
            lines = _lines(path, found.passed_over)
        # TypeError, MemoryError: NumPy arrays whose header does not describe a list of lines.
        except (OSError, ValueError, TypeError, MemoryError, EOFError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            found.faults.append(f"{name}: expected a text file with one line per picture, got: {reason}")
            found.lost_files += 1
            continue
        if not lines:
            found.faults.append(f"{name}: expected one line per picture, got an empty file")
            found.lost_files += 1
        for number, fields in lines:
            picture = _parse(fields, number)
            if picture is None:
                got = " ".join(fields)
                found.faults.append(
                    f"{name} line {number}: expected `imgs/<b> sample_<i>.png <n> <0 or 1> …`, got {got!r}"
                )
                found.lost_lines += 1
            else:
                found.pictures.append(picture)
    return found


def read_metadata(folder: Path) -> tuple[list[ReleasedPicture], list[str]]:
    """Every line of metadata/*.npy, batches in the order of their numbers, and the faults of these files."""
    found = load_metadata(folder)
    return found.pictures, found.faults


def metadata_digest(pictures: list[ReleasedPicture]) -> str:
    """SHA-256 of all lines, which identifies a copy."""
    digest = hashlib.sha256()
    for entry in pictures:
        digest.update(f"{entry.file} {entry.line} {entry.label} {entry.contour_length} {entry.margin}\n".encode())
    return digest.hexdigest()


def _lines(path: Path, passed_over: Counter[str]) -> list[tuple[int, list[str]]]:
    """(number from 1, fields) of each line."""
    data = path.read_bytes()
    if data.startswith(_NPY_MAGIC):
        rows = np.load(path, allow_pickle=False)
        if rows.ndim != 2:
            raise ValueError(f"expected an array of two dimensions, got {rows.ndim}")
        # Python 2 wrote bytes.
        words = [[item.decode("ascii") if isinstance(item, bytes) else str(item) for item in row] for row in rows]
        return list(enumerate(words, start=1))
    return [
        (number, line.decode("ascii").rstrip("\r\n").split(" "))
        for number, line in numbered_lines(data.splitlines(keepends=True), passed_over)
    ]


def _parse(fields: list[str], line: int) -> ReleasedPicture | None:
    if len(fields) < 10:
        return None
    folder, file = _FOLDER_FIELD.fullmatch(fields[0]), _FILE_FIELD.fullmatch(fields[1])
    length, margin = (_COUNT_FIELD.fullmatch(fields[place]) for place in (5, 9))
    if folder is None or file is None or fields[3] not in ("0", "1"):
        return None
    if length is None or margin is None or int(margin[1]) > _LARGEST_MARGIN:
        return None
    return ReleasedPicture(
        batch=int(folder[1]),
        sample=int(file[1]),
        line=line,
        label=int(fields[3]),
        contour_length=int(length[1]),
        margin=int(margin[1]),
    )
