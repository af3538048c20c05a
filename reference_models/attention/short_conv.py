"""A short convolution, which is not attention: each channel is filtered with K weights, within a distance of K // 2.

    y_i = sum_{|d| <= K // 2} w_d x_{i + d}        O = GLU(W gelu(y))        K odd; w for each channel

The depthwise convolution of Wu et al., "Pay Less Attention with Lightweight and Dynamic Convolutions", ICLR 2019,
section 2. Time O(L K D), memory O(L D).

A model of the family "not attention", for comparison: it is the control for locality. A stack of N layers sees N K // 2
tokens to each side and nothing else, whatever it learns. Miralles-González et al., "On the locality bias and results in
the Long Range Arena", 2025, train such stacks with K from 5 to 61 and report that they come close to MEGA on several of
the benchmark's tasks. So a high score here says how little of a task needs a longer range.

The output is that of `s4d.py`, so that the two differ in the kernel alone. There are no heads; each channel has a
matrix of its own. Sums are in float32 or better, also under autocast.

Differences from the papers: no weights are shared between channels and no softmax is applied to them (Wu et al. have
both in their lightweight form); the encoder's norm and feed-forward layer around it. Padding is 0, as if there were no
token.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from lra_data import UsageError
from reference_models.attention.base import Attention, Projected, Shape
from reference_models.attention.convolutions import gated, toeplitz
from reference_models.attention.operations import all_kept, wide_dtype


class ShortConvAttention(Attention):
    """A short convolution of each channel. Heads and their width are not used. Dropout is on gelu(y), as in `s4d.py`.
    torch.compile works (tests/reference_models trace it only).

    kernel: K, odd.
    """

    family = "not attention"
    no_span = "each channel has weights of its own, of both signs"
    cost = "L K"
    paper = "Wu et al. 2019, §2"
    has_query = False
    has_key = False
    has_value = False

    def __init__(self, shape: Shape, *, kernel: int = 31) -> None:
        super().__init__(shape)
        if kernel < 1 or kernel % 2 == 0:
            raise UsageError(f"expected an odd kernel >= 1, got {kernel}")
        bound = kernel**-0.5  # as PyTorch's convolutions begin
        self.kernel = nn.Parameter(torch.empty(shape.dim, kernel).uniform_(-bound, bound, generator=self.generator()))
        self.output = gated(shape.dim, shape.dropout)

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """See Attention. Returns y (B, D, L, 1)."""
        x = projected.v[..., 0].masked_fill(~all_kept(projected.x, keep)[:, None], 0.0)  # (B, D, L)
        wide = wide_dtype(x)
        with torch.autocast(x.device.type, enabled=False):
            y = functional.conv1d(
                x.to(wide), self.kernel.to(wide)[:, None], padding=self.kernel.shape[1] // 2, groups=self.shape.dim
            )
        return y.to(x.dtype)[..., None]

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """See Attention: a band for each channel, (B, D, L, L). Entries may be negative."""
        length, reach = x.shape[1], self.kernel.shape[1] // 2
        wide = functional.pad(self.kernel.to(wide_dtype(x)), (length, length))  # w_d is at d + reach + length
        middle = reach + length
        matrices = toeplitz(wide[:, : middle + 1].flip(-1), wide[:, middle:], length)
        return matrices * all_kept(x, keep)[:, None, None].to(matrices.dtype)


ATTENTION = ShortConvAttention
