"""ETC: a window that slides along the sequence, and global tokens in front of it that see all and are seen by all.

    O_i = sum_j softmax_j(q_i k_j / sqrt(E)) v_j      over the global tokens and all j with |i - j| <= r   (l2g, l2l)
    O_g = sum_j softmax_j(q_g k_j / sqrt(E)) v_j      over the global tokens and all j                     (g2g, g2l)

One softmax covers both parts of a row. The n_g global tokens are no tokens of the sequence: they are learned, and flow
through all layers in front of it.

Ainslie et al., "ETC: encoding long and structured inputs in transformers", EMNLP 2020, section 3.1 and 3.2. Time
O((L (r + n_g) + n_g^2) D), memory O(L D + L (r + n_g)): keys and values are copied a few times, and the mask has no
axis of heads. Attention dropout on the CPU needs the weights: memory is then O(L (r + n_g) H).

Differences from the paper: no relative positions, which its code leaves out too unless it is told their number. In the
paper a structure of the input (sentences, passages) fills the global tokens and masks what they see; here the input has
no structure. A classifier reads the sequence, not the first global token.

If the radius covers the sequence and all parts share projections, this is standard attention over global tokens and
sequence.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

from lra_data import UsageError
from reference_models.attention.base import Attention, Projected, Shape
from reference_models.attention.operations import OutputOfParts, all_kept, attend, key_mask, projection, softmax_weights
from reference_models.attention.windows import windows

Sharing = Literal["all", "key-value", "none"]


class EtcAttention(Attention):
    """A window, and global tokens: the first n_g positions of x.

    radius: r, number of tokens on each side.
    num_global: n_g.
    sharing: of projections. "all", as in the released layers: one query, key, value and output projection. "key-value":
        global tokens have a query, key, value and output projection of their own, with which they look. "none": also
        keys and values of each of l2l, l2g, g2g and g2l have their own.

    The defaults are the paper's sizes for 4,096 tokens. What the last layer gives to global tokens is never read, so
    that projections of their own never learn there (`unread_when_last`). torch.compile works (tests/reference_models).
    """

    family = "fixed pattern"
    cost = "L·(n_g + r) + n_g²"
    paper = "Ainslie et al. 2020, §3.1-3.2"

    def __init__(self, shape: Shape, *, radius: int = 84, num_global: int = 230, sharing: Sharing = "all") -> None:
        super().__init__(shape)
        if radius < 0:
            raise UsageError(f"expected a radius >= 0, got {radius}")
        if num_global < 0:
            raise UsageError(f"expected num_global >= 0, got {num_global}")
        if sharing not in get_args(Sharing):
            raise UsageError(f"expected sharing from {get_args(Sharing)}, got {sharing!r}")
        self.radius, self.num_prefix = radius, num_global
        self.sharing = sharing if num_global else "all"
        width = shape.heads * shape.head_dim
        if self.sharing != "all":
            self.query_global = projection(shape.dim, width)
            self.key_global = projection(shape.dim, width)  # g2l, and g2g where the two share it
            self.value_global = projection(shape.dim, width)
            self.output = OutputOfParts(num_global, projection(width, shape.dim), self.output)
        if self.sharing == "none":
            self.key_l2g, self.value_l2g = projection(shape.dim, width), projection(shape.dim, width)
            self.key_g2g, self.value_g2g = projection(shape.dim, width), projection(shape.dim, width)

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """See Attention."""
        x, q, _, _ = projected
        count, dropout = self.num_prefix, self.attention_dropout
        (far_q, far_k, far_v), (near_k, near_v) = self._of_global(projected), self._of_long(projected)
        keep = all_kept(x, keep)
        far = attend(far_q, far_k, far_v, key_mask(keep), dropout=dropout)
        if x.shape[1] <= count:
            # No token has a row, but each projection is part of the graph.
            near = attend(q[:, :, count:], near_k, near_v, key_mask(keep))
        else:
            near = windows(
                q[:, :, count:],
                near_k[:, :, count:],
                near_v[:, :, count:],
                keep[:, count:],
                (near_k[:, :, :count], near_v[:, :, :count], keep[:, :count]),
                radius=self.radius,
                dropout=dropout,
            )
        return torch.cat([far, near], dim=2)

    def _of_long(self, projected: Projected) -> tuple[Tensor, Tensor]:
        """Keys and values that the sequence looks at, global ones first: (B, H, L, E) each."""
        if self.sharing != "none":
            return projected.k, projected.v
        count, first = self.num_prefix, projected.x[:, : self.num_prefix]
        keys = torch.cat([self.split(self.key_l2g(first)), projected.k[:, :, count:]], dim=2)
        return keys, torch.cat([self.split(self.value_l2g(first)), projected.v[:, :, count:]], dim=2)

    def _of_global(self, projected: Projected) -> tuple[Tensor, Tensor, Tensor]:
        """Queries of global tokens (B, H, n_g, E), and keys and values that they look at: (B, H, L, E) each."""
        x, q, k, v = projected
        first, tokens = x[:, : self.num_prefix], x[:, self.num_prefix :]
        if self.sharing == "all":
            return q[:, :, : self.num_prefix], k, v
        if self.sharing == "key-value":
            keys, values = self.key_global(x), self.value_global(x)
        else:
            keys = torch.cat([self.key_g2g(first), self.key_global(tokens)], dim=1)
            values = torch.cat([self.value_g2g(first), self.value_global(tokens)], dim=1)
        return self.split(self.query_global(first)), self.split(keys), self.split(values)

    def unread_when_last(self) -> dict[str, str]:
        """See Attention."""
        if self.sharing == "all":
            return {}
        own = ("output.prefix", "query_global", "key_global", "value_global", "key_g2g", "value_g2g")
        reason = "only outputs of the sequence are read, and those of global tokens have projections of their own"
        return {f"{name}.weight": reason for name in own if self.sharing == "none" or "g2g" not in name}

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """See Attention. Without shared projections, rows and columns of global tokens apply to other values than
        `project` gives.
        """
        projected = self.project(x)
        far_q, far_k, _ = self._of_global(projected)
        near_k, _ = self._of_long(projected)
        place = torch.arange(x.shape[1], device=x.device)
        near = (place[:, None] - place).abs() <= self.radius
        mask = near | (place < self.num_prefix) | (place < self.num_prefix)[:, None]
        rows = [self.scaled_logits(far_q, far_k), self.scaled_logits(projected.q[:, :, self.num_prefix :], near_k)]
        kept = key_mask(keep)
        return softmax_weights(torch.cat(rows, dim=2), mask if kept is None else mask & kept)


ATTENTION = EtcAttention
