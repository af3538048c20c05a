"""S4D, which is not attention: each channel is filtered by a diagonal state space model, as one long convolution.

    s' = A s + u,  y = Re(C s)      for each channel, with A = diag(-exp(a_n) + i w_n), n < N / 2
    K_l = 2 Re sum_n C_n ((exp(D_t A_n) - 1) / A_n) exp(D_t A_n)^l        D_t: step of the channel
    y_i = sum_{j <= i} K_{i-j} u_j + sum_{j > i} K'_{j-i} u_j + D u_i
    O = GLU(W gelu(y))

Gu et al., "On the Parameterization and Initialization of Diagonal State Space Models", 2022, section 3 and 4 (the
kernel by zero-order hold, B = 1, initial values S4D-Lin, -Inv and -LegS). Time O(L log L D + L D N), memory
O(L D + sqrt(L) D N): the kernel is a product of two small matrices (`operations.py: powers_summed`), so nothing of
size L D N is stored, and nothing needs to be computed again.

A model of the family "not attention", for comparison: no token is compared with another one, and the weight of a
distance is the same everywhere. There are no heads; each channel has a matrix of its own.

Both directions share A and the step, and have a C each. Lag 0 belongs to K alone. The authors' two-sided kernel puts
K'_0 at lag 1, so its two halves differ by one step; other codes count lag 0 in both.

The kernel always has max_length entries, and the size of the FFT follows from max_length, so that the bits of a row do
not depend on the length of its padding. Kernel and FFT are in float32 or better, also under autocast.

Differences from the paper: the encoder's LayerNorm and feed-forward layer, where the authors have BatchNorm (with which
a row depends on its batch) and no feed-forward layer. They train a, w and the step with a learning rate of their own
and without weight decay, which is left to the code that trains. Padding is 0, as if there were no token.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from lra_data import UsageError
from reference_models.attention.base import Attention, Projected, Shape
from reference_models.attention.convolutions import convolved, gated, powers_summed, toeplitz
from reference_models.attention.operations import all_kept, wide_dtype

Initial = Literal["lin", "inv", "legs"]


class S4DAttention(Attention):
    """A long convolution of each channel. Heads and their width are not used. Dropout is on gelu(y), where the authors
    have theirs. torch.compile works (tests/reference_models trace it only).

    state: N, the size of a channel's state: N / 2 pairs of conjugate numbers.
    initial: of A: "lin" -1/2 + i pi n; "inv" -1/2 + i (N / pi) (N / (2 n + 1) - 1); "legs" the normal part of
        HiPPO-LegS.
    step_min, step_max: the steps are drawn log-uniform between them. The authors use 0.0001 and 0.1 for Path-X.
    bidirectional: whether a token also sees later tokens.
    """

    family = "not attention"
    no_span = "each channel has weights of its own, of both signs"
    cost = "L log L"
    paper = "Gu et al. 2022, §3"
    has_query = False
    has_key = False
    has_value = False

    def __init__(
        self,
        shape: Shape,
        *,
        state: int = 64,
        initial: Initial = "legs",
        step_min: float = 0.001,
        step_max: float = 0.1,
        bidirectional: bool = True,
    ) -> None:
        super().__init__(shape)
        if state < 2 or state % 2:
            raise UsageError(f"expected an even state >= 2, got {state}")
        if initial not in ("lin", "inv", "legs"):
            raise UsageError(f"expected initial 'lin', 'inv' or 'legs', got {initial!r}")
        if not 0 < step_min <= step_max:
            raise UsageError(f"expected 0 < step_min <= step_max, got {step_min} and {step_max}")
        generator, pairs = self.generator(), state // 2
        self.bidirectional = bidirectional
        uniform = torch.empty(shape.dim).uniform_(generator=generator)
        self.log_step = nn.Parameter(uniform * math.log(step_max / step_min) + math.log(step_min))  # log of D_t
        self.log_decay = nn.Parameter(torch.full((shape.dim, pairs), math.log(0.5)))  # a
        self.frequency = nn.Parameter(_frequencies(state, initial).repeat(shape.dim, 1))  # w
        # C is complex N(0, 1): each part has variance 1/2. The last axis holds real and imaginary parts.
        reading = torch.empty(1 + bidirectional, shape.dim, pairs, 2).normal_(0, 0.5**0.5, generator=generator)
        self.reading = nn.Parameter(reading)  # C of K and of K'
        self.skip = nn.Parameter(torch.empty(shape.dim).normal_(generator=generator))  # D
        self.output = gated(shape.dim, shape.dropout)

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """See Attention. Returns y (B, D, L, 1)."""
        u = projected.v[..., 0].masked_fill(~all_kept(projected.x, keep)[:, None], 0.0)  # (B, D, L)
        y = convolved(u, *self.kernels()) + self.skip[:, None] * u
        return y.to(u.dtype)[..., None]

    def kernels(self) -> tuple[Tensor, Tensor]:
        """K and K': (D, max_length) each. K' is 0 for one direction."""
        wide = wide_dtype(self.reading)
        step = self.log_step.to(wide).exp()[:, None]
        a = torch.complex(-self.log_decay.to(wide).exp(), self.frequency.to(wide))
        reading = torch.view_as_complex(self.reading.to(wide))
        weights = 2 * reading * torch.expm1(step * a) / a
        kernels = powers_summed(weights, step * a, self.shape.max_length).real
        return kernels[0], kernels[1] if self.bidirectional else torch.zeros_like(kernels[0])

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """See Attention: a Toeplitz matrix for each channel, (B, D, L, L), with D on the diagonal. Entries may be
        negative.
        """
        length = x.shape[1]
        matrices = toeplitz(*self.kernels(), length) + torch.diag_embed(self.skip[:, None].expand(-1, length))
        return matrices * all_kept(x, keep)[:, None, None].to(matrices.dtype)


def _frequencies(state: int, initial: Initial) -> Tensor:
    """w: the imaginary parts of A at the start, (N / 2)."""
    n = torch.arange(state // 2, dtype=torch.float64)
    if initial == "lin":
        found = math.pi * n
    elif initial == "inv":
        found = state / math.pi * (state / (2 * n + 1) - 1)
    else:
        # HiPPO-LegS plus P P^T is -1/2 on the diagonal and skew-symmetric elsewhere.
        root = (2 * torch.arange(state, dtype=torch.float64) + 1).sqrt()
        half = (root[:, None] * root / 2).tril(-1)
        found = torch.linalg.eigvalsh(1j * (half - half.T))[state // 2 :]  # ascending; the other half is -w
    return found.float()


ATTENTION = S4DAttention
