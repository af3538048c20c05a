"""Cluster-Former: against sorting and windows by plain loops, in its limits, and its k-means."""

import itertools
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from reference_models.attention.base import Shape
from reference_models.attention.cluster_former import ClusterFormerAttention
from reference_models.attention.operations import joined
from tests.support import harness
from tests.support.harness import Options, assert_same, dense, inputs, lengths_mask, with_gradients
from tests.support.two_ranks import two_ranks

CASES: list[Options] = [
    {},
    {"window": 8, "num_clusters": 5, "update_every": 2},
    {"window": 12, "stride": 7, "cluster_every": None},
]
SLOPE = 1.1
WINDOWS = {"cluster_every": None}


def build(options: Options, **given: Any) -> ClusterFormerAttention:
    model = harness.build("cluster_former", options, **given)
    assert isinstance(model, ClusterFormerAttention)
    return model


def groups_of(model: ClusterFormerAttention, x: Tensor) -> list[list[int]]:
    """The positions of each window or chunk of one sequence without padding, x (L, D)."""
    length = len(x)
    if not model.by_cluster:
        starts = [start for start in range(length) if start % model.stride == 0]
        return [[i for i in range(start, start + model.window) if i < length] for start in starts]
    clusters: list[list[int]] = [[] for _ in model.centroids]
    for i, vector in enumerate(x.detach()):
        clusters[max(range(len(clusters)), key=[float(vector @ mu) for mu in model.centroids].__getitem__)].append(i)
    order = [i for members in clusters for i in members]
    return [order[start : start + model.window] for start in range(0, length, model.window)]


def plain(model: ClusterFormerAttention, x: Tensor, lengths: list[int]) -> Tensor:
    """The layer with the padding cut off: each token's mean over its groups; zeros for padding."""
    _, q, k, v = model.project(x)
    rows = []
    for row, length in enumerate(lengths):
        found: list[list[Tensor]] = [[] for _ in range(length)]
        for group in groups_of(model, x[row, :length]):
            of_q, of_k, of_v = (part[row : row + 1, :, group] for part in (q, k, v))
            mixed = dense(of_q, of_k, of_v)[0]  # (H, group, E)
            for place, i in enumerate(group):
                found[i].append(mixed[:, place])
        heads = torch.stack([torch.stack(parts).mean(dim=0) for parts in found], dim=1)
        rows.append(torch.nn.functional.pad(heads, (0, 0, 0, x.shape[1] - length)))
    out: Tensor = model.output(joined(torch.stack(rows)))
    return out


def assert_near(found: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> None:
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        *CASES,
        {"window": 1, "num_clusters": 3},
        {"window": 6, "num_clusters": 40},
        {"window": 9, "num_clusters": 1},
        {"window": 6, "stride": 1, **WINDOWS},
        {"window": 5, "stride": 5, **WINDOWS},
        {"window": 20, "stride": 3, **WINDOWS},
    ],
)
def test_equals_plain_loops(options: Options) -> None:
    model = build(options, dtype=torch.float64)
    for length, lengths in ((1, [1]), (4, [4, 1]), (17, [17, 9]), (26, [26, 20])):
        x, keep = inputs(len(lengths), length, dtype=torch.float64), lengths_mask(lengths, length)
        assert_near(
            with_gradients(partial(model, keep=keep), x, keep),
            with_gradients(partial(plain, model, lengths=lengths), x, keep),
        )


@pytest.mark.parametrize("options", [{"window": 40}, {"window": 256}, {"window": 50, "stride": 40, **WINDOWS}])
def test_one_chunk_is_full_attention(options: Options) -> None:
    model = build(options, dtype=torch.float64)
    full = harness.build("full", {}, dtype=torch.float64)
    full.load_state_dict({name: model.state_dict()[name] for name in full.state_dict()})
    x, keep = inputs(2, 40, dtype=torch.float64), lengths_mask([40, 23], 40)
    for mask in (keep, None):
        assert_near(
            with_gradients(partial(model, keep=mask), x, keep), with_gradients(partial(full, keep=mask), x, keep)
        )


@pytest.mark.parametrize("options", [{"num_clusters": 1}, {"stride": 7, **WINDOWS}])
@pytest.mark.parametrize("length", [28, 40])
def test_one_cluster_is_local_attention(options: Options, length: int) -> None:
    """And so are windows that do not overlap."""
    model = build({"window": 7, **options}, dtype=torch.float64)
    local = harness.build("local", {"block": 7}, dtype=torch.float64)
    local.load_state_dict({name: model.state_dict()[name] for name in local.state_dict()})
    x, keep = inputs(2, length, dtype=torch.float64), lengths_mask([length, 23], length)
    for mask in (keep, None):
        assert_near(
            with_gradients(partial(model, keep=mask), x, keep), with_gradients(partial(local, keep=mask), x, keep)
        )


def test_tokens_of_a_cluster_see_each_other_at_any_distance() -> None:
    """Three kinds of tokens, shuffled; a query and a key have one cluster, and positions stay in order."""
    model = build({"window": 10, "num_clusters": 3}, dtype=torch.float64)
    kinds = torch.randperm(30, generator=torch.Generator().manual_seed(0)) % 3
    x = 3 * model.centroids[kinds][None] + 0.1 * inputs(1, 30, dtype=torch.float64)
    seen = model.dense_weights(x)[0] > 0
    assert torch.equal(seen, (kinds[:, None] == kinds).expand(3, 30, 30))
    x.requires_grad_()
    out = model(x)[0].sum(dim=-1)
    rows = [torch.autograd.grad(row, x, retain_graph=True)[0][0].abs().sum(dim=-1) for row in out]
    assert torch.equal(torch.stack(rows) > 0, kinds[:, None] == kinds)


def test_chunks_are_equal_and_cross_the_borders_of_clusters() -> None:
    model = build({"window": 4, "num_clusters": 2}, dtype=torch.float64)
    kinds = torch.tensor([1, 0, 1, 1, 0, 1, 1, 1, 0, 1])  # three in cluster 0, seven in cluster 1
    seen = (model.dense_weights(3 * model.centroids[kinds][None].clone())[0] > 0).all(dim=0)
    chunks = [[1, 4, 8, 0], [2, 3, 5, 6], [7, 9]]
    expected = torch.zeros(10, 10, dtype=torch.bool)
    for chunk in chunks:
        expected[torch.tensor(chunk)[:, None], torch.tensor(chunk)] = True
    assert torch.equal(seen, expected)


def test_padding_between_tokens_is_left_out() -> None:
    """Clusters and chunks are those of the kept tokens alone."""
    model = build({"window": 6, "num_clusters": 4}, dtype=torch.float64)
    x, keep = inputs(2, 30, dtype=torch.float64), inputs(2, 30)[..., 0] > -0.4
    for row in range(2):
        alone = model(x[row : row + 1, keep[row]])
        torch.testing.assert_close(model(x, keep)[row, keep[row]], alone[0], rtol=0, atol=1e-12)
        exact = model.dense_weights(x, keep)[row][:, keep[row]][..., keep[row]]
        torch.testing.assert_close(exact, model.dense_weights(x[row : row + 1, keep[row]])[0], rtol=0, atol=1e-12)


def test_windows_overlap_by_what_the_stride_leaves() -> None:
    model = build({"window": 8, **WINDOWS}, dtype=torch.float64)  # stride 7, as 224 of 256
    assert model.stride == 7
    assert build({**WINDOWS}).stride == 224
    seen = (model.dense_weights(inputs(1, 20, dtype=torch.float64))[0] > 0).all(dim=0)
    windows = [range(8), range(7, 15), range(14, 20)]
    expected = [[any(i in w and j in w for w in windows) for j in range(20)] for i in range(20)]
    assert torch.equal(seen, torch.tensor(expected))


@pytest.mark.parametrize(
    ("every", "expected"), [(1, "ccccc"), (2, "cwcwc"), (3, "wcwwc"), (9, "wwwwc"), (None, "wwwww")]
)
def test_layers_alternate(every: int | None, expected: str) -> None:
    layers = [build({"cluster_every": every, "window": 9}, layer=layer, num_layers=5) for layer in range(5)]
    assert "".join("c" if layer.by_cluster else "w" for layer in layers) == expected
    for layer, kind in zip(layers, expected, strict=True):
        assert ("centroids" in layer.state_dict()) == (kind == "c")
        assert layer.stride == (9 if kind == "c" else 8)
        layer.train()(inputs(1, 20))
        layer.on_step(100)


def test_layers_have_centroids_of_their_own() -> None:
    one, two, again = (build({"cluster_every": 1}, layer=layer, num_layers=2).centroids for layer in (0, 1, 0))
    assert torch.equal(one, again)
    assert not torch.equal(one, two)
    assert one.shape == (64, 24)
    torch.testing.assert_close(one.norm(dim=-1), torch.ones(64))
    assert torch.equal(one, build({"cluster_every": 1}, layer=0, num_layers=2, seed=9).centroids), "a stream of its own"


def by_hand(model: ClusterFormerAttention, vectors: Tensor) -> tuple[Tensor, list[int]]:
    """Centroids after an update with the vectors (N, D), 0 where empty, and the number of vectors of each."""
    members: list[list[Tensor]] = [[] for _ in model.centroids]
    for vector in vectors:
        nearest = torch.stack([(vector / vector.norm() - mu).square().sum() for mu in model.centroids]).argmin()
        members[int(nearest)].append(vector / vector.norm())
    means = [torch.stack(found).mean(dim=0) if found else torch.zeros(24).double() for found in members]
    return torch.stack([mean / mean.norm().clamp(min=1e-9) for mean in means]), [len(found) for found in members]


def test_an_update_is_an_iteration_of_k_means() -> None:
    model = build({"num_clusters": 30, "update_every": 4}, dtype=torch.float64).train()
    x = [inputs(2, 17, dtype=torch.float64, seed=seed) * torch.tensor([1.0, 20.0])[:, None, None] for seed in (1, 2)]
    keep = lengths_mask([17, 5], 17)
    before = model.centroids.clone()
    expected, counts = by_hand(model, torch.cat([part[keep] for part in x]))
    for step, part in zip((2, 3), x, strict=True):
        model.on_step(step)
        model(part, keep)
        assert torch.equal(model.centroids, before)
    assert model.counts.tolist() == counts
    model.eval()(x[0], keep)
    assert model.counts.tolist() == counts, "evaluation counts nothing"
    model.on_step(4)
    full = torch.tensor(counts) > 0
    torch.testing.assert_close(model.centroids[full], expected[full], rtol=0, atol=1e-7)
    torch.testing.assert_close(model.centroids.norm(dim=-1), torch.ones(30).double(), rtol=0, atol=1e-7)
    largest = sorted(range(30), key=lambda c: -counts[c])[: int(full.sum())]
    assert 3 < int((~full).sum()) < 15
    for place, empty in enumerate((~full).nonzero()[:, 0].tolist()):
        beside = expected[largest[place % len(largest)]]
        assert 1e-3 < (model.centroids[empty] - beside).norm() < 0.02
    assert not model.means.any()
    assert not model.counts.any()
    after = model.centroids.clone()
    model.on_step(8)
    assert torch.equal(model.centroids, after), "nothing to learn from"


def test_updates_follow_data_seed_layer_and_step_alone() -> None:
    def learned(step: int = 4, layer: int = 0, stream: int = 0) -> Tensor:
        shape = Shape(dim=24, heads=3, head_dim=8, max_length=64, layer=layer, num_layers=2, seed=stream)
        model = ClusterFormerAttention(shape, num_clusters=30, update_every=2, cluster_every=1).train()
        model.centroids.copy_(build({"num_clusters": 30}).centroids)
        torch.rand(3)
        model(inputs(1, 20))
        model.on_step(step)
        return model.centroids

    before = torch.random.get_rng_state()
    one = learned()
    assert torch.equal(one, learned())
    assert all(not torch.equal(one, learned(**other)) for other in ({"step": 6}, {"layer": 1}, {"stream": 1}))
    torch.random.set_rng_state(before)
    model = build({"num_clusters": 30, "update_every": 1}).train()
    model(inputs(1, 20))
    before = torch.random.get_rng_state()
    model.on_step(1)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_k_means_finds_groups() -> None:
    """Eight groups, and centroids that at first are all nearest to the same few: all get tokens, and come nearer."""
    draw = torch.Generator().manual_seed(0)
    groups = torch.randn(8, 24, generator=draw) + 3  # a common direction, as hidden states have
    x = (groups[torch.arange(128) % 8] + 0.1 * torch.randn(128, 24, generator=draw))[None]
    model = build({"num_clusters": 16, "update_every": 1}, max_length=128).train()
    vectors = x[0] / x[0].norm(dim=-1, keepdim=True)
    found, used = [], []
    for step in range(12):
        model.on_step(step)
        scores = vectors @ model.centroids.T
        found.append(float(scores.amax(dim=-1).mean()))
        used.append(len(set(scores.argmax(dim=-1).tolist())))
        model(x)
    assert all(later > earlier - 1e-3 for earlier, later in itertools.pairwise(found)), found
    assert used[0] <= 4
    assert used[-1] >= 8
    assert found[-1] > 0.99
    clusters, kinds = (vectors @ model.centroids.T).argmax(dim=-1), torch.arange(128) % 8
    assert all(len(set(kinds[clusters == cluster].tolist())) == 1 for cluster in clusters)


def test_padding_teaches_nothing() -> None:
    x, keep = inputs(2, 30), lengths_mask([30, 11], 30)
    states = []
    for content in (x, torch.where(keep[..., None], x, 100 * inputs(2, 30, seed=7))):
        model = build({"num_clusters": 9}).train()
        model(content, keep)
        assert model.counts.sum() == 41
        states.append((model.means.clone(), model.counts.clone()))
    assert all(torch.equal(one, two) for one, two in zip(*states, strict=True))


def test_what_is_learned_is_saved_in_mid_interval() -> None:
    model, other = (build({"num_clusters": 9, "update_every": 2}, seed=seed).train() for seed in (0, 5))
    model(inputs(2, 30))
    other.load_state_dict(model.state_dict())
    for layer in (model, other):
        layer(inputs(2, 30, seed=4))
        layer.on_step(2)
    assert torch.equal(model.centroids, other.centroids)
    assert not {"centroids", "means", "counts"} & dict(model.named_parameters()).keys()


def centroids_of_one_of_two(rank: int) -> Tensor:
    model = build({"num_clusters": 9, "update_every": 1}).train()
    model(inputs(2, 20)[rank : rank + 1], lengths_mask([20, 7], 20)[rank : rank + 1])
    assert model.counts.sum() == 27
    model.on_step(1)
    return model.centroids


@pytest.mark.slow  # the routing transformer's, by the same sums, is quick
def test_two_processes_learn_as_one_does(tmp_path: Path) -> None:
    alone = build({"num_clusters": 9, "update_every": 1}).train()
    alone(inputs(2, 20), lengths_mask([20, 7], 20))
    alone.on_step(1)
    with two_ranks(tmp_path, __name__, centroids_of_one_of_two.__name__):
        torch.testing.assert_close(centroids_of_one_of_two(0), alone.centroids, rtol=0, atol=1e-6)


def test_a_forward_pass_may_not_run_twice() -> None:
    assert not ClusterFormerAttention.repeatable


def test_clusters_do_not_change_under_autocast() -> None:
    """The order of tokens is that of float32, so bf16 changes rounding alone."""
    model = build({"window": 6, "num_clusters": 200}, max_length=300)
    x = inputs(2, 300)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = model.dense_weights(x) > 0
    assert torch.equal(inside, model.dense_weights(x) > 0)


@pytest.mark.parametrize("options", [{"window": 8}, {"window": 8, **WINDOWS}])
def test_attention_dropout_is_on_in_training_alone(options: Options) -> None:
    model = build(options, dropout=0.5)
    x = inputs(1, 19)
    assert torch.equal(model(x), model(x))
    model.train()
    one, two = (model.mix(model.project(x), None) for _ in range(2))
    assert not any(torch.allclose(one[:, head], two[:, head]) for head in range(3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0}, "window >= 1, got 0"),
        ({"num_clusters": 0}, "num_clusters >= 1, got 0"),
        ({"update_every": 0}, "update_every >= 1, got 0"),
        ({"cluster_every": 0}, "cluster_every >= 1, got 0"),
        ({"window": 8, "stride": 9}, "stride from 1 to the window, 8, got 9"),
        ({"window": 8, "stride": 0}, "stride from 1 to the window, 8, got 0"),
    ],
)
def test_options_are_checked(options: Options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(options)


# torch 2.13 itself uses what it deprecates.
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.slow
@pytest.mark.parametrize("options", [{"window": 5, "num_clusters": 3}, {"window": 5, **WINDOWS}])
def test_compiles(options: Options) -> None:
    """As one graph, forward and backward, in training; without the code generator, which takes a minute."""
    x, keep = inputs(2, 12), lengths_mask([12, 7], 12)
    model, plain_model = build(options).train(), build(options).train()
    assert_same(torch.compile(model, backend="aot_eager", fullgraph=True), plain_model, x, keep)
    for (name, one), two in zip(model.named_buffers(), plain_model.buffers(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5, msg=name)
