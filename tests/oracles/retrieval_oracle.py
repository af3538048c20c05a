"""The rows of Retrieval, drawn slowly and plainly from docs/retrieval_draws.md alone: the package is compared with it.

Nothing of the package is imported here, and nothing is optimised that the page does not say.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

Link = tuple[str, str]
Row = tuple[int, str, str]

SPLITS = ("train", "validation", "test")
MOST_POSITIVES = {"train": 73_543, "validation": 9_045, "test": 8_718}


def draw(texts: Collection[str], links: Sequence[Link], splitting: str, seed: int) -> dict[str, list[Row]]:
    """Rows (label, first, second) of each split, in order, from papers with a text and the raw lines of acl.txt."""
    key = key_of(splitting, seed)
    linked = {frozenset(link) for link in links if link[0] != link[1]}
    rows: dict[str, list[Row]] = {}
    taken: set[frozenset[str]] = set()
    for split, slots in positives(texts, links, splitting, seed).items():
        pairs = negatives(key, slots, linked, taken)
        taken |= {frozenset(pair) for pair in pairs.values()}
        unsorted = [(1, *positive) for positive in pairs] + [(0, *negative) for negative in pairs.values()]
        rows[split] = sorted(unsorted, key=lambda row: digest(key, "row", str(row[0]), row[1], row[2]))
    return rows


def key_of(splitting: str, seed: int) -> bytes:
    """The 16 bytes that come first in every digest."""
    identity = {"config": {"splitting": splitting}, "seed": seed, "split": "", "task": "retrieval", "version": 1}
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()[:16]


def digest(key: bytes, *words: str) -> bytes:
    """SHA-256 of the key and the words, joined by zero bytes."""
    return hashlib.sha256(b"\0".join([key, *(word.encode() for word in words)])).digest()


def share(key: bytes, *words: str) -> float:
    """The first 53 bits of the digest as a number in [0, 1)."""
    bits = "".join(f"{byte:08b}" for byte in digest(key, *words))
    return int(bits[:53], 2) / 2**53


def year_of(paper: str) -> int:
    """2002 of P02-1040, 1993 of J93-2004."""
    two_digits = int(paper[1:3])
    return two_digits + (1900 if two_digits >= 60 else 2000)


def positives(texts: Collection[str], links: Sequence[Link], splitting: str, seed: int) -> dict[str, list[Link]]:
    """The links that are positives of each split, before any is dropped for want of a negative."""
    key = key_of(splitting, seed)
    with_text = set(texts)
    first_of: dict[frozenset[str], Link] = {}
    for citing, cited in sorted(links):
        if citing != cited and citing in with_text and cited in with_text:
            first_of.setdefault(frozenset((citing, cited)), (citing, cited))
    found: dict[str, list[Link]] = {split: [] for split in SPLITS}
    for link in first_of.values():
        split = split_of_link(key, splitting, link)
        if split is not None:
            found[split].append(link)
    return {
        split: sorted(found[split], key=lambda link: digest(key, "positive", *link))[: MOST_POSITIVES[split]]
        for split in SPLITS
    }


def split_of_link(key: bytes, splitting: str, link: Link) -> str | None:
    """The split of a positive; none where its papers are of different splits."""
    if splitting == "by-pair":
        return _split_of_share(share(key, "pair", *link), 147_086 / 182_613, 18_090 / 182_613)
    if splitting == "by-paper":
        citing, cited = (_split_of_share(share(key, "paper", paper), 0.6, 0.2) for paper in link)
        return citing if citing == cited else None
    raise ValueError(f"no splitting {splitting!r}")


def _split_of_share(u: float, train: float, validation: float) -> str:
    if u < train:
        return "train"
    return "validation" if u - train < validation else "test"


def negatives(
    key: bytes, slots: Sequence[Link], linked: set[frozenset[str]], taken: set[frozenset[str]]
) -> dict[Link, Link]:
    """The negative of each positive that keeps one, in the order of the slots."""
    order = sorted(slots, key=lambda link: digest(key, "negative", *link))
    citing = [link[0] for link in order]
    cited = [link[1] for link in order]
    groups: dict[int, list[int]] = {}
    for slot, paper in enumerate(cited):
        groups.setdefault(year_of(paper), []).append(slot)

    for group in groups.values():
        papers = [cited[slot] for slot in group]
        for slot, paper in zip(group, papers[1:] + papers[:1], strict=True):
            cited[slot] = paper

    held = Counter(frozenset(pair) for pair in zip(citing, cited, strict=True))

    def holds_negative(slot: int) -> bool:
        pair = frozenset((citing[slot], cited[slot]))
        return len(pair) == 2 and pair not in linked and held[pair] == 1 and pair not in taken

    def exchange(one: int, other: int) -> None:
        for slot in (one, other):
            held[frozenset((citing[slot], cited[slot]))] -= 1
        cited[one], cited[other] = cited[other], cited[one]
        for slot in (one, other):
            held[frozenset((citing[slot], cited[slot]))] += 1

    def repair(slot: int, others: Iterator[int]) -> None:
        for other in others:
            if other == slot:
                continue
            exchange(slot, other)
            if holds_negative(slot) and holds_negative(other):
                return
            exchange(slot, other)

    def of_same_year(slot: int) -> Iterator[int]:
        yield from groups[year_of(cited[slot])]

    def of_all_years(slot: int) -> Iterator[int]:
        here = year_of(cited[slot])
        for year in sorted(groups, key=lambda year: (abs(year - here), year)):
            yield from groups[year]

    for others in (of_same_year, of_all_years):
        for slot in range(len(order)):
            if not holds_negative(slot):
                repair(slot, others(slot))

    return {order[slot]: (citing[slot], cited[slot]) for slot in range(len(order)) if holds_negative(slot)}
