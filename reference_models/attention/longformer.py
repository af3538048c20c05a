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
from torch.nn import functional

from lra_data import UsageError
from reference_models.attention.base import Attention, Projected, Shape
from reference_models.attention.operations import all_kept, attend, key_mask, padded_to, softmax_weights

_SMALLEST_BLOCK = 16  # of queries that share a stretch of keys: in smaller blocks the overhead of calls dominates


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
            near = self._windows(q, k, v, keep, self.dilations[0])
        else:
            by_head = [
                self._windows(q[:, h : h + 1], k[:, h : h + 1], v[:, h : h + 1], keep, dilation)
                for h, dilation in enumerate(self.dilations)
            ]
            near = torch.cat(by_head, dim=1)
        if not self.num_global:
            return near
        queries = self.split(self.query_global(x[:, : self.num_global]))
        keys, values = self.split(self.key_global(x)), self.split(self.value_global(x))
        far = attend(queries, keys, values, key_mask(keep), dropout=self.attention_dropout)
        return torch.cat([far, near[:, :, self.num_global :]], dim=2)

    def _windows(self, q: Tensor, k: Tensor, v: Tensor, keep: Tensor, dilation: int) -> Tensor:
        """Outputs from window and global tokens: (B, H, L, E). The rows of global queries are not used.

        Tokens with the same remainder modulo the dilation form a class of C tokens, in which they are neighbours. Each
        class is cut into n blocks of queries. A block takes the keys from `margin` before it to `margin` after it, S in
        all.
        """
        batch, heads, length, width = q.shape
        size = -(-length // dilation)  # C
        block = -(-size // max(1, size // max(self.radius, _SMALLEST_BLOCK)))  # blocks of about one size
        margin = min(self.radius, -(-size // block) * block - block)

        def stretches(x: Tensor, first: Tensor) -> Tensor:
            """Keys of each block, global ones first: (B, L, ...) and (B, g, ...) to (B d n, g + S, ...)."""
            x = _overlapping(_classes(x, dilation, block), block, margin)
            x = x.view(batch, dilation, *x.shape[1:])
            first = first[:, None, None].expand(-1, *x.shape[1:3], *first.shape[1:])
            return torch.cat([first, x], dim=3).flatten(0, 2)

        queries = _classes(q.transpose(1, 2), dilation, block).reshape(-1, block, heads, width)
        k, v = k.transpose(1, 2), v.transpose(1, 2)
        keys, values = stretches(k, k[:, : self.num_global]), stretches(v, v[:, : self.num_global])
        is_global = torch.arange(length, device=q.device) < self.num_global
        kept = stretches(keep & ~is_global, keep[:, : self.num_global])  # (B d n, g + S); a global token counts once
        near = _band(block, margin, self.radius, q.device)
        mask = kept[:, None, None] & functional.pad(near, [kept.shape[1] - near.shape[1], 0], value=True)
        mixed = attend(
            queries.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2), mask, dropout=self.attention_dropout
        )  # (B d n, H, b, E)
        mixed = mixed.transpose(1, 2).reshape(batch, dilation, -1, heads, width)[:, :, :size]
        return mixed.permute(0, 3, 2, 1, 4).flatten(2, 3)[:, :, :length]

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


def _classes(x: Tensor, dilation: int, block: int) -> Tensor:
    """Tokens by their remainder modulo the dilation, padded to whole blocks: (B, L, ...) to (B d, n b, ...)."""
    by_remainder = padded_to(x, dilation, 1).reshape(x.shape[0], -1, dilation, *x.shape[2:]).transpose(1, 2)
    return padded_to(by_remainder.flatten(0, 1), block, 1)


def _overlapping(x: Tensor, block: int, margin: int) -> Tensor:
    """(B, n b, ...) to a view (B, n, S, ...): each block with `margin` tokens on either side."""
    around = functional.pad(x, [0, 0] * (x.ndim - 2) + [margin, margin])
    return around.unfold(1, block + 2 * margin, block).movedim(-1, 2)


def _band(block: int, margin: int, radius: int, device: torch.device) -> Tensor:
    """Which keys of a stretch are near which query of its block: (b, S)."""
    query, key = torch.arange(block, device=device), torch.arange(block + 2 * margin, device=device) - margin
    return (key - query[:, None]).abs() <= radius


ATTENTION = LongformerAttention
