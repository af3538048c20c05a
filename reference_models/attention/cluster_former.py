"""Cluster-Former: sliding windows alternate with attention within chunks of tokens that are sorted by cluster.

    window layer:   O_i = mean of Attn(i, W_n) over the windows W_n = {n m, …, n m + l - 1} with i in W_n, n >= 0
    cluster layer:  O_i = Attn(i, {j: floor(r_j / l) = floor(r_i / l)})
                    c_i = argmax_c μ_c · x_i;    r_i: place of i when tokens are sorted by (c_i, i)
    Attn(i, S) = sum of softmax_j(q_i k_j / sqrt(E)) v_j over kept j in S

l: window; m: stride; x: the layer's input. A token has one cluster, for all heads, as a query and as a key. A chunk of
l sorted tokens may hold several clusters, and a cluster may be cut. In training, k-means learns the centroids μ: every
`update_every` steps, a centroid becomes the mean direction of the inputs that were nearest to it since the last update.

Wang et al., "Cluster-Former: Clustering-based Sparse Transformer for Question Answering", Findings of ACL 2021 (arXiv
2020), section 3. This is the row "Clusterformer" of the survey's table; "Clustered Attention" (Vyas et al. 2020) is
another model. With C centroids, time O(L D (l + C) + L log L), memory O(L D) with PyTorch's fused kernels, O(L l H)
where attention dropout needs the weights.

Differences from the paper, of which there is no public code:
- The paper has cluster layers at places 15 and 20 of the 24 layers of a pretrained model, and the question in front of
  each window. Here `cluster_every` counts from the last layer, and nothing is in front.
- The paper keeps recent inputs in a memory bank, and runs k-means on it once in one or several epochs. Here each update
  is one iteration of k-means, for which the mean and the number of each cluster's inputs are enough.
- Inputs and centroids are unit vectors for k-means, so the nearest centroid is the one with the greatest μ · x.
- Centroids are random at first. A centroid that was nearest to no token is moved close to the one with the most tokens
  (the second to that with the second most, and so on), whose tokens it then shares, as in the library faiss.
- Windows begin at all multiples of m below L, so the windows of a token do not depend on L or on padding. The last ones
  are shorter, and so is the last chunk.
- Padding is last in the order, is masked as a key, and is not counted by k-means.
- In training a forward pass changes these means: it must not run twice (checkpointing, reversible layers).
"""

import torch
from torch import Tensor
from torch.nn import functional

from lra_data import UsageError
from reference_models.attention.base import Attention, Projected, Shape
from reference_models.attention.operations import (
    all_kept,
    attend,
    key_mask,
    softmax_weights,
    sum_over_ranks,
    unit,
    wide_dtype,
)

# Distance between two centroids that share a cluster at first: small, so that neither is nearer to all of its tokens.
_APART = 0.01


class ClusterFormerAttention(Attention):
    """Attention in sliding windows, or in chunks of tokens that are sorted by cluster.

    window: l, of both kinds of layers.
    stride: m, of window layers; None for 7 / 8 of the window (the paper: 224 of 256).
    num_clusters: C.
    cluster_every: the last layer and every such layer before it are cluster layers; None for windows in all layers.
    update_every: number of steps between updates of the centroids.

    Dropout is on the weights. torch.compile works (tests/reference_models trace it only).
    """

    repeatable = False  # training changes the means
    family = "learnable pattern"
    cost = "L log L"
    paper = "Wang et al. 2020, §3"
    centroids: Tensor
    means: Tensor
    counts: Tensor

    def __init__(
        self,
        shape: Shape,
        *,
        window: int = 256,
        stride: int | None = None,
        num_clusters: int = 64,
        cluster_every: int | None = 2,
        update_every: int = 100,
    ) -> None:
        super().__init__(shape)
        for name, size in (("window", window), ("num_clusters", num_clusters), ("update_every", update_every)):
            if size < 1:
                raise UsageError(f"expected {name} >= 1, got {size}")
        if stride is not None and not 1 <= stride <= window:
            raise UsageError(f"expected a stride from 1 to the window, {window}, got {stride}")
        if cluster_every is not None and cluster_every < 1:
            raise UsageError(f"expected cluster_every >= 1, got {cluster_every}")
        self.by_cluster = cluster_every is not None and (shape.num_layers - 1 - shape.layer) % cluster_every == 0
        self.window, self.update_every = window, update_every
        self.stride = window if self.by_cluster else -(-7 * window // 8) if stride is None else stride
        if self.by_cluster:
            drawn = torch.randn(num_clusters, shape.dim, generator=self.generator())
            self.register_buffer("centroids", functional.normalize(drawn, dim=-1))
            # Of each cluster since the last update: the mean of its inputs, as unit vectors, and their number.
            self.register_buffer("means", torch.zeros(num_clusters, shape.dim))
            self.register_buffer("counts", torch.zeros(num_clusters))

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """See Attention."""
        x, q, k, v = projected
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))  # (B, L, H, E)
        if not self.by_cluster:
            return self._windows(q, k, v, keep).transpose(1, 2)
        kept = all_kept(x, keep)
        cluster = self._clusters(x, kept)
        if self.training:
            self._add(x, cluster)
        order = cluster.argsort(dim=-1, stable=True)  # (B, L): the token at each place
        q, k, v = (_rows(part, order) for part in (q, k, v))
        mixed = self._windows(q, k, v, None if keep is None else keep.gather(1, order))
        return _rows(mixed, order.argsort(dim=-1)).transpose(1, 2)

    def _windows(self, q: Tensor, k: Tensor, v: Tensor, keep: Tensor | None) -> Tensor:
        """Attention within windows, and its mean over the windows of a token: (B, L, H, E), like q, k and v."""
        batch, length, *width = q.shape
        size, stride = min(self.window, length), min(self.stride, length)
        count = -(-length // stride)
        missing = (count - 1) * stride + size - length
        if missing:
            keep = all_kept(q.flatten(2), keep)  # so that what is missing from the last windows is masked

        def cut(x: Tensor) -> Tensor:
            """(B, L, ...) to (B n, l, ...), a view where windows do not overlap."""
            padded = functional.pad(x, [0, 0] * (x.ndim - 2) + [0, missing])
            return padded.unfold(1, size, stride).movedim(-1, 2).flatten(0, 1)

        mask = None if keep is None else key_mask(cut(keep))
        q, k, v = (cut(part).transpose(1, 2) for part in (q, k, v))  # (B n, H, l, E)
        mixed = attend(q, k, v, mask, dropout=self.attention_dropout).transpose(1, 2).reshape(batch, -1, *width)
        if size == stride:
            return mixed[:, :length]
        place = stride * torch.arange(count, device=q.device)[:, None] + torch.arange(size, device=q.device)
        total = mixed.new_zeros(batch, length + missing, *width, dtype=wide_dtype(mixed))
        total = total.index_add(1, place.flatten(), mixed.to(total.dtype))[:, :length]
        return (total / self._number(length, q.device)[:, None, None]).to(mixed.dtype)

    def _number(self, length: int, device: torch.device) -> Tensor:
        """Number of windows that hold each position (L)."""
        last = torch.arange(length, device=device)
        first = (last - self.window + self.stride).clamp(min=0) // self.stride
        return last // self.stride - first + 1

    @torch.no_grad()
    def _clusters(self, x: Tensor, kept: Tensor) -> Tensor:
        """c_i, and C for padding: (B, L)."""
        with torch.autocast(x.device.type, enabled=False):
            scores = x.to(wide_dtype(x)) @ self.centroids.to(wide_dtype(x)).T
        return scores.argmax(dim=-1).masked_fill(~kept, len(self.centroids))

    @torch.no_grad()
    def _add(self, x: Tensor, cluster: Tensor) -> None:
        """Add the inputs of all processes to the means of their clusters."""
        clusters, dim = self.means.shape
        inputs = functional.pad(unit(x), (0, 1), value=1.0).flatten(0, 1)
        total = inputs.new_zeros(clusters + 1, dim + 1).index_add(0, cluster.flatten(), inputs)[:-1]  # without padding
        sums, added = torch.split(sum_over_ranks(total), [dim, 1], dim=-1)
        self.counts.add_(added[:, 0])
        self.means.add_((sums - added * self.means) / self.counts.clamp(min=1.0)[:, None])

    def on_step(self, step: int) -> None:
        """Updates the centroids every `update_every` steps, if there were tokens; the same in all processes."""
        if not self.by_cluster or step % self.update_every or not self.counts.any():
            return
        empty = self.counts == 0
        largest = self.counts.argsort(descending=True, stable=True)[: int((~empty).sum())]
        shared = largest[(empty.cumsum(dim=0) - 1) % len(largest)]  # of an empty one: the cluster that it shares
        moved = functional.normalize(self.means, dim=-1)
        aside = functional.normalize(torch.randn(moved.shape, generator=self.generator(step=step)), dim=-1).to(moved)
        near = functional.normalize(moved[shared] + _APART * aside, dim=-1)
        self.centroids.copy_(torch.where(empty[:, None], near, moved))
        self.means.zero_()
        self.counts.zero_()

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """See Attention. Places are found by counting, not by sorting, and windows are taken one at a time."""
        _, q, k, _ = self.project(x)
        kept, logits = all_kept(x, keep), self.scaled_logits(q, k)
        position = torch.arange(x.shape[1], device=x.device)
        place = position.expand(kept.shape)
        if self.by_cluster:
            cluster = self._clusters(x, kept)
            one, other = cluster[:, :, None], cluster[:, None]
            place = ((other < one) | ((other == one) & (position < position[:, None]))).sum(dim=-1)
        weights, number = torch.zeros_like(logits), torch.zeros_like(place)
        for first in range(0, x.shape[1], self.stride):
            inside = (place >= first) & (place < first + self.window)
            weights = weights + softmax_weights(logits, (inside[:, :, None] & (inside & kept)[:, None])[:, None])
            number = number + inside
        return weights / number[:, None, :, None]


def _rows(x: Tensor, order: Tensor) -> Tensor:
    """x (B, L, H, E) in an order (B, L) of each example."""
    first = x.shape[1] * torch.arange(len(x), device=x.device)[:, None]
    return x.flatten(0, 1).index_select(0, (first + order).flatten()).view(x.shape)


ATTENTION = ClusterFormerAttention
