"""The Set Transformer: against two plain attentions, in its limits m = L and m = 1, and under permutations."""

from typing import Any

import pytest
import torch
from torch import Tensor

from reference_models.attention.base import Attention, Projected
from reference_models.attention.operations import joined
from reference_models.attention.set_transformer import PoolingByAttention
from tests.support.harness import Options, build, dense, inputs, lengths_mask, with_gradients

CASES: list[Options] = [{"num_inducing": 5}, {"num_inducing": 1}, {"num_inducing": 33}]
SLOPE = 1.1
AVERAGES = False  # values are summarised twice; its own test has the sums
# Between the two attentions the heads are mixed (dense_weights says how); with one head they are all, see below.
WEIGHTS_ARE_ALL = False

KEEP = lengths_mask([11, 6], 11)


def heads_of(projected: Tensor, heads: int = 3) -> Tensor:
    return torch.stack(projected.chunk(heads, dim=-1), dim=1)


def attended(y: Tensor, z: Tensor, weights: list[Tensor], keep: Tensor | None = None) -> Tensor:
    """MHA(Y, Z, Z) of the paper by explicit softmax; weights: W_Q, W_K, W_V, W_O as nn.Linear holds them."""
    q, k, v = (heads_of(part @ weight.T) for part, weight in zip((y, z, z), weights[:3], strict=True))
    mixed = dense(q, k, v, None if keep is None else keep[:, None, None])
    return torch.cat(list(mixed.unbind(1)), dim=-1) @ weights[3].T


def weights_of(model: Attention) -> tuple[list[Tensor], list[Tensor]]:
    state = dict(model.named_parameters())
    first = ["inducing_query", "key", "value", "inducing_output"]
    second = ["query", "summary_key", "summary_value", "output"]
    return [state[f"{name}.weight"] for name in first], [state[f"{name}.weight"] for name in second]


def same(found: tuple[Tensor, ...], expected: tuple[Tensor, ...], atol: float = 1e-12) -> None:
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=atol)


@pytest.mark.parametrize("options", CASES)
def test_equals_two_plain_attentions(options: Options) -> None:
    model = build("set_transformer", options, dtype=torch.float64)
    first, second = weights_of(model)
    points = dict(model.named_parameters())["inducing"]
    x = inputs(2, 11, dtype=torch.float64)

    def plain(x: Tensor) -> Tensor:
        return attended(x, attended(points.expand(2, -1, -1), x, first, KEEP), second)

    same(with_gradients(lambda x: model(x, KEEP), x, KEEP), with_gradients(plain, x, KEEP))
    found = torch.autograd.grad(model(x, KEEP)[KEEP].square().sum(), list(model.parameters()))
    same(found, torch.autograd.grad(plain(x)[KEEP].square().sum(), list(model.parameters())), 1e-11)


def test_with_the_set_as_inducing_points_is_attention_over_full_attention() -> None:
    model = build("set_transformer", {"num_inducing": 11}, dtype=torch.float64)
    first, second = weights_of(model)
    full = [build("full", {}, dtype=torch.float64) for _ in range(2)]
    with torch.no_grad():
        for layer, given in zip(full, (first, second), strict=True):
            for name, weight in zip(("query", "key", "value", "output"), given, strict=True):
                layer.get_parameter(f"{name}.weight").copy_(weight)

    def two_layers(x: Tensor) -> Tensor:
        summary = full[0](x)
        of_x, of_summary = full[1].project(x), full[1].project(summary)
        out: Tensor = full[1].output(joined(full[1].mix(Projected(x, of_x.q, of_summary.k, of_summary.v), None)))
        return out

    x = inputs(1, 11, dtype=torch.float64)

    def ours(x: Tensor) -> Tensor:
        with torch.no_grad():
            model.get_parameter("inducing").copy_(x[0])
        out: Tensor = model(x)
        return out

    torch.testing.assert_close(ours(x), two_layers(x), rtol=0, atol=1e-12)

    # Frozen points: the gradient is that of everything but the first attention's queries.
    def frozen(x: Tensor) -> Tensor:
        constant = x.detach()
        of_x = full[0].project(x)
        summary = full[0].output(joined(full[0].mix(of_x._replace(q=full[0].project(constant).q), None)))
        of_summary = full[1].project(summary)
        out: Tensor = full[1].output(
            joined(full[1].mix(Projected(x, full[1].project(x).q, of_summary.k, of_summary.v), None))
        )
        return out

    same(with_gradients(ours, x), with_gradients(frozen, x))


def test_one_inducing_point_says_the_same_to_all() -> None:
    model = build("set_transformer", {"num_inducing": 1}, dtype=torch.float64)
    out = model(inputs(2, 11, dtype=torch.float64), KEEP)
    torch.testing.assert_close(out[KEEP], out[:, :1].expand_as(out)[KEEP], rtol=0, atol=1e-14)
    weights = model.dense_weights(inputs(2, 11, dtype=torch.float64), KEEP)
    torch.testing.assert_close(weights, weights[:, :1, :1].expand_as(weights), rtol=0, atol=1e-14)


def test_a_permutation_of_the_set_permutes_the_output() -> None:
    model = build("set_transformer", {"num_inducing": 5}, dtype=torch.float64)
    order = torch.randperm(11, generator=torch.Generator().manual_seed(3))
    x = inputs(2, 11, dtype=torch.float64)
    plain = with_gradients(lambda x: model(x, KEEP)[:, order], x, KEEP[:, order])
    moved = with_gradients(lambda x: model(x[:, order], KEEP[:, order]), x, KEEP[:, order])
    same(moved, plain)


def test_with_one_head_the_weights_are_all() -> None:
    model = build("set_transformer", {"num_inducing": 5}, heads=1, dtype=torch.float64)
    first, second = weights_of(model)
    x = inputs(2, 11, dtype=torch.float64)
    values = x @ first[2].T @ first[3].T @ second[2].T
    out = (model.dense_weights(x, KEEP)[:, 0] @ values) @ second[3].T
    torch.testing.assert_close(model(x, KEEP)[KEEP], out[KEEP], rtol=0, atol=1e-12)


def test_dense_weights_mix_the_first_heads_and_sum_to_one() -> None:
    model = build("set_transformer", {"num_inducing": 5}, dtype=torch.float64)
    first, second = weights_of(model)
    points = model.get_parameter("inducing").expand(2, -1, -1)
    x = inputs(2, 11, dtype=torch.float64)
    identity = torch.eye(11, dtype=torch.float64).expand(2, 3, -1, -1)
    onto_tokens = dense(heads_of(points @ first[0].T), heads_of(x @ first[1].T), identity, KEEP[:, None, None])
    keys = heads_of(attended(points, x, first, KEEP) @ second[1].T)
    averaged = onto_tokens.mean(dim=1, keepdim=True).expand(2, 3, -1, -1)
    expected = dense(heads_of(x @ second[0].T), keys, averaged)
    found = model.dense_weights(x, KEEP)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.sum(-1), torch.ones(2, 3, 11, dtype=torch.float64), rtol=0, atol=1e-12)


def test_dropout_is_on_both_attentions_in_training_alone() -> None:
    model = build("set_transformer", {"num_inducing": 5}, dropout=0.5)
    x = inputs(1, 9)
    assert torch.equal(model(x), model(x))
    model.train()
    assert not torch.allclose(model(x), model(x))
    # One inducing point, heads side by side in the output: the second attention gives each head's summary times 0 or 2.
    shared = build("set_transformer", {"num_inducing": 1}, dropout=0.5).train()
    with torch.no_grad():
        shared.get_parameter("output.weight").copy_(torch.eye(24))
    rests = shared.eval()(x)[0, 0].unflatten(0, (3, 8))
    heads = shared.train()(x)[0].unflatten(1, (3, 8))
    for head in range(3):
        kept = heads[:, head].any(dim=1)
        assert 0 < kept.sum() < 9, "the second attention drops nothing"
        torch.testing.assert_close(heads[kept, head], heads[kept, head][:1].expand(int(kept.sum()), -1))
        assert not torch.allclose(heads[kept, head][0], 2 * rests[head]), "the first attention drops nothing"


def test_a_set_of_padding_alone_gives_nothing() -> None:
    model = build("set_transformer", {"num_inducing": 5})
    assert not model(inputs(1, 7), torch.zeros(1, 7, dtype=torch.bool)).any()


def test_the_inducing_points_come_from_the_seed_and_the_layer() -> None:
    def points(**shape: Any) -> Tensor:
        return build("set_transformer", {"num_inducing": 5}, seed=0, **shape).get_parameter("inducing")

    assert torch.equal(points(), points())
    assert not torch.equal(points(num_layers=2), points(num_layers=2, layer=1))


def test_refuses_no_inducing_points() -> None:
    with pytest.raises(ValueError, match="expected num_inducing >= 1, got 0"):
        build("set_transformer", {"num_inducing": 0})


def pooling(num_seeds: int = 2) -> PoolingByAttention:
    torch.manual_seed(0)
    return PoolingByAttention(24, 3, num_seeds=num_seeds).double()


def test_pooling_is_the_papers() -> None:
    pool = pooling()
    x = inputs(2, 11, dtype=torch.float64)

    def plain(x: Tensor) -> Tensor:
        z = (x @ pool.before.weight.T + pool.before.bias).clamp(min=0)
        seeds = pool.seeds.expand(2, -1, -1)
        looks = attended(seeds, z, [part.weight for part in (pool.query, pool.key, pool.value, pool.output)], KEEP)
        g = torch.layer_norm(seeds + looks, [24])
        return torch.layer_norm(g + (g @ pool.after.weight.T + pool.after.bias).clamp(min=0), [24])

    same(with_gradients(lambda x: pool(x, KEEP), x), with_gradients(plain, x), 1e-11)


@pytest.mark.parametrize("num_seeds", [1, 3])
def test_pooling_does_not_see_the_order_nor_padding(num_seeds: int) -> None:
    pool = pooling(num_seeds)
    x = inputs(2, 11, dtype=torch.float64)
    order = torch.randperm(11, generator=torch.Generator().manual_seed(3))
    pooled = pool(x, KEEP)
    assert pooled.shape == (2, num_seeds, 24)
    torch.testing.assert_close(pool(x[:, order], KEEP[:, order]), pooled, rtol=0, atol=1e-12)
    poisoned = torch.where(KEEP[..., None], x, 1e4 * inputs(2, 11, dtype=torch.float64, seed=5))
    assert torch.equal(pool(poisoned, KEEP), pooled)
    torch.testing.assert_close(pool(x[1:, :6]), pooled[1:], rtol=0, atol=1e-12)
    torch.testing.assert_close(pool(x), pool(x, torch.ones(2, 11, dtype=torch.bool)), rtol=0, atol=1e-12)


def test_pooling_trains_every_parameter_and_survives_padding_alone() -> None:
    pool = pooling()
    out = pool(inputs(2, 11, dtype=torch.float64), lengths_mask([11, 0], 11))
    (out * inputs(2, 2, dtype=torch.float64, seed=3)).sum().backward()
    assert out.isfinite().all()
    for name, parameter in pool.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_pooling_refuses_heads_that_do_not_divide() -> None:
    with pytest.raises(ValueError, match="expected heads that divide dim"):
        PoolingByAttention(24, 5)


# torch 2.13 itself uses what it deprecates.
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.slow
def test_compiles() -> None:
    model = build("set_transformer", {"num_inducing": 5})
    x = inputs(2, 11)
    # As one graph with these shapes; without code generation, which takes long.
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True, dynamic=False)
    same(
        with_gradients(lambda x: compiled(x, KEEP), x, KEEP),
        with_gradients(lambda x: model(x, KEEP), x, KEEP),
        atol=1e-5,
    )
