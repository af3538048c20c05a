"""MEGA: one head of gated attention whose queries and keys come from exponential moving averages of the tokens.

    X' = SiLU(EMA(X) + w X)                         EMA(x)_i = sum_{j <= i} K_{i-j} x_j + sum_{j > i} K'_{j-i} x_j
    K_l = sum_n a_n b_n q_n^l c_n / sqrt(n)         q_n = 1 - a_n d_n, for each channel; a, d in (0, 1)
    Z = SiLU(X' W_z)      Q = k_q Z + m_q      K = k_k Z + m_k      V = SiLU(X W_v)
    O = f(Q K^T / t + b) V                          b_{i-j}: a learned bias for each distance
    H = SiLU(X' W_h + (SiLU(X' W_g) O) U_h)         P = sigmoid(X' W_p)         output: P (H - X)

f is the softmax with t = sqrt(z), or the Laplace function (1 + erf((x - m) / (s sqrt(2)))) / 2 with m = sqrt(1/2),
s = sqrt(1 / (4 pi)) and t = number of kept keys. MEGA-chunk cuts the sequence into chunks of c tokens, and a token
attends to its own chunk; the EMA crosses chunks.

Ma et al., "Mega: Moving Average Equipped Gated Attention", ICLR 2023, section 3. Time and memory O(L^2), of MEGA-chunk
O(L c), and O(L log L) for the EMA by FFT (as in `s4d.py`).

A model of the family "not attention", for comparison: its attention follows a long convolution of each channel, so its
scores say little of attention by itself. There are no heads, so `heads` and `head_dim` are not used.

Lag 0 belongs to K alone; the authors' code counts it in both directions. Their code also cuts the EMA's kernel at 1,024
tokens and keeps it between calls in evaluation, even if weights are loaded in between. Here the kernel has max_length
entries and is computed in each call. Kernel, FFT, softmax and Laplace function are in float32 or better.

Differences from the paper: the encoder adds the residual, X here is the input after its norm, and the paper's result
P H + (1 - P) X is the residual plus P (H - X) only where both are the same; LayerNorm (the authors also have ScaleNorm
and BatchNorm); the encoder's feed-forward layer. Padding is 0 for the EMA and no key.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from lra_data import UsageError
from reference_models.attention.base import Attention, Projected, Shape
from reference_models.attention.convolutions import convolved, powers_summed
from reference_models.attention.operations import all_kept, padded_to, softmax_weights, wide_dtype

AttentionFunction = Literal["softmax", "laplace"]

_INITIAL_STD = 0.02
_LAPLACE_MEAN, _LAPLACE_STD = 0.5**0.5, (4 * torch.pi) ** -0.5


class MegaAttention(Attention):
    """MEGA, and with `chunk` MEGA-chunk. Dropout is on the attention's weights. torch.compile works
    (tests/reference_models trace it only).

    chunk: c; None for attention to all tokens.
    function: f. The authors use "laplace" for pictures and "softmax" for text.
    z_dim: z, width of queries and keys; None for half of D.
    v_dim: v, width of values; None for twice D.
    ema_dim: n, number of averages of each channel.
    """

    family = "not attention"
    no_span = "queries and keys are averages of many tokens"
    cost = "L², or L c with chunks of c"
    paper = "Ma et al. 2023, §3"
    has_query = False
    has_key = False
    has_value = False

    def __init__(
        self,
        shape: Shape,
        *,
        chunk: int | None = None,
        function: AttentionFunction = "softmax",
        z_dim: int | None = None,
        v_dim: int | None = None,
        ema_dim: int = 16,
    ) -> None:
        super().__init__(shape)
        z_dim = max(1, shape.dim // 2) if z_dim is None else z_dim
        v_dim = 2 * shape.dim if v_dim is None else v_dim
        if min(z_dim, v_dim, ema_dim) < 1 or (chunk is not None and chunk < 1):
            raise UsageError(
                f"expected chunk, z_dim, v_dim and ema_dim >= 1, got {chunk}, {z_dim}, {v_dim} and {ema_dim}"
            )
        if function not in ("softmax", "laplace"):
            raise UsageError(f"expected the function 'softmax' or 'laplace', got {function!r}")
        self.function, self.z_dim = function, z_dim
        self.chunk = shape.max_length if chunk is None else min(chunk, shape.max_length)
        self.average = MovingAverage(shape.dim, ema_dim, shape.max_length, self.generator())
        self.shared = _dense(shape.dim, z_dim)  # W_z
        self.values = _dense(shape.dim, v_dim)  # W_v
        self.reset_gate = _dense(shape.dim, v_dim)  # W_g
        self.update_gate = _dense(shape.dim, shape.dim)  # W_p
        self.candidate = _dense(shape.dim, shape.dim)  # W_h
        self.looked_up = nn.Linear(v_dim, shape.dim, bias=False)  # U_h; W_h has the bias
        nn.init.normal_(self.looked_up.weight, std=_INITIAL_STD)
        generator = self.generator(purpose=1)
        self.scale = nn.Parameter(torch.empty(2, z_dim).normal_(0, _INITIAL_STD, generator=generator))  # k_q, k_k
        self.shift = nn.Parameter(torch.zeros(2, z_dim))  # m_q, m_k
        # b from the distance i - j = 1 - c to c - 1.
        self.bias = nn.Parameter(torch.empty(2 * self.chunk - 1).normal_(0, _INITIAL_STD, generator=generator))
        self.output = nn.Identity()

    @property
    def num_matrices(self) -> int:
        """See Attention: one head."""
        return 1

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """See Attention. Returns P (H - X), (B, 1, L, D)."""
        keep = all_kept(projected.x, keep)
        x = projected.x.masked_fill(~keep[..., None], 0.0)
        averaged = functional.silu(self.average(x))  # X'
        weights = self.drop(self._weights(averaged, keep))  # (B, n, c, c)
        values = functional.silu(self.values(x))
        looked = (weights.to(values.dtype) @ self._chunks(values)).flatten(1, 2)[:, : x.shape[1]]  # O
        reset = functional.silu(self.reset_gate(averaged))
        candidate = functional.silu(self.candidate(averaged) + self.looked_up(reset * looked))  # H
        return (torch.sigmoid(self.update_gate(averaged)) * (candidate - x))[:, None]

    def _weights(self, averaged: Tensor, keep: Tensor) -> Tensor:
        """f(Q K^T / t + b) in each chunk, (B, n, c, c), from X' (B, L, D)."""
        z = functional.silu(self.shared(averaged))
        q, k = (self._chunks(z * scale + shift) for scale, shift in zip(self.scale, self.shift, strict=True))
        mask = self._chunks(keep[..., None]).transpose(-1, -2)  # (B, n, 1, c)
        scores = q @ k.transpose(-1, -2)
        place = torch.arange(scores.shape[-1], device=scores.device)
        bias = self.bias[place[:, None] - place + self.chunk - 1]
        if self.function == "softmax":
            return softmax_weights(scores / self.z_dim**0.5 + bias, mask)
        logits = (scores / mask.sum(dim=-1, keepdim=True).clamp(min=1) + bias).to(wide_dtype(scores))
        area = torch.erf((logits - _LAPLACE_MEAN) / (_LAPLACE_STD * 2**0.5))
        return (0.5 + 0.5 * area).masked_fill(~mask, 0.0)

    def _chunks(self, x: Tensor) -> Tensor:
        """(B, L, width) to (B, n, c, width), the last padded; one chunk of L if L is shorter."""
        size = min(self.chunk, x.shape[1])
        return padded_to(x, size, 1).reshape(len(x), -1, size, x.shape[2])

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """The attention's weights (B, 1, L, L), which are only a part of what the layer does: queries and keys are
        averages, and gates follow. Rows sum to 1 for the softmax, and may have any sum for the Laplace function.
        """
        keep, length = all_kept(x, keep), x.shape[1]
        weights = self._weights(functional.silu(self.average(x.masked_fill(~keep[..., None], 0.0))), keep)
        same = torch.eye(weights.shape[1], dtype=weights.dtype, device=x.device)[:, None, :, None]
        blocks = weights[:, :, :, None] * same  # (B, n, c, n, c): weight in the query's own chunk alone
        return blocks.flatten(3, 4).flatten(1, 2)[:, None, :length, :length]


class MovingAverage(nn.Module):
    """EMA(x) + w x, (B, L, D) to (B, L, D), in both directions with parameters of their own; lag 0 is counted once.

    As in the authors' code at first: a and d sigmoid(N(0, 0.2)), b alternates between 1 and -1 plus N(0, 0.02), c and w
    N(0, 1).
    """

    def __init__(self, dim: int, averages: int, max_length: int, generator: torch.Generator) -> None:
        super().__init__()
        self.max_length = max_length
        drawn = torch.empty(4, 2, dim, averages).normal_(generator=generator)
        signs = 1.0 - 2.0 * (torch.arange(averages) % 2)
        self.alpha, self.delta = (nn.Parameter(0.2 * part) for part in drawn[:2])  # before the sigmoid
        self.beta = nn.Parameter(signs + _INITIAL_STD * drawn[2])
        self.gamma = nn.Parameter(drawn[3].clone())  # c
        self.omega = nn.Parameter(torch.empty(dim).normal_(generator=generator))  # w

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, L, D), 0 under padding."""
        averaged = convolved(x.transpose(1, 2), *self.kernels()).transpose(1, 2)
        return (averaged + self.omega * x).to(x.dtype)

    def kernels(self) -> tuple[Tensor, Tensor]:
        """K and K': (D, max_length) each."""
        wide = wide_dtype(self.alpha)
        alpha, delta = self.alpha.to(wide).sigmoid(), self.delta.to(wide).sigmoid()
        weights = alpha * self.beta.to(wide) * self.gamma.to(wide) * self.alpha.shape[-1] ** -0.5
        # Directions are channels of their own: each has its own powers.
        most = 1 - torch.finfo(wide).eps  # so that q > 0 has a logarithm
        logarithms = torch.log1p(-(alpha * delta).clamp(max=most)).flatten(0, 1)
        forward, backward = powers_summed(weights.flatten(0, 1), logarithms, self.max_length).chunk(2)
        return forward, backward


def _dense(inputs: int, outputs: int) -> nn.Linear:
    """A dense layer as the authors' code begins: weights N(0, 0.02), biases 0."""
    linear = nn.Linear(inputs, outputs)
    nn.init.normal_(linear.weight, std=_INITIAL_STD)
    nn.init.zeros_(linear.bias)
    return linear


ATTENTION = MegaAttention
