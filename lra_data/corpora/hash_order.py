"""Seeded choices among things with names: each name has a digest under the key, and choices follow the digests.

So what happens to one thing depends on no other thing, on no count, and on no order in which they were read.
"""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

Name = TypeVar("Name", bound=str)


def keyed_digest(key: bytes, *words: str) -> bytes:
    """SHA-256 over the key and the words, separated by zero bytes: 32 bytes."""
    return hashlib.sha256(b"\0".join([key, *(word.encode() for word in words)])).digest()


def keyed_order(key: bytes, purpose: str, names: Sequence[Name]) -> list[Name]:
    """The names sorted by their digests; another purpose, another order."""
    return sorted(names, key=lambda name: keyed_digest(key, purpose, name))


def keyed_share(key: bytes, *words: str) -> float:
    """A number in [0, 1) from the digest: its first 53 bits."""
    return (int.from_bytes(keyed_digest(key, *words)[:8], "big") >> 11) / 2**53
