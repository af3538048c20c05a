"""No attention: every output is 0, so that embeddings, feed-forward layers and head are left.

    O = 0

The "FF-only" encoder of Lee-Thorp et al., "FNet: mixing tokens with Fourier transforms", NAACL 2022, section 4.1, which
leaves out the layer that mixes tokens. Time and memory O(L D), for zeros.

It is the control of every table. If a model scores no better with the same recipe, data, labels and training fit
together, and nothing is known of its attention. Without a stem, no token learns of another before pooling; a
convolutional stem mixes neighbours. A CLS token learns of no other, so presets pool the mean.

Differences from the paper: its norm is after the residual, ours is in front, as in all models here.
"""

import torch
from torch import Tensor, nn

from reference_models.attention.base import Attention, Projected, Shape
from reference_models.attention.operations import wide_dtype


class NoAttention(Attention):
    """A layer that mixes nothing. Heads, their width, dropout and the mask are not used. torch.compile works
    (tests/reference_models trace it only).
    """

    family = "not attention"
    mixes = False
    no_span = "it has no weights"
    cost = "L"
    paper = "Lee-Thorp et al. 2022, §4.1"
    has_query = False
    has_key = False
    has_value = False

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.output = nn.Identity()

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """See Attention. Returns zeros (B, D, L, 1), also where x is not finite."""
        return projected.v.masked_fill(torch.ones((), dtype=torch.bool, device=projected.v.device), 0.0)

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """See Attention: zeros for each channel, (B, D, L, L)."""
        return x.new_zeros(x.shape[0], x.shape[2], x.shape[1], x.shape[1], dtype=wide_dtype(x))


ATTENTION = NoAttention
