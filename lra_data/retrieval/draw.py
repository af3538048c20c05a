"""Draws our own pairs from the network by the law in `docs/retrieval_draws.md`; `draw_pairs` is the sequence of steps.

Negatives exchange the cited papers of positives, within a split and a year of the cited paper. So each paper appears in
as many negatives as positives on either side, and the pairs of years are the same. The label cannot be predicted from a
paper, its length, its year or its frequency.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from lra_data.corpora.hash_order import keyed_digest, keyed_share
from lra_data.retrieval.config import DRAWN_SIZES, LRA_SIZES
from lra_data.retrieval.network import Network, year_of
from lra_data.retrieval.pairs import Pair
from lra_data.splits import SPLITS

# Shares of papers by split if each paper may appear in one split only; about 82, 9 and 9 % of the pairs result.
_PAPER_SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}
_PAIR_SHARES = {split: size / sum(LRA_SIZES.values()) for split, size in LRA_SIZES.items()}

Link = tuple[str, str]


def draw_pairs(network: Network, splitting: str, key: bytes) -> dict[str, list[Pair]]:
    """The pairs of each split, in order."""
    taken: set[frozenset[str]] = set()
    drawn = {}
    for split, positives in _positives(network, splitting, key).items():
        kept, negatives = _negatives(network, positives, taken, key)
        rows = [Pair(*link, 1) for link in kept] + [Pair(*link, 0) for link in negatives]
        drawn[split] = sorted(rows, key=lambda row: keyed_digest(key, "row", str(row.label), row.first, row.second))
    return drawn


def _positives(network: Network, splitting: str, key: bytes) -> dict[str, list[Link]]:
    """Links with both texts, one per pair of papers, by split, in keyed order, and at most as many as LRA has."""
    one_a_pair: dict[frozenset[str], Link] = {}
    for link in sorted(network.links):
        if link[0] in network.texts and link[1] in network.texts:
            one_a_pair.setdefault(frozenset(link), link)
    by_split: dict[str, list[Link]] = {split: [] for split in SPLITS}
    for link in one_a_pair.values():
        if splitting == "by-pair":
            by_split[_split_of(keyed_share(key, "pair", *link), _PAIR_SHARES)].append(link)
        else:
            first, second = (_split_of(keyed_share(key, "paper", paper), _PAPER_SHARES) for paper in link)
            if first == second:
                by_split[first].append(link)
    return {
        split: sorted(links, key=lambda link: keyed_digest(key, "positive", *link))[: DRAWN_SIZES[split] // 2]
        for split, links in by_split.items()
    }


def _split_of(share: float, shares: Mapping[str, float]) -> str:
    for split in SPLITS[:-1]:
        if share < shares[split]:
            return split
        share -= shares[split]
    return SPLITS[-1]


def _negatives(
    network: Network, positives: Sequence[Link], taken: set[frozenset[str]], key: bytes
) -> tuple[list[Link], list[Link]]:
    """The kept positives, and as many negatives; the negatives' papers are added to `taken`."""
    exchange = _Exchange(network, positives, taken, key)
    exchange.rotate_within_years()
    exchange.mend(exchange.same_year)
    exchange.mend(exchange.nearest_years)
    left_over = exchange.conflicts()
    kept = [link for slot, link in enumerate(positives) if slot not in left_over]
    negatives = [exchange.pair(slot) for slot in range(len(positives)) if slot not in left_over]
    taken.update(frozenset(link) for link in negatives)
    return kept, negatives


class _Exchange:
    """A slot for each positive: its citing paper stays, the cited papers move between the slots."""

    def __init__(
        self, network: Network, positives: Sequence[Link], taken: Iterable[frozenset[str]], key: bytes
    ) -> None:
        self._linked = network.linked
        self._citing = [citing for citing, _ in positives]
        self._cited = [cited for _, cited in positives]
        self._order = sorted(range(len(positives)), key=lambda slot: keyed_digest(key, "negative", *positives[slot]))
        self._slots: dict[int, list[int]] = defaultdict(list)
        for slot in self._order:
            self._slots[year_of(self._cited[slot])].append(slot)
        self._uses = Counter(taken)

    def pair(self, slot: int) -> Link:
        return self._citing[slot], self._cited[slot]

    def rotate_within_years(self) -> None:
        """Each slot gets the cited paper of the next slot of its year, in keyed order."""
        for slots in self._slots.values():
            cited = [self._cited[slot] for slot in slots]
            for slot, paper in zip(slots, [*cited[1:], cited[0]], strict=True):
                self._cited[slot] = paper
        self._uses.update(frozenset(self.pair(slot)) for slot in self._order)

    def _is_negative(self, slot: int) -> bool:
        """Whether the slot has two different papers, without a link, that are not in another slot of any split."""
        papers = frozenset(self.pair(slot))
        return len(papers) == 2 and papers not in self._linked and self._uses[papers] == 1

    def conflicts(self) -> set[int]:
        """The slots without a valid negative."""
        return {slot for slot in self._order if not self._is_negative(slot)}

    def same_year(self, slot: int) -> list[int]:
        """Other slots with a cited paper of the same year."""
        return self._slots[year_of(self._cited[slot])]

    def nearest_years(self, slot: int) -> list[int]:
        """All slots, sorted by the distance in years of their cited paper."""
        year = year_of(self._cited[slot])
        return [other for near in sorted(self._slots, key=lambda y: (abs(y - year), y)) for other in self._slots[near]]

    def mend(self, partners: Callable[[int], Sequence[int]]) -> None:
        """Exchange the cited paper of each conflicting slot with the first partner that gives two valid negatives."""
        for slot in self._order:
            if self._is_negative(slot):
                continue
            for other in partners(slot):
                if other != slot and self._swapped(slot, other):
                    break

    def _swapped(self, slot: int, other: int) -> bool:
        """Exchange if both slots then hold valid negatives; otherwise leave them unchanged."""
        self._swap(slot, other)
        if self._is_negative(slot) and self._is_negative(other):
            return True
        self._swap(slot, other)
        return False

    def _swap(self, slot: int, other: int) -> None:
        self._uses.subtract([frozenset(self.pair(slot)), frozenset(self.pair(other))])
        self._cited[slot], self._cited[other] = self._cited[other], self._cited[slot]
        self._uses.update([frozenset(self.pair(slot)), frozenset(self.pair(other))])
