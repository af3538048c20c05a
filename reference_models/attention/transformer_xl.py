"""Transformer-XL's attention: each segment sees itself and the tokens just before it, by content and distance.

    A_ij = (q_i + u)^T k_j + (q_i + v)^T W_R r_{i-j}        O_i = sum_j softmax_j(A_ij / sqrt(E)) v_j

L is cut into segments of S = segment tokens. Query i of the segment that begins at s sees j in [s - M, s + S), with
M = memory. r_d is the sinusoid of distance d; u and v are learned, for each head. k_j and v_j of the memory (j < s) are
made from SG(x_j): the projections get gradients from it, the input does not, so no gradient crosses a boundary to the
left.

Dai et al., "Transformer-XL", ACL 2019, section 3.2 and 3.3, appendix B. Time and memory O(L (S + M)).

The paper computes one segment after another and passes the memory along. The memory is the *input* of this layer at
earlier tokens, never its output, so no segment depends on another segment of the same layer: given all of x, all
segments are computed at once, and a stack of layers gives the same numbers as segment by segment. A stack of N layers
sees N M tokens back.

Distances: with bidirectional segments i - j goes from -(S-1) to S+M-1. (q_i + v)^T W_R r_d is computed for each row and
all d, in falling order; row i then needs the columns that begin at S-1-i. The start moves by one from row to row, so
the same numbers are read with rows that are shorter by one. The authors' shift is for causal rows: above the diagonal
it gives values of the next row.

Differences from the paper: segments are bidirectional unless `causal`, since this is an encoder; each layer has its own
u and v; the encoder's norm comes before the attention, so memory is normalised like the segment. Padding is masked as a
key, in the segment and in the memory.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from lra_data import UsageError
from reference_models.attention.base import Attention, Projected, Shape
from reference_models.attention.operations import (
    all_kept,
    mix_in_pieces,
    padded_to,
    segments,
    shifted,
    sinusoids,
    softmax_weights,
)


class TransformerXLAttention(Attention):
    """Segments with memory and relative positions. Dropout is on the weights.

    segment: S.
    memory: M.
    causal: whether later keys are hidden.

    torch.compile works (tests/reference_models). Defaults are those of the authors' run_enwik8_base.sh.
    """

    family = "recurrence"
    cost = "L (S + M)"
    paper = "Dai et al. 2019, §3"

    def __init__(self, shape: Shape, *, segment: int = 512, memory: int = 512, causal: bool = False) -> None:
        super().__init__(shape)
        if segment < 1 or memory < 0:
            raise UsageError(f"expected segment >= 1 and memory >= 0, got {segment=}, {memory=}")
        self.segment, self.memory, self.causal = segment, memory, causal
        self.position = nn.Linear(shape.dim, shape.heads * shape.head_dim, bias=False)  # W_R
        nn.init.xavier_uniform_(self.position.weight)
        biases = torch.empty(2, shape.heads, shape.head_dim).normal_(0, 0.02, generator=self.generator())
        self.content_bias, self.position_bias = nn.Parameter(biases[0].clone()), nn.Parameter(biases[1].clone())  # u, v

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """See Attention."""
        x, q, k, v = projected
        length = x.shape[1]
        segment = min(self.segment, length)
        count = -(-length // segment)
        memory = min(self.memory, (count - 1) * segment)  # no segment has more tokens before it
        if memory > 0:
            of_memory = self.keys_and_values(x.detach(), keep)
            k, v = (_with_memory(own, old, segment, memory) for own, old in zip((k, v), of_memory, strict=True))
        else:
            k, v = segments(k, segment), segments(v, segment)
        mask = self._mask(x, keep, segment, memory)
        keys = memory + segment
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
        return mixed.flatten(2, 3)[:, :, :length]

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

    def _mask(self, x: Tensor, keep: Tensor | None, segment: int, memory: int) -> Tensor:
        """Which keys each query may see: (B, 1, n, S or 1, M + S)."""
        as_head = all_kept(x, keep)[:, None, :, None]
        parts = _with_memory(as_head, as_head, segment, memory) if memory > 0 else segments(as_head, segment)
        mask = parts.transpose(-1, -2)
        return mask & mask.new_ones(segment, memory + segment).tril(memory) if self.causal else mask

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """See Attention. From coordinates: each pair (i, j) looks up its own distance."""
        _, q, k, _ = self.project(x)
        place = torch.arange(x.shape[1], device=x.device)
        far = place[:, None] - place  # i - j
        start = (place // self.segment * self.segment)[:, None]
        mask = (place >= start - self.memory) & (place < start + self.segment)
        if self.causal:
            mask = mask & (far >= 0)
        if keep is not None:
            mask = mask & keep[:, None, None, :]
        table = (q + self.position_bias[:, None]) @ self._positions(
            torch.arange(1 - len(place), len(place), device=x.device)
        ).transpose(-1, -2)
        by_distance = table.gather(-1, (far + len(place) - 1).expand(*q.shape[:2], -1, -1))
        content = (q + self.content_bias[:, None]) @ k.transpose(-1, -2)
        return softmax_weights((content + by_distance) / self.shape.head_dim**0.5, mask)


def _with_memory(own: Tensor, before: Tensor, segment: int, memory: int) -> Tensor:
    """The tokens as segments (`own`) and as memory (`before`), both (B, H, L, E), to (B, H, n, M + S, E): each segment
    after the M tokens before it, zeros where there are none.
    """
    own = segments(own, segment)
    before = functional.pad(padded_to(before, segment, 2), (0, 0, memory, 0))
    windows = before.unfold(2, memory, segment)[:, :, : own.shape[2]]  # (B, H, n, E, M); window t ends where t begins
    return torch.cat([windows.transpose(-1, -2), own], dim=3)


ATTENTION = TransformerXLAttention
