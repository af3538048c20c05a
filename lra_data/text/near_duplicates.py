"""Finds texts that are nearly the same, with a Jaccard similarity of their word 5-grams of at least 0.8.

MinHash finds the candidates (datasketch, Broder 1997), and each is then measured exactly. Words are separated by white
space, and `<br />` counts as a space; a text of fewer than five words is one 5-gram.

A held-out split must not separate near-duplicates, so their groups among the 25,000 training reviews belong to the
data: `train_groups.json` holds them, and `python -m lra_data.text.near_duplicates ARCHIVE` finds them again.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from lra_data.errors import UsageError
from lra_data.optional_import import installing

THRESHOLD = 0.8
WORDS = 5

# A pair of similarity s is missed with probability (1 - s^rows)^bands; at 0.8 this is below 1 in 10,000.
_BANDS, _ROWS_A_BAND = 25, 5
_PERMUTATIONS = _BANDS * _ROWS_A_BAND
_SEED = 1

_GROUPS = Path(__file__).parent / "train_groups.json"


def word_grams(text: bytes) -> set[bytes]:
    """The text's word 5-grams."""
    words = text.replace(b"<br />", b" ").split()
    return {b" ".join(words[start : start + WORDS]) for start in range(max(1, len(words) - WORDS + 1))}


def near_duplicates(texts: Sequence[bytes]) -> list[tuple[int, int]]:
    """The pairs (i, j), i < j, of texts with a similarity of at least 0.8, sorted, including exact duplicates.

    Raises UsageError if datasketch is not installed.
    """
    try:
        from datasketch import MinHash, MinHashLSH
    except ImportError as error:
        raise UsageError(
            f"expected the library datasketch to find near-duplicates, found none: {installing('audit')}"
        ) from error
    index = MinHashLSH(num_perm=_PERMUTATIONS, params=(_BANDS, _ROWS_A_BAND))
    pairs = []
    for number, text in enumerate(texts):
        grams = word_grams(text)
        sketch = MinHash(num_perm=_PERMUTATIONS, seed=_SEED)
        sketch.update_batch(grams)
        for other in index.query(sketch):
            others = word_grams(texts[other])
            if len(grams & others) >= THRESHOLD * len(grams | others):
                pairs.append((other, number))
        index.insert(number, sketch)
    return sorted(pairs)


def groups_of(pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """The connected groups of at least two, each sorted, in the order of their first members."""
    group_of: dict[int, list[int]] = {}
    for one, other in pairs:
        first, second = group_of.get(one, [one]), group_of.get(other, [other])
        if first is not second:
            merged = sorted([*first, *second])
            group_of |= dict.fromkeys(merged, merged)
    distinct = {id(group): group for group in group_of.values()}
    return sorted(distinct.values())


@lru_cache
def train_groups() -> tuple[tuple[str, ...], ...]:
    """The groups among the training reviews, as names such as `neg/609`."""
    return tuple(tuple(group) for group in json.loads(_GROUPS.read_text()))


def find_train_groups(archive: Path) -> list[list[str]]:
    """The groups, found again in a copy of the corpus."""
    from lra_data.text.reviews import name_of, read_reviews

    reviews = read_reviews(archive)
    paths = reviews.paths("train")
    pairs = near_duplicates([reviews.texts[path] for path in paths])
    return sorted(sorted(name_of(paths[place]) for place in group) for group in groups_of(pairs))


if __name__ == "__main__":
    lines = ",\n".join(json.dumps(group) for group in find_train_groups(Path(sys.argv[1])))
    _GROUPS.write_text(f"[\n{lines}\n]\n")
