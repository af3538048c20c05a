"""Reads a corpus from an archive or from an unpacked folder, as one stream of files.

An archive is read from its beginning, and nothing is written to disk. It is not trusted: a path outside the archive, a
device, a link instead of a wanted file, or a file larger than any file of the corpus raises an error. Hidden files and
unneeded links are passed over and counted.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lra_data.corpora import archive_kinds
from lra_data.corpora.ignored_files import HIDDEN, described, in_words, is_hidden
from lra_data.corpora.member_checks import Guard, Limits
from lra_data.corpora.tar_archive import tar_files, unreadable
from lra_data.corpora.zip_archive import zip_files
from lra_data.errors import SetError

__all__ = ["Limits", "Source", "stamp"]


def stamp(path: Path) -> tuple[int, int]:
    """A value that changes when an archive, or a file of a folder, is replaced.

    It contains the time of the newest change in ns, and the size of the archive or the number of files.
    """
    try:
        if not path.exists():
            return 0, 0
        if not path.is_dir():
            found = path.stat()
            return found.st_mtime_ns, found.st_size
        times = [file.lstat().st_mtime_ns for _, file in _files_below(path)]
    except OSError as error:
        raise unreadable(path, error) from error
    return max(times, default=0), len(times)


class Source:
    """An archive (zip, or tar, also compressed with gzip, bzip2 or xz) or a folder. `members` reads it.

    passed_over: number of ignored items by kind; a reader adds the items that it ignores in the files.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        if not path.exists():
            raise SetError(f"{path}: expected an archive or a folder, found nothing: name another --corpus")
        if not path.is_file() and not path.is_dir():
            raise SetError(f"{path}: expected an archive or a folder, got a special file: name another --corpus")
        self.path = path
        self._guard = Guard(path, limits)
        self.passed_over = self._guard.passed_over
        self._sha256: str | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """The form of the copy, available after `members` has ended: an archive with its SHA-256, or a folder; with the
        counts of items that were passed over.
        """
        given: dict[str, Any] = {"kind": "folder"}
        if self._sha256 is not None:
            given = {"kind": "archive", "sha256": self._sha256, "bytes": self.path.stat().st_size}
        return described(given, self.passed_over)

    @property
    def aside(self) -> str:
        """The counts for an error about a missing file: ` (passed over: 3 hidden files)`, or an empty text."""
        words = in_words(self.passed_over)
        return f" (passed over: {words})" if words else ""

    def members(self, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
        """Path and content of each file whose path is wanted, in the archive's order, or in a folder by name.

        Raises SetError, naming the member, for an archive that is damaged, incomplete, hostile or of another kind.
        """
        total = 0
        files = self._folder_files(wanted) if self.path.is_dir() else self._archive_files(wanted)
        for name, data in files:
            total += len(data)
            self._guard.check_total(name, total)
            yield name, data

    def _folder_files(self, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
        try:
            for name, path in sorted(_files_below(self.path)):
                if wanted(name):
                    self._guard.check_size(name, path.stat().st_size)
                    yield name, path.read_bytes()
        except OSError as error:
            raise unreadable(self.path, error) from error
        self.passed_over[HIDDEN] += count_hidden(self.path)

    def _archive_files(self, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
        try:
            with self.path.open("rb") as file:
                head = file.read(archive_kinds.HEAD)
        except OSError as error:
            raise unreadable(self.path, error) from error
        digest = hashlib.sha256()
        is_zip = head.startswith(archive_kinds.ZIP) and not archive_kinds.is_tar(head)
        yield from (zip_files if is_zip else tar_files)(self._guard, wanted, digest)
        self._sha256 = digest.hexdigest()


def _files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    """Files that are not hidden, with their paths below the folder; links to folders are followed, except in cycles."""

    def fail(error: OSError) -> None:
        raise error

    seen = set()
    for place, folders, names in os.walk(folder, onerror=fail, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        # Hidden folders are not entered: some systems have hidden folders that cannot be read.
        folders[:] = [name for name in folders if not is_hidden(name)]
        for name in names:
            if not is_hidden(name):
                path = Path(place, name)
                yield path.relative_to(folder).as_posix(), path


def count_hidden(folder: Path) -> int:
    """Number of hidden files below the folder, including files in readable hidden folders."""
    count = 0
    for place, _, names in os.walk(folder):
        inside = is_hidden(Path(place).relative_to(folder).as_posix())
        count += sum(inside or is_hidden(name) for name in names)
    return count
