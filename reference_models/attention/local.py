"""Local attention: the sequence is cut into blocks that do not overlap, and a token looks at its own block alone.

    O_i = sum_j softmax_j(q_i k_j / sqrt(E)) v_j   over all j with floor(j / b) = floor(i / b)      b: block

Tay et al., "Long Range Arena", ICLR 2021, appendix B.1 (blocks without overlap, of 50 tokens). Time O(L b D), memory
O(L D) with PyTorch's fused kernels, O(L b H) where attention dropout needs the weights (on the CPU).

Differences from the paper: none. The benchmark's released code differs: it swaps the axes of block
and position, so that a token looks at every (L / b)-th other token, with a mask that belongs to different tokens; and
it counts the padding of the last block as tokens. Here a block is b adjacent tokens, and the last may be shorter.
"""

import torch
from torch import Tensor

from lra_data import UsageError
from reference_models.attention.base import Attention, Projected, Shape
from reference_models.attention.operations import all_kept, attend, key_mask, padded_to, softmax_weights


class LocalAttention(Attention):
    """Full attention within each block of `block` tokens. torch.compile works (tests/reference_models)."""

    family = "fixed pattern"
    cost = "L·b"
    paper = "Tay et al. 2021 (Long Range Arena), §B.1"

    def __init__(self, shape: Shape, *, block: int = 50) -> None:
        super().__init__(shape)
        if block < 1:
            raise UsageError(f"expected a block >= 1, got {block}")
        self.block = block

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """See Attention."""
        x, q, k, v = projected
        batch, length, _ = x.shape
        block = min(self.block, length)
        if length % block:
            keep = all_kept(x, keep)  # so that the padding of the last block is masked
        if keep is not None:
            keep = padded_to(keep, block, 1, value=False).reshape(-1, block)
        q, k, v = _blocks(q, block), _blocks(k, block), _blocks(v, block)  # (B n, H, b, E)
        mixed = attend(q, k, v, key_mask(keep), dropout=self.attention_dropout)
        return mixed.transpose(1, 2).reshape(batch, -1, *mixed.shape[1::2]).transpose(1, 2)[:, :, :length]

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """See Attention."""
        _, q, k, _ = self.project(x)
        number = torch.arange(x.shape[1], device=x.device) // self.block
        mask = number[:, None] == number
        kept = key_mask(keep)
        return softmax_weights(self.scaled_logits(q, k), mask if kept is None else mask & kept)


def _blocks(heads: Tensor, block: int) -> Tensor:
    """(B, H, L, E) to (B n, H, b, E) with n = ceil(L / b): a view where b divides L."""
    rows = padded_to(heads.transpose(1, 2), block, 1)  # (B, n b, H, E)
    return rows.reshape(-1, block, *rows.shape[2:]).transpose(1, 2)


ATTENTION = LocalAttention
