"""BigBird: blocks see their neighbours, some random blocks and two global blocks; the global blocks see all blocks.

    O_i = sum_j softmax_j(q_i k_j / sqrt(E)) v_j   over all j with an edge from block floor(i / b) to block floor(j / b)

    edges of block I: I - 1, I, I + 1; the first and the last block; r blocks at random     b: block, r: num_random
    edges of the first and the last block: all blocks

Zaheer et al., "Big Bird: transformers for longer sequences", NeurIPS 2020, section 2 and appendix D (the ITC form: the
global tokens belong to the sequence). Time O(L (5 + r) b D), memory O(L (5 + r) D): the blocks of keys and values are
copied to the queries that look at them.

The paper leaves some points open. Here the random blocks are drawn once, per layer and head, for all blocks of
max_length, excluding the blocks that a block sees anyway. A shorter sequence uses the part of the graph within its
length, and so has fewer random edges; where fewer than r blocks can be drawn, all of them are taken. The last block is
the last one with a token of the example, not of the batch, so that padding changes nothing. The released code differs:
it draws from the first 1,024 tokens only, needs 8 blocks, and lets the padding of the last block take part.
"""

import torch
from torch import Tensor

from lra_data import UsageError
from reference_models.attention.base import Attention, Projected, Shape
from reference_models.attention.operations import all_kept, attend, key_mask, padded_to, softmax_weights

_NONE = -1  # block number for "no block"


class BigBirdAttention(Attention):
    """Window, global and random blocks under one softmax. torch.compile works (tests/reference_models).

    graph: buffer (H, n, r) of block numbers for the n blocks of max_length, -1 for none.
    """

    family = "fixed pattern"
    cost = "L"
    paper = "Zaheer et al. 2020, §2, App. D"
    graph: Tensor

    def __init__(self, shape: Shape, *, block: int = 64, num_random: int = 3) -> None:
        super().__init__(shape)
        if block < 1:
            raise UsageError(f"expected a block >= 1, got {block}")
        if num_random < 0:
            raise UsageError(f"expected num_random >= 0, got {num_random}")
        self.block = block
        self.register_buffer("graph", _random_graph(shape, -(-shape.max_length // block), num_random, self.generator()))

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """See Attention."""
        x, q, k, v = projected
        batch, heads, length, width = q.shape
        dropout = self.attention_dropout
        keep = padded_to(all_kept(x, keep), self.block, 1, value=False)
        q, k, v = (padded_to(part, self.block, 2) for part in (q, k, v))
        blocks, kept = (batch, heads, -1, self.block, width), keep.view(batch, -1, self.block)
        last = _last_block(kept)
        found = self._neighbours(last, kept.shape[1])  # (B, H, n, M) of block numbers
        chosen = found.clamp(min=0)
        example, head = (torch.arange(size, device=x.device) for size in (batch, heads))
        mask = kept[example[:, None, None, None], chosen] & (found != _NONE)[..., None]  # (B, H, n, M, b)
        # As rows of one table: index_select's gradient adds rows, where that of an index of three axes adds numbers.
        here = ((example[:, None] * heads + head)[..., None, None] * kept.shape[1] + chosen).flatten()
        keys = mask.shape[3] * self.block
        mixed = attend(  # one block of one head each: (B H n, 1, b or M b, E)
            q.reshape(-1, 1, self.block, width),
            k.reshape(-1, self.block * width).index_select(0, here).view(-1, 1, keys, width),
            v.reshape(-1, self.block * width).index_select(0, here).view(-1, 1, keys, width),
            mask.view(-1, 1, 1, keys),
            dropout=dropout,
        ).view(blocks)
        number = torch.arange(kept.shape[1], device=x.device)[:, None, None]
        for chief in (torch.zeros_like(last), last):  # the rows of the global blocks
            seen = attend(q.view(blocks)[example, :, chief], k, v, key_mask(keep), dropout=dropout)  # (B, H, b, E)
            mixed = torch.where(number == chief.view(-1, 1, 1, 1, 1), seen[:, :, None], mixed)
        return mixed.flatten(2, 3)[:, :, :length]

    def _neighbours(self, last: Tensor, count: int) -> Tensor:
        """The blocks (B, H, n, 5 + r) that each of n = count blocks sees, without repetition; -1 for none."""
        number = torch.arange(count, device=last.device)
        window = torch.stack([number - 1, number, number + 1], dim=-1)
        window = window.masked_fill(window >= count, _NONE)
        drawn = self.graph[:, :count]
        drawn = drawn.masked_fill(drawn >= count, _NONE)
        ends = torch.stack([torch.zeros_like(last), last], dim=-1)[:, None, None]
        shape = (len(last), self.shape.heads, count, -1)
        found = torch.cat([part.expand(shape) for part in (window, ends, drawn)], dim=-1)
        again = (found[..., :, None] == found[..., None, :]).tril(-1).any(dim=-1)  # a repeated block would count twice
        return found.masked_fill(again, _NONE)

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """See Attention."""
        _, q, k, _ = self.project(x)
        keep = all_kept(x, keep)
        number = torch.arange(x.shape[1], device=x.device) // self.block
        row, column = number[:, None], number
        last = (number * keep).amax(dim=-1).view(-1, 1, 1, 1)
        mask = ((row - column).abs() <= 1) | (row == 0) | (column == 0) | (row == last) | (column == last)
        drawn = (self.graph[..., None] == torch.arange(self.graph.shape[1], device=x.device)).any(dim=2)  # (H, n, n)
        mask = mask | drawn[:, row, column]
        return softmax_weights(self.scaled_logits(q, k), mask & keep[:, None, None])


def _random_graph(shape: Shape, count: int, num_random: int, generator: torch.Generator) -> Tensor:
    """For each head and block, num_random of the blocks that are neither global nor neighbours: (H, n, r)."""
    number = torch.arange(count, device="cpu")
    seen = (number[:, None] - number).abs() <= 1
    seen[:, [0, -1]] = True
    order = torch.rand(shape.heads, count, count, generator=generator, device="cpu").masked_fill(seen, -1.0)
    found = order.topk(min(num_random, count), dim=-1)
    return found.indices.masked_fill(found.values < 0, _NONE)


def _last_block(kept: Tensor) -> Tensor:
    """The number of the last block (B,) that holds a token, of kept (B, n, b); 0 if none does."""
    return (kept.any(dim=-1) * torch.arange(kept.shape[1], device=kept.device)).amax(dim=-1)


ATTENTION = BigBirdAttention
