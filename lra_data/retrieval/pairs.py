"""What a row is made of, and pairs that someone else chose: LRA's id lists, read as they are.

A list has a line a pair, `label id1 id2`, or LRA's five columns of `new_aan_pairs.<split>.tsv`, of which the two texts
are passed over: the texts come from the corpus.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import BinaryIO

from lra_data.corpora.archive import stamp
from lra_data.errors import SetError, UsageError
from lra_data.splits import ALIASES, SPLITS

_SHOWN = 5
_LIST = re.compile(r"(?:.*[._-])?(?P<split>[a-z]+)\.(?:tsv|txt)")
_LABELS = {b"0": 0, b"1": 1, b"0.0": 0, b"1.0": 1}


@dataclass(frozen=True)
class Pair:
    """Two papers by id, and 1 if there is a link between them, the first citing the second where we drew the pair."""

    first: str
    second: str
    label: int


class Splits:
    """Pairs by split, in order. times: how often each paper stands in a split, on either side."""

    def __init__(self, pairs: Mapping[str, Sequence[Pair]]) -> None:
        self.pairs = pairs

    @cached_property
    def times(self) -> Mapping[str, Counter[str]]:
        """Counted when first asked for, and kept."""
        return {
            split: Counter(paper for pair in pairs for paper in (pair.first, pair.second))
            for split, pairs in self.pairs.items()
        }


class IdLists:
    """Pairs by split, in the lists' order, with a digest over them all."""

    def __init__(self, pairs: Mapping[str, tuple[Pair, ...]]) -> None:
        self.pairs = pairs
        digest = hashlib.sha256()
        for split in SPLITS:
            for pair in pairs[split]:
                digest.update(f"{split} {pair.label} {pair.first} {pair.second}\n".encode())
        self.digest = digest.hexdigest()

    def without_text(self, texts: Mapping[str, bytes]) -> tuple[list[str], int]:
        """Papers that the lists name and that have no text, sorted, and how many pairs name one."""
        absent = {paper for rows in self.pairs.values() for pair in rows for paper in (pair.first, pair.second)}
        absent -= set(texts)
        count = sum(pair.first in absent or pair.second in absent for rows in self.pairs.values() for pair in rows)
        return sorted(absent), count


def read_id_lists(folder: Path) -> IdLists:
    """The three lists of a folder; raises UsageError where they are not there, SetError for a line that is none."""
    if not folder.is_dir():
        raise UsageError(f"expected a folder with id lists, {folder} is none")
    return _read(folder, stamp(folder))


@lru_cache(maxsize=1)
def _read(folder: Path, stamped: tuple[int, int]) -> IdLists:
    paths: dict[str, Path] = {}
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        match = _LIST.fullmatch(path.name)
        split = ALIASES.get(match["split"], match["split"]) if match else None
        if split in SPLITS:
            if split in paths:
                raise UsageError(f"{folder}: expected one list for {split}, got {paths[split].name} and {path.name}")
            paths[split] = path
    if set(paths) != set(SPLITS):
        raise UsageError(
            f"{folder}: expected id lists new_aan_pairs.{{train,eval,test}}.tsv, got "
            f"{', '.join(path.name for path in paths.values()) or 'none'}"
        )
    lists = {}
    for split in SPLITS:
        try:
            with paths[split].open("rb") as file:
                lists[split] = tuple(_lines(paths[split], file))
        except OSError as error:
            raise SetError(f"{paths[split]}: expected a readable file, got: {error.strerror}") from error
        if not lists[split]:
            raise SetError(f"{paths[split]}: expected a pair a line, got none")
    return IdLists(lists)


def _lines(path: Path, file: BinaryIO) -> Iterator[Pair]:
    for number, line in enumerate(file, start=1):
        fields = line.split(b"\t", 3)[:3] if line.count(b"\t") >= 2 else line.split()
        words = [field.strip() for field in fields]
        if len(words) != 3 or words[0] not in _LABELS or not all(word.isascii() and word for word in words):
            shown = line[:60].decode("ascii", "backslashreplace").rstrip()
            raise SetError(f"{path} line {number}: expected `label id1 id2` with label 0 or 1, got {shown!r}")
        yield Pair(words[1].decode(), words[2].decode(), _LABELS[words[0]])


def shown_papers(papers: list[str]) -> str:
    """Some of them, and how many there are."""
    more = f" and {len(papers) - _SHOWN:,} more" if len(papers) > _SHOWN else ""
    return f"{', '.join(papers[:_SHOWN])}{more}"
