"""Equal examples are found like a dictionary finds them, however many buckets and ranges there are."""

import tempfile
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lra_data import BuildError
from lra_data.building import duplicates
from lra_data.building.duplicates import Duplicates, RowDigests, find_duplicates


def by_dictionary(rows: dict[str, NDArray[np.uint8]]) -> Duplicates:
    """The oracle: digests as bytes, in dictionaries; the first pair is the one with the smallest digest, by words."""
    counts = {split: Counter(bytes(row) for row in table) for split, table in rows.items()}
    within = {split: len(rows[split]) - len(count) for split, count in counts.items()}
    across, first = {}, ""
    for one, other in combinations(rows, 2):
        both = counts[one].keys() & counts[other].keys()
        if both:
            across[f"{one} and {other}"] = len(both)
            digest = min(
                both, key=lambda data: (int.from_bytes(data[:8], "little"), int.from_bytes(data[8:], "little"))
            )
            places = (f"{split} {[bytes(row) for row in rows[split]].index(digest)}" for split in (one, other))
            first = first or " and ".join(places)
    return Duplicates(within=within, across=across, first=first)


def in_ranges(rows: dict[str, NDArray[np.uint8]], length: int) -> list[RowDigests]:
    """The digests as files would hold them, in ranges of that many rows."""
    return [
        RowDigests.from_bytes(split, start, RowDigests.of(split, start, table[start : start + length]).to_bytes())
        for split, table in rows.items()
        for start in range(0, len(table), length)
    ]


def found(rows: dict[str, NDArray[np.uint8]], length: int = 1000) -> Duplicates:
    return find_duplicates({split: len(table) for split, table in rows.items()}, in_ranges(rows, length))


def test_duplicates_are_found_within_and_across_splits() -> None:
    rows = {split: np.arange(80, dtype=np.uint8).reshape(5, 16) + 80 * number for number, split in enumerate("abc")}
    assert found(rows) == Duplicates(within={"a": 0, "b": 0, "c": 0}, across={}, first="")
    rows["a"][4] = rows["a"][1]
    assert found(rows) == Duplicates(within={"a": 1, "b": 0, "c": 0}, across={}, first="")
    rows["c"][3] = rows["a"][2]
    assert found(rows) == Duplicates(within={"a": 1, "b": 0, "c": 0}, across={"a and c": 1}, first="a 2 and c 3")
    rows["c"][1] = rows["a"][2]
    rows["b"][0] = rows["c"][0]
    assert found(rows).within == {"a": 1, "b": 0, "c": 1}
    assert found(rows).across == {"a and c": 1, "b and c": 1}


@pytest.mark.parametrize("bucket_rows", [10**9, 97, 7])
@pytest.mark.parametrize("words", [40, 2000, 2**64 - 1])
def test_as_a_dictionary_finds_them(bucket_rows: int, words: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few words give many duplicates; words near 2^64 test the bounds of the buckets."""
    monkeypatch.setattr(duplicates, "BUCKET_ROWS", bucket_rows)
    generator = np.random.default_rng(words % 1000)
    for length in (1, 13, 400):
        rows = {}
        for split, size in {"train": 300, "validation": 60, "test": 45}.items():
            table = generator.integers(0, words, (size, 2), dtype=np.uint64, endpoint=True)
            table[:, 1] %= 3
            table[: size // 4, 0] = np.uint64(2**64 - 1) - table[: size // 4, 0] % 5
            rows[split] = table.astype("<u8").view(np.uint8)
        assert found(rows, length) == by_dictionary(rows)


def test_buckets_hold_a_bounded_number_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "BUCKET_ROWS", 1000)
    sizes = []
    original = duplicates._in_bucket

    def counted(table: NDArray[np.void], splits: list[str]) -> Any:
        sizes.append(len(table))
        return original(table, splits)

    monkeypatch.setattr(duplicates, "_in_bucket", counted)
    rows = {"train": np.random.default_rng(1).integers(0, 256, (20_000, 16), dtype=np.uint8)}
    found(rows, 512)
    assert len(sizes) == 20
    assert sum(sizes) == 20_000
    assert max(sizes) < 1200


def test_a_full_temporary_folder_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "BUCKET_ROWS", 10)
    if not Path("/dev/full").exists():
        pytest.skip("/dev/full is Linux's")
    monkeypatch.setattr(Path, "open", lambda path, mode: open("/dev/full", mode))  # noqa: SIM115
    rows = {"train": np.random.default_rng(1).integers(0, 256, (50_000, 16), dtype=np.uint8)}
    with pytest.raises(BuildError, match=rf"cannot write {tempfile.gettempdir()}/.*the disk is full: free space"):
        found(rows)
