"""Checks each member of an archive or folder: its path, kind and size, and whether its name is hidden."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lra_data.corpora.ignored_files import HIDDEN, LINKS, is_hidden
from lra_data.errors import SetError

# Maximum number of links that a reader records per archive; the corpora have at most 100,000 files.
_MOST_LINKS = 2**20


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Upper bounds for a sound copy of a corpus.

    largest: bytes of the largest file.
    total: bytes of all files together.
    """

    largest: int
    total: int


class Guard:
    """Checks the members of the copy at `path`, and counts ignored members in `passed_over`."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self.path, self.limits = path, limits
        self.passed_over: Counter[str] = Counter()
        self._links: set[str] = set()

    def check_path(self, name: str) -> None:
        """Raise SetError for a path outside the archive."""
        if name.startswith("/") or ".." in name.split("/"):
            raise SetError(f"{self.path}: expected paths inside the archive, got {name!r}: do not trust this file")

    def check_size(self, name: str, size: int) -> None:
        """Raise SetError for a file that is larger than any file of the corpus."""
        if size > self.limits.largest:
            raise SetError(
                f"{self.path}: expected files of at most {self.limits.largest:,} bytes, got {size:,} as {name}: "
                "this is not the corpus"
            )

    def check_total(self, name: str, total: int) -> None:
        """Raise SetError if the files together have more bytes than the corpus."""
        if total > self.limits.total:
            raise SetError(
                f"{self.path}: expected at most {self.limits.total:,} bytes in all, got more at {name}: this is not "
                "the corpus"
            )

    def is_hidden(self, name: str) -> bool:
        """Whether a file's name is hidden; a hidden file is counted."""
        if not is_hidden(name):
            return False
        self.passed_over[HIDDEN] += 1
        return True

    def pass_over_link(self, name: str) -> None:
        """Count a link that is not followed, and record it, so that files below it are rejected."""
        self.passed_over[LINKS] += 1
        self._links.add(plain(name))
        if len(self._links) > _MOST_LINKS:
            raise SetError(f"{self.path}: expected at most {_MOST_LINKS:,} links, got more: this is not the corpus")

    def check_not_behind_link(self, name: str) -> None:
        """Raise SetError for a wanted file below a link: unpacking would write it to the link's target."""
        if not self._links:
            return
        behind = next((str(folder) for folder in PurePosixPath(name).parents if str(folder) in self._links), None)
        if behind is not None:
            raise SetError(
                f"{self.path}: expected plain files, got {name!r} below the link {behind!r}: do not trust this file"
            )

    def refuse_special(self, name: str) -> SetError:
        """The error for a link, a device or another special file instead of a plain file."""
        return SetError(
            f"{self.path}: expected plain files, got a link or a special file, {name!r}: do not trust this file"
        )


def plain(name: str) -> str:
    """A member's path without `./`, double slashes and a trailing slash."""
    return PurePosixPath(name).as_posix()
