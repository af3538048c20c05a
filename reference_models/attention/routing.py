"""Routing Transformer: online k-means puts queries and keys into clusters, and attention stays within a cluster.

    q^ = q / |q|,  k^ = k / |k|
    Q_c, K_c = the w queries with greatest μ_c · q^, the w keys with greatest μ_c · k^     for each of k centroids μ_c
    o_i = mean over clusters c with i in Q_c of  softmax over j in K_c of (sqrt(E) q^_i · k^_j)  v_j
    μ_c <- unit(λ μ_c + (1 - λ) mean of all q^ and k^ that are nearest to μ_c)             in training, in each head
    auxiliary loss: β mean |q^ - μ_nearest|^2, and likewise for k^

with w = ceil(L / k). A token in several clusters gets their mean, a token in no cluster gets 0. The first half of
the heads looks at a local window |i - j| <= `local_window` instead (`local_heads`).

Roy, Saffar, Vaswani and Grangier, "Efficient content-based sparse attention with Routing Transformers", TACL 2021
(arXiv 2020), section 4 and algorithm 1. Time O(L k (E + log L) + L^2 E / k), least near k = sqrt(L): O(L^1.5 E).

Differences from the paper:
- This is the encoder's form: no causal mask; queries and keys are not the same, they share only the centroids.
- sqrt(E) q^ · k^ is q · k / sqrt(E) of vectors of length sqrt(E), which the authors' code makes by layer norm. With
  `normalized=False` attention uses plain q · k / sqrt(E), so that one cluster is the Transformer.
- A token's mean divides by the number of its clusters (the authors' code adds 0.01 to it). Centroids move towards a
  mean (the paper uses a sum); a centroid that is nearest to no token stays. Centroids keep length 1.
- Padding is in no cluster, no mean and no loss, and w follows from the kept tokens of each sequence.
- Ties go to the earlier token, which top-k alone does not promise.
- In training a forward pass moves the centroids: it must not run twice (checkpointing, reversible layers).
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lra_data import UsageError
from reference_models.attention.base import Attention, Projected, Shape
from reference_models.attention.operations import (
    all_kept,
    attend,
    num_ranks,
    padded_to,
    softmax_weights,
    sum_over_ranks,
    unit,
)


class RoutingAttention(Attention):
    """Attention within clusters by online k-means, in a part of the heads.

    num_clusters: k; None for ceil(sqrt(max_length)).
    window_size: w; None for ceil(kept tokens / k).
    local_heads: number of local heads; None for half.
    local_window: greatest distance in local heads.
    normalized: whether attention uses q^ and k^, or plain q and k.
    decay: λ.
    beta: β.

    Dropout is on the weights. torch.compile works (tests/reference_models).
    """

    repeatable = False  # training moves the centroids
    family = "learnable pattern"
    cost = "L√L"
    paper = "Roy et al. 2020, §4"
    centroids: Tensor
    _loss: Tensor | None

    def __init__(
        self,
        shape: Shape,
        *,
        num_clusters: int | None = None,
        window_size: int | None = None,
        local_heads: int | None = None,
        local_window: int = 64,
        normalized: bool = True,
        decay: float = 0.999,
        beta: float = 1e-4,
    ) -> None:
        super().__init__(shape)
        self.num_clusters = math.isqrt(shape.max_length - 1) + 1 if num_clusters is None else num_clusters
        self.local_heads = shape.heads // 2 if local_heads is None else local_heads
        self.window_size, self.local_window, self.normalized = window_size, local_window, normalized
        self.decay, self.beta, self._loss = decay, beta, None
        for name in ("num_clusters", "window_size", "local_window"):
            if (size := getattr(self, name)) is not None and size < 1:
                raise UsageError(f"expected {name} >= 1, got {size}")
        if not 0 <= self.local_heads < shape.heads:
            raise UsageError(f"expected local_heads from 0 to {shape.heads - 1}, got {self.local_heads}")
        if not 0.0 <= decay <= 1.0 or beta < 0.0:
            raise UsageError(f"expected decay from 0 to 1 and beta >= 0, got {decay} and {beta}")
        routing = shape.heads - self.local_heads
        drawn = torch.randn(routing, self.num_clusters, shape.head_dim, generator=self.generator())
        self.register_buffer("centroids", functional.normalize(drawn, dim=-1))

    def auxiliary_loss(self) -> Tensor | None:
        """The commitment loss of the last forward pass; None in evaluation."""
        return self._loss

    def __getstate__(self) -> dict[str, Any]:
        """The state without the loss, whose graph cannot be copied or saved."""
        return {**self.__dict__, "_loss": None}

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """See Attention."""
        _, q, k, v = projected
        n, dropout = self.local_heads, self.attention_dropout
        routed = self._routed(q[:, n:], k[:, n:], v[:, n:], keep, dropout)
        return torch.cat([self._local(q[:, :n], k[:, :n], v[:, :n], keep, dropout), routed], dim=1) if n else routed

    def _local(self, q: Tensor, k: Tensor, v: Tensor, keep: Tensor | None, dropout: float) -> Tensor:
        """Heads that look at |i - j| <= w: each block of w queries sees its own and both neighbouring blocks."""
        batch, heads, length, width = q.shape
        w = min(self.local_window, length)
        kept = functional.pad(padded_to(all_kept(q, keep), w, 1, value=False), (w, w)).unfold(1, 3 * w, w)
        k, v = (functional.pad(padded_to(x, w, 2), (0, 0, w, w)).unfold(2, 3 * w, w) for x in (k, v))
        k, v = (x.permute(0, 2, 1, 4, 3).flatten(0, 1) for x in (k, v))  # (B L / w, H, 3 w, E)
        queries = padded_to(q, w, 2).reshape(batch, heads, -1, w, width).transpose(1, 2).flatten(0, 1)
        place = torch.arange(3 * w, device=q.device)
        mask = kept.flatten(0, 1)[:, None, None] & ((place[w : 2 * w, None] - place).abs() <= w)
        found = attend(queries, k, v, mask, dropout=dropout).view(batch, -1, heads, w, width)
        return found.transpose(1, 2).flatten(2, 3)[:, :, :length]

    def _routed(self, q: Tensor, k: Tensor, v: Tensor, keep: Tensor | None, dropout: float) -> Tensor:
        """Heads that attend within clusters."""
        batch, heads, length, _ = q.shape
        unit_q, unit_k, kept = unit(q), unit(k), all_kept(q, keep)
        scores_q, scores_k = self._scores(unit_q), self._scores(unit_k)
        first = length * torch.arange(batch * heads, device=q.device).view(batch, heads, 1, 1)  # of each example, head
        of_q, of_k = (self._members(x, kept) + first for x in (scores_q, scores_k))  # (B, H, k, w)
        taken = torch.arange(of_q.shape[-1], device=q.device) < self._sizes(kept)[:, None]  # (B, w): fewer if padded
        scale, mask = None, None if keep is None else taken[:, None, None]
        if self.normalized:
            q, k, scale = unit_q.to(q.dtype), unit_k.to(k.dtype), self.shape.head_dim**0.5
        found = attend(_rows(q, of_q), _rows(k, of_k), _rows(v, of_k), mask, dropout=dropout, scale=scale)
        weight = taken[:, None, :, None].to(unit_q.dtype)  # float32 or better
        total = torch.cat([found * weight, weight.expand(*found.shape[:3], 1)], dim=-1).flatten(0, 2)
        total = total.new_zeros(batch * heads * length, total.shape[-1]).index_add(0, of_q.flatten(), total)
        mean = total[:, :-1] / total[:, -1:].clamp(min=1.0)
        if self.training:
            nearest = torch.cat([scores_q.argmax(dim=2), scores_k.argmax(dim=2)], dim=2)
            self._loss = self._learn(torch.cat([unit_q, unit_k], dim=2), nearest, kept)
        else:
            self._loss = None
        return mean.view(batch, heads, length, -1).to(v.dtype)

    @torch.no_grad()
    def _scores(self, unit: Tensor) -> Tensor:
        """μ_c · x^ as float32 (B, H, k, L)."""
        with torch.autocast(unit.device.type, enabled=False):
            return (self.centroids.to(unit.dtype) @ unit.transpose(-1, -2)).float()

    def _members(self, scores: Tensor, kept: Tensor) -> Tensor:
        """Positions (B, H, k, w) of each cluster's tokens, nearest first; w is for a sequence without padding.

        Scores and positions are ranked as one whole number, so that a partial sort suffices for the order of ties: the
        bits of a float32 order positive numbers as int32, and negative ones too once all but the sign are flipped.
        """
        length = scores.shape[-1]
        bits = (scores.masked_fill(~kept[:, None, None], -math.inf) + 0.0).view(torch.int32)  # -0.0 becomes 0.0
        order = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).long() * 2**32 - torch.arange(length, device=scores.device)
        most = -(-length // self.num_clusters) if self.window_size is None else min(self.window_size, length)
        return order.topk(most, dim=-1).indices

    def _sizes(self, kept: Tensor) -> Tensor:
        """w of each sequence (B)."""
        tokens = kept.sum(dim=1)
        return -(-tokens // self.num_clusters) if self.window_size is None else tokens.clamp(max=self.window_size)

    def _learn(self, unit: Tensor, nearest: Tensor, kept: Tensor) -> Tensor:
        """Returns the commitment loss of q^ and k^ (B, H, 2 L, E), and moves the centroids towards them.

        nearest: (B, H, 2 L), the cluster of each.
        """
        heads, clusters, width = self.centroids.shape
        nearest = nearest + clusters * torch.arange(heads, device=unit.device)[:, None]
        weight = kept.repeat(1, 2)[:, None].expand(nearest.shape).to(unit.dtype)
        chosen = self.centroids.flatten(0, 1)[nearest].to(unit.dtype)
        loss = self.beta * (weight * (unit - chosen).square().sum(dim=-1)).sum() / _mean_over_ranks(weight.sum())
        with torch.no_grad():
            total = (torch.cat([unit, torch.ones_like(unit[..., :1])], dim=-1) * weight[..., None]).flatten(0, 2)
            total = total.new_zeros(heads * clusters, width + 1).index_add(0, nearest.flatten(), total)
            sums, counts = torch.split(sum_over_ranks(total).view(heads, clusters, -1), [width, 1], dim=-1)
            moved = self.decay * self.centroids + (1 - self.decay) * sums / counts.clamp(min=1.0)
            self.centroids.copy_(torch.where(counts > 0, functional.normalize(moved, dim=-1), self.centroids))
        return loss

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """See Attention. Clusters are found by counting the nearer tokens, not by sorting, one cluster at a time."""
        _, q, k, _ = self.project(x)
        kept, scale, n = all_kept(x, keep), self.shape.head_dim**-0.5, self.local_heads
        place = torch.arange(x.shape[1], device=x.device)
        near = kept[:, None, None] & ((place[:, None] - place).abs() <= self.local_window)
        local = softmax_weights(scale * q[:, :n] @ k[:, :n].transpose(-1, -2), near)
        unit_q, unit_k = unit(q[:, n:]), unit(k[:, n:])
        one, other = (unit_q / scale, unit_k) if self.normalized else (scale * q[:, n:], k[:, n:])
        logits = one @ other.transpose(-1, -2)
        weights, clusters = torch.zeros_like(logits), torch.zeros_like(logits[..., :1])
        for of_q, of_k in zip(self._scores(unit_q).unbind(2), self._scores(unit_k).unbind(2), strict=True):
            inside = self._inside(of_q, kept)[..., None]
            weights = weights + inside * softmax_weights(logits, self._inside(of_k, kept)[..., None, :])
            clusters = clusters + inside
        return torch.cat([local, weights / clusters.clamp(min=1.0)], dim=1)

    def _inside(self, scores: Tensor, kept: Tensor) -> Tensor:
        """Whether each token (B, H, L) is among the w with the greatest scores (B, H, L) of its sequence."""
        more, same = (compare(scores[..., None, :], scores[..., None]) for compare in (torch.gt, torch.eq))
        ahead = (more | same.tril(-1)) & kept[:, None, None]
        return (ahead.sum(dim=-1) < self._sizes(kept)[:, None, None]) & kept[:, None]


def _mean_over_ranks(tokens: Tensor) -> Tensor:
    """Mean tokens per rank, at least 1: the ranks' mean loss is then the loss of one process with all tokens."""
    return (sum_over_ranks(tokens) / num_ranks()).clamp(min=1.0)


def _rows(x: Tensor, members: Tensor) -> Tensor:
    """Rows of x (B, H, L, E), numbered over all of x, by their numbers (B, H, k, w): (B, H k, w, E)."""
    return x.flatten(0, 2).index_select(0, members.flatten()).view(len(members), -1, members.shape[-1], x.shape[-1])


ATTENTION = RoutingAttention
