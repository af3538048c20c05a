"""The order in which TensorFlow Datasets stores a corpus, and thereby LRA's splits, without TensorFlow.

A split is sorted by MD5 over the split's name and each example's key (tensorflow_datasets, core/hashing.py and
core/shuffle.py). The key is the example's number for CIFAR-10, its path in the archive for IMDb.
"""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

Key = TypeVar("Key", int, str)


def tfds_order(split: str, keys: Sequence[Key]) -> list[Key]:
    """The keys as TensorFlow Datasets orders them in its split of this name."""
    return sorted(keys, key=lambda key: hashlib.md5(f"{split}{key}".encode(), usedforsecurity=False).digest())
