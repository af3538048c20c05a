"""Pairs, the sources of rows, and id lists such as LRA's, which fix the pairs.

A list has one pair per line: `label id1 id2` as in `new_aan_pairs.<split>.only_ids.tsv`, or the five columns of
`new_aan_pairs.<split>.tsv`, whose two texts are ignored, since texts come from the corpus. A byte order mark, blank
lines at the end and hidden files are passed over and counted.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import BinaryIO

from lra_data.corpora.archive import count_hidden, stamp
from lra_data.corpora.ignored_files import HIDDEN, is_hidden, numbered_lines
from lra_data.errors import SetError, UsageError
from lra_data.splits import ALIASES, SPLITS, split_name

_SHOWN = 5
_NAMES = "|".join([*SPLITS, *ALIASES])
_LIST = re.compile(rf"(?:.*[._-])?(?P<split>{_NAMES})(?:[._-](?:only[._-])?ids)?\.(?:tsv|txt)", re.IGNORECASE)
_EXPECTED = "id lists new_aan_pairs.{train,eval,test}.tsv"
_LABELS = {b"0": 0, b"1": 1, b"0.0": 0, b"1.0": 1}


@dataclass(frozen=True)
class Pair:
    """Two papers by id, and 1 if there is a link between them; in pairs drawn here, the first cites the second."""

    first: str
    second: str
    label: int


class Splits:
    """Pairs by split, in order. times: how often each paper appears in a split, on either side."""

    def __init__(self, pairs: Mapping[str, Sequence[Pair]]) -> None:
        self.pairs = pairs

    @cached_property
    def times(self) -> Mapping[str, Counter[str]]:
        """Counted at the first call, and kept."""
        return {
            split: Counter(paper for pair in pairs for paper in (pair.first, pair.second))
            for split, pairs in self.pairs.items()
        }


class IdLists:
    """Pairs by split, in the lists' order, with a digest of all pairs. passed_over: counts by kind."""

    def __init__(self, pairs: Mapping[str, tuple[Pair, ...]], passed_over: Mapping[str, int]) -> None:
        self.pairs = pairs
        self.passed_over = passed_over
        digest = hashlib.sha256()
        for split in SPLITS:
            for pair in pairs[split]:
                digest.update(f"{split} {pair.label} {pair.first} {pair.second}\n".encode())
        self.digest = digest.hexdigest()

    def without_text(self, texts: Mapping[str, bytes]) -> tuple[list[str], int]:
        """Papers in the lists without a text, sorted, and the number of pairs with such a paper."""
        absent = {paper for rows in self.pairs.values() for pair in rows for paper in (pair.first, pair.second)}
        absent -= set(texts)
        count = sum(pair.first in absent or pair.second in absent for rows in self.pairs.values() for pair in rows)
        return sorted(absent), count


def read_id_lists(folder: Path) -> IdLists:
    """The three lists of a folder; raises UsageError if they are missing, SetError for a malformed line."""
    if not folder.is_dir():
        raise UsageError(f"expected a folder with id lists, got {folder}, which is not a folder")
    return _read(folder, stamp(folder))


@lru_cache(maxsize=1)
def _read(folder: Path, stamped: tuple[int, int]) -> IdLists:
    candidates = _candidates(folder)
    passed_over: Counter[str] = Counter({HIDDEN: count_hidden(folder)})
    lists = [_whole(candidate, passed_over) for candidate in candidates[:1]]
    for other in candidates[1:]:
        # LRA's own names have two forms, and a folder may hold both; their content must be equal.
        lists.append(_whole(other, Counter()))
        if lists[-1].digest != lists[0].digest:
            named = " and ".join(chosen["train"].name for chosen in (candidates[0], other))
            raise UsageError(f"{folder}: expected one set of id lists, got two that differ, with {named}: remove one")
    return lists[0]


def _candidates(folder: Path) -> list[dict[str, Path]]:
    """The lists by split, once for each naming scheme with all three lists.

    Raises UsageError, naming the folder's content, if no scheme is complete.
    """
    there = sorted(path for path in folder.iterdir() if not is_hidden(path.name))
    manners: dict[str, dict[str, Path]] = {}
    found: dict[str, Path] = {}
    doubled = []
    for path in there:
        match = _LIST.fullmatch(path.name) if path.is_file() else None
        if match is None:
            continue
        split = split_name(match["split"].lower())
        manner = manners.setdefault(path.name[: match.start("split")] + "*" + path.name[match.end("split") :], {})
        if split in manner:
            raise _doubled(folder, split, manner[split], path)
        if split in found:
            doubled.append((split, found[split], path))
        manner[split] = path
        found.setdefault(split, path)
    whole = [manner for manner in manners.values() if len(manner) == len(SPLITS)]
    if not whole and doubled:
        raise _doubled(folder, *doubled[0])
    if len(found) < len(SPLITS):
        raise UsageError(f"{folder}: expected {_EXPECTED}, got {_what_is_there(there, found)}")
    return whole or [found]


def _doubled(folder: Path, split: str, first: Path, second: Path) -> UsageError:
    return UsageError(f"{folder}: expected one list for {split}, got {first.name} and {second.name}: remove one")


def _what_is_there(there: Sequence[Path], found: Mapping[str, Path]) -> str:
    """The lists that were found, or some other names in the folder with their number, and a remedy."""
    if found:
        absent = " and ".join(split for split in SPLITS if split not in found)
        return f"{', '.join(path.name for path in found.values())} and none for {absent}: put all three into the folder"
    if not there:
        return "an empty folder: name the folder with the lists"
    names = [f"{path.name}/" if path.is_dir() else path.name for path in there[:_SHOWN]]
    more = f" and {len(there) - _SHOWN:,} more" if len(there) > _SHOWN else ""
    return (
        f"none among {len(there):,} entr{'ies' if len(there) > 1 else 'y'}, {', '.join(names)}{more}: name the folder "
        "that holds them, or rename them; new_aan_pairs.train.only_ids.tsv, train.tsv and train.txt are known too"
    )


def _whole(paths: Mapping[str, Path], passed_over: Counter[str]) -> IdLists:
    lists = {}
    for split in SPLITS:
        try:
            with paths[split].open("rb") as file:
                lists[split] = tuple(_lines(paths[split], file, passed_over))
        except OSError as error:
            raise SetError(f"{paths[split]}: expected a readable file, got: {error.strerror}") from error
        except ValueError as error:
            raise SetError(f"{paths[split]}: {error}") from error
        if not lists[split]:
            raise SetError(f"{paths[split]}: expected one pair per line, got no pairs")
    return IdLists(lists, {name: count for name, count in passed_over.items() if count})


def _lines(path: Path, file: BinaryIO, passed_over: Counter[str]) -> Iterator[Pair]:
    for number, line in numbered_lines(file, passed_over):
        fields = line.split(b"\t", 3)[:3] if line.count(b"\t") >= 2 else line.split()
        words = [field.strip() for field in fields]
        if len(words) != 3 or words[0] not in _LABELS or not all(word.isascii() and word for word in words):
            shown = line[:60].decode("ascii", "backslashreplace").rstrip()
            raise SetError(f"{path} line {number}: expected `label id1 id2` with label 0 or 1, got {shown!r}")
        yield Pair(words[1].decode(), words[2].decode(), _LABELS[words[0]])


def shown_papers(papers: list[str]) -> str:
    """Some of the papers, and the number of the others."""
    more = f" and {len(papers) - _SHOWN:,} more" if len(papers) > _SHOWN else ""
    return f"{', '.join(papers[:_SHOWN])}{more}"
