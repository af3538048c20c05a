"""Items that a reader ignores because they are not part of a corpus, and their counts by kind.

Operating systems and editors leave such items in copies: files whose names begin with a dot, a byte order mark before
the first line of a list, blank lines after its last line, links in an archive. They do not affect rows. So the counts
belong to the description of the copy (`source` in a set's record), not to the identity of the set.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

HIDDEN, LINKS, MARKS, BLANK = "hidden files", "links", "byte order marks", "blank lines"
_KEY = "passed over"

_MARK = b"\xef\xbb\xbf"
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff")
_MAC_FOLDER = "__MACOSX"


def is_hidden(path: str) -> bool:
    """Whether a part of the path begins with a dot, or is the folder in which macOS puts its `._` files."""
    # Most names are decided without splitting the path, since a corpus has 50,000 files.
    if not path.startswith(".") and "/." not in path and _MAC_FOLDER not in path:
        return False
    return any(part == _MAC_FOLDER or (part.startswith(".") and part != "..") for part in PurePosixPath(path).parts)


def without_mark(data: bytes, passed_over: Counter[str]) -> bytes:
    """The text without a UTF-8 byte order mark, which is counted; raises ValueError for UTF-16."""
    if data.startswith(_WIDE_MARKS):
        raise ValueError("expected UTF-8 or ASCII, got UTF-16: save the file as UTF-8")
    if not data.startswith(_MARK):
        return data
    passed_over[MARKS] += 1
    return data[len(_MARK) :]


def numbered_lines(lines: Iterable[bytes], passed_over: Counter[str]) -> Iterator[tuple[int, bytes]]:
    """(number from 1, line) of a list, without a byte order mark and without blank lines at the end; both are counted.

    A blank line between others is yielded, since it may be a lost line. Raises ValueError for UTF-16.
    """
    blank: list[tuple[int, bytes]] = []
    for number, line in enumerate(lines, start=1):
        text = without_mark(line, passed_over) if number == 1 else line
        if not text.strip():
            blank.append((number, b""))
            continue
        yield from blank
        blank.clear()
        yield number, text
    passed_over[BLANK] += len(blank)


def described(source: Mapping[str, Any], *counts: Mapping[str, int]) -> dict[str, Any]:
    """The form of a copy, with the counts of ignored items, if there are any."""
    total: Counter[str] = Counter(source.get(_KEY, {}))
    for some in counts:
        total.update(some)
    kept = {name: total[name] for name in (HIDDEN, LINKS, MARKS, BLANK) if total[name]}
    return {name: value for name, value in source.items() if name != _KEY} | ({_KEY: kept} if kept else {})


def counts_of(source: Mapping[str, Any]) -> dict[str, int]:
    """The counts that `described` added."""
    found = source.get(_KEY, {})
    return dict(found) if isinstance(found, dict) else {}


def sentence(source: Mapping[str, Any]) -> str:
    """`Passed over in the copy: 3 hidden files, 1 blank line.`; empty if there are no counts."""
    words = in_words(counts_of(source))
    return f"Passed over in the copy: {words}." if words else ""


def in_words(counts: Mapping[str, int]) -> str:
    """`3 hidden files, 1 blank line`."""
    words = [(count, name) for name, count in counts.items() if count]
    return ", ".join(f"{count:,} {name if count != 1 else name.removesuffix('s')}" for count, name in words)
