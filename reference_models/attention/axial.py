"""Axial attention: tokens lie on a grid, and each looks along its row or along its column.

    O_i = sum_j softmax_j(q_i k_j / sqrt(E)) v_j      over all j in the row of i, or in its column, or in both

"alternate": layers 0, 2, ... attend along rows, layers 1, 3, ... along columns, so that two layers reach all tokens.
"criss-cross": one softmax over the R + C - 1 tokens of the row and the column. "sum": row attention plus column
attention, each with projections of its own.

Ho et al., "Axial attention in multidimensional transformers", 2019, section 3; "criss-cross": Huang et al., "CCNet",
ICCV 2019, section 3. R, C: rows and columns of the grid, near sqrt(L) each. Time O(L (R + C) D); memory O(L D) with
PyTorch's fused kernels; "criss-cross" writes its weights out, as does attention dropout on the CPU: O(L (R + C) H).

Differences from the papers: Ho's decoder masks and shifts rows and columns, which an encoder does not need. In "sum",
which ports have, both outputs share one output projection. CCNet applies its attention twice with the same weights;
here each layer is one application. A text has no grid: it is cut into rows of ceil(sqrt(max_length)) tokens. Grids may
be cut off, and sequences may begin with num_prefix tokens that are not on the grid, such as a CLS token: they look at
all tokens and all tokens look at them, with the same projections. A model of one layer with "alternate" attends along
rows alone.
"""

import math
from typing import Literal

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
    softmax_weights,
)

Axis = Literal["row", "column"]


class AxialAttention(Attention):
    """Attention along the rows and columns of a grid. torch.compile works (tests/reference_models).

    mode: "alternate", "sum" or "criss-cross".
    grid: rows and columns; None for ceil(sqrt(max_length - num_prefix)) columns and as many rows as needed.
    num_prefix: number of tokens before the first on the grid.

    In "sum", query, key and value belong to the rows; query_column, key_column and value_column to the columns.
    """

    family = "fixed pattern"
    cost = "L·(R + C)"
    paper = "Ho et al. 2019, §3"

    def __init__(
        self,
        shape: Shape,
        *,
        mode: Literal["alternate", "sum", "criss-cross"] = "alternate",
        grid: tuple[int, int] | None = None,
        num_prefix: int = 0,
    ) -> None:
        super().__init__(shape)
        if mode not in ("alternate", "sum", "criss-cross"):
            raise UsageError(f"expected mode 'alternate', 'sum' or 'criss-cross', got {mode!r}")
        if num_prefix < 0:
            raise UsageError(f"expected num_prefix >= 0, got {num_prefix}")
        on_grid = max(1, shape.max_length - num_prefix)
        if grid is None:
            columns = math.isqrt(on_grid - 1) + 1
            grid = (-(-on_grid // columns), columns)
        if min(grid) < 1:
            raise UsageError(f"expected a grid >= 1, got {grid}")
        if shape.max_length > num_prefix + grid[0] * grid[1]:
            room = f"num_prefix + {grid[0]} * {grid[1]} = {num_prefix + grid[0] * grid[1]}"
            raise UsageError(f"expected max_length of at most {room}, got {shape.max_length}")
        self.mode = mode
        self.columns = grid[1]
        self.off_grid = num_prefix
        self.axis: Axis = "column" if mode == "alternate" and shape.layer % 2 else "row"
        if mode == "sum":
            width = shape.heads * shape.head_dim
            self.query_column, self.key_column, self.value_column = (projection(shape.dim, width) for _ in range(3))

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """See Attention."""
        x, q, k, v = projected
        if (x.shape[1] - self.off_grid) % self.columns:
            keep = all_kept(x, keep)  # so that the padding of the last row is masked
        if self.mode == "sum":
            return self._lines(q, k, v, keep, "row") + self._lines(*self._project_columns(x), keep, "column")
        if self.mode == "criss-cross":
            return self._with_prefix(q, k, v, keep, self._crosses(q, k, v, all_kept(x, keep)))
        return self._lines(q, k, v, keep, self.axis)

    def _project_columns(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """q, k and v of the columns in "sum"."""
        return self.split(self.query_column(x)), self.split(self.key_column(x)), self.split(self.value_column(x))

    def _with_prefix(self, q: Tensor, k: Tensor, v: Tensor, keep: Tensor | None, on_grid: Tensor) -> Tensor:
        """(B, H, L, E): the prefix looks at all tokens; then the outputs on the grid."""
        if not self.off_grid:
            return on_grid
        prefix = attend(q[:, :, : self.off_grid], k, v, key_mask(keep), dropout=self.attention_dropout)
        return torch.cat([prefix, on_grid], dim=2)

    def _lines(self, q: Tensor, k: Tensor, v: Tensor, keep: Tensor | None, axis: Axis) -> Tensor:
        """Attention along rows or along columns: (B, H, L, E)."""
        prefix, batch, count = self.off_grid, len(q), q.shape[2] - self.off_grid

        def lines(x: Tensor) -> Tensor:
            """(B, N, ...) to (B n, S, ...): n rows or columns of S tokens."""
            rows = _rows(x, self.columns)
            return (rows if axis == "row" else rows.transpose(1, 2)).flatten(0, 1)

        def keys(x: Tensor) -> Tensor:
            """(B, L, ...) to (B n, prefix + S, ...)."""
            of_lines = lines(x[:, prefix:])
            if not prefix:
                return of_lines
            before = x[:, None, :prefix].expand(-1, len(of_lines) // batch, *x[:, :prefix].shape[1:])
            return torch.cat([before.flatten(0, 1), of_lines], dim=1)

        if count <= 0:
            return self._with_prefix(q, k, v, keep, q[:, :, prefix:])
        mixed = attend(
            lines(q[:, :, prefix:].transpose(1, 2)).transpose(1, 2),
            keys(k.transpose(1, 2)).transpose(1, 2),
            keys(v.transpose(1, 2)).transpose(1, 2),
            None if keep is None else key_mask(keys(keep)),
            dropout=self.attention_dropout,
        )  # (B n, H, S, E)
        by_line = mixed.transpose(1, 2)
        by_line = by_line.reshape(batch, -1, *by_line.shape[1:])
        rows = by_line if axis == "row" else by_line.transpose(1, 2)
        return self._with_prefix(q, k, v, keep, rows.flatten(1, 2)[:, :count].transpose(1, 2))

    def _crosses(self, q: Tensor, k: Tensor, v: Tensor, keep: Tensor) -> Tensor:
        """One softmax over prefix, row and column: the outputs on the grid (B, H, N, E)."""
        prefix, columns, count = self.off_grid, self.columns, q.shape[2] - self.off_grid
        if count <= 0:
            return q[:, :, prefix:]

        def grids(x: Tensor) -> Tensor:
            """(B, H, L, E) to (B, H, R, C, E)."""
            return _rows(x[:, :, prefix:].transpose(1, 2), columns).permute(0, 3, 1, 2, 4)

        queries, keys, values = grids(q), grids(k), grids(v)
        rows = queries.shape[2]
        first = (part[:, :, None, :prefix] for part in (k, v))  # (B, H, 1, prefix, E)
        first_keys, first_values = first
        by_column = queries.transpose(2, 3) @ keys.permute(0, 1, 3, 4, 2)  # (B, H, C, R, R)
        logits = torch.cat(
            [
                queries @ first_keys.transpose(-1, -2),
                queries @ keys.transpose(-1, -2),
                by_column.transpose(2, 3),
            ],
            dim=-1,
        )  # (B, H, R, C, prefix + C + R)
        kept = _rows(keep[:, prefix:], columns)  # (B, R, C)
        others = ~torch.eye(rows, dtype=torch.bool, device=q.device)[:, None]  # a token is in its row already
        of_column = kept.transpose(1, 2)[:, None] & others
        mask = torch.cat(
            [
                keep[:, None, None, :prefix].expand(-1, rows, columns, -1),
                kept[:, :, None].expand(-1, -1, columns, -1),
                of_column,
            ],
            dim=-1,
        )
        weights = self.drop(softmax_weights(logits * self.shape.head_dim**-0.5, mask[:, None])).to(v.dtype)
        of_first, of_row, down = torch.split(weights, [prefix, columns, rows], dim=-1)
        crossed = of_row @ values + (down.transpose(2, 3) @ values.transpose(2, 3)).transpose(2, 3)
        if prefix:
            crossed = crossed + of_first @ first_values
        return torch.narrow(crossed.flatten(2, 3), 2, 0, count)

    def unread(self, outputs: int) -> dict[str, str]:
        """See Attention."""
        on_grid = self.shape.max_length - self.off_grid
        longest = min(on_grid, self.columns) if self.axis == "row" else -(-on_grid // self.columns)
        if self.mode != "alternate" or self.off_grid or longest > 1:
            return {}
        reason = (
            f"each {self.axis} of the grid has one token, whose weight is 1: choose a grid with longer {self.axis}s"
        )
        return {f"{name}.weight": reason for name in ("query", "key")}

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """See Attention. In "sum", the sum of both matrices, whose rows sum to 2; the columns' part applies to the
        values of `value_column`.
        """
        _, q, k, _ = self.project(x)
        place = torch.arange(x.shape[1], device=x.device) - self.off_grid
        always = (place[:, None] < 0) | (place < 0)
        row, column = place // self.columns, place % self.columns
        masks = {"row": always | (row[:, None] == row), "column": always | (column[:, None] == column)}
        kept = all_kept(x, keep)[:, None, None]
        if self.mode == "criss-cross":
            return softmax_weights(self.scaled_logits(q, k), (masks["row"] | masks["column"]) & kept)
        weights = softmax_weights(self.scaled_logits(q, k), masks[self.axis] & kept)
        if self.mode == "sum":
            q, k, _ = self._project_columns(x)
            weights = weights + softmax_weights(self.scaled_logits(q, k), masks["column"] & kept)
        return weights


def _rows(x: Tensor, columns: int) -> Tensor:
    """Tokens of the grid (B, N, ...), the last row padded with zeros, as (B, R, C, ...)."""
    return padded_to(x, columns, 1).reshape(len(x), -1, columns, *x.shape[2:])


ATTENTION = AxialAttention
