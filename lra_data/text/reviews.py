"""The corpus: aclImdb, 50,000 labelled reviews in `{train,test}/{neg,pos}/<id>_<rating>.txt`, read and checked.

Other files of the archive (`unsup/`, `.feat`, `urls_*.txt`) are passed over; a copy without them is whole.
"""

import hashlib
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from lra_data.corpora.archive import Limits, Source, stamp
from lra_data.errors import SetError
from lra_data.text.config import REVIEWS_A_FOLDER

FOLDERS = ("train/neg", "train/pos", "test/neg", "test/pos")
LABELS = {"neg": 0, "pos": 1}

# Ratings of 5 and 6 belong to neither class (README of aclImdb).
RATINGS = {"neg": range(1, 5), "pos": range(7, 11)}

_REVIEW = re.compile(r"(?:.*/)?(train|test)/(neg|pos)/([0-9]{1,9})_([0-9]{1,9})\.txt")
# The longest review has 13,704 bytes, and the largest other file, the list of features, 21 million.
_LIMITS = Limits(largest=2**26, total=2**28)


class Reviews:
    """A copy of the corpus. texts: each review's bytes by its path in the official archive, in the order of paths."""

    def __init__(self, texts: dict[str, bytes], source: dict[str, Any]) -> None:
        self.texts = dict(sorted(texts.items()))
        self.facts: dict[str, Any] = {
            "content": _content(self.texts),
            "missing": _missing(self.texts),
            "source": source,
            "reviews": len(texts),
        }

    def paths(self, half: str) -> list[str]:
        """The paths of `train` or `test`."""
        return [path for path in self.texts if path.startswith(f"aclImdb/{half}/")]


def is_review(path: str) -> bool:
    """Whether a path is the path of a review in the official archive."""
    return path.startswith("aclImdb/") and path.count("/") == 3 and _REVIEW.fullmatch(path) is not None


def label_and_rating(path: str) -> tuple[int, int]:
    """The label and rating in the path of a review: 0 for neg or 1 for pos, and 1 to 10."""
    _, _, label, name = path.split("/")
    return LABELS[label], int(name.removesuffix(".txt").partition("_")[2])


def name_of(path: str) -> str:
    """`neg/609` for `aclImdb/train/neg/609_1.txt`: the name of a review within its half."""
    _, _, label, name = path.split("/")
    return f"{label}/{name.partition('_')[0]}"


def read_reviews(path: Path) -> Reviews:
    """The reviews in an archive or a folder; raises SetError for a fault, naming the file."""
    return _read(path, stamp(path))


@lru_cache(maxsize=1)
def _read(path: Path, stamped: tuple[int, int]) -> Reviews:
    source = Source(path, _LIMITS)
    texts: dict[str, bytes] = {}
    seen: dict[tuple[str, str, str], str] = {}
    for name, data in source.members(lambda name: _REVIEW.fullmatch(name) is not None):
        match = _REVIEW.fullmatch(name)
        if match is None:
            raise AssertionError("members gives what is wanted")
        half, label, number, rating = match.groups()
        if str(int(number)) != number or int(number) >= REVIEWS_A_FOLDER:
            raise SetError(f"{path}: expected review ids from 0 to {REVIEWS_A_FOLDER - 1}, got {name}")
        if int(rating) not in RATINGS[label] or str(int(rating)) != rating:
            allowed = RATINGS[label]
            raise SetError(f"{path}: expected ratings {allowed[0]} to {allowed[-1]} in {half}/{label}, got {name}")
        earlier = seen.setdefault((half, label, number), name)
        canonical = f"aclImdb/{half}/{label}/{number}_{rating}.txt"
        if earlier != name or canonical in texts:
            raise SetError(f"{path}: expected review {number} of {half}/{label} once, got {earlier} and {name}")
        try:
            data.decode()
        except UnicodeDecodeError as error:
            raise SetError(
                f"{path}: expected UTF-8 text in {name}, got byte {data[error.start]:#04x} at {error.start}: the copy "
                "was changed after it was unpacked"
            ) from error
        if not data:
            raise SetError(f"{path}: expected a review in {name}, got an empty file")
        texts[canonical] = data
    for folder in FOLDERS:
        if not any(found.startswith(f"aclImdb/{folder}/") for found in texts):
            raise SetError(
                f"{path}: expected reviews in {folder}/<id>_<rating>.txt, got none{source.aside}: this is not aclImdb"
            )
    return Reviews(texts, source.facts)


def _content(texts: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for path, text in texts.items():
        digest.update(f"{path} {len(text)}\n".encode())
        digest.update(text)
    return digest.hexdigest()


def _missing(texts: dict[str, bytes]) -> str:
    counts = {folder: sum(path.startswith(f"aclImdb/{folder}/") for path in texts) for folder in FOLDERS}
    short = [
        f"{count:,} of {REVIEWS_A_FOLDER:,} in {folder}" for folder, count in counts.items() if count < REVIEWS_A_FOLDER
    ]
    return f"got reviews {', '.join(short)}" if short else ""
