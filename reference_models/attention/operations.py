"""Operations that several attentions share: heads, masks, softmax, padding, segments, initial weights, ranks.

Letters are those of `base.py`. An operation of one attention alone is in that attention's file.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_EPSILON = 1e-6  # of squared lengths, so that a vector of zeros has a gradient


def joined(heads: Tensor) -> Tensor:
    """(B, H, L, E) to (B, L, H * E)."""
    return heads.transpose(1, 2).flatten(2)


def attend(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, *, dropout: float = 0.0, scale: float | None = None
) -> Tensor:
    """softmax(q k^T / sqrt(E)) v by PyTorch's fused kernels, for tensors of four axes (…, …, L, E).

    mask: bool, True = keep, may be broadcast over heads and queries; a query without any key gets 0.
    scale: replaces 1 / sqrt(E).
    """
    mixed: Tensor = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, scale=scale)
    return mixed


def wide_dtype(x: Tensor) -> torch.dtype:
    """The dtype for sums and exponentials: float32, or float64 for float64."""
    return torch.promote_types(x.dtype, torch.float32)


def unit(x: Tensor) -> Tensor:
    """Vectors of length 1, in float32 or better."""
    wide = x.to(wide_dtype(x))
    return wide * (wide.square().sum(dim=-1, keepdim=True) + _EPSILON).rsqrt()


def softmax_weights(logits: Tensor, mask: Tensor | None) -> Tensor:
    """Softmax over the last axis in float32 or better; masked entries are 0, and so is a row without any key.

    The mask is added, and rows are multiplied by whether they have a key: a mask is smaller than the logits as a rule,
    and a sum's gradient costs nothing, where filling costs two passes over the logits, forward and backward.
    """
    wide = logits.to(wide_dtype(logits))
    if mask is None:
        return wide.softmax(dim=-1)
    any_key = mask.any(dim=-1, keepdim=True)
    bias = torch.zeros(mask.shape, dtype=wide.dtype, device=wide.device).masked_fill_(any_key & ~mask, -math.inf)
    weights: Tensor = (wide + bias).softmax(dim=-1) * any_key  # a row of only -inf would be NaN
    return weights


def key_mask(keep: Tensor | None) -> Tensor | None:
    """keep (B, L) as a mask over keys (B, 1, 1, L), which keeps the fused kernels fast."""
    return None if keep is None else keep[:, None, None, :]


def all_kept(x: Tensor, keep: Tensor | None) -> Tensor:
    """keep (B, L); all True where it is None. x: (B, …, L, width)."""
    return torch.ones(x.shape[0], x.shape[-2], dtype=torch.bool, device=x.device) if keep is None else keep


def split_heads(projected: Tensor, heads: int) -> Tensor:
    """(B, L, H * E) to (B, H, L, E)."""
    batch, length, width = projected.shape
    return projected.view(batch, length, heads, width // heads).transpose(1, 2)


def real_tokens(keep: Tensor | None) -> Tensor | None:
    """The indices (N) of the real tokens among the B * L positions of a mask (B, L); None where nothing is padding.

    Also None within torch.compile: N would be another shape for each batch.
    """
    if keep is None or torch.compiler.is_compiling():
        return None
    real = keep.flatten().nonzero()[:, 0]
    return real if 0 < len(real) < keep.numel() else None


def picked(x: Tensor, real: Tensor | None) -> Tensor:
    """The rows of the real tokens: (B, L, D) to (N, D); x itself where real is None."""
    found: Tensor = x if real is None else _Picked.apply(x.flatten(0, 1), real)  # type: ignore[no-untyped-call]
    return found


def spread(rows: Tensor, real: Tensor | None, like: Tensor) -> Tensor:
    """The inverse of `picked`, with 0 under padding: (N, W) to (B, L, W), with B and L those of `like`."""
    if real is None:
        return rows
    batch, length = like.shape[:2]
    wide: Tensor = _Spread.apply(rows, real, batch * length)  # type: ignore[no-untyped-call]
    return wide.view(batch, length, -1)


def _at(rows: Tensor, real: Tensor, positions: int) -> Tensor:
    return rows.new_zeros(positions, *rows.shape[1:]).index_copy_(0, real, rows)


class _Picked(torch.autograd.Function):
    """x[real] for distinct indices: the gradient is copied, where PyTorch's own sums it up index by index."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, real: Tensor) -> Tensor:
        """(positions, W) to (N, W)."""
        ctx.save_for_backward(real)
        ctx.positions = len(x)
        return x.index_select(0, real)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """(N, W) to (positions, W)."""
        return _at(gradient, ctx.saved_tensors[0], ctx.positions), None


class _Spread(torch.autograd.Function):
    """Rows at distinct indices of a tensor of zeros."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, real: Tensor, positions: int) -> Tensor:
        """(N, W) to (positions, W)."""
        ctx.save_for_backward(real)
        return _at(rows, real, positions)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """(positions, W) to (N, W)."""
        return gradient.index_select(0, ctx.saved_tensors[0]), None, None


def padded_to(x: Tensor, multiple: int, dim: int, value: float | bool = 0) -> Tensor:
    """Right-pad x with `value` along `dim` to a multiple of `multiple`."""
    missing = -x.shape[dim] % multiple
    if missing == 0:
        return x
    after = [0, 0] * (x.ndim - 1 - dim % x.ndim) + [0, missing]
    padded: Tensor = functional.pad(x, after, value=value)
    return padded


def segments(x: Tensor, size: int) -> Tensor:
    """Cut x into segments of S tokens, the last padded with zeros: (B, H, L, E) to (B, H, n, S, E)."""
    return padded_to(x, size, 2).reshape(*x.shape[:2], -1, size, x.shape[3])


# glibc keeps freed blocks of up to 32 MiB; larger blocks are requested from the system each time, page by page.
_PIECE_BYTES = 16 * 2**20


def mix_in_pieces(
    logits: Callable[[Tensor, Tensor], Tensor],
    drop: Callable[[Tensor], Tensor],
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor,
) -> Tensor:
    """softmax(logits(q, k)) v for n segments, (B, H, n, S, E), computed in groups of segments whose logits fit.

    q: (B, H, n, S, E).
    k, v: (B, H, n, K, E).
    mask: (B, 1, n, S or 1, K).
    logits: maps q and k of n' of the segments to (B, H, n', S, K).
    drop: dropout of the weights.
    """
    batch, heads, _, length, _ = q.shape
    at_once = max(1, _PIECE_BYTES // (4 * batch * heads * length * k.shape[3]))
    mixed = [
        drop(softmax_weights(logits(some_q, some_k), some_mask)).to(v.dtype) @ some_v
        for some_q, some_k, some_v, some_mask in zip(
            *(torch.split(part, at_once, dim=2) for part in (q, k, v, mask)), strict=True
        )
    ]
    return torch.cat(mixed, dim=2)


class OutputOfParts(nn.Module):
    """Output projections of vectors in front and of tokens: joined heads (B, L, H * E) to (B, L, D).

    count: number of vectors in front.
    """

    def __init__(self, count: int, prefix: nn.Module, tokens: nn.Module) -> None:
        super().__init__()
        self.count, self.prefix, self.tokens = count, prefix, tokens

    def forward(self, heads: Tensor) -> Tensor:
        """The rows of each part by its own projection."""
        return torch.cat([self.prefix(heads[:, : self.count]), self.tokens(heads[:, self.count :])], dim=1)


def projection(inputs: int, outputs: int) -> nn.Linear:
    """A dense layer without bias, xavier-uniform, as in the LRA encoder."""
    linear = nn.Linear(inputs, outputs, bias=False)
    nn.init.xavier_uniform_(linear.weight)
    return linear


def xavier_matrices(count: int, rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """(count, rows, columns), each matrix xavier-uniform on its own."""
    drawn = torch.empty(count, rows, columns)
    for matrix in drawn:
        nn.init.xavier_uniform_(matrix, generator=generator)
    return drawn


def sinusoids(distances: Tensor, dim: int) -> Tensor:
    """r_d of each distance (P): float64 (P, D), first all sines, then all cosines, not interleaved."""
    rates = torch.arange(0, dim, 2, device=distances.device, dtype=torch.float64) / dim
    angles = distances[:, None] * 10000.0**-rates
    return torch.cat([angles.sin(), angles.cos()], dim=-1)[:, :dim]


def shifted(rows: Tensor, keys: int) -> Tensor:
    """(…, S, P) to (…, S, keys): row i begins at its column S-1-i; P >= keys + S."""
    *front, count, width = rows.shape
    after_the_first = rows.flatten(-2)[..., count - 1 : count - 1 + count * (width - 1)]
    return torch.narrow(after_the_first.view(*front, count, width - 1), -1, 0, keys)


def num_ranks() -> int:
    """Number of processes that train together."""
    there = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if there else 1


def sum_over_ranks(x: Tensor) -> Tensor:
    """x, summed over the processes that train together, in place."""
    if num_ranks() > 1:
        torch.distributed.all_reduce(x)
    return x
