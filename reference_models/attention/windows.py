"""Windows around each query, with keys that all queries see: of Longformer and ETC, Poolingformer and others.

Letters are those of `base.py`.
"""

import torch
from torch import Tensor
from torch.nn import functional

from reference_models.attention.operations import attend, padded_to

_SMALLEST_BLOCK = 16  # of queries that share a stretch of keys: in smaller blocks the overhead of calls dominates


def windows(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    keep: Tensor,
    seen_by_all: tuple[Tensor, Tensor, Tensor],
    *,
    radius: int,
    dilation: int = 1,
    dropout: float = 0.0,
) -> Tensor:
    """softmax over a window around each query and over the keys that all queries see: (B, H, L, E). L is at least 1.

    keep: (B, L).
    seen_by_all: k, v (B, H, g, E) and keep (B, g) of these keys.
    radius: number of positions on each side of a query, in steps of `dilation`.

    Tokens with the same remainder modulo the dilation form a class of C tokens, in which they are neighbours. Each
    class is cut into n blocks of queries. A block takes the keys from `margin` before it to `margin` after it, S in
    all.
    """
    batch, heads, length, width = q.shape
    size = -(-length // dilation)  # C
    block = -(-size // max(1, size // max(radius, _SMALLEST_BLOCK)))  # blocks of about one size
    margin = min(radius, -(-size // block) * block - block)

    def stretches(x: Tensor, first: Tensor) -> Tensor:
        """Keys of each block behind those that all see: (B, L, ...) and (B, g, ...) to (B d n, g + S, ...)."""
        x = _overlapping(_classes(x, dilation, block), block, margin)
        x = x.view(batch, dilation, *x.shape[1:])
        first = first[:, None, None].expand(-1, *x.shape[1:3], *first.shape[1:])
        return torch.cat([first, x], dim=3).flatten(0, 2)

    queries = _classes(q.transpose(1, 2), dilation, block).reshape(-1, block, heads, width)
    keys, values = (
        stretches(near.transpose(1, 2), first.transpose(1, 2))
        for near, first in zip((k, v), seen_by_all[:2], strict=True)
    )
    kept = stretches(keep, seen_by_all[2])  # (B d n, g + S)
    band = _band(block, margin, radius, q.device)
    mask = kept[:, None, None] & functional.pad(band, [kept.shape[1] - band.shape[1], 0], value=True)
    mixed = attend(
        queries.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2), mask, dropout=dropout
    )  # (B d n, H, b, E)
    mixed = mixed.transpose(1, 2).reshape(batch, dilation, -1, heads, width)[:, :, :size]
    return mixed.permute(0, 3, 2, 1, 4).flatten(2, 3)[:, :, :length]


def _classes(x: Tensor, dilation: int, block: int) -> Tensor:
    """Tokens by their remainder modulo the dilation, padded to whole blocks: (B, L, ...) to (B d, n b, ...)."""
    by_remainder = padded_to(x, dilation, 1).reshape(x.shape[0], -1, dilation, *x.shape[2:]).transpose(1, 2)
    return padded_to(by_remainder.flatten(0, 1), block, 1)


def _overlapping(x: Tensor, block: int, margin: int) -> Tensor:
    """(B, n b, ...) to a view (B, n, S, ...): each block with `margin` tokens on either side."""
    around = functional.pad(x, [0, 0] * (x.ndim - 2) + [margin, margin])
    return around.unfold(1, block + 2 * margin, block).movedim(-1, 2)


def _band(block: int, margin: int, radius: int, device: torch.device) -> Tensor:
    """Which keys of a stretch are near which query of its block: (b, S)."""
    query, key = torch.arange(block, device=device), torch.arange(block + 2 * margin, device=device) - margin
    return (key - query[:, None]).abs() <= radius
