"""Long-Short Transformer: one softmax over a window of tokens and over r slots that summarise the whole sequence.

    O_i = softmax(q_i [LN_L(K_i); LN_G(P^T K)]^T / sqrt(E)) [LN_L(V_i); LN_G(P^T V)],    P = softmax_L(X W_P)

K_i, V_i: keys and values near token i; P (L, r): for each head, columns that sum to 1 over the sequence.

The window: the sequence is cut into blocks of w tokens, and a token sees its block and w / 2 tokens on each side of it.

Zhu et al., "Long-Short Transformer: efficient transformers for language and vision", NeurIPS 2021, section 3 (DualLN:
3.3). Time O(L (2 w + r) D), memory O(L D + L r H); O(L (2 w + r) H) where attention dropout needs the weights.

The paper writes P = softmax(K W_P) with K before its projection, (L, D), and W_P (D, r): in self-attention that is X,
as in the authors' code. `source` "keys" takes each head's projected keys instead.

Differences from the paper: LN_L and LN_G normalise each head's vector, as in the formula for a head, and all heads have
the same scales and shifts. The authors' LRA code normalises the channels of all heads together; its slots are sums of
keys and values that LN_L has normalised before; it has a window of at least one token on each side; L must be a
multiple of w. Here P is 0 under padding, and the last block may be shorter.
"""

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from lra_data import UsageError
from reference_models.attention.base import Attention, Projected, Shape
from reference_models.attention.operations import (
    all_kept,
    attend,
    key_mask,
    padded_to,
    projection,
    softmax_weights,
    wide_dtype,
    xavier_matrices,
)

Source = Literal["inputs", "keys"]

_SMALLEST_BLOCK = 16  # of queries that share a stretch of keys: in smaller blocks the overhead of calls dominates


class LongShortAttention(Attention):
    """A window and dynamic slots. torch.compile works (tests/reference_models).

    window: w, of the authors' LRA models; 0 for slots alone.
    rank: r, likewise; 0 for the window alone.
    source: what P is computed from.

    Dropout is on the weights of the joint softmax, not on P.
    """

    family = "low rank"
    cost = "L (w + r)"
    paper = "Zhu et al. 2021, §3"

    def __init__(self, shape: Shape, *, window: int = 8, rank: int = 32, source: Source = "inputs") -> None:
        super().__init__(shape)
        if min(window, rank) < 0 or window == rank == 0:
            raise UsageError(f"expected window and rank >= 0, not both 0, got {window=}, {rank=}")
        if source not in get_args(Source):
            raise UsageError(f"expected a source from {get_args(Source)}, got {source!r}")
        self.window, self.rank, self.source = window, rank, source
        if window:
            self.norm_local = nn.LayerNorm(shape.head_dim)  # LN_L
        if rank:
            self.norm_global = nn.LayerNorm(shape.head_dim)  # LN_G
            if source == "inputs":
                self.dynamic = projection(shape.dim, shape.heads * rank)  # W_P
            else:
                self.dynamic_keys = nn.Parameter(xavier_matrices(shape.heads, shape.head_dim, rank, self.generator()))

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """See Attention."""
        x, q, k, v = projected
        if not self.rank:
            nothing = k[:, :, :0]
            return self._windows(q, k, v, nothing, nothing, all_kept(x, keep))
        shares = self._shares(x, k, keep)
        slots = self._slots(shares, k), self._slots(shares, v)
        if self.window:
            return self._windows(q, k, v, *slots, all_kept(x, keep))
        seen = None if keep is None else keep.any(dim=1)[:, None, None, None].expand(-1, 1, 1, self.rank)
        return attend(q, *slots, seen, dropout=self.attention_dropout)

    def _shares(self, x: Tensor, k: Tensor, keep: Tensor | None) -> Tensor:
        """P^T: (B, H, r, L), in float32 or better."""
        logits = self.split(self.dynamic(x)) if self.source == "inputs" else k @ self.dynamic_keys
        return softmax_weights(logits.transpose(-1, -2), key_mask(keep))

    def _slots(self, shares: Tensor, tokens: Tensor) -> Tensor:
        """LN_G(P^T tokens): (B, H, r, E)."""
        with torch.autocast(tokens.device.type, enabled=False):
            slots = shares @ tokens.to(wide_dtype(tokens))
        normed: Tensor = self.norm_global(slots.to(self.norm_global.weight.dtype))
        return normed.to(tokens.dtype)

    def _windows(self, q: Tensor, k: Tensor, v: Tensor, slot_keys: Tensor, slot_values: Tensor, keep: Tensor) -> Tensor:
        """Outputs (B, H, L, E). Queries are cut into n blocks of b tokens, a multiple of w; each block takes the slots
        and the keys from `margin` before it to `margin` after it, S in all.
        """
        batch, heads, length, width = q.shape
        window, count = min(self.window, length), slot_keys.shape[2]
        block = -(-min(max(count, _SMALLEST_BLOCK), length) // window) * window
        margin = window // 2

        def stretches(tokens: Tensor, slots: Tensor) -> Tensor:
            """(B, L, …) and (B, r, …) to (B n, r + S, …)."""
            tokens = functional.pad(padded_to(tokens, block, 1), [0, 0] * (tokens.ndim - 2) + [margin, margin])
            near = tokens.unfold(1, block + 2 * margin, block).movedim(-1, 2)
            slots = slots[:, None].expand(-1, near.shape[1], *slots.shape[1:])
            return torch.cat([slots, near], dim=2).flatten(0, 1)

        keys, values = (
            stretches(self.norm_local(tokens).to(v.dtype).transpose(1, 2), slots.transpose(1, 2)).transpose(1, 2)
            for tokens, slots in ((k, slot_keys), (v, slot_values))
        )
        kept = stretches(keep, keep.any(dim=1, keepdim=True).expand(-1, count))  # (B n, r + S)
        near = functional.pad(_near(block, window, margin, q.device), [count, 0], value=True)
        queries = padded_to(q.transpose(1, 2), block, 1).reshape(-1, block, heads, width).transpose(1, 2)
        mask = kept[:, None, None] & near
        mixed = attend(queries, keys, values, mask, dropout=self.attention_dropout)  # (B n, H, b, E)
        return mixed.transpose(1, 2).reshape(batch, -1, heads, width).transpose(1, 2)[:, :, :length]

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """See Attention. A slot's weight is divided among the tokens by P. Rows sum to 1. The outputs are these weights
        times v only if both norms are the identity.
        """
        _, q, k, _ = self.project(x)
        keep, length = all_kept(x, keep), x.shape[1]
        parts, masks = [], []
        if self.rank:
            shares = self._shares(x, k, keep)
            parts.append(self._slots(shares, k))
            masks.append(keep.any(dim=1)[:, None, None, None].expand(-1, 1, length, self.rank))
        if self.window:
            parts.append(self.norm_local(k))
            near = _near(length, self.window, 0, x.device)
            masks.append(keep[:, None, None] & near)
        logits = self.scaled_logits(q, torch.cat(parts, dim=2))
        weights = softmax_weights(logits, torch.cat(masks, dim=-1))
        if not self.rank:
            return weights
        of_slots, of_tokens = weights[..., : self.rank], weights[..., self.rank :]
        spread = of_slots @ shares
        return spread + of_tokens if self.window else spread


def _near(block: int, window: int, margin: int, device: torch.device) -> Tensor:
    """Which keys a query of a block sees, of those from `margin` before it to `margin` after it: (b, b + 2 margin)."""
    start = torch.arange(block, device=device)[:, None] // window * window
    key = torch.arange(block + 2 * margin, device=device) - margin
    return (key >= start - window // 2) & (key < start + window + window // 2)


ATTENTION = LongShortAttention
