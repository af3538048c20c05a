"""Which vectors are hidden in a step: a pure function of (seed, step, row, position), on any number of ranks.

Each position is hidden with the same probability, independently of the others, by a hash of the four numbers
(splitmix64; Steele et al. 2014, "Fast splittable pseudorandom number generators", section 5). No generator has a state,
so a training that continues, and ranks that divide a batch, hide the same.
"""

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 in 64 bits with a sign, as torch has them
_FIRST, _SECOND = -4658895280553007687, -7723592293110705685  # 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_BITS = 53


def hidden_vectors(rows: Tensor, vectors: int, *, seed: int, step: int, ratio: float) -> Tensor:
    """bool (N, vectors). rows: int64 (N), a number for each sequence. ratio: probability of hiding a vector."""
    key = _mixed(_mixed(torch.tensor(_signed(seed + _GOLDEN))) + _signed(step * _GOLDEN))
    of_rows = _mixed(key.to(rows.device) + (rows + 1) * _GOLDEN)
    positions = torch.arange(1, vectors + 1, device=rows.device)
    drawn = _shifted(_mixed(of_rows[:, None] + positions * _GOLDEN), 64 - _BITS)
    return drawn < int(ratio * 2**_BITS)


def _mixed(x: Tensor) -> Tensor:
    """splitmix64's finaliser; sums and products wrap around."""
    x = (x ^ _shifted(x, 30)) * _FIRST
    x = (x ^ _shifted(x, 27)) * _SECOND
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, bits: int) -> Tensor:
    """Shifted to the right, with zeros from the left."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _signed(number: int) -> int:
    """The last 64 bits of a number, as torch has them."""
    number %= 2**64
    return number - 2**64 if number >= 2**63 else number
