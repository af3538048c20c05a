"""Sinkhorn Transformer: a network sorts the blocks of keys, softly; a block looks at itself and at a distant block.

    R = Sinkhorn((P(X') + G) / tau)      (n, n), for n blocks of b tokens: X'_I the sum of x in block I; P the sort
                                         network; G Gumbel noise, in training; Sinkhorn: `iterations` times, columns
                                         and then rows are divided by their sums, in log space: R is nearly doubly
                                         stochastic
    K' = R K, V' = R V                   by blocks
    O_I = softmax(Q_I [K'_I; K_I]^T / sqrt(E)) [V'_I; V_I]
    SortCut: O = softmax(Q K'_[:c]^T / sqrt(E)) V'_[:c]        all queries see the first c sorted blocks, c: sortcut

Tay et al., "Sparse Sinkhorn attention", ICML 2020, section 3. Time O(L b D + (L / b)^2 b D), memory O(L (b H + D)) and
O((L / b)^2 H) per iteration.

Differences from the paper: the sorted keys and the block's own keys share one softmax, in which a token that R leaves
in its block counts twice (the paper adds the two products, which merges the two keys into one). P is linear in all D
features of x, has its own rows for each head, and starts at 1 / sqrt(b) of the usual size, as X' is a sum. The noise
is drawn once for all examples of a step, a pure function of (seed, layer, step). The paper does not mention padding:
here a block without tokens stays in its place, and R sorts the others; a sorted key is the mean of the tokens that R
puts there, and counts by their share of R.

P has D H n parameters, with n for max_length. The released code has E * 25 at any length: one network for all heads,
applied to the sums of projected keys, for at most 25 blocks. It is never trained there, since nothing is sorted: each
block sees the sum of all blocks, whatever R is.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lra_data import UsageError
from reference_models.attention.base import Attention, Projected, Shape
from reference_models.attention.operations import all_kept, attend, padded_to, segments, softmax_weights, wide_dtype

_BLOCK = 50  # b, if max_length is greater
_FEW = 1e-6  # a sorted key with a smaller share of tokens is masked, which avoids dividing by nearly 0


class SinkhornAttention(Attention):
    """Blocks sorted by a trained, nearly doubly stochastic matrix. torch.compile works (tests/reference_models).

    block: b; None for 50, or for half of max_length where that is up to 50.
    temperature: tau.
    iterations: number of steps of the Sinkhorn normalisation.
    sortcut: c, or None for no cut.

    The sort network learns nothing from a single block; `unread` names it if one block holds all positions.
    """

    family = "learnable pattern"
    cost = "L·b + L²/b"
    paper = "Tay et al. 2020 (Sinkhorn), §3"
    noise: Tensor

    def __init__(
        self,
        shape: Shape,
        *,
        block: int | None = None,
        temperature: float = 0.75,
        iterations: int = 8,
        sortcut: int | None = None,
    ) -> None:
        super().__init__(shape)
        if block is None:
            block = _BLOCK if shape.max_length > _BLOCK else -(-shape.max_length // 2)
        for name, number in (("block", block), ("iterations", iterations), ("sortcut", sortcut)):
            if number is not None and number < 1:
                raise UsageError(f"expected {name} >= 1, got {number}")
        if not temperature > 0:
            raise UsageError(f"expected a temperature above 0, got {temperature}")
        self.block, self.temperature, self.iterations, self.sortcut = block, temperature, iterations, sortcut
        self.num_blocks = -(-shape.max_length // block)
        self.sort = nn.Linear(shape.dim, shape.heads * self.num_blocks, bias=False)
        nn.init.xavier_uniform_(self.sort.weight, gain=block**-0.5)
        self.register_buffer("noise", self._gumbel(0))

    def on_step(self, step: int) -> None:
        """Draws the noise of a training step."""
        self.noise.copy_(self._gumbel(step))

    def _gumbel(self, step: int) -> Tensor:
        """Standard Gumbel noise (H, n, n)."""
        uniform = torch.empty(self.shape.heads, self.num_blocks, self.num_blocks, device="cpu")
        return -uniform.exponential_(generator=self.generator(step=step)).clamp_min(1e-30).log()

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """See Attention."""
        x, q, k, v = projected
        keep = all_kept(x, keep)
        order = self.sorting(x, keep).to(v.dtype)
        kept = padded_to(keep, self.block, 1, value=False).view(len(x), 1, -1, self.block)
        # A key, its value, and a 0 that makes the value as wide as a key with its logarithm: (B, H, L, 2 E + 1).
        pairs = torch.cat([k, v, v.new_zeros(()).expand(*v.shape[:3], 1)], dim=-1)
        pairs = segments(pairs.masked_fill_(~keep[:, None, :, None], 0.0), self.block)  # (B, H, n, b, 2 E + 1)
        share = order @ kept.to(order.dtype)  # (B, H, n, b): the share of tokens in a sorted key
        moved = (order @ pairs.flatten(3)).view(pairs.shape) * share.clamp_min(_FEW).reciprocal()[..., None].to(v.dtype)
        q = segments(functional.pad(q, (0, 1), value=q.shape[-1] ** 0.5), self.block)
        if self.sortcut is None:
            share = torch.cat([share, kept.to(share.dtype).expand(share.shape)], dim=-1)
            moved = torch.cat([moved, pairs], dim=-2)
        else:  # all queries are one group, with one group of keys
            q = q.flatten(2, 3)[:, :, None]
            share, moved = (part[:, :, : self.sortcut].flatten(2, 3)[:, :, None] for part in (share, moved))
        mixed = self._shared_out(q.flatten(0, 1), moved.flatten(0, 1), share.flatten(0, 1))
        return mixed.view(*v.shape[:2], -1, mixed.shape[-1])[:, :, : x.shape[1], : v.shape[-1]]

    def _shared_out(self, q: Tensor, pairs: Tensor, share: Tensor) -> Tensor:
        """softmax(q k^T / sqrt(E) + log share) v (B H, groups, S, E + 1).

        q: (B H, groups, S, E + 1); its last feature, sqrt(E), meets the logarithm as the last feature of a key: the
            fused kernels take no mask that learns.
        pairs: (B H, groups, M, 2 E + 1).
        share: (B H, groups, M).
        """
        width = q.shape[-1] - 1
        k, v = torch.split(pairs, [width, width + 1], dim=-1)
        weight = share.clamp_min(_FEW).log()[..., None].to(k.dtype)
        k = torch.cat([k, weight], dim=-1)
        mask = (share > _FEW)[..., None, :]
        return attend(q, k, v, mask, dropout=self.attention_dropout, scale=width**-0.5)

    def sorting(self, x: Tensor, keep: Tensor) -> Tensor:
        """R (B, H, n, n) in float32 or better: row I holds the weights of block I for each block; rows sum to 1."""
        filled = padded_to(keep, self.block, 1, value=False).view(len(x), -1, self.block).any(dim=-1)
        tokens = padded_to(x.masked_fill(~keep[..., None], 0.0), self.block, 1)
        dtype = wide_dtype(x)
        with torch.autocast(x.device.type, enabled=False):  # bfloat16 is too coarse for exponentials of sums
            sums = tokens.to(dtype).view(len(x), -1, self.block, x.shape[-1]).sum(dim=2)
            scores = functional.linear(sums, self.sort.weight.to(dtype))
            count = scores.shape[1]
            scores = scores.view(len(x), count, -1, self.num_blocks)[..., :count].transpose(1, 2)
            if self.training:
                scores = scores + self.noise[:, :count, :count]
            both = filled[:, :, None] & filled[:, None] | torch.eye(count, dtype=torch.bool, device=x.device)
            scores = (scores / self.temperature).masked_fill(~both[:, None], -math.inf)
            for _ in range(self.iterations):
                scores = scores.log_softmax(dim=-2).log_softmax(dim=-1)
            return scores.exp()

    def unread(self, outputs: int) -> dict[str, str]:
        """See Attention."""
        if self.num_blocks > 1:
            return {}
        reason = (
            f"one block of {self.block} holds all {self.shape.max_length} positions, which leaves no order to learn: "
            "choose a smaller block, or omit it, so that it follows max_length"
        )
        return {"sort.weight": reason}

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """See Attention. A token's weight is its own key's weight plus its part of the sorted keys' weights."""
        _, q, k, _ = self.project(x)
        keep = all_kept(x, keep)
        length, at = x.shape[1], torch.arange(padded_to(x, self.block, 1).shape[1], device=x.device)
        block, offset = at // self.block, at % self.block
        # The weight of sorted place i for token j: (B, H, n b, L).
        takes = self.sorting(x, keep)[:, :, block[:, None], block[:length]] * (offset[:, None] == offset[:length])
        takes = takes * keep[:, None, None]
        share = takes.sum(dim=-1, keepdim=True)
        takes = takes / share.clamp_min(_FEW)
        share = share.transpose(-1, -2)
        own = block[:length, None] == block[:length]
        near = block[:length, None] == block if self.sortcut is None else (block < self.sortcut).expand(length, -1)
        scaled = q / self.shape.head_dim**0.5
        logits = scaled @ (takes.to(k.dtype) @ k).transpose(-1, -2) + share.clamp_min(_FEW).log()
        mask = near & (share > _FEW)
        if self.sortcut is not None:
            return softmax_weights(logits, mask) @ takes
        logits = torch.cat([logits, scaled @ k.transpose(-1, -2)], dim=-1)
        mask = torch.cat([mask, (own & keep[:, None, None]).expand(*mask.shape[:2], -1, -1)], dim=-1)
        of_sorted, of_own = softmax_weights(logits, mask).tensor_split([len(at)], dim=-1)
        return of_sorted @ takes + of_own


ATTENTION = SinkhornAttention
