"""Long convolutions of each channel, by FFT: of S4D and MEGA.

Letters are those of `base.py`.
"""

import itertools
import math

import torch
from torch import Tensor, nn

from reference_models.attention.operations import wide_dtype


def powers_summed(weights: Tensor, logarithms: Tensor, length: int) -> Tensor:
    """sum_n w_n exp(a_n l) for l = 0 … length - 1: weights w (…, D, N) and logarithms a (D, N) to (…, D, length).

    With l = S i + j this is a product of matrices over n, of exp(a_n S i) and exp(a_n j): memory O(D N sqrt(length)).
    """
    size = math.isqrt(length - 1) + 1
    steps = torch.arange(size, device=weights.device)
    coarse = weights[..., None] * torch.exp(logarithms[..., None] * (size * steps))
    with torch.autocast(weights.device.type, enabled=False):
        sums: Tensor = coarse.transpose(-1, -2) @ torch.exp(logarithms[..., None] * steps)
    return sums.flatten(-2)[..., :length]


def convolved(x: Tensor, forward: Tensor, backward: Tensor) -> Tensor:
    """y_i = sum_{j <= i} forward_{i-j} x_j + sum_{j > i} backward_{j-i} x_j, by FFT in float32 or better.

    x: (B, D, L). forward, backward: kernels (D, M) with M >= L; `backward` at lag 0 is not used.
    The size of the FFT depends on M alone, so that the bits of a row do not depend on L.
    """
    longest = forward.shape[-1]
    size = _fast_size(2 * longest - 1)
    gap = forward.new_zeros(*forward.shape[:-1], size - 2 * longest + 1)
    circular = torch.cat([forward, gap, backward[..., 1:].flip(-1)], dim=-1)
    spectrum = torch.fft.rfft(x.to(wide_dtype(x)), n=size) * torch.fft.rfft(circular)
    y: Tensor = torch.fft.irfft(spectrum, n=size)[..., : x.shape[-1]]
    return y


def toeplitz(forward: Tensor, backward: Tensor, length: int) -> Tensor:
    """The matrix (D, L, L) of `convolved`: entry (i, j) is forward_{i-j} or, where j > i, backward_{j-i}."""
    place = torch.arange(length, device=forward.device)
    by_lag = torch.cat([backward[..., 1:length].flip(-1), forward[..., :length]], dim=-1)
    return by_lag[..., place[:, None] - place + length - 1]


def _fast_size(least: int) -> int:
    """The smallest product of twos, threes and fives that is not below `least`."""
    for size in itertools.count(least):
        rest = size
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return size
    raise AssertionError("there are infinitely many powers of two")


def gated(dim: int, dropout: float) -> nn.Sequential:
    """The output of a convolution: GELU, dropout, a dense layer to 2 D, and GLU; (B, L, D) to (B, L, D)."""
    return nn.Sequential(nn.GELU(), nn.Dropout(dropout), nn.Linear(dim, 2 * dim), nn.GLU(dim=-1))
