"""The Compressive Transformer's attention: Transformer-XL's, with a second, coarser memory of older tokens.

    A_ij = (q_i + u)^T k_j + (q_i + v)^T W_R r_{i-j}        O_i = sum_j softmax_j(A_ij / sqrt(E)) v_j
    keys of a segment: [C compressed slots; M = memory tokens; S = segment tokens]

After each segment the S oldest tokens leave the memory; f_c compresses them to S / c slots, c = rate, and the newest
C = compressed slots stay. f_c is a convolution with kernel and stride c, or the mean or maximum of c tokens.

Rae et al., "Compressive Transformers for Long-Range Sequence Modelling", ICLR 2020, section 3, algorithms 1 and 2. Time
and memory O(L (S + M + C)).

Both memories hold this layer's *input* x at earlier tokens, with stopped gradient. So all segments are computed at
once, as in `transformer_xl.py`: when the segment that begins at s is read, all tokens before s - M have left the
memory, in order. Slot g is made of the c tokens that begin at g c - M, for every segment that sees it; the segment sees
the last C of the first s / c slots.

f_c learns by attention reconstruction alone (`auxiliary_loss`): the squared difference between the attention (by
content) of a segment's tokens to the S tokens that leave and their attention to the slots made of these. This gradient
reaches f_c alone, and the task's gradient does not reach f_c; the key and value projections learn from slots as they
learn from the memory.

Positions: a slot counts as one step, however many tokens it is made of. The newest slot is one step before the oldest
token of the memory, so i - j goes from -(S-1) to S+M+C-1. The paper does not say; with c = 1 these are the tokens' own
distances.

Differences from the paper: bidirectional unless `causal`; the differences that `transformer_xl.py` lists; the squared
error is averaged over the queries of each sequence, then over sequences. Padding is masked as a key, is 0 for the
convolution, and is left out by pooling; a slot of only padding is masked as a key.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from lra_data import UsageError
from reference_models.attention.base import Attention, Projected, Shape
from reference_models.attention.operations import (
    all_kept,
    attend,
    joined,
    mix_in_pieces,
    segments,
    shifted,
    sinusoids,
    softmax_weights,
    wide_dtype,
)

Compression = Literal["conv", "mean", "max"]

# The paper's sizes for PG-19: S = M = C.
_PAPER = 512


class CompressiveAttention(Attention):
    """Segments with two memories. Dropout is on the weights, not in the auxiliary loss. torch.compile works
    (tests/reference_models).

    segment, memory, compressed: S, M and C; None for the paper's 512. Where the paper's sizes would compress nothing
        within max_length, S is a quarter of max_length instead, and M and C are S.
    rate: c.
    compression: f_c.
    causal: whether later keys are hidden.

    `unread` names the convolution if it cannot learn with the given sizes.
    """

    family = "recurrence"
    cost = "L (S + M + C)"
    paper = "Rae et al. 2020, §3"

    def __init__(
        self,
        shape: Shape,
        *,
        segment: int | None = None,
        memory: int | None = None,
        compressed: int | None = None,
        rate: int = 2,
        compression: Compression = "conv",
        causal: bool = False,
    ) -> None:
        super().__init__(shape)
        given = segment, memory, compressed
        segment, memory, compressed = _sizes(shape.max_length, *given, rate=rate)
        if min(segment, rate) < 1 or segment % rate or min(memory, compressed) < 0:
            got = f"{segment=}, {rate=}, {memory=}, {compressed=}"
            raise UsageError(f"expected segment a multiple of rate, both >= 1, the others >= 0, got {got}")
        if compression not in get_args(Compression):
            raise UsageError(f"expected compression from {get_args(Compression)}, got {compression!r}")
        self.segment, self.memory, self.compressed, self.rate = segment, memory, compressed, rate
        self.compression, self.causal = compression, causal
        self.position = nn.Linear(shape.dim, shape.heads * shape.head_dim, bias=False)  # W_R
        nn.init.xavier_uniform_(self.position.weight)
        biases = torch.empty(2, shape.heads, shape.head_dim).normal_(0, 0.02, generator=self.generator())
        self.content_bias, self.position_bias = nn.Parameter(biases[0].clone()), nn.Parameter(biases[1].clone())  # u, v
        if compression == "conv":
            self.convolution = nn.Linear(rate * shape.dim, shape.dim)  # of c adjacent tokens
        self._last: tuple[Tensor, Tensor] | None = None  # x without gradient and keep, for the auxiliary loss

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """See Attention."""
        x, q, k, v = projected
        keep = all_kept(x, keep)
        self._last = (x.detach(), keep) if self.training and self.compression == "conv" else None
        segment = min(self.segment, x.shape[1])
        steps = (x.shape[1] - 1) // self.segment  # segments after the first
        slots, slot_keep = self.compress(*(self._leaving(part, steps) for part in (x.detach(), keep[..., None])))
        # Detached: neither x nor f_c learns from the task through the slots.
        old = [slots.flatten(1, 2).detach(), x.detach()[:, : steps * segment]]
        old_keep = [slot_keep.flatten(1, 2)[:, None], keep[:, None, : steps * segment, None]]
        parts = zip(old, old_keep, strict=True)
        old_k, old_v = zip(*(self.keys_and_values(part, its.flatten(1)) for part, its in parts), strict=True)
        k, v = self._behind(old_k, segments(k, segment)), self._behind(old_v, segments(v, segment))
        mask = self._behind(old_keep, segments(keep[:, None, :, None], segment)).transpose(-1, -2)
        if self.causal:
            mask = mask & mask.new_ones(segment, k.shape[3]).tril(k.shape[3] - segment)
        keys = k.shape[3]
        # One distance more than needed: `shifted` reads it, and its value is not used.
        positions = self._positions(torch.arange(keys - 1, -segment - 1, -1, device=q.device))
        mixed = mix_in_pieces(
            lambda some_q, some_k: self._logits(some_q, some_k, positions),
            self.drop,
            segments(q, segment),
            k,
            v,
            mask,
        )
        return mixed.flatten(2, 3)[:, :, : x.shape[1]]

    def _behind(self, old: Sequence[Tensor], own: Tensor) -> Tensor:
        """Old slots and tokens (B, H, T, E) that each segment sees, 0 where missing, then own (B, H, n, S, E)."""
        steps = own.shape[2] - 1
        slots = min(self.compressed, max(0, steps * self.segment // self.rate - self.memory // self.rate))
        windows = (slots, self.segment // self.rate), (min(self.memory, steps * self.segment), self.segment)
        parts = []
        for part, (size, step) in zip(old, windows, strict=True):
            padded = functional.pad(part, (0, 0, size, 0))  # so that window t ends where entry t * step begins
            parts.append(padded.unfold(2, size, step)[:, :, : steps + 1].transpose(-1, -2))
        return torch.cat([*parts, own], dim=3)

    def _leaving(self, tokens: Tensor, steps: int) -> Tensor:
        """Tokens that leave the memory after each of the first segments: (B, L, D) to (B, steps, S, D), 0 for none."""
        moved = functional.pad(tokens, (0, 0, self.memory, self.segment))[:, : steps * self.segment]
        return moved.reshape(len(tokens), steps, self.segment, tokens.shape[2])

    def compress(self, tokens: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
        """f_c: tokens (B, n, c T, D), keep (B, n, c T, 1), to slots (B, n, T, D) and their mask (B, n, T, 1)."""
        batch, steps, length, _ = tokens.shape
        tokens, keep = (
            part.reshape(batch, steps, length // self.rate, self.rate, part.shape[3]) for part in (tokens, keep)
        )
        kept = keep.any(dim=3)
        if self.compression == "max":
            return tokens.masked_fill(~keep, -torch.inf).amax(dim=3).masked_fill(~kept, 0.0), kept
        tokens = tokens.masked_fill(~keep, 0.0)
        if self.compression == "mean":
            return tokens.sum(dim=3) / keep.sum(dim=3).clamp(min=1), kept
        return self.convolution(tokens.flatten(3)), kept

    def _logits(self, q: Tensor, k: Tensor, positions: Tensor) -> Tensor:
        """A / sqrt(E): (B, H, n, S, K) of q (B, H, n, S, E), k (B, H, n, K, E), whose last S are the segment, and W_R r
        (H, K + S, E) of the distances from K - 1 to -S.
        """
        keys = k.shape[3]
        content = (q + self.content_bias[:, None, None]) @ k.transpose(-1, -2)
        by_distance = torch.einsum("bhnse,hpe->bhnsp", q + self.position_bias[:, None, None], positions)
        return torch.mul(content + shifted(by_distance, keys), self.shape.head_dim**-0.5)

    def _positions(self, distances: Tensor) -> Tensor:
        """W_R r_d of each distance: (H, P, E)."""
        rows = sinusoids(distances, self.shape.dim)[None]
        return self.split(self.position(rows.to(self.position.weight.dtype)))[0]

    def auxiliary_loss(self) -> Tensor | None:
        """Attention reconstruction of the last forward pass in training; None in evaluation and without convolution."""
        if self._last is None:
            return None
        x, keep = self._last[0].to(self.value.weight.dtype), self._last[1][..., None]
        h, h_keep = (segments(part[:, None], self.segment)[:, 0] for part in (x, keep))
        old, old_keep = (self._leaving(part, h.shape[1]) for part in (x, keep))
        error = self._looked_up(h, old, old_keep) - self._looked_up(h, *self.compress(old, old_keep))
        real = (h_keep & old_keep.any(dim=2, keepdim=True)).flatten(0, 1)  # (B n, S, 1)
        error = error.to(wide_dtype(error)) * real
        error, real = (part.view(len(x), -1, part.shape[-1]) for part in (error, real))
        # A mean of each sequence's mean, so that parts of a batch (ranks, micro-batches) add up to the whole.
        return (error.square().sum(dim=(1, 2)) / real.sum(dim=(1, 2)).clamp(min=1)).mean()

    def unread(self, outputs: int) -> dict[str, str]:
        """See Attention."""
        length = self.shape.max_length
        if self.compression != "conv" or -(-length // self.segment) * self.segment > self.memory:
            return {}
        reason = (
            f"no token leaves a memory of {self.memory} within {length} positions: choose a smaller segment and "
            "memory, or omit both, so that they follow max_length"
        )
        return {f"convolution.{name}": reason for name in ("weight", "bias")}

    def _looked_up(self, h: Tensor, memory: Tensor, keep: Tensor) -> Tensor:
        """Attention by content of h (B, n, S, D) over memory (B, n, T, D), keep (B, n, T, 1); no projection learns."""
        q, k, v = (
            self.split(functional.linear(tokens.flatten(0, 1), projection.weight.detach()))
            for tokens, projection in ((h, self.query), (memory, self.key), (memory, self.value))
        )
        return joined(attend(q, k, v, keep.flatten(0, 1)[:, None].transpose(-1, -2)))

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """See Attention. A slot's weight is divided evenly among the kept tokens it is made of (exact for mean)."""
        keep = all_kept(x, keep)
        place = torch.arange(x.shape[1], device=x.device)
        around = (0, 0, self.memory, -(len(place) + self.memory) % self.rate)
        slots, slot_keep = self.compress(*(functional.pad(part, around)[:, None] for part in (x, keep[..., None])))
        slot = torch.arange(slots.shape[2], device=x.device)
        start = (place // self.segment * self.segment)[:, None]
        made = start // self.rate  # number of slots made before the segment
        far = torch.cat([place[:, None] - place, place[:, None] - start + self.memory + made - slot], dim=-1)
        seen = (place >= start - self.memory) & (place < (place[:, None] + 1 if self.causal else start + self.segment))
        coarse = (slot < made) & (slot >= made - self.compressed)
        mask = torch.cat([seen & keep[:, None], coarse & slot_keep[..., 0]], dim=-1)
        _, q, k, _ = self.project(x)
        k = torch.cat([k, self.split(self.key(slots[:, 0]))], dim=2)
        lowest = int(far.min())
        positions = self._positions(torch.arange(lowest, int(far.max()) + 1, device=x.device))
        table = (q + self.position_bias[:, None]) @ positions.transpose(-1, -2)
        by_distance = table.gather(-1, (far - lowest).expand(*q.shape[:2], -1, -1))
        content = (q + self.content_bias[:, None]) @ k.transpose(-1, -2)
        weights = softmax_weights((content + by_distance) / self.shape.head_dim**0.5, mask[:, None])
        shares = (((place + self.memory) // self.rate == slot[:, None]) & keep[:, None]).to(weights.dtype)
        shares = shares / shares.sum(dim=-1, keepdim=True).clamp(min=1)  # (B, G, L)
        of_tokens, of_slots = torch.split(weights, [len(place), len(slot)], dim=-1)
        return torch.add(of_tokens, of_slots @ shares[:, None])


def _sizes(
    length: int, segment: int | None, memory: int | None, compressed: int | None, *, rate: int
) -> tuple[int, int, int]:
    """S, M and C, for sequences of up to `length` tokens; None for the defaults that the class describes."""
    first, second, third = (_PAPER if size is None else size for size in (segment, memory, compressed))
    if min(rate, first) < 1 or _compresses(length, first, second, rate):
        return first, second, third
    if segment is None:
        segment = -(-length // (4 * rate)) * rate  # a quarter, as a multiple of the rate
    if memory is None:
        before_the_last = (-(-length // segment) - 1) * segment
        memory = max(0, min(segment, before_the_last - rate))
    return segment, memory, segment if compressed is None else compressed


def _compresses(length: int, segment: int, memory: int, rate: int) -> bool:
    """Whether the last segment of `length` tokens sees a slot, since enough tokens have left the memory before it."""
    before_the_last = (-(-length // segment) - 1) * segment
    return before_the_last // rate > memory // rate


ATTENTION = CompressiveAttention
