"""The Linear Transformer: the softmax's kernel is replaced by one with few features, so that products can be regrouped.

    O_i = φ(Q_i)^T Σ_j φ(K_j) V_j^T / (φ(Q_i)^T Σ_j φ(K_j) + ε),    φ(x) = elu(x) + 1

Katharopoulos et al., "Transformers are RNNs", ICML 2020, section 3.2 and equations 4 to 7. Time O(L E D), memory
O(L D + H E^2). There are no logits, so nothing is divided by sqrt(E).

Differences from the paper: ε keeps the quotient finite, as in the authors' own code and the LRA's (1e-6 in both); φ of
a padded key is 0, which leaves it out of both sums (the LRA's code has no mask). This is the encoder's form, without a
causal mask. Sums over L are in float32 under autocast: bf16 is too coarse for sums of thousands of terms.
"""

import torch
from torch import Tensor

from lra_data import UsageError
from reference_models.attention.base import Attention, Projected, Shape
from reference_models.attention.operations import key_mask, wide_dtype


class LinearAttention(Attention):
    """Attention by the kernel φ(q)^T φ(k). torch.compile works (tests/reference_models).

    eps: ε.

    There are no weights, hence no attention dropout.
    """

    family = "kernel"
    cost = "L"
    paper = "Katharopoulos et al. 2020, §3.2"

    def __init__(self, shape: Shape, *, eps: float = 1e-6) -> None:
        super().__init__(shape)
        if not eps > 0:
            raise UsageError(f"expected an eps above 0, got {eps}")
        self.eps = eps

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """See Attention."""
        _, q, k, v = projected
        q, k, v = q.contiguous(), k.contiguous(), v.contiguous()  # else each product copies its factors again
        with torch.autocast(v.device.type, enabled=False):
            q, k = elu_plus_1(q), elu_plus_1(k)
            if keep is not None:
                k = k.masked_fill_(~keep[:, None, :, None], 0.0)
            sums = k.transpose(-1, -2) @ v.to(k.dtype)  # (B, H, E, E): features x width of v
            norms = q @ k.sum(dim=-2)[..., None]  # (B, H, L, 1)
            return (q @ sums * (norms + self.eps).reciprocal()).to(v.dtype)

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """See Attention. Rows sum to a little less than 1, because of ε."""
        _, q, k, _ = self.project(x)
        similar = torch.einsum("bhie,bhje->bhij", elu_plus_1(q), elu_plus_1(k))
        mask = key_mask(keep)
        if mask is not None:
            similar = similar * mask
        return similar / (similar.sum(dim=-1, keepdim=True) + self.eps)


def elu_plus_1(x: Tensor) -> Tensor:
    """φ in float32 or better: x + 1 above 0, else exp(x); elu(x) + 1 would round exp(x) to 0 below about -17."""
    x = x.to(wide_dtype(x))
    above = x.relu()
    return above + (x - above).exp_()  # three fast passes; torch.where and clamp are slow on the way back


ATTENTION = LinearAttention
