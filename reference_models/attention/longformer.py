"""Longformer: a window that slides along the sequence, and a few global tokens that see all and are seen by all.

    O_i = sum_j softmax_j(q_i k_j / sqrt(E)) v_j      over j in G and all j with |i - j| = d n, 0 <= n <= w / 2
    O_g = sum_j softmax_j(q'_g k'_j / sqrt(E)) v'_j   over all j, for g in G

w: the full width of the window, half of it on each side of a token; d: dilation; G: the first num_global tokens (a CLS
token); q', k', v' have projections of their own. One softmax covers window and global tokens.

Beltagy et al., "Longformer: the long-document transformer", 2020, sections 3.1 and 3.2. Time O(L (w + |G|) D), memory
O(L D + L (w + |G|)): keys and values are copied a few times, and the mask has no axis of heads. Attention dropout on
the CPU needs the weights: memory is then O(L (w + |G|) H).

Differences from the paper: global tokens are always the first. A window of even width w has w / 2 tokens on each side,
w + 1 in all, as in the paper. Sequences may have any length. The benchmark's released code has no global token, has one
token more on one side of the window, and computes all L^2 weights twice.

Where a classifier reads the CLS token alone, the last layer's query, key and value projections do not affect it, and
never learn (`unread`).
"""

import copy

import torch
from torch import Tensor

from lra_data import UsageError
from reference_models.attention.base import Attention, Projected, Shape
from reference_models.attention.operations import all_kept, attend, key_mask, softmax_weights
from reference_models.attention.windows import windows


class LongformerAttention(Attention):
    """A window, and global tokens at the start of the sequence.

    window: w.
    dilation: one number, or several that the heads take in turn (section 3.1: heads may differ).
    num_global: number of global tokens.

    query_global, key_global and value_global begin as copies of the projections of the window (section 3.1), and are
    absent without global tokens. torch.compile works (tests/reference_models).
    """

    family = "fixed pattern"
    cost = "L·(w + |G|)"
    paper = "Beltagy et al. 2020, §3.1-3.2"

    def __init__(
        self, shape: Shape, *, window: int = 512, dilation: int | tuple[int, ...] = 1, num_global: int = 1
    ) -> None:
        super().__init__(shape)
        dealt = (dilation,) if isinstance(dilation, int) else dilation
        if window < 1:
            raise UsageError(f"expected a window >= 1, got {window}")
        if not dealt or min(dealt) < 1:
            raise UsageError(f"expected dilations >= 1, got {dilation}")
        if num_global < 0:
            raise UsageError(f"expected num_global >= 0, got {num_global}")
        self.radius = window // 2
        self.dilations = [dealt[head % len(dealt)] for head in range(shape.heads)]
        self.num_global = num_global
        if num_global:
            self.query_global = copy.deepcopy(self.query)
            self.key_global = copy.deepcopy(self.key)
            self.value_global = copy.deepcopy(self.value)

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """See Attention."""
        x, q, k, v = projected
        keep = all_kept(x, keep)
        if len(set(self.dilations)) == 1:
            near = self._near(q, k, v, keep, self.dilations[0])
        else:
            by_head = [
                self._near(q[:, h : h + 1], k[:, h : h + 1], v[:, h : h + 1], keep, dilation)
                for h, dilation in enumerate(self.dilations)
            ]
            near = torch.cat(by_head, dim=1)
        if not self.num_global:
            return near
        queries = self.split(self.query_global(x[:, : self.num_global]))
        keys, values = self.split(self.key_global(x)), self.split(self.value_global(x))
        far = attend(queries, keys, values, key_mask(keep), dropout=self.attention_dropout)
        return torch.cat([far, near[:, :, self.num_global :]], dim=2)

    def _near(self, q: Tensor, k: Tensor, v: Tensor, keep: Tensor, dilation: int) -> Tensor:
        """Outputs from window and global tokens: (B, H, L, E). The rows of global queries are not used."""
        is_global = torch.arange(q.shape[2], device=q.device) < self.num_global
        seen_by_all = k[:, :, : self.num_global], v[:, :, : self.num_global], keep[:, : self.num_global]
        return windows(
            q,
            k,
            v,
            keep & ~is_global,  # a global token counts once
            seen_by_all,
            radius=self.radius,
            dilation=dilation,
            dropout=self.attention_dropout,
        )

    def unread(self, outputs: int) -> dict[str, str]:
        """See Attention."""
        if outputs > self.num_global:
            return {}
        reason = "only outputs of global tokens are read, and these have projections of their own"
        return {f"{name}.weight": reason for name in ("query", "key", "value")}

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """See Attention. Rows of global tokens apply to values of `value_global`, other rows to those of `value`."""
        _, q, k, _ = self.project(x)
        place = torch.arange(x.shape[1], device=x.device)
        apart = (place[:, None] - place).abs()
        dilation = torch.tensor(self.dilations, device=x.device)[:, None, None]
        mask = (apart % dilation == 0) & (apart <= self.radius * dilation) | (place < self.num_global)
        logits = self.scaled_logits(q, k)
        if self.num_global:
            far = self.scaled_logits(self.split(self.query_global(x)), self.split(self.key_global(x)))
            is_global = (place < self.num_global)[:, None]
            logits, mask = torch.where(is_global, far, logits), mask | is_global
        kept = key_mask(keep)
        return softmax_weights(logits, mask if kept is None else mask & kept)


ATTENTION = LongformerAttention
