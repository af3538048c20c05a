"""Memory-compressed attention: keys and values are shortened by a convolution whose stride is its kernel.

    O_i = sum_s softmax_s(q_i k'_s / sqrt(E)) v'_s        k'_s = sum_t W_t k_{s c + t},  v'_s = sum_t W'_t v_{s c + t}

c: kernel and stride, so that ceil(L / c) slots replace the L keys; t goes from 0 to c - 1.
W_t and W'_t act on the channels of all heads.

Liu et al., "Generating Wikipedia by summarizing long sequences", ICLR 2018, section 4.2.3. Time O(L^2 D / c), still
quadratic; memory O(L D) with PyTorch's fused kernels, O(L^2 H / c) where attention dropout needs the weights.

Its decoder of five layers (T-DMCA) alternates: the first, third and fifth layers look within blocks of 256 tokens, and
those between are memory-compressed. With `local_block` the encoder does so too.

Differences from the paper: no causal mask. The convolution has no bias, and padding is 0 before it; a slot of only
padding is masked as a key. Blocks do not overlap, and the last may be shorter.
"""

import torch
from torch import Tensor

from lra_data import UsageError
from reference_models.attention.base import Attention, Projected, Shape
from reference_models.attention.operations import (
    all_kept,
    attend,
    key_mask,
    padded_to,
    projection,
    segments,
    softmax_weights,
)


class MemoryCompressedAttention(Attention):
    """Full attention to L / c slots. torch.compile works (tests/reference_models).

    kernel: c, which is also the stride.
    local_block: tokens in a block of the layers 0, 2, 4, …, which are then local; the paper's decoder has 256. 0, the
        default: every layer is memory-compressed.

    Local layers have no convolution.
    """

    family = "memory"
    cost = "L²/c"
    paper = "Liu et al. 2018, §4.2.3"

    def __init__(self, shape: Shape, *, kernel: int = 3, local_block: int = 0) -> None:
        super().__init__(shape)
        if kernel < 1 or local_block < 0:
            raise UsageError(f"expected kernel >= 1 and local_block >= 0, got {kernel=}, {local_block=}")
        self.kernel = kernel
        self.block = local_block if shape.layer % 2 == 0 else 0
        if not self.block:
            width = shape.heads * shape.head_dim
            self.compress_key = projection(kernel * width, width)  # W_0 to W_{c-1}, side by side
            self.compress_value = projection(kernel * width, width)  # W'

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """See Attention."""
        x, q, k, v = projected
        if self.block:
            return self._within_blocks(q, k, v, all_kept(x, keep))
        k, v = (self._compressed(*pair, keep) for pair in ((self.compress_key, k), (self.compress_value, v)))
        return attend(q, k, v, key_mask(self._slots(keep)), dropout=self.attention_dropout)

    def _compressed(self, convolution: torch.nn.Linear, tokens: Tensor, keep: Tensor | None) -> Tensor:
        """(B, H, L, E) to (B, H, ceil(L / c), E)."""
        if keep is not None:
            tokens = tokens.masked_fill(~keep[:, None, :, None], 0.0)
        rows = padded_to(tokens.transpose(1, 2).flatten(2), self.kernel, 1)  # (B, L, H E)
        slots: Tensor = convolution(rows.reshape(len(rows), -1, self.kernel * rows.shape[2]))
        return self.split(slots)

    def _slots(self, keep: Tensor | None) -> Tensor | None:
        """Which slots have a kept token: (B, ceil(L / c))."""
        if keep is None:
            return None
        return padded_to(keep, self.kernel, 1, value=False).view(len(keep), -1, self.kernel).any(dim=2)

    def _within_blocks(self, q: Tensor, k: Tensor, v: Tensor, keep: Tensor) -> Tensor:
        """Full attention within each block: (B, H, L, E)."""
        block, length = min(self.block, q.shape[2]), q.shape[2]
        q, k, v = (segments(part, block).transpose(1, 2).flatten(0, 1) for part in (q, k, v))  # (B n, H, S, E)
        mask = padded_to(keep, block, 1, value=False).reshape(-1, block)
        mixed = attend(q, k, v, key_mask(mask), dropout=self.attention_dropout)
        return mixed.view(len(keep), -1, *mixed.shape[1:]).transpose(1, 2).flatten(2, 3)[:, :, :length]

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """See Attention. A slot's weight is divided evenly among its kept tokens: exact if each W'_t is the identity
        / c, and no slot is partly padding. Otherwise it shows where the layer looks. Rows sum to 1.
        """
        _, q, k, _ = self.project(x)
        place = torch.arange(x.shape[1], device=x.device)
        if self.block:
            number = place // self.block
            near = number[:, None] == number
            kept = key_mask(keep)
            return softmax_weights(self.scaled_logits(q, k), near if kept is None else near & kept)
        k = self._compressed(self.compress_key, k, keep)
        weights = softmax_weights(self.scaled_logits(q, k), key_mask(self._slots(keep)))
        slot = torch.arange(k.shape[2], device=x.device)
        shares = ((place // self.kernel == slot[:, None]) & all_kept(x, keep)[:, None]).to(weights.dtype)
        shares = shares / shares.sum(dim=-1, keepdim=True).clamp(min=1)  # (B, ceil(L / c), L)
        return weights @ shares[:, None]


ATTENTION = MemoryCompressedAttention
