"""Routing Transformer: against memberships from plain loops, in its limits, and its online k-means."""

import copy
import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from reference_models.attention.operations import joined
from reference_models.attention.routing import RoutingAttention
from tests.support import harness
from tests.support.harness import Options, dense, inputs, lengths_mask, with_gradients
from tests.support.two_ranks import two_ranks

CASES: list[Options] = [
    {},
    {"num_clusters": 3, "local_heads": 0},
    {"num_clusters": 5, "window_size": 7, "local_window": 5, "normalized": False},
]
SLOPE = 1.6
AVERAGES = False  # a token that no centroid chose gets 0
# Rounding moves a few of 234 tokens into or out of clusters; where all are in all clusters the error is below 0.01.
BF16_TOLERANCE = 0.2


def SLOPE_OPTIONS(length: int) -> Options:  # noqa: N802
    return {"num_clusters": math.ceil(length**0.5)}


def build(options: Options, **given: Any) -> RoutingAttention:
    model = harness.build("routing", options, **given)
    assert isinstance(model, RoutingAttention)
    return model


def _unit(x: Tensor) -> Tensor:
    return x / (x.square().sum(dim=-1, keepdim=True) + 1e-6).sqrt()


def _plain_head(model: RoutingAttention, head: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """One head on a sequence without padding, q, k, v (L, E): cluster after cluster, token after token."""
    length, width = q.shape
    if head < model.local_heads:
        near = [[abs(i - j) <= model.local_window for j in range(length)] for i in range(length)]
        return dense(q[None, None], k[None, None], v[None, None], torch.tensor(near))[0, 0]
    centroids = model.centroids[head - model.local_heads]
    w = model.window_size or math.ceil(length / len(centroids))
    found: list[list[Tensor]] = [[] for _ in range(length)]
    for centroid in centroids:
        scores = [(_unit(x.detach()) @ centroid).tolist() for x in (q, k)]
        of_q, of_k = (sorted(range(length), key=[-s for s in of].__getitem__)[:w] for of in scores)
        keys = _unit(k[of_k]) if model.normalized else k[of_k]
        for i in of_q:
            query = _unit(q[i]) * width if model.normalized else q[i]
            found[i].append((keys @ query / math.sqrt(width)).softmax(dim=0) @ v[of_k])
    return torch.stack([torch.stack(parts).mean(dim=0) if parts else 0 * v[0] for parts in found])


def _plain(model: RoutingAttention, x: Tensor, lengths: list[int]) -> Tensor:
    """The layer with the padding cut off; zeros for padding."""
    _, q, k, v = model.project(x)
    rows = []
    for row, length in enumerate(lengths):
        heads = [_plain_head(model, head, *(part[row, head, :length] for part in (q, k, v))) for head in range(3)]
        rows.append(torch.nn.functional.pad(torch.stack(heads), (0, 0, 0, x.shape[1] - length)))
    out: Tensor = model.output(joined(torch.stack(rows)))
    return out


def _assert_same(found: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> None:
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


@pytest.mark.parametrize("options", [*CASES, {"num_clusters": 30, "local_heads": 1, "local_window": 3}])
def test_equals_memberships_from_plain_loops(options: Options) -> None:
    model = build(options, dtype=torch.float64)
    for length, lengths in ((4, [4, 1]), (17, [17, 9]), (26, [26, 20])):
        x, keep = inputs(2, length, dtype=torch.float64), lengths_mask(lengths, length)
        plain = partial(_plain, model, lengths=lengths)
        _assert_same(with_gradients(partial(model, keep=keep), x, keep), with_gradients(plain, x, keep))


@pytest.mark.parametrize(
    "options",
    [
        {"num_clusters": 1, "local_heads": 0},
        {"num_clusters": 1, "local_window": 40},
        {"num_clusters": 4, "window_size": 40},  # every cluster holds all
        {"num_clusters": 4, "window_size": 64, "local_heads": 2, "local_window": 39},
    ],
)
def test_where_clusters_hold_all_it_is_the_transformer(options: Options) -> None:
    model = build({**options, "normalized": False}, dtype=torch.float64)
    full = harness.build("full", {}, dtype=torch.float64)
    full.load_state_dict({name: value for name, value in model.state_dict().items() if name != "centroids"})
    x, keep = inputs(2, 40, dtype=torch.float64), lengths_mask([40, 23], 40)
    _assert_same(
        with_gradients(lambda x: model(x, keep), x, keep), with_gradients(lambda x: full(x, keep), x, keep)
    )  # fmt: skip


def test_logits_of_unit_vectors_have_the_transformers_scale() -> None:
    model = build({"num_clusters": 1, "local_heads": 0}, dtype=torch.float64)
    x = inputs(2, 20, dtype=torch.float64)
    _, q, k, v = model.project(x)
    expected = model.output(joined(dense(8**0.5 * _unit(q), 8**0.5 * _unit(k), v)))
    torch.testing.assert_close(model(x), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(model(x), model(5 * x) / 5, rtol=1e-4, atol=1e-4)  # but for the values' size


def test_a_token_in_no_cluster_gets_nothing_and_one_in_all_their_mean() -> None:
    model = build({"num_clusters": 2, "window_size": 3, "local_heads": 0}, dtype=torch.float64)
    rows = model.dense_weights(inputs(1, 30, dtype=torch.float64)).sum(dim=-1)
    assert ((rows - 1).abs() < 1e-12).logical_or(rows == 0).all()
    assert (rows == 0).sum(dim=-1).min() >= 24, "two clusters of three"
    with torch.no_grad():
        model.centroids.copy_(model.centroids[:, :1].clone())  # twice the same
    assert ((model.dense_weights(inputs(1, 30, dtype=torch.float64)) > 0).sum(dim=(-1, -2)) == 9).all()
    x = inputs(1, 30, dtype=torch.float64)
    assert (joined(model.mix(model.project(x), None)).abs().sum(dim=-1) == 0).any()


def test_ties_go_to_the_earlier_token() -> None:
    model = build({"num_clusters": 2, "window_size": 5, "local_heads": 0})
    x = inputs(1, 1).expand(1, 33, 24)  # all the same
    weights = model.dense_weights(x)[0]
    assert torch.equal(weights.sum(dim=1) > 0, torch.arange(33).expand(3, 33) < 5)
    heads = model.mix(model.project(x), None)[0]
    assert torch.equal(heads.abs().sum(dim=-1) > 0, torch.arange(33).expand(3, 33) < 5)


def _moved(centroids: Tensor, vectors: Tensor, decay: float) -> Tensor:
    """Centroids (k, E) after the unit vectors (N, E) of one head have been seen, one by one."""
    groups: list[list[Tensor]] = [[] for _ in centroids]
    for vector in vectors:
        groups[
            int(torch.tensor([float((vector - centroid).square().sum()) for centroid in centroids]).argmin())
        ].append(vector)
    moved = []
    for centroid, group in zip(centroids, groups, strict=True):
        new = decay * centroid + (1 - decay) * torch.stack(group).mean(dim=0) if group else centroid
        moved.append(new / new.norm())
    return torch.stack(moved)


@pytest.mark.parametrize("decay", [0.9, 0.999])
def test_training_moves_centroids_to_the_mean_of_what_is_nearest(decay: float) -> None:
    options = {"num_clusters": 20, "local_heads": 1, "decay": decay}
    model = build(options, dtype=torch.float64)
    x, keep = inputs(2, 17, dtype=torch.float64), lengths_mask([17, 5], 17)
    before = model.centroids.clone()
    torch.testing.assert_close(before.norm(dim=-1), torch.ones(2, 20, dtype=torch.float64), rtol=0, atol=1e-6)
    model(x, keep)
    assert torch.equal(model.centroids, before), "evaluation moves nothing"
    assert model.auxiliary_loss() is None
    model.train()
    model(x, keep)
    _, q, k, _ = (part.detach() for part in model.project(x))
    loss, distances = 0.0, []
    for head in range(2):
        vectors = torch.cat([_unit(part[row, 1 + head, : (17, 5)[row]]) for part in (q, k) for row in range(2)])
        expected = _moved(before[head], vectors, decay)
        torch.testing.assert_close(model.centroids[head], expected, rtol=0, atol=1e-7)
        distances += [(vector - before[head]).square().sum(dim=-1).min() for vector in vectors]
    loss = 1e-4 * float(torch.stack(distances).mean())
    found = model.auxiliary_loss()
    assert found is not None
    assert float(found.detach()) == pytest.approx(loss, rel=1e-9)
    assert (before == model.centroids).all(dim=-1).any(), "a centroid without tokens stays"
    model.eval()(x, keep)
    assert model.auxiliary_loss() is None, "that of the last forward pass"


def test_the_loss_draws_queries_and_keys_to_their_centroids() -> None:
    model = build({"num_clusters": 4, "beta": 1.0, "decay": 1.0}).train()
    x = inputs(2, 20)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    found = []
    for _ in range(20):
        model(x)
        loss = model.auxiliary_loss()
        assert loss is not None
        found.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for name, parameter in model.named_parameters():
            moved = parameter.grad is not None and bool(parameter.grad.any())
            assert moved == (name in {"query.weight", "key.weight"}), name
        optimizer.step()
    assert found[-1] < 0.7 * found[0]


def test_padding_moves_nothing() -> None:
    x, keep = inputs(2, 30), lengths_mask([30, 11], 30)
    states = []
    for content in (x, torch.where(keep[..., None], x, 100 * inputs(2, 30, seed=7))):
        model = build({"decay": 0.5}).train()
        model(content, keep)
        states.append((model.centroids.clone(), model.auxiliary_loss()))
    assert torch.equal(states[0][0], states[1][0])
    assert torch.equal(torch.stack([states[0][1]]), torch.stack([states[1][1]]))  # type: ignore[list-item]


def test_a_model_can_be_copied_after_a_forward_pass() -> None:
    model = build({}).train()
    model(inputs(1, 10))
    assert copy.deepcopy(model).auxiliary_loss() is None
    assert model.auxiliary_loss() is not None


def centroids_of_one_of_two(rank: int) -> Tensor:
    model = build({"decay": 0.5}).train()
    model(inputs(2, 20)[rank : rank + 1], lengths_mask([20, 7], 20)[rank : rank + 1])
    return model.centroids


def test_two_processes_move_centroids_as_one_does(tmp_path: Path) -> None:
    alone = build({"decay": 0.5}).train()
    alone(inputs(2, 20), lengths_mask([20, 7], 20))
    with two_ranks(tmp_path, __name__, centroids_of_one_of_two.__name__):
        torch.testing.assert_close(centroids_of_one_of_two(0), alone.centroids, rtol=0, atol=1e-6)


def test_layers_have_centroids_of_their_own() -> None:
    one, two, again = (build({}, layer=layer, num_layers=2).centroids for layer in (0, 1, 0))
    assert torch.equal(one, again)
    assert not torch.equal(one, two)
    assert one.shape == (2, 8, 8), "two of three heads, sqrt(64) clusters"


def test_bf16_is_near_float32_where_clusters_hold_all() -> None:
    model = build({"num_clusters": 3, "window_size": 48, "local_window": 6})
    x, keep = inputs(2, 48), lengths_mask([48, 30], 48)
    exact = model(x, keep)[keep]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        near = model(x, keep)[keep].float()
    assert (near - exact).norm() < 1e-2 * exact.norm()


@pytest.mark.parametrize("options", [{"local_heads": 2, "num_clusters": 1}, {"local_heads": 0}])
def test_attention_dropout_is_on_in_training_alone(options: Options) -> None:
    model = build({**options, "decay": 1.0}, dropout=0.5)
    x = inputs(1, 9)
    assert torch.equal(model(x), model(x))
    model.train()
    one, two = (model.mix(model.project(x), None) for _ in range(2))
    assert not any(torch.allclose(one[:, head], two[:, head]) for head in range(3) if one[:, head].any())


@pytest.mark.parametrize(
    "options", [{"num_clusters": 0}, {"window_size": 0}, {"local_window": 0}, {"local_heads": 3}, {"decay": 1.1}]
)
def test_refuses_what_makes_no_sense(options: Options) -> None:
    with pytest.raises(ValueError, match=f"expected {next(iter(options))}"):
        build(options)


# That all is traced, backwards and in training too, shows without the minute that the inductor takes for the C++.
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")  # torch 2.13 itself uses it
@pytest.mark.slow
def test_compiles() -> None:
    x, keep = inputs(2, 12), lengths_mask([12, 7], 12)
    found = []
    for compiling in (True, False):
        model = build({"num_clusters": 3, "decay": 0.5}).train()
        run = torch.compile(model, fullgraph=True, backend="aot_eager") if compiling else model
        found.append((*with_gradients(partial(run, keep=keep), x, keep), model.centroids))
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5)


def test_members_are_the_nearest_and_ties_go_to_the_earlier_token() -> None:
    """Minus zero equals zero, and negative scores are in order."""
    scores = torch.tensor([-0.0, 0.0, -1.0, 1.0, 0.0, -2.0, 3.0]).view(1, 1, 1, 7)
    kept = torch.tensor([[True] * 6 + [False]])
    found = build({"window_size": 6})._members(scores, kept)
    assert found.flatten().tolist() == [3, 0, 1, 4, 2, 5]
