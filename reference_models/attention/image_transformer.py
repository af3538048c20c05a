"""Image Transformer: pixels are cut into query blocks, and all queries of a block look at one memory around it.

    O_i = sum_j softmax_j(q_i k_j / sqrt(E)) v_j      over all j in the memory of the block of i

"1d": the pixels in raster order; a block is l_q consecutive pixels, its memory these with l_m before and l_m after.
"2d": the picture; a block is h_q x w_q pixels, its memory these with h_m rows above and below and w_m columns left and
right. Positions outside the picture are masked.

Parmar et al., "Image Transformer", ICML 2018, section 3.2 and 3.3. M: pixels of a memory. Time O(L M D), memory
O(L D M / block) for the copies of keys, whose memories overlap, O(L M H) where attention dropout needs the weights (on
the CPU).

Differences from the paper: its model generates pictures, so a memory holds nothing below or after the query; in an
encoder it extends to all sides. Pictures may be cut off (fewer pixels than the grid has), and sequences may begin with
num_prefix tokens that are not pixels, such as a CLS token: they look at all tokens and all tokens look at them, with
the same projections.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from lra_data import UsageError
from reference_models.attention.base import Attention, Projected, Shape
from reference_models.attention.operations import all_kept, attend, key_mask, padded_to, softmax_weights


class ImageTransformerAttention(Attention):
    """Local attention in one or two dimensions.

    mode: "1d" or "2d"; options of the other mode are ignored.
    block, memory: of "1d": l_q and l_m.
    grid: of "2d": rows and columns of the picture.
    height, width: of "2d": h_q and w_q.
    memory_height, memory_width: of "2d": h_m and w_m.
    num_prefix: number of tokens before the first pixel.

    Defaults: blocks of 256 in 1d as in the authors' released settings; in 2d 8 x 8 in a memory of 24 x 24, which is
    half of one of LRA's pictures of 32 x 32. torch.compile works (tests/reference_models).
    """

    family = "fixed pattern"
    cost = "L·M"
    paper = "Parmar et al. 2018, §3.2-3.3"

    def __init__(
        self,
        shape: Shape,
        *,
        mode: Literal["1d", "2d"] = "1d",
        block: int = 256,
        memory: int = 256,
        grid: tuple[int, int] = (32, 32),
        height: int = 8,
        width: int = 8,
        memory_height: int = 8,
        memory_width: int = 8,
        num_prefix: int = 0,
    ) -> None:
        super().__init__(shape)
        if mode not in ("1d", "2d"):
            raise UsageError(f"expected mode '1d' or '2d', got {mode!r}")
        if min(block, height, width, *grid) < 1:
            raise UsageError(f"expected blocks and a grid >= 1, got {block}, {height} x {width}, {grid}")
        if min(memory, memory_height, memory_width, num_prefix) < 0:
            got = f"{memory}, {memory_height} x {memory_width}, {num_prefix}"
            raise UsageError(f"expected memories and num_prefix >= 0, got {got}")
        if mode == "2d" and shape.max_length > num_prefix + grid[0] * grid[1]:
            room = f"num_prefix + {grid[0]} * {grid[1]} = {num_prefix + grid[0] * grid[1]}"
            raise UsageError(f"expected max_length of at most {room}, got {shape.max_length}")
        self.num_before = num_prefix
        # In 1d the sequence is a picture of one row.
        self.columns = grid[1] if mode == "2d" else None
        self.block = (height, width) if mode == "2d" else (1, block)
        self.memory = (memory_height, memory_width) if mode == "2d" else (0, memory)

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """See Attention."""
        x, q, k, v = projected
        keep = all_kept(x, keep)
        first, dropout = self.num_before, self.attention_dropout
        parts = []
        if first:
            parts.append(attend(q[:, :, :first], k, v, key_mask(keep), dropout=dropout))
        if x.shape[1] > first:
            parts.append(self._pixels(q, k, v, keep, dropout))
        return torch.cat(parts, dim=2)

    def _pixels(self, q: Tensor, k: Tensor, v: Tensor, keep: Tensor, dropout: float) -> Tensor:
        """Outputs of the pixels' queries, from their memories and the prefix: (B, H, pixels, E)."""
        prefix, count = self.num_before, q.shape[2] - self.num_before
        columns = self.columns or count
        size = (-(-count // columns), columns)
        block = (min(self.block[0], size[0]), min(self.block[1], size[1]))
        n = (-(-size[0] // block[0]), -(-size[1] // block[1]))
        reach = [min(m, (many - 1) * b) for m, many, b in zip(self.memory, n, block, strict=True)]

        def with_prefix(x: Tensor) -> Tensor:
            """(B, L, ...) to (B n, prefix + M, ...)."""
            memories = _memories(_picture(x[:, prefix:], columns, block), block, reach)
            before = x[:, None, :prefix].expand(-1, n[0] * n[1], *x[:, :prefix].shape[1:]).flatten(0, 1)
            return torch.cat([before, memories], dim=1) if prefix else memories

        queries = _picture(q[:, :, prefix:].transpose(1, 2), columns, block)  # (B, n_h h_q, n_w w_q, H, E)
        queries = queries.reshape(-1, n[0], block[0], n[1], block[1], *queries.shape[3:]).transpose(2, 3)
        mixed = attend(
            queries.flatten(3, 4).flatten(0, 2).transpose(1, 2),
            with_prefix(k.transpose(1, 2)).transpose(1, 2),
            with_prefix(v.transpose(1, 2)).transpose(1, 2),
            key_mask(with_prefix(keep)),
            dropout=dropout,
        )  # (B n, H, h_q w_q, E)
        mixed = mixed.transpose(1, 2).reshape(queries.shape).transpose(2, 3)
        picture = mixed.flatten(3, 4).flatten(1, 2)[:, : size[0], :columns]
        return picture.flatten(1, 2)[:, :count].transpose(1, 2)

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """See Attention."""
        _, q, k, _ = self.project(x)
        pixel = torch.arange(x.shape[1], device=x.device) - self.num_before
        mask = (pixel[:, None] < 0) | (pixel < 0)
        columns = self.columns or self.shape.max_length
        inside = torch.ones_like(mask)
        for place, block, memory in zip((pixel // columns, pixel % columns), self.block, self.memory, strict=True):
            start = (place // block * block)[:, None]
            inside &= (place >= start - memory) & (place < start + block + memory)
        mask, kept = mask | inside, key_mask(keep)
        return softmax_weights(self.scaled_logits(q, k), mask if kept is None else mask & kept)


def _picture(x: Tensor, columns: int, block: tuple[int, int]) -> Tensor:
    """Pixels (B, N, ...) as whole blocks of rows and columns (B, n_h h_q, n_w w_q, ...)."""
    rows = padded_to(x, columns, 1).reshape(x.shape[0], -1, columns, *x.shape[2:])
    return padded_to(padded_to(rows, block[0], 1), block[1], 2)


def _memories(picture: Tensor, block: tuple[int, int], reach: list[int]) -> Tensor:
    """(B, n_h h_q, n_w w_q, ...) to (B n_h n_w, M, ...): each block's pixels and the pixels around it."""
    (height, width), (above, beside) = block, reach
    around = functional.pad(picture, [0, 0] * (picture.ndim - 3) + [beside, beside, above, above])
    views = around.unfold(1, height + 2 * above, height).unfold(2, width + 2 * beside, width)
    return views.movedim((-2, -1), (3, 4)).flatten(3, 4).flatten(0, 2)


ATTENTION = ImageTransformerAttention
