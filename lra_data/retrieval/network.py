"""The corpus: the ACL Anthology Network, its links and the texts of its papers, read and checked.

    release/<year>/acl.txt            one link per line, `citing ==> cited`; the newest of several years is used
    release/<year>/acl-metadata.txt   records of papers; only counted and compared with the years in the ids
    papers_text/A00-1000.txt          the text of a paper, as unchanged bytes

An empty text counts as missing. Other files in `papers_text` (`.body`, other names), hidden files, and a byte order
mark and blank lines in the two lists are passed over and counted.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from lra_data.corpora.archive import Limits, Source, stamp
from lra_data.corpora.ignored_files import BLANK, without_mark
from lra_data.errors import SetError

# The longest known text has 154 kB, the metadata have 5 MB, and 20,194 texts of 27 kB have half a gigabyte.
LIMITS = Limits(largest=2**25, total=2**31)

# In the 2013 release, 107,873 of 110,930 links have both texts; a copy with far fewer is incomplete.
_WHOLE = 0.9

# Number of links of the counted releases. The release of 2011 has 84,237 (Radev et al. 2013), later releases have more.
_LINKS_OF = {2012: 94_973, 2013: 110_930}
_FEWEST_LINKS = 80_000
_ARROW = "==>"

_LINKS = re.compile(r"(?:.*/)?release/(\d{4})/acl\.txt")
_METADATA = re.compile(r"(?:.*/)?release/(\d{4})/acl-metadata\.txt")
_TEXT = re.compile(r"(?:.*/)?papers_text/([^/]*)")
PAPER = re.compile(r"[A-Z][0-9]{2}-[0-9]{4}")
_RECORD_ID = re.compile(rb"^id = \{(.*?)\}", re.MULTILINE)
_RECORD_YEAR = re.compile(rb"^year = \{(\d{4})\}", re.MULTILINE)

# The Anthology's oldest papers are from 1965.
_FIRST_YEAR = 60


class Network:
    """A copy of the corpus.

    texts: bytes by paper.
    listed: the lines of acl.txt as (citing, cited).
    links: the links between two different papers, each once.
    linked: the same without direction.
    """

    def __init__(self, texts: dict[str, bytes], links: Iterable[tuple[str, str]], facts: dict[str, Any]) -> None:
        self.texts = dict(sorted(texts.items()))
        self.listed = tuple(links)
        listed = self.listed
        distinct = dict.fromkeys(listed)
        self.links = [link for link in distinct if link[0] != link[1]]
        self.linked = frozenset(frozenset(link) for link in self.links)
        readable = sum(citing in texts and cited in texts for citing, cited in listed)
        papers = {paper for link in listed for paper in link}
        self.facts: dict[str, Any] = {
            "content": _content(self.texts, self.links),
            "missing": what_is_missing(facts["release"], len(listed), readable),
            **facts,
            "links": len(listed),
            "links with both texts": readable,
            "self links": sum(citing == cited for citing, cited in listed),
            "repeated links": len(listed) - len(distinct),
            "papers": len(papers),
            "ids of another form": sum(PAPER.fullmatch(paper) is None for paper in papers),
            "texts": len(texts),
            "longest": max(map(len, texts.values())),
            "texts with NUL, TAB or CR": sum(any(byte in text for byte in b"\0\t\r") for text in texts.values()),
            "texts that are not UTF-8": sum(not _is_utf8(text) for text in texts.values()),
        }


def what_is_missing(release: int, links: int, readable: int) -> str:
    """The missing links or texts of a copy, compared with its year's release, in words; empty for a whole copy."""
    most = _LINKS_OF.get(release, _FEWEST_LINKS)
    if links < most:
        return f"got {links:,} links (the release of {release}: {'' if release in _LINKS_OF else 'at least '}{most:,})"
    if readable < _WHOLE * links:
        return f"got both texts of {readable:,} of {links:,} links (the release of 2013: 107,873 of 110,930)"
    return ""


def year_of(paper: str) -> int:
    """The year in a paper's id: 2002 for `P02-1040`, 1993 for `J93-2004`."""
    year = int(paper[1:3])
    return 1900 + year if year >= _FIRST_YEAR else 2000 + year


def read_network(path: Path) -> Network:
    """The network in an archive or a folder; raises SetError for a fault, naming file and line."""
    return _read(path, stamp(path))


@lru_cache(maxsize=1)
def _read(path: Path, stamped: tuple[int, int]) -> Network:
    source = Source(path, LIMITS)
    texts: dict[str, bytes] = {}
    links: dict[int, list[tuple[str, str]]] = {}
    records: dict[int, dict[str, int]] = {}
    empty = others = 0
    for name, data in source.members(_wanted):
        if match := _LINKS.fullmatch(name):
            _once(path, links, int(match[1]), name)
            links[int(match[1])] = _links(f"{path}: {name}", data, source.passed_over)
        elif match := _METADATA.fullmatch(name):
            _once(path, records, int(match[1]), name)
            records[int(match[1])] = _years(f"{path}: {name}", data, source.passed_over)
        elif match := _TEXT.fullmatch(name):
            paper, _, ending = match[1].rpartition(".")
            if ending != "txt" or PAPER.fullmatch(paper) is None:
                others += 1
            elif not data:
                empty += 1
            else:
                _once(path, texts, paper, name)
                texts[paper] = data
    if not links:
        raise SetError(f"{path}: expected release/<year>/acl.txt, got none{source.aside}: this is not the AAN release")
    if not texts:
        raise SetError(f"{path}: expected texts in papers_text/, got none{source.aside}: this is not the AAN release")
    year = max(links)
    years = records[max(records)] if records else {}
    return Network(
        texts,
        links[year],
        {
            "source": source.facts,
            "release": year,
            "empty texts": empty,
            "other files": others,
            "records": len(years),
            "texts without a record": sum(paper not in years for paper in texts) if years else 0,
            "records of another year than the id": sum(
                year != year_of(paper) for paper, year in years.items() if PAPER.fullmatch(paper)
            ),
        },
    )


def _wanted(name: str) -> bool:
    return any(pattern.fullmatch(name) for pattern in (_LINKS, _METADATA, _TEXT))


def _once(path: Path, there: Any, key: Any, name: str) -> None:
    if key in there:
        raise SetError(f"{path}: expected one file for {key}, got another as {name}: name the release's own folder")


def _links(where: str, data: bytes, passed_over: Counter[str]) -> list[tuple[str, str]]:
    """The links of acl.txt; blank lines are skipped and counted."""
    found = []
    data = _without_mark(where, data, passed_over)
    try:
        lines = data.decode("ascii").splitlines()
    except UnicodeDecodeError as error:
        raise SetError(f"{where}: expected ASCII, got byte {data[error.start]:#04x} at {error.start}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            passed_over[BLANK] += 1
            continue
        words = line.split()
        if len(words) != 3 or words[1] != _ARROW:
            raise SetError(f"{where} line {number}: expected `citing {_ARROW} cited`, got {line[:80]!r}")
        found.append((words[0], words[2]))
        if number == len(lines) and not data.endswith(b"\n") and PAPER.fullmatch(words[2]) is None:
            raise SetError(f"{where} line {number}: expected a whole line, got {line[:80]!r} at the end: it is cut off")
    if not found:
        raise SetError(f"{where}: expected one link per line, got no links")
    return found


def _without_mark(where: str, data: bytes, passed_over: Counter[str]) -> bytes:
    try:
        return without_mark(data, passed_over)
    except ValueError as error:
        raise SetError(f"{where}: {error}") from error


def _years(where: str, data: bytes, passed_over: Counter[str]) -> dict[str, int]:
    """The year of each record; records are separated by blank lines, in mixed encodings; values may span lines."""
    years = {}
    for record in re.split(rb"\r?\n\s*\n", _without_mark(where, data, passed_over)):
        paper, year = _RECORD_ID.search(record), _RECORD_YEAR.search(record)
        if paper is not None and year is not None:
            years[paper[1].decode("latin-1").strip()] = int(year[1])
    return years


def _content(texts: dict[str, bytes], links: list[tuple[str, str]]) -> str:
    digest = hashlib.sha256()
    for citing, cited in sorted(links):
        digest.update(f"{citing} {cited}\n".encode())
    for paper, text in texts.items():
        digest.update(f"{paper} {len(text)}\n".encode())
        digest.update(text)
    return digest.hexdigest()


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
