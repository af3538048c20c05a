"""The Adaptively Sparse Transformer: full attention with alpha-entmax, whose weights can be exactly 0, for softmax.

    O_i = sum_j p_j v_j        p = entmax_α(q_i K^T / sqrt(E)),    α = 1 + sigmoid(a), learned for each head

    entmax_α(z)_j = [(α - 1) z_j - τ]_+ ^ (1 / (α - 1)),    τ such that the weights sum to 1

α = 1 is softmax, α = 2 sparsemax; between them, larger α gives more zeros.

Correia et al., "Adaptively sparse transformers", EMNLP 2019, section 3. Time O(L^2 D), with some 8 passes over the
weights; memory O(L^2 H): there is no fused kernel.

With c = 1 / (α - 1) and d_j = max z - z_j, the weights are [1 - (d_j + t) / c]_+ ^ c, of which exp(-d_j - t) is the
limit for α -> 1; t takes the place of τ. It is found by Newton's steps on the c-norm of [1 - (d_j + t) / c]_+, which is
convex in t: from t = 0 the steps never pass the solution. Near softmax and near a uniform p the norm is almost linear
in t, and a few steps suffice. A row stops on its own, so that no other row changes it.

Differences from the paper: none in the function. The authors find τ by bisection, and their formula for the gradient
of α subtracts two numbers of about (α - 1)^-2, which `_Entmax.backward` avoids. a begins as N(0, 1), as in their code.
"""

from typing import Any

import torch
from torch import Tensor, nn

from lra_data import UsageError
from reference_models.attention.base import Attention, Projected, Shape
from reference_models.attention.operations import key_mask, wide_dtype

_STEPS = 40  # enough for float64 in the worst case; a row takes some 6 as a rule
_PIECE = 2**20  # logits that are solved at a time on a CPU, in whose cache they stay


class AdaptiveSparseAttention(Attention):
    """Full attention with alpha-entmax. torch.compile works (tests/reference_models).

    alpha: a fixed α in (1, 2] for all heads, or None to learn one for each head.
    """

    family = "sparse"
    cost = "L²"
    paper = "Correia et al. 2019, §3"

    def __init__(self, shape: Shape, *, alpha: float | None = None) -> None:
        super().__init__(shape)
        if alpha is not None and not 1 < alpha <= 2:
            raise UsageError(f"expected an alpha above 1 and at most 2, or None to learn it, got {alpha}")
        self.alpha = alpha
        if alpha is None:
            self.raw_alpha = nn.Parameter(torch.randn(shape.heads, generator=self.generator()))  # a

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """See Attention."""
        _, q, k, v = projected
        mixed: Tensor = self.drop(self._weights(q, k, keep)).to(v.dtype) @ v
        return mixed

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """See Attention."""
        _, q, k, _ = self.project(x)
        return self._weights(q, k, keep)

    def _weights(self, q: Tensor, k: Tensor, keep: Tensor | None) -> Tensor:
        """p (B, H, L, L), in float32 or better."""
        logits = self.scaled_logits(q, k)
        with torch.autocast(q.device.type, enabled=False):
            logits = logits.to(wide_dtype(logits))
            if self.alpha is None:
                order = self.raw_alpha.to(logits.dtype).sigmoid()[:, None, None]
            else:
                order = logits.new_full((1, 1, 1), self.alpha - 1)
            return entmax(logits, order, key_mask(keep))


def entmax(logits: Tensor, order: Tensor, mask: Tensor | None = None) -> Tensor:
    """alpha-entmax over the last axis; masked entries are 0, and so is a row without any key.

    logits: (..., L, L), float32 or float64.
    order: α - 1 in (0, 1], of as many axes as the logits or fewer, the last two of size 1.
    mask: bool, True = keep.
    """
    if mask is not None:
        logits = logits.masked_fill(~mask, -torch.inf)
    weights: Tensor = _Entmax.apply(logits, order)  # type: ignore[no-untyped-call]
    return weights


class _Entmax(torch.autograd.Function):
    """Keeps the weights alone for the gradient."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, order: Tensor) -> Tensor:
        rows = logits.shape[-2]
        if logits.device.type == "cpu":
            rows = max(1, rows * _PIECE // logits.numel())
        weights = torch.cat([_solved(piece, order) for piece in torch.split(logits, rows, dim=-2)], dim=-2)
        ctx.save_for_backward(weights, order)
        return weights

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """With l = log p and ε = α - 1 on the support: s = p exp(-ε l), and S its sum;

            dp/dz = diag(s) - s s^T / S
            dp_i/dε = p_i (R - r_i - l_i M + m_i Λ) / S,    m = expm1(-ε l) / ε,  r = (m + l) / ε

        M, R, Λ: sums of p m, p r, p l. Nothing is divided by a small ε: r = l^2 (expm1(y) - y) / y^2 for y = -ε l.
        """
        weights, order = ctx.saved_tensors
        support = weights > 0
        log = torch.where(support, weights, 1.0).log()
        exponent = -order * log
        sides = torch.where(support, weights * exponent.exp(), 0.0)  # s
        total = sides.sum(dim=-1, keepdim=True)
        total = torch.where(total > 0, total, 1.0)
        mean = (sides * gradient).sum(dim=-1, keepdim=True) / total
        by_order = None
        if ctx.needs_input_grad[1]:
            first = torch.expm1(exponent) / order  # m
            second = log.square() * _second_remainder(exponent)  # r
            sum_m, sum_r, sum_l = ((weights * part).sum(dim=-1, keepdim=True) for part in (first, second, log))
            moved = weights * (sum_r - second - log * sum_m + first * sum_l) / total
            by_order = (gradient * moved).sum_to_size(order.shape)
        return sides * (gradient - mean), by_order


def _solved(logits: Tensor, order: Tensor) -> Tensor:
    """The weights, by Newton's method."""
    greatest = logits.amax(dim=-1, keepdim=True)
    below = torch.where(greatest.isfinite(), greatest, 0.0) - logits  # d, inf where masked
    tolerance = 4 * torch.finfo(logits.dtype).eps
    t = torch.zeros_like(greatest)
    moving = torch.ones_like(greatest, dtype=torch.bool)
    for _ in range(_STEPS):
        base, weights = _powers(below, t, order)
        total = weights.sum(dim=-1, keepdim=True).clamp(min=1)  # of rounding, and of rows without a key
        slope = (weights / base.clamp(min=torch.finfo(base.dtype).tiny)).sum(dim=-1, keepdim=True).clamp(min=1)
        step = -total * torch.expm1(-order * total.log()) / (order * slope)
        t = torch.where(moving, t + step, t)
        moving = moving & (step > tolerance * t.clamp(min=1))
        if not torch.compiler.is_compiling() and not moving.any():
            break
    weights = _powers(below, t, order)[1]
    total = weights.sum(dim=-1, keepdim=True)
    return weights / torch.where(total > 0, total, 1.0)


def _powers(below: Tensor, t: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
    """[1 - (d + t) / c]_+ and its c-th power, with c = 1 / order."""
    far = (order * (below + t)).clamp(max=1)
    return 1 - far, (torch.log1p(-far) / order).exp()


def _second_remainder(y: Tensor) -> Tensor:
    """(expm1(y) - y) / y^2, by its series near 0, where the difference would lose its digits."""
    near = y.abs() < 0.1
    series = torch.full_like(y, 1 / 3628800)  # 1 / 10!
    small = torch.where(near, y, 0.0)
    for factorial in (362880, 40320, 5040, 720, 120, 24, 6, 2):
        series = series * small + 1 / factorial
    large = torch.where(near, 1.0, y)
    return torch.where(near, series, (torch.expm1(large) - large) / large.square())


ATTENTION = AdaptiveSparseAttention
