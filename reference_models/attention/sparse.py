"""Sparse Transformer: two sets of about sqrt(L) keys each, by which any token reaches any other in two steps.

    O_i = sum_j softmax_j(q_i k_j / sqrt(E)) v_j   over all j in A1(i) or A2(i)        l: stride, c: summary

    strided   A1(i) = {j: |i - j| <= l}                        A2(i) = {j: i - j = 0 mod l}
    fixed     A1(i) = {j: floor(j / l) = floor(i / l)}         A2(i) = {j: j mod l >= l - c}

Child et al., "Generating long sequences with sparse transformers", 2019, sections 4.2 and 4.3 (the sets), 5.1 (how
heads use them). Time and memory O(L (l + L / l)) for strided, O(L (l + c L / l)) for fixed: with l near sqrt(L), both
are O(L sqrt(L)).

How heads use them (5.1): with "merged", every head uses both sets, as one softmax over their union; with "separate",
the heads alternate (the first A1, the second A2, …); with "interleaved", the layers alternate. A head of A2 alone gives
0 where there is no such key ("fixed", in a sequence that ends before the first summary).

Differences from the paper: its model generates, so its sets hold no j > i; an encoder has no such bound, and `causal`
restores it. The paper's A2 of "fixed" includes j mod l = l, which is either no token or the next block's first token;
here A2 is the last c tokens of each block. All heads use the same summaries (section 5.1 lets them differ where c < l).
The benchmark's released encoder is causal and fixed, with l = 50 and c = 10, and adds those first tokens.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from lra_data import UsageError
from reference_models.attention.base import Attention, Projected, Shape
from reference_models.attention.operations import key_mask, padded_to, segments, softmax_weights


class SparseAttention(Attention):
    """One softmax over the near keys A1 and the far keys A2, each once. torch.compile works (tests/reference_models).

    pattern: "strided" or "fixed".
    stride: l.
    summary: c, used by "fixed" only.
    heads: how heads use the sets: "merged", "separate" or "interleaved".
    causal: whether later keys are hidden.
    """

    family = "fixed pattern"
    cost = "L·√L"
    paper = "Child et al. 2019, §4.2, §4.3, §5.1"
    uses_near: Tensor
    uses_far: Tensor

    def __init__(
        self,
        shape: Shape,
        *,
        pattern: Literal["strided", "fixed"] = "fixed",
        stride: int = 50,
        summary: int = 10,
        heads: Literal["merged", "separate", "interleaved"] = "merged",
        causal: bool = False,
    ) -> None:
        super().__init__(shape)
        if pattern not in ("strided", "fixed"):
            raise UsageError(f"expected the pattern strided or fixed, got {pattern!r}")
        if stride < 1:
            raise UsageError(f"expected a stride >= 1, got {stride}")
        if pattern == "fixed" and not 1 <= summary <= stride:
            raise UsageError(f"expected a summary from 1 to stride = {stride}, got {summary}")
        if heads not in ("merged", "separate", "interleaved"):
            raise UsageError(f"expected heads merged, separate or interleaved, got {heads!r}")
        self.strided, self.stride, self.summary, self.causal = pattern == "strided", stride, summary, causal
        turns = {
            "merged": torch.full((shape.heads,), -1),
            "separate": torch.arange(shape.heads) % 2,
            "interleaved": torch.full((shape.heads,), shape.layer % 2),
        }[heads].view(1, -1, 1, 1)
        self.register_buffer("uses_near", turns != 1, persistent=False)
        self.register_buffer("uses_far", turns != 0, persistent=False)

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """See Attention."""
        _, q, k, v = projected
        length = q.shape[2]
        if keep is None:
            keep = torch.ones(1, length, dtype=torch.bool, device=q.device)
        kept = padded_to(keep, self.stride, 1, value=False)[:, None, :, None]  # (B, 1, L, 1), with the axes of k
        q, k, v = (padded_to(part, self.stride, 2) for part in (q / self.shape.head_dim**0.5, k, v))
        near = segments(q, self.stride) @ self._near(k).transpose(-1, -2)  # (B, H, n, l, W)
        far = self._from_far(self._far_queries(q) @ self._far(k).transpose(-1, -2))  # (B, H, n, l, M)
        weights = softmax_weights(torch.cat([near, far], dim=-1), self._mask(kept)).to(v.dtype)
        weights = self.drop(weights)
        of_near, of_far = torch.split(weights, [near.shape[-1], far.shape[-1]], dim=-1)
        mixed: Tensor = of_near @ self._near(v) + self._from_far(self._to_far(of_far) @ self._far(v))
        return mixed.flatten(2, 3)[:, :, :length]

    # The next methods lay out any tensor with the axes (…, …, L, E): keys, values, positions, and the mask.

    def _near(self, x: Tensor) -> Tensor:
        """The near keys of each block of queries: (…, n, W, E), W = l in "fixed", 3 l in "strided"."""
        if not self.strided:
            return segments(x, self.stride)
        windows = functional.pad(x, (0, 0, self.stride, self.stride)).unfold(2, 3 * self.stride, self.stride)
        return windows.transpose(-1, -2)

    def _far(self, x: Tensor) -> Tensor:
        """The far keys, (…, G, M, E): in "strided" n tokens for each of l columns; in "fixed" all summaries, once."""
        blocks = segments(x, self.stride)
        if self.strided:
            return blocks.transpose(2, 3)
        return blocks[..., self.stride - self.summary :, :].flatten(2, 3).unsqueeze(2)

    def _to_far(self, blocks: Tensor) -> Tensor:
        """(…, n, l, E) in the groups of `_far`."""
        return blocks.transpose(2, 3) if self.strided else blocks.flatten(2, 3).unsqueeze(2)

    def _far_queries(self, x: Tensor) -> Tensor:
        return self._to_far(segments(x, self.stride))

    def _from_far(self, grouped: Tensor) -> Tensor:
        """Back to (…, n, l, E)."""
        return grouped.transpose(2, 3) if self.strided else segments(grouped.squeeze(2), self.stride)

    def _mask(self, kept: Tensor) -> Tensor:
        """Which of the near and far keys count (B, 1 or H, n, l, W + M); a key that is both counts as near."""
        at = torch.arange(kept.shape[2], device=kept.device)[None, None, :, None]
        query = segments(at, self.stride)  # (1, 1, n, l, 1)
        near, far_query, far = self._near(at).transpose(-1, -2), self._far_queries(at), self._far(at).transpose(-1, -2)
        uses_near, uses_far = self.uses_near.unsqueeze(-1), self.uses_far.unsqueeze(-1)
        in_near = self._is_near(query, near) & self._near(kept).transpose(-1, -2) & uses_near
        in_far = ~(self._is_near(far_query, far) & uses_near) & self._far(kept).transpose(-1, -2) & uses_far
        if self.causal:
            in_near, in_far = in_near & (near <= query), in_far & (far <= far_query)
        return torch.cat([in_near, self._from_far(in_far)], dim=-1)

    def _is_near(self, query: Tensor, key: Tensor) -> Tensor:
        """Whether positions `key` are in A1 of positions `query`."""
        if self.strided:
            return (query - key).abs() <= self.stride
        return query // self.stride == key // self.stride

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """See Attention."""
        _, q, k, _ = self.project(x)
        i = torch.arange(x.shape[1], device=x.device)[:, None]
        j = i.T
        if self.strided:
            first, second = (j >= i - self.stride) & (j <= i + self.stride), (i - j) % self.stride == 0
        else:
            first, second = (
                i // self.stride == j // self.stride,
                (j % self.stride >= self.stride - self.summary) & (i >= 0),
            )
        mask = (first & self.uses_near) | (second & self.uses_far)
        if self.causal:
            mask = mask & (j <= i)
        kept = key_mask(keep)
        return softmax_weights(self.scaled_logits(q, k), mask if kept is None else mask & kept)


ATTENTION = SparseAttention
