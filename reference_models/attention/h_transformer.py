"""H-Transformer-1D: near tokens are seen exactly, far tokens as means over 1, 2, 4, 8, ... neighbours.

    O_i = Y_i / D_i
    Y_i = sum_l sum_c exp(q_i^l k_c^l / sqrt(E) - m_i) v_c^l
    D_i = sum_l sum_c exp(q_i^l k_c^l / sqrt(E) - m_i) n_c^l

A cell c of level l holds 2^l consecutive tokens, of which n_c are kept; q^l and k^l are means over the kept tokens of a
cell, v^l is their sum, and q_i^l is that of the cell which holds i. Cells are cut into blocks of N_r. At level 0 a
block looks at itself and at both its neighbours. At level l > 0 it looks at both its neighbours, except for the quarter
of each that level l - 1 has seen: so each pair of tokens belongs to one level, the lowest at which their blocks are
neighbours. m_i is the greatest exponent of query i over all levels.

Zhu and Soricut, "H-Transformer-1D", ACL 2021, section 6. Time O(L N_r D), memory O(L D + L N_r H): five logits or fewer
for each token, head and place in a block. The weights are written out.

Differences from the paper: none in the formulas. The blocks begin at the first token, so that the tree does not depend
on the length, and any length is possible. Which neighbours a block sees follows the authors' released code
(google/flaxformer, `h_attention.py`): both, with the quarter masked; a public port sees the sibling in the tree alone.
The authors' code also has relative positions by default, which are left out here, and takes one maximum for all queries
of an example, so that a query whose logits are much smaller than another's gets almost 0; here each query has its own.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from lra_data import UsageError
from reference_models.attention.base import Attention, Projected, Shape
from reference_models.attention.operations import all_kept, padded_to, softmax_weights, wide_dtype


class Level(NamedTuple):
    """Means over the kept tokens of each cell, q, k, v (B, H, n, E), and the number of these tokens (B, 1, n, 1)."""

    q: Tensor
    k: Tensor
    v: Tensor
    tokens: Tensor


class Sums(NamedTuple):
    """Y (B, H, n, E), D (B, H, n, 1), and the maximum that both are relative to (B, H, n, 1), in float32 or better."""

    y: Tensor
    d: Tensor
    maximum: Tensor


class HTransformerAttention(Attention):
    """Hierarchical attention.

    rank: N_r, an even number: tokens or cells of a block, which is also the rank of a block's approximation.

    A sequence of up to 2 N_r tokens gets full attention. Dropout is on the weights of cells. torch.compile works
    (tests/reference_models).
    """

    family = "fixed pattern"
    cost = "L·N_r"
    paper = "Zhu & Soricut 2021, §6"

    def __init__(self, shape: Shape, *, rank: int = 16) -> None:
        super().__init__(shape)
        if rank < 2 or rank % 2:
            raise UsageError(f"expected an even rank >= 2, got {rank}")
        self.rank = rank

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """See Attention."""
        x, q, k, v = projected
        levels = self._levels(q, k, v, all_kept(x, keep))
        sums = self._sums(levels[-1], len(levels) - 1)
        for number in range(len(levels) - 2, -1, -1):
            sums = _added(self._sums(levels[number], number), sums)
        # The greatest weight of a query that has a key is 1, so that its D is at least 1.
        return (sums.y / sums.d.clamp(min=1.0))[:, :, : x.shape[1]].to(v.dtype)

    def _levels(self, q: Tensor, k: Tensor, v: Tensor, keep: Tensor) -> list[Level]:
        """All levels, the tokens first, each padded to whole blocks. The last has two blocks, or is the only one."""
        count = padded_to(keep[:, None, :, None].to(wide_dtype(q)), self.rank, 2)
        totals = [padded_to(part.to(count.dtype), self.rank, 2) * count for part in (q, k, v)]
        levels = [_means(totals, count, q.dtype)]
        while count.shape[2] > 2 * self.rank:
            count, *totals = (padded_to(_pairs(total), self.rank, 2) for total in (count, *totals))
            levels.append(_means(totals, count, q.dtype))
        return levels

    def _sums(self, level: Level, number: int) -> Sums:
        """The part of Y and D that a level adds."""
        rank = self.rank
        blocks = [part.reshape(*part.shape[:2], -1, rank, part.shape[3]) for part in level]
        queries = blocks[0]  # (B, H, n / N_r, N_r, E)
        keys, values, count = (_neighbours(part, own=number == 0) for part in blocks[1:])
        weights_of_cells = count.transpose(-1, -2)  # (B, 1, n / N_r, 1, 2 N_r or 3 N_r)
        mask = weights_of_cells > 0
        if number:
            mask = mask & _unseen(rank, mask.device)
        logits = (queries @ keys.transpose(-1, -2)).to(count.dtype) * self.shape.head_dim**-0.5
        logits = logits + weights_of_cells.clamp(min=1.0).log()  # exp(logit) times the number of tokens
        logits = logits.masked_fill(~mask, -math.inf)
        # It cancels. Finite where there is no key.
        maximum = logits.detach().amax(dim=-1, keepdim=True).clamp(min=torch.finfo(logits.dtype).min / 4)
        weights = (logits - maximum).exp()
        y = (self.drop(weights).to(values.dtype) @ values).to(count.dtype)
        return Sums(*(part.flatten(2, 3) for part in (y, weights.sum(dim=-1, keepdim=True), maximum)))

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """See Attention: the weight of a cell is divided evenly among its kept tokens."""
        _, q, k, v = self.project(x)
        length = x.shape[1]
        levels = self._levels(q, k, v, all_kept(x, keep))
        place = torch.arange(length, device=x.device)
        logits = q.new_zeros(len(x), self.shape.heads, length, length, dtype=wide_dtype(x))
        for number in range(len(levels) - 1, -1, -1):  # the lowest level at which two blocks are neighbours is last
            cell = place // 2**number
            block = cell // self.rank
            near = (block[:, None] - block).abs() <= 1
            found = self.scaled_logits(levels[number].q, levels[number].k)[:, :, cell][..., cell]
            logits = torch.where(near, found.to(logits.dtype), logits)
        return softmax_weights(logits, all_kept(x, keep)[:, None, None])


def _means(totals: list[Tensor], count: Tensor, dtype: torch.dtype) -> Level:
    """A level from the sums of q, k and v over the kept tokens of its cells."""
    q, k, v = ((total / count.clamp(min=1.0)).to(dtype) for total in totals)
    return Level(q, k, v, count)


def _pairs(cells: Tensor) -> Tensor:
    """Sums of two neighbours each: (B, H, n, E) to (B, H, n / 2, E)."""
    return torch.add(cells[:, :, ::2], cells[:, :, 1::2])


def _neighbours(blocks: Tensor, *, own: bool) -> Tensor:
    """(B, H, n, N_r, E) to (B, H, n, 2 N_r or 3 N_r, E): the block before each, with `own` itself, the block after."""
    around = functional.pad(blocks, (0, 0, 0, 0, 1, 1))
    count = blocks.shape[2]
    middle = [blocks] if own else []
    return torch.cat([around[:, :, :count], *middle, around[:, :, 2:]], dim=3)


def _unseen(rank: int, device: torch.device) -> Tensor:
    """Which cells of the block before and the block after belong to this level, by query: (N_r, 2 N_r)."""
    query, key = torch.arange(rank, device=device)[:, None], torch.arange(rank, device=device)
    before = (query >= rank // 2) | (key < rank // 2)
    after = (query < rank // 2) | (key >= rank // 2)
    return torch.cat([before, after], dim=1)


def _added(fine: Sums, coarse: Sums) -> Sums:
    """The sums of a level, and those of the levels above it, whose cells are twice as long."""
    cells = fine.y.shape[2]
    y, d, maximum = (part.repeat_interleave(2, dim=2)[:, :, :cells] for part in coarse)
    common = torch.maximum(fine.maximum, maximum)
    of_fine, of_coarse = (fine.maximum - common).exp(), (maximum - common).exp()
    return Sums(fine.y * of_fine + y * of_coarse, fine.d * of_fine + d * of_coarse, common)


ATTENTION = HTransformerAttention
