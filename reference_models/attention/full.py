"""The Transformer's attention: every token looks at every other.

    O = softmax(Q K^T / sqrt(E)) V

Vaswani et al., "Attention is all you need", NeurIPS 2017, section 3.2.1 and 3.2.2. Time O(L^2 D), memory O(L D) with
PyTorch's fused kernels, O(L^2 H) where attention dropout needs the weights (on the CPU).

Differences from the paper: none. It is the encoder's form, without a causal mask.
"""

from torch import Tensor

from reference_models.attention.base import Attention, Projected
from reference_models.attention.operations import attend, key_mask, softmax_weights


class FullAttention(Attention):
    """softmax(Q K^T / sqrt(E)) V over all keys that are kept. torch.compile works (tests/reference_models)."""

    family = "none"
    cost = "L²"
    paper = "Vaswani et al. 2017, §3.2"

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """See Attention."""
        _, q, k, v = projected
        return attend(q, k, v, key_mask(keep), dropout=self.attention_dropout)

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """See Attention."""
        _, q, k, _ = self.project(x)
        return softmax_weights(self.scaled_logits(q, k), key_mask(keep))


ATTENTION = FullAttention
