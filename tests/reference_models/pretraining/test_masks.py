"""Which vectors are hidden: against splitmix64 in Python's own integers, and as a function of its four numbers."""

import pytest
import torch

from reference_models.pretraining.masks import hidden_vectors

MASK = 2**64 - 1


def mixed(x: int) -> int:
    """The finaliser of splitmix64, as its authors print it."""
    x &= MASK
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & MASK
    return x ^ (x >> 31)


def hidden(seed: int, step: int, row: int, position: int, ratio: float) -> bool:
    golden = 0x9E3779B97F4A7C15
    key = mixed(mixed(seed + golden) + step * golden)
    of_row = mixed(key + (row + 1) * golden)
    return mixed(of_row + (position + 1) * golden) >> 11 < int(ratio * 2**53)


@pytest.mark.parametrize("seed", [0, 7, 2**63 + 5, 2**64 - 1])
def test_equals_whole_numbers(seed: int) -> None:
    rows = torch.tensor([0, 3, 2**40])
    found = hidden_vectors(rows, 9, seed=seed, step=12, ratio=0.3)
    expected = [[hidden(seed, 12, row, position, 0.3) for position in range(9)] for row in rows.tolist()]
    assert found.tolist() == expected


def test_no_row_depends_on_its_batch_and_no_position_on_the_length() -> None:
    rows = torch.arange(50)
    whole = hidden_vectors(rows, 40, seed=1, step=3, ratio=0.5)
    assert torch.equal(hidden_vectors(rows[[7, 3]], 40, seed=1, step=3, ratio=0.5), whole[[7, 3]])
    assert torch.equal(hidden_vectors(rows, 25, seed=1, step=3, ratio=0.5), whole[:, :25])


@pytest.mark.parametrize("ratio", [0.1, 0.15, 0.5])
def test_the_share_is_the_ratio_and_all_four_numbers_count(ratio: float) -> None:
    rows, count = torch.arange(2000), 2000 * 100
    first = hidden_vectors(rows, 100, seed=0, step=1, ratio=ratio)
    assert abs(int(first.sum()) - count * ratio) < 4 * (count * ratio * (1 - ratio)) ** 0.5
    for other in (
        hidden_vectors(rows, 100, seed=1, step=1, ratio=ratio),
        hidden_vectors(rows, 100, seed=0, step=2, ratio=ratio),
        hidden_vectors(rows + 2000, 100, seed=0, step=1, ratio=ratio),
        first.roll(1, dims=1),
    ):
        # Of independent masks: both hide a share ratio² of the places.
        both = int((first & other).sum())
        assert abs(both - count * ratio**2) < 4 * (count * ratio**2) ** 0.5
