"""Faults in Cluster-Former, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import OPERATIONS, Mutant

MUTANTS = [
    Mutant("pads unmasked", "None if keep is None else key_mask(cut(keep))", "None"),
    Mutant("mask not sorted", "keep.gather(1, order)", "keep"),
    Mutant("mask of another example", "keep.gather(1, order)", "keep.flip(0).gather(1, order)"),
    Mutant("pads among the clusters", ".masked_fill(~kept, len(self.centroids))", ""),
    Mutant("pads first", ".masked_fill(~kept, len(self.centroids))", ".masked_fill(~kept, -1)"),
    Mutant("the end of the last window is not masked", "        if missing:\n", "        if False:\n"),
    Mutant("order of another example", "(first + order).flatten()", "(first + order.flip(0)).flatten()"),
    Mutant("results left in sorted order", "_rows(mixed, order.argsort(dim=-1))", "mixed"),
    Mutant("results sorted twice", "_rows(mixed, order.argsort(dim=-1))", "_rows(mixed, order)"),
    Mutant(
        "not sorted",
        "order = cluster.argsort(dim=-1, stable=True)",
        "order = cluster.mul(0).argsort(dim=-1, stable=True)",
    ),
    Mutant(
        "later tokens first",
        "order = cluster.argsort(dim=-1, stable=True)",
        "order = cluster.shape[1] - 1 - cluster.flip(1).argsort(dim=-1, stable=True)",
    ),
    Mutant(
        "values not sorted",
        "q, k, v = (_rows(part, order) for part in (q, k, v))",
        "q, k = (_rows(part, order) for part in (q, k))",
    ),
    Mutant("farthest centroid", "scores.argmax(dim=-1)", "scores.argmin(dim=-1)"),
    Mutant("clusters in bf16", "enabled=False", 'enabled=torch.is_autocast_enabled("cpu")'),
    Mutant("windows without overlap", "-(-7 * window // 8) if stride is None else stride", "window"),
    Mutant("sum over windows", "total / self._number(length, q.device)[:, None, None]", "total"),
    Mutant(
        "mean over one window too many",
        "return last // self.stride - first + 1",
        "return last // self.stride - first + 2",
    ),
    Mutant("windows of other positions", "place = stride * torch.arange(count", "place = size * torch.arange(count"),
    Mutant("chunks overlap", "self.stride = window if self.by_cluster else", "self.stride ="),
    Mutant(
        "layers counted from the first",
        "(shape.num_layers - 1 - shape.layer) % cluster_every",
        "shape.layer % cluster_every",
    ),
    Mutant("clusters in all layers", "cluster_every is not None and (", "cluster_every is not None or ("),
    Mutant("evaluation counts", "        if self.training:\n", "        if True:\n"),
    Mutant(
        "pads counted",
        ".index_add(0, cluster.flatten(), inputs)[:-1]",
        ".index_add(0, cluster.flatten() % clusters, inputs)[:-1]",
    ),
    Mutant(
        "long inputs count more",
        "functional.pad(unit(x), (0, 1), value=1.0)",
        "functional.pad(x.to(wide_dtype(x)), (0, 1), value=1.0)",
    ),
    Mutant("the last pass alone", "self.means.add_((sums - added * self.means) /", "self.means.copy_(sums /"),
    Mutant("counts of the last pass alone", "self.counts.add_(added[:, 0])", "self.counts.copy_(added[:, 0])"),
    Mutant(
        "passes weigh the same",
        "sums - added * self.means) / self.counts",
        "sums - added * self.means) / (2 * added[:, 0])",
    ),
    Mutant("counts are kept", "        self.counts.zero_()\n", ""),
    Mutant("each process for itself", "sum_over_ranks(total)", "total"),
    Mutant(
        "ranks do not add up", "torch.distributed.all_reduce(x)", "torch.distributed.all_reduce(x.clone())", OPERATIONS
    ),
    Mutant("updated at every step", "step % self.update_every or ", ""),
    Mutant("never updated", "        self.centroids.copy_(", "        torch.zeros_like(self.centroids).copy_("),
    Mutant("centroids of any length", "moved = functional.normalize(self.means, dim=-1)", "moved = self.means"),
    Mutant(
        "empty centroids stay",
        "torch.where(empty[:, None], near, moved)",
        "torch.where(empty[:, None], self.centroids, moved)",
    ),
    Mutant("empty centroids at the same place", "moved[shared] + _APART * aside", "moved[shared]"),
    Mutant("empty centroids anywhere", "moved[shared] + _APART * aside", "aside"),
    Mutant(
        "empty centroids near the smallest",
        "argsort(descending=True, stable=True)[:",
        "argsort(stable=True)[(~empty).logical_not().sum() :][:",
    ),
    Mutant("all empty centroids near one", "(empty.cumsum(dim=0) - 1) % len(largest)", "0 * empty.cumsum(dim=0)"),
    Mutant("the same step aside in all updates", "generator=self.generator(step=step)", "generator=self.generator()"),
    Mutant("steps aside from the global stream", ", generator=self.generator(step=step)", ""),
    Mutant("centroids from the global stream", ", generator=self.generator())", ")"),
    Mutant(
        "centroids not saved",
        "functional.normalize(drawn, dim=-1))",
        "functional.normalize(drawn, dim=-1), persistent=False)",
    ),
    Mutant(
        "means not saved",
        "torch.zeros(num_clusters, shape.dim))",
        "torch.zeros(num_clusters, shape.dim), persistent=False)",
    ),
    Mutant("no dropout", "dropout=self.attention_dropout", "dropout=0.0"),
    Mutant("dropout in evaluation", "dropout=self.attention_dropout", "dropout=self.shape.dropout"),
    Mutant("may run twice", "repeatable = False", "repeatable = True"),
]
