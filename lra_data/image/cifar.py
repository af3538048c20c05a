"""The corpus: CIFAR-10, in its Python or its binary layout, read and checked.

A picture's number is its place in upstream's order: 0 to 49,999 in the five training batches, 0 to 9,999 in the test
batch. It depends only on file and place, so pictures have the same numbers in a partial and in a whole corpus.
"""

import hashlib
import pickle
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lra_data.corpora.archive import Limits, Source, stamp
from lra_data.errors import SetError
from lra_data.image.plain_pickle import ForbiddenPickleError, load_plain

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE = 32
PIXELS = SIDE * SIDE
VALUES = 3 * PIXELS
BATCH = 10_000
HALVES = {"train": 5 * BATCH, "test": BATCH}

# MD5 of the files in cifar-10-python.tar.gz, as torchvision and others list them.
OFFICIAL_MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}

_FILE = re.compile(r"(?:.*/)?(?P<batch>data_batch_[1-5]|test_batch)(?P<binary>\.bin)?")
_LIMITS = Limits(largest=2**26, total=2**29)


class Pictures:
    """A copy of the corpus. Each field holds both halves, `train` and `test`.

    numbers: numbers of the pictures, ascending, int64 (n,).
    labels: uint8 (n,).
    values: red, green and blue planes, uint8 (n, 3072).
    """

    def __init__(self, batches: dict[str, "Batch"], source: dict[str, Any], recognised: list[str]) -> None:
        self.numbers: dict[str, NDArray[np.int64]] = {}
        self.labels: dict[str, NDArray[np.uint8]] = {}
        self.values: dict[str, NDArray[np.uint8]] = {}
        for half in HALVES:
            names = sorted(name for name in batches if _half(name) == half)
            self.numbers[half] = np.concatenate([_numbers(name, len(batches[name][0])) for name in names])
            self.labels[half] = np.concatenate([batches[name][0] for name in names])
            self.values[half] = np.concatenate([batches[name][1] for name in names])
        self.facts: dict[str, Any] = {
            "content": self._content(),
            "missing": self._missing(),
            "source": source,
            "pictures": {half: len(numbers) for half, numbers in self.numbers.items()},
            "recognised": recognised,
        }

    def _content(self) -> str:
        digest = hashlib.sha256()
        for half in HALVES:
            digest.update(half.encode())
            digest.update(self.numbers[half].astype("<i8").tobytes())
            digest.update(self.labels[half].tobytes())
            digest.update(self.values[half].data)
        return digest.hexdigest()

    def _missing(self) -> str:
        short = [
            f"{len(self.numbers[half]):,} of {count:,} {half} pictures"
            for half, count in HALVES.items()
            if len(self.numbers[half]) < count
        ]
        return f"got {' and '.join(short)}" if short else ""


# Labels uint8 (n,) and values uint8 (n, 3072) of one file.
Batch = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def read_pictures(path: Path) -> Pictures:
    """The pictures in an archive or a folder of either layout; raises SetError for a fault, naming file and place."""
    return _read(path, stamp(path))


@lru_cache(maxsize=1)
def _read(path: Path, stamped: tuple[int, int]) -> Pictures:
    source = Source(path, _LIMITS)
    batches: dict[str, Batch] = {}
    recognised = []
    for name, data in source.members(lambda name: _FILE.fullmatch(name) is not None):
        match = _FILE.fullmatch(name)
        if match is None:
            raise AssertionError("members gives what is wanted")
        batch = match["batch"]
        if batch in batches:
            raise SetError(f"{path}: expected {batch} once, got it again as {name}: name one layout's folder")
        batches[batch] = _binary(f"{path}: {name}", data) if match["binary"] else _pickled(f"{path}: {name}", data)
        if hashlib.md5(data, usedforsecurity=False).hexdigest() == OFFICIAL_MD5[batch]:
            recognised.append(batch)
    for half in HALVES:
        if not any(_half(name) == half for name in batches):
            raise SetError(f"{path}: expected a {half} batch, got none{source.aside}: this is not CIFAR-10")
    return Pictures(batches, source.facts, sorted(recognised))


def _half(batch: str) -> str:
    return "test" if batch == "test_batch" else "train"


def _numbers(batch: str, count: int) -> NDArray[np.int64]:
    first = 0 if batch == "test_batch" else (int(batch[-1]) - 1) * BATCH
    return first + np.arange(count, dtype=np.int64)


def _binary(where: str, data: bytes) -> Batch:
    records, rest = divmod(len(data), 1 + VALUES)
    if rest:
        raise SetError(
            f"{where}: expected records of {1 + VALUES:,} bytes, got {rest:,} bytes after {records:,} records: the "
            "file is cut off"
        )
    table = np.frombuffer(data, dtype=np.uint8).reshape(records, 1 + VALUES)
    return _checked(where, table[:, 0], np.ascontiguousarray(table[:, 1:]))


def _pickled(where: str, data: bytes) -> Batch:
    try:
        batch = load_plain(data)
    except ForbiddenPickleError as error:
        raise SetError(
            f"{where}: expected a pickle of plain values and byte arrays, got one that asks for {error}: do not trust "
            "this file"
        ) from error
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError,
            MemoryError, OverflowError) as error:  # fmt: skip
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SetError(f"{where}: expected a pickle, got a damaged one ({reason})") from error
    named = _named(where, batch)
    labels, values = named["labels"], named["data"]
    if isinstance(labels, np.ndarray) and labels.ndim == 1 and labels.dtype.kind in "iu":
        labels = labels.tolist()
    if not isinstance(labels, list | tuple) or not all(type(label) is int for label in labels):
        raise SetError(f"{where}: expected a list of integers as labels, got another value")
    for place, label in enumerate(labels):
        if not 0 <= label < len(CLASSES):
            shown = label if abs(label) < 2**63 else "a huge number"
            raise SetError(f"{where}: expected labels from 0 to 9, got {shown} at picture {place}")
    if not isinstance(values, np.ndarray) or values.shape != (len(labels), VALUES):
        got = values.shape if isinstance(values, np.ndarray) else type(values).__name__
        raise SetError(f"{where}: expected data of shape ({len(labels)}, {VALUES}) for as many labels, got {got}")
    if values.dtype != np.uint8:
        raise SetError(
            f"{where}: expected data of bytes, uint8, got {values.dtype}: save the pictures as upstream does"
        )
    return _checked(where, np.array(labels, dtype=np.int64), np.ascontiguousarray(values))


def _named(where: str, batch: Any) -> dict[str, Any]:
    """The batch with its names as text: upstream's names are bytes; batches saved again by Python 3 may have either."""
    if not isinstance(batch, dict):
        raise SetError(f"{where}: expected a dictionary with labels and data, got another value")
    found: dict[str, Any] = {}
    for key, value in batch.items():
        name = key.decode("latin-1") if isinstance(key, bytes) else key
        if name in found:
            raise SetError(f"{where}: expected {name} once, got it as bytes and as text: remove one of the two")
        found[name] = value
    if not {"labels", "data"} <= set(found):
        raise SetError(f"{where}: expected a dictionary with labels and data, got another value")
    return found


def _checked(where: str, labels: NDArray[Any], values: NDArray[np.uint8]) -> Batch:
    if not 1 <= len(labels) <= BATCH:
        raise SetError(f"{where}: expected 1 to {BATCH:,} pictures, got {len(labels):,}")
    wrong = np.flatnonzero((labels < 0) | (labels >= len(CLASSES)))
    if len(wrong):
        raise SetError(f"{where}: expected labels from 0 to 9, got {labels[wrong[0]]} at picture {wrong[0]}")
    return labels.astype(np.uint8), values
