"""Corpus: the paths of a user's copy of a corpus. This module reads no files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lra_data.checks import yes_or_no
from lra_data.errors import UsageError
from lra_data.paths import optional_path

# Receives the progress of a download: the file's name, bytes so far, and bytes in total.
Transfer = Callable[[str, int, int], None]

# What accepts an incomplete corpus, for messages: the option of the commands, and what it is in Python.
ALLOW_PARTIAL = "--allow-partial (in Python: corpus=lra_data.Corpus(PATH, allow_partial=True))"


@dataclass(frozen=True, init=False)
class Corpus:
    """A copy of a corpus.

    path: the archive, or the unpacked folder; None for the official archive in the cache.
    pairs: a folder of id lists, for Retrieval; the set then consists of the listed pairs.
    allow_partial: accept an incomplete copy; the name and the card of the set then say so.

    Relative paths and `~` are resolved here, since rows are read later. Raises UsageError for invalid values.
    """

    path: Path | None
    pairs: Path | None
    allow_partial: bool

    def __init__(
        self, path: Path | str | None = None, *, pairs: Path | str | None = None, allow_partial: bool = False
    ) -> None:
        for name, given, what in (("path", path, "a file or folder"), ("pairs", pairs, "a folder of id lists")):
            found = optional_path(given, what)
            object.__setattr__(self, name, None if found is None else found.absolute())
        object.__setattr__(self, "allow_partial", yes_or_no("allow_partial", allow_partial))

    @property
    def known_path(self) -> Path:
        """The path of a corpus that was located."""
        if self.path is None:
            raise AssertionError("a corpus is located before it is read")
        return self.path

    def __str__(self) -> str:
        parts = [
            *([f"the corpus {str(self.path)!r}"] if self.path is not None else []),
            *([f"pairs={str(self.pairs)!r}"] if self.pairs is not None else []),
            *(["allow_partial=True"] if self.allow_partial else []),
        ]
        return " with ".join(parts) or "a corpus"


def corpus_from_options(path: str | None, pairs: str | None = None, allow_partial: bool = False) -> Corpus | None:
    """The corpus that `--corpus`, `--pairs` and `--allow-partial` name; None if no option is given.

    Raises UsageError for an empty path, such as an unset shell variable.
    """
    for given in (path, pairs):
        if given is not None and not given.strip():
            raise UsageError(f"expected a path, got {given!r}: name a file or folder, or leave the option out")
    if path is None and pairs is None and not allow_partial:
        return None
    return Corpus(path, pairs=pairs, allow_partial=allow_partial)


def as_corpus(given: Any) -> Corpus | None:
    """A Corpus, or the path of a corpus, as a Corpus; None stays None."""
    if given is None or isinstance(given, Corpus):
        return given
    if isinstance(given, str | Path):
        return Corpus(given)
    raise UsageError(f"expected a corpus, such as lra_data.Corpus('aclImdb_v1.tar.gz') or its path, got {given!r}")
