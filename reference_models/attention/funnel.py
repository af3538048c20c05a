"""Funnel Transformer: from block to block the sequence gets half as long, since queries are pooled.

    O = softmax(Q(pool(X)) K(X)^T / sqrt(E)) V(X), added to pool(X)      in the first layer of each block but the first
    O = softmax(Q(X) K(X)^T / sqrt(E)) V(X), added to X                  in all other layers

pool takes the mean of tokens 2 i and 2 i + 1. Keys and values are not pooled ("pool-query-only"), so no token is lost
before all slots have looked at it.

Dai et al., "Funnel-Transformer: Filtering out Sequential Redundancy for Efficient Language Processing", 2020, section
2. Time O(L^2), a quarter of it in the second block, and so on; memory O(L) with PyTorch's fused kernels. This is the
encoder for classification, as the paper uses it for such tasks; the decoder, which makes the sequence long again, is
not needed.

The first token is kept apart, as in the authors' code, where it is CLS: it is not pooled, and the pairs begin after it.
If the number of the other tokens is odd, the last is a slot of its own. A slot is kept if any of its tokens is, and is
the mean over its kept tokens; the authors' average includes padding.

In the form "local", a layer makes no sequence shorter: each layer pools its queries and gives both tokens of a pair the
same output, which is added to X. It has the cost of a pooled layer in all layers, and is for comparison.

Differences from the paper: attention by content alone, where the paper adds Transformer-XL's relative positions;
positions are those that the encoder adds for all models. The authors also drop the last token, so that lengths are
powers of two.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Literal

import torch
from torch import Tensor

from lra_data import UsageError
from reference_models.attention.base import Attention, Projected, Shape
from reference_models.attention.operations import all_kept, attend, key_mask, padded_to, softmax_weights

Form = Literal["schedule", "local"]


class FunnelAttention(Attention):
    """Attention with pooled queries at the beginning of a block. Dropout is on the weights. torch.compile works
    (tests/reference_models).

    blocks: number of layers of each block, such as (2, 2); the sequence is halved between two blocks. None for two
        blocks of half of the layers each, the first with one more if the number is odd. A model of one layer has one
        block, and nothing is pooled.
    form: "schedule", or "local" to pool the queries of each layer and keep the length.
    separate_cls: whether the first token is kept apart.
    """

    family = "downsampling"
    cost = "L²"
    paper = "Dai et al. 2020, §2"
    changes_length = True
    no_span = "queries are pairs of tokens, and later layers have no tokens"

    def __init__(
        self,
        shape: Shape,
        *,
        blocks: Sequence[int] | None = None,
        form: Form = "schedule",
        separate_cls: bool = True,
    ) -> None:
        super().__init__(shape)
        if form not in ("schedule", "local"):
            raise UsageError(f"expected the form 'schedule' or 'local', got {form!r}")
        if blocks is not None and form == "local":
            raise UsageError(f"expected no blocks for the form 'local', where each layer pools, got {blocks}")
        if blocks is None:
            half = shape.num_layers // 2
            blocks = (shape.num_layers - half, half) if half else (1,)
        if min(blocks, default=0) < 1 or sum(blocks) != shape.num_layers:
            raise UsageError(f"expected blocks of 1 layer or more, {shape.num_layers} together, got {tuple(blocks)}")
        self.form, self.front = form, int(separate_cls)
        self.pools = form == "local" or shape.layer in list(accumulate(blocks))[:-1]

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """See Attention. Returns (B, H, L', E), with L' < L in a layer that shortens."""
        x, q, k, v = projected
        if self.pools:
            # The mean of projected tokens is the projection of their mean.
            q, _ = self._halved(q, all_kept(x, keep))
        mixed = attend(q, k, v, key_mask(keep), dropout=self.attention_dropout)
        return self._repeated(mixed, x.shape[1]) if self.pools and self.form == "local" else mixed

    def shortened(self, x: Tensor, normed: Tensor, keep: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """See Attention: pool(X) in a layer that shortens."""
        if not self.pools or self.form == "local":
            return x, keep
        halved, kept = self._halved(x[:, None], all_kept(x, keep))
        return halved[:, 0], None if keep is None else kept

    def _halved(self, x: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
        """pool: (B, H, L, E) and keep (B, L) to (B, H, L', E) and (B, L')."""
        batch, heads, length, width = x.shape
        slots = (length - self.front + 1) // 2 if length else 0
        x_rest, kept = x[:, :, self.front :], keep[:, None, self.front :, None]
        pairs = padded_to(x_rest.masked_fill(~kept, 0.0), 2, 2).reshape(batch, heads, slots, 2, width)
        kept = padded_to(kept, 2, 2, value=False).reshape(batch, 1, slots, 2, 1)
        means = pairs.sum(dim=3) / kept.sum(dim=3).clamp(min=1)
        first, first_kept = x[:, :, : self.front], keep[:, : self.front]
        return torch.cat([first, means], dim=2), torch.cat([first_kept, kept.any(dim=3)[:, 0, :, 0]], dim=1)

    def _repeated(self, slots: Tensor, length: int) -> Tensor:
        """Each slot for its two tokens: (B, H, L', E) to (B, H, L, E)."""
        first, rest = slots[:, :, : self.front], slots[:, :, self.front :]
        return torch.cat([first, rest.repeat_interleave(2, dim=2)], dim=2)[:, :, :length]

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """See Attention. In a layer that pools, row i holds the weights of the slot that token i is in; for the form
        "local" these make the outputs from v. Positions of later layers are slots.
        """
        _, q, k, _ = self.project(x)
        if self.pools:
            q = self._repeated(self._halved(q, all_kept(x, keep))[0], x.shape[1])
        return softmax_weights(self.scaled_logits(q, k), key_mask(keep))


ATTENTION = FunnelAttention
