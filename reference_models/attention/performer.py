"""The Performer (FAVOR+): positive random features estimate the softmax's kernel, so that products can be regrouped.

    O = D^-1 Q' (K'^T V),    D = diag(Q' K'^T 1),    Q'_i = φ(Q_i / E^1/4), K'_j = φ(K_j / E^1/4)
    "softmax": φ(x)_m = exp(w_m x - |x|^2 / 2) / sqrt(M), whose mean E[φ(q) φ(k)] is exp(q k)
    "relu":    φ(x)_m = (max(w_m x, 0) + 0.001) / sqrt(M), the paper's generalized attention

M features with directions w_m in R^E: orthogonal in blocks of E, each as long as a Gaussian vector, shared by the heads
and drawn again every thousand steps (here a pure function of seed, layer and step). Time O(L M D), memory
O(L M H + M D).

Choromanski et al., "Rethinking attention with Performers", ICLR 2021, section 2.

Differences from the paper: the way to keep the exponentials in range. The authors' code subtracts a maximum from the
exponents of each query and one from those of all keys of a head, and adds 1e-6 to all features, which moves the weights
towards uniform ones. Here the keys' maximum is taken for each feature, over the kept keys of the example, and added to
the queries' exponents of that feature before their own maximum is subtracted. All maxima cancel, each sum D is >= 1,
and no epsilon is needed. Padded keys have features 0. The LRA's released code has ReLU features without directions for
most tasks, and no masks.
"""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from lra_data import UsageError
from reference_models.attention.base import Attention, Projected, Shape
from reference_models.attention.operations import wide_dtype

Kernel = Literal["softmax", "relu"]

# google-research/performer, `kernel_epsilon` of the generalized attention: no ReLU feature is 0.
_RELU_FLOOR = 1e-3


class PerformerAttention(Attention):
    """Attention by random features. torch.compile works (tests/reference_models).

    features: M; None for E log E.
    redraw_every: number of steps between draws of the directions; None to keep the first draw.
    kernel: φ.

    There are no weights, hence no attention dropout.
    """

    family = "kernel"
    cost = "L"
    paper = "Choromanski et al. 2021, §2"
    directions: Tensor

    def __init__(
        self,
        shape: Shape,
        *,
        features: int | None = None,
        redraw_every: int | None = 1000,
        kernel: Kernel = "softmax",
    ) -> None:
        super().__init__(shape)
        if features is not None and features < 1:
            raise UsageError(f"expected features >= 1, got {features}")
        if redraw_every is not None and redraw_every < 1:
            raise UsageError(f"expected redraw_every >= 1, got {redraw_every}")
        if kernel not in ("softmax", "relu"):
            raise UsageError(f"expected the kernel 'softmax' or 'relu', got {kernel!r}")
        self.features = features or max(1, math.ceil(shape.head_dim * math.log(shape.head_dim)))
        self.redraw_every = redraw_every
        self.kernel = kernel
        self.register_buffer("directions", self._draw(0))  # (M, E)

    def on_step(self, step: int) -> None:
        """Draws the directions again every `redraw_every` steps, the same in all processes."""
        if self.redraw_every and step % self.redraw_every == 0:
            self.directions.copy_(self._draw(step // self.redraw_every))

    def _draw(self, number: int) -> Tensor:
        return orthogonal_directions(self.features, self.shape.head_dim, self.generator(step=number))

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """See Attention."""
        _, q, k, v = projected
        padding = None if keep is None else ~keep[:, None, :, None]
        with torch.autocast(v.device.type, enabled=False):
            q, k = self._mapped(q, k, padding)  # (B, H, L, M)
            values = functional.pad(v.to(k.dtype), (0, 1), value=1.0)  # the last column counts the keys
            if padding is not None:
                values = values.masked_fill(padding, 0.0)
            mixed, norms = torch.split(q @ (k.transpose(-1, -2) @ values), [v.shape[-1], 1], dim=-1)
            mixed = mixed * norms.masked_fill(norms == 0, 1.0).reciprocal()  # 0 without any key, else >= 1
            return mixed.to(v.dtype)

    def _mapped(self, q: Tensor, k: Tensor, padding: Tensor | None) -> tuple[Tensor, Tensor]:
        """Features of queries and of keys, up to a factor for each query; for padding, any finite ones."""
        if self.kernel == "relu":
            return self._products(q).relu() + _RELU_FLOOR, self._products(k).relu() + _RELU_FLOOR
        lengths = self._lengths(k)
        if padding is not None:
            lengths = lengths.masked_fill(padding, -math.inf)
        k = self._products(k) + lengths
        peak = k.detach().amax(dim=-2, keepdim=True)  # (B, H, 1, M)
        peak = peak.masked_fill(peak == -math.inf, 0.0)  # without any key
        k = k.sub_(peak)
        if padding is not None:
            k = k.masked_fill_(padding, 0.0)  # the exponential of -inf would be slow
        q = self._products(q).add_(peak)  # |q|^2 is a factor of the query
        return q.sub_(q.detach().amax(dim=-1, keepdim=True)).exp_(), k.exp_()

    def _products(self, x: Tensor) -> Tensor:
        """w_m x in float32 or better: (B, H, L, M). x: q or k; it is divided by E^1/4 first."""
        x = x.to(wide_dtype(x)).contiguous()
        products: Tensor = x @ (self.directions.to(x.dtype) / self.shape.head_dim**0.25).T
        return products

    def _lengths(self, x: Tensor) -> Tensor:
        """- |x|^2 / 2 in float32 or better: (B, H, L, 1). x is divided by E^1/4 first."""
        return torch.mul(x.to(wide_dtype(x)).square().sum(dim=-1, keepdim=True), -0.5 / self.shape.head_dim**0.5)

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """See Attention. Features as in the paper, in float64, since no maximum is taken for each feature."""
        _, q, k, _ = self.project(x)
        q, k = (x.double() for x in (q, k))
        lengths = self._lengths(q), self._lengths(k)
        q, k = self._products(q), self._products(k)
        kept = torch.ones_like(k[..., :1], dtype=torch.bool) if keep is None else keep[:, None, :, None]
        if self.kernel == "relu":
            q, k = (features.clamp(min=0) + _RELU_FLOOR for features in (q, k))
        else:
            q, k = q + lengths[0], k + lengths[1]
            most = torch.where(kept, k, -1e300).amax(dim=(-1, -2), keepdim=True)
            q, k = (q - q.amax(dim=-1, keepdim=True)).exp(), torch.where(kept, k - most, -math.inf).exp()
        similar = torch.einsum("bhim,bhjm->bhij", q, k) * kept.transpose(-1, -2)
        return (similar / similar.sum(dim=-1, keepdim=True).clamp(min=1e-300)).to(x.dtype)


def orthogonal_directions(count: int, width: int, generator: torch.Generator) -> Tensor:
    """(count, width): rows orthogonal in blocks of `width`, uniform in direction, as long as Gaussian vectors."""
    blocks = -(-count // width)
    drawn = torch.randn(blocks, width, width, generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(drawn)
    # QR alone prefers a sign; this makes all rotations equally likely.
    q = q * r.diagonal(dim1=-2, dim2=-1).sign()[:, None, :]
    lengths = torch.randn(count, width, generator=generator, dtype=torch.float64).norm(dim=-1, keepdim=True)
    directions: Tensor = q.flatten(0, 1)[:count] * lengths
    return directions.float()


ATTENTION = PerformerAttention
