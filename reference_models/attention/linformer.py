"""Linformer: keys and values are projected along the positions to k slots, and each query attends to these.

    O = softmax(Q (E K)^T / sqrt(head width)) (F V),    E, F of shape (k, L)

Wang et al., "Linformer: self-attention with linear complexity", 2020, section 4. Time O(L k D), memory O(L D + k D)
with PyTorch's fused kernels, O(L k H) where attention dropout needs the weights.

Differences from the paper: K and V are 0 under padding before they are projected (the paper and the LRA's code have no
masks); the slots are never masked. E and F have max_length columns, of which a shorter input uses the first L. They are
initialised xavier-uniform as in the LRA, which keeps E K near the size of K at any L; the paper does not say. Sharing
between layers ("layerwise") is left to the code that owns the layers.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from lra_data import UsageError
from reference_models.attention.base import Attention, Projected, Shape
from reference_models.attention.operations import all_kept, attend, xavier_matrices

Sharing = Literal["none", "headwise", "key-value"]


class LinformerAttention(Attention):
    """Attention to k projected positions. torch.compile works (tests/reference_models trace it only).

    k: number of slots.
    sharing: in the paper's terms; "headwise": one E and one F for all heads; "key-value", as in the LRA: one E = F for
        all heads; "none": an E and an F for each head.
    """

    family = "low rank"
    cost = "L"
    paper = "Wang et al. 2020, §4"

    def __init__(self, shape: Shape, *, k: int = 256, sharing: Sharing = "key-value") -> None:
        super().__init__(shape)
        if k < 1:
            raise UsageError(f"expected k >= 1, got {k}")
        if sharing not in ("none", "headwise", "key-value"):
            raise UsageError(f"expected the sharing 'none', 'headwise' or 'key-value', got {sharing!r}")
        generator = self.generator()
        count = shape.heads if sharing == "none" else 1
        self.project_keys = nn.Parameter(xavier_matrices(count, k, shape.max_length, generator))
        shared = sharing == "key-value"
        self.project_values = None if shared else nn.Parameter(xavier_matrices(count, k, shape.max_length, generator))

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """See Attention."""
        _, q, k, v = projected
        if keep is not None:
            padding = ~keep[:, None, :, None]
            k, v = k.masked_fill(padding, 0.0), v.masked_fill(padding, 0.0)
        slots = _projected_length(self.project_keys, k), _projected_length(self._values(), v)  # (B, H, k, E) each
        return attend(q, *slots, None, dropout=self.attention_dropout)

    def _values(self) -> Tensor:
        """F."""
        return self.project_keys if self.project_values is None else self.project_values

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """See Attention: each query's weights for the slots times F. Entries may be negative; rows may not sum to 1."""
        _, q, k, _ = self.project(x)
        length = x.shape[1]
        columns = all_kept(x, keep)[:, None, None].to(x.dtype)  # (B, 1, 1, L)
        by_key, by_value = (matrix[None, :, :, :length] * columns for matrix in (self.project_keys, self._values()))
        logits = self.scaled_logits(q, by_key @ k)
        weights: Tensor = logits.softmax(dim=-1) @ by_value
        return weights


def _projected_length(matrix: Tensor, x: Tensor) -> Tensor:
    """(H or 1, k, L_max) by (B, H, L, E) to (B, H, k, E).

    Each column of x is a row of the product, so that an example's sums do not depend on the size of its batch, and E is
    not copied for each example.
    """
    matrix, columns = matrix[:, :, : x.shape[2]], x.transpose(-1, -2)  # (B, H, E, L)
    if len(matrix) == 1:
        slots = functional.linear(columns, matrix[0])
    else:
        pairs = zip(columns.unbind(1), matrix, strict=True)
        slots = torch.stack([functional.linear(*pair) for pair in pairs], dim=1)
    return slots.transpose(-1, -2).contiguous()  # the layout that the fused kernels need


ATTENTION = LinformerAttention
