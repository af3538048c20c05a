"""Seeded choices among named items: each name has a digest under the key, and the digests decide.

So the choice for one item does not depend on other items, on their number, or on the order in which they were read.
"""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

Name = TypeVar("Name", bound=str)


def keyed_digest(key: bytes, *words: str) -> bytes:
    """SHA-256 over the key and the words, separated by zero bytes: 32 bytes."""
    return hashlib.sha256(b"\0".join([key, *(word.encode() for word in words)])).digest()


def keyed_order(key: bytes, purpose: str, names: Sequence[Name]) -> list[Name]:
    """The names sorted by their digests; each purpose has its own order."""
    return sorted(names, key=lambda name: keyed_digest(key, purpose, name))


def keyed_share(key: bytes, *words: str) -> float:
    """A number in [0, 1) from the digest: its first 53 bits."""
    return (int.from_bytes(keyed_digest(key, *words)[:8], "big") >> 11) / 2**53
