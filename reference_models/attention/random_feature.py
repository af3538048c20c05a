"""Random Feature Attention (RFA): sines and cosines of random projections estimate the kernel of a softmax of cosines.

    O_i = φ(q^_i)^T Σ_j φ(k^_j) v_j^T / φ(q^_i)^T Σ_j φ(k^_j),    q^ = q / |q|,  k^ = k / |k|
    "gaussian":   φ(x) = [sin(w_1 x), …, sin(w_M x), cos(w_1 x), …, cos(w_M x)] / sqrt(M)
    "arc-cosine": φ(x) = [max(w_1 x, 0), …, max(w_M x, 0)] / sqrt(M)
    w_m = σ ∘ ŵ_m / τ,    ŵ_m in R^E normal, drawn for each head;  σ in R^E learned for each head, 1 at first

For "gaussian", E[φ(x) φ(y)] = exp(-|σ ∘ (x - y)|^2 / (2 τ^2)). With σ = 1 and |q^| = |k^| = 1, O estimates the
attention with weights softmax_j(q^_i · k^_j / τ^2), with an error of O(1 / sqrt(M)). "arc-cosine" has another kernel:
with σ = 1 and θ the angle between x and y, E[φ(x) φ(y)] = |x| |y| (sin θ + (π - θ) cos θ) / (2 π τ^2), and τ cancels.

Peng et al., "Random Feature Attention", ICLR 2021, section 3. M is the paper's D. Time O(L M D), memory
O(L M H + M D).

Small denominators: "gaussian" features have both signs, so an estimate φ(q) φ(k) may be 0 or less, while the exact
value is at least exp(-2 / τ^2), with σ = 1: 0.135 for τ = 1. The denominator is therefore at least `floor` times the
number of kept keys. The default of 0.01 changes only estimates that are far from any exact value. "arc-cosine" features
are never negative, so the quotient is a mean of values for denominators of any size. A query that has no feature in
common with any key gets 0.

Differences from the paper: this is the encoder's form, without the gate, which needs an order of tokens. The authors'
code has a file of 500 draws of ŵ, from which each forward pass in training takes some at random, and evaluation the
first ones, the same in all layers; here `on_step` draws, and evaluation keeps the last draw. In the authors' code the
features are 0.1 times sines and cosines, and the denominator is at least 1, so that fewer than about four tokens are
not normalised; in its cross-attention, the absolute value of a negative denominator reverses the output. Features of
padded keys are 0, as in that code.
"""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from lra_data import UsageError
from reference_models.attention.base import Attention, Projected, Shape
from reference_models.attention.operations import all_kept, unit

Kernel = Literal["gaussian", "arc-cosine"]


class RandomFeatureAttention(Attention):
    """Attention by random features of unit vectors. torch.compile works (tests/reference_models trace it only).

    features: M; "gaussian" has a sine and a cosine of each of the M projections.
    tau: τ, the temperature.
    kernel: φ.
    learned_sigma: whether σ is a parameter; otherwise it is 1.
    redraw_every: number of steps between draws of ŵ; None to keep the first draw.
    floor: least mean of φ(q) φ(k) over a query's keys, for "gaussian".

    There are no weights, hence no attention dropout.
    """

    family = "kernel"
    cost = "L"
    paper = "Peng et al. 2021, §3"
    directions: Tensor

    def __init__(
        self,
        shape: Shape,
        *,
        features: int = 64,
        tau: float = 1.0,
        kernel: Kernel = "gaussian",
        learned_sigma: bool = True,
        redraw_every: int | None = 1,
        floor: float = 0.01,
    ) -> None:
        super().__init__(shape)
        if features < 1:
            raise UsageError(f"expected features >= 1, got {features}")
        if not tau > 0:
            raise UsageError(f"expected a tau above 0, got {tau}")
        if kernel not in get_args(Kernel):
            raise UsageError(f"expected a kernel from {get_args(Kernel)}, got {kernel!r}")
        if redraw_every is not None and redraw_every < 1:
            raise UsageError(f"expected redraw_every >= 1, got {redraw_every}")
        if not floor > 0:
            raise UsageError(f"expected a floor above 0, got {floor}")
        self.features, self.tau, self.kernel, self.redraw_every, self.floor = features, tau, kernel, redraw_every, floor
        self.sigma = nn.Parameter(torch.ones(shape.heads, shape.head_dim)) if learned_sigma else None
        self.register_buffer("directions", self._draw(0))  # ŵ: (H, M, E)

    def on_step(self, step: int) -> None:
        """Draws ŵ again every `redraw_every` steps, the same in all processes."""
        if self.redraw_every and step % self.redraw_every == 0:
            self.directions.copy_(self._draw(step // self.redraw_every))

    def _draw(self, number: int) -> Tensor:
        return torch.randn(self.shape.heads, self.features, self.shape.head_dim, generator=self.generator(step=number))

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """See Attention."""
        _, q, k, v = projected
        with torch.autocast(v.device.type, enabled=False):
            q, k = self._mapped(q), self._mapped(k)  # (B, H, L, M or 2 M)
            if keep is not None:
                k = k.masked_fill(~keep[:, None, :, None], 0.0)
            sums = k.transpose(-1, -2) @ v.to(k.dtype)  # (B, H, M or 2 M, E)
            norms = q @ k.sum(dim=-2)[..., None]  # (B, H, L, 1)
            return (q @ sums / self._denominators(norms, all_kept(v, keep))).to(v.dtype)

    def _mapped(self, x: Tensor) -> Tensor:
        """sqrt(M) φ of the unit vectors of q or k, in float32 or better; the quotient cancels the factor."""
        x = unit(x)
        directions = self.directions if self.sigma is None else self.directions * self.sigma[:, None]
        products = x @ (directions.to(x.dtype) / self.tau).transpose(-1, -2)
        return products.relu() if self.kernel == "arc-cosine" else torch.cat([products.sin(), products.cos()], dim=-1)

    def _denominators(self, sums: Tensor, kept: Tensor) -> Tensor:
        """M times the denominators, from sums over keys (B, H, L, 1): never 0. kept: (B, L)."""
        if self.kernel == "arc-cosine":
            return sums.masked_fill(sums == 0, 1.0)
        keys = kept.sum(dim=1).clamp(min=1).to(sums.dtype)[:, None, None, None]
        return torch.maximum(sums, self.floor * self.features * keys)

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """See Attention. Weights of "gaussian" may be negative. Rows sum to 1 where the denominator is not replaced."""
        _, q, k, _ = self.project(x)
        kept = all_kept(x, keep)
        similar = torch.einsum("bhim,bhjm->bhij", self._mapped(q), self._mapped(k)) * kept[:, None, None]
        return similar / self._denominators(similar.sum(dim=-1, keepdim=True), kept)


ATTENTION = RandomFeatureAttention
