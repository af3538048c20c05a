"""Random Feature Attention: against cosines of differences, pair by pair, and against the softmax of cosines."""

import itertools
import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from reference_models.attention.base import Projected, Shape
from reference_models.attention.operations import joined
from reference_models.attention.random_feature import RandomFeatureAttention
from tests.support import harness
from tests.support.harness import Options, assert_same, dense, inputs, lengths_mask, with_gradients

CASES: list[Options] = [
    {},
    {"features": 24, "kernel": "arc-cosine", "redraw_every": 2},
    {"features": 40, "learned_sigma": False, "tau": 1.2},
]
SLOPE = 1.1
KERNELS = ["gaussian", "arc-cosine"]


def build(options: Options, **given: Any) -> RandomFeatureAttention:
    model = harness.build("random_feature", options, **given)
    assert isinstance(model, RandomFeatureAttention)
    return model


def shaken(model: RandomFeatureAttention) -> RandomFeatureAttention:
    """With a σ that differs between heads and between dimensions."""
    if model.sigma is not None:
        draw = torch.Generator().manual_seed(3)
        with torch.no_grad():
            model.sigma.add_(torch.rand(model.sigma.shape, generator=draw).to(model.sigma.dtype) - 0.5)
    return model


def _unit(x: Tensor) -> Tensor:
    return x / (x.square().sum(dim=-1, keepdim=True) + 1e-6).sqrt()


def quadratic(model: RandomFeatureAttention, x: Tensor, keep: Tensor) -> Tensor:
    """Kernel values of pairs, as a sum over features: sin a sin b + cos a cos b is the cosine of a - b."""
    _, q, k, v = model.project(x)
    q, k = _unit(q), _unit(k)
    pairs = torch.zeros(*q.shape[:3], k.shape[2], dtype=q.dtype)
    for m in range(model.features):
        w = model.directions[:, m].to(q.dtype) / model.tau  # (H, E)
        if model.sigma is not None:
            w = w * model.sigma
        one, other = ((part * w[:, None]).sum(dim=-1) for part in (q, k))
        if model.kernel == "gaussian":
            pairs = pairs + (one[..., :, None] - other[..., None, :]).cos() / model.features
        else:
            pairs = pairs + one.clamp(min=0)[..., :, None] * other.clamp(min=0)[..., None, :] / model.features
    rows = []
    for row in range(len(x)):
        known = pairs[row][..., keep[row]]
        total = known.sum(dim=-1, keepdim=True)
        if model.kernel == "gaussian":
            total = total.clamp(min=model.floor * int(keep[row].sum()))
        rows.append(known / total @ v[row][:, keep[row]])
    out: Tensor = model.output(joined(torch.stack(rows)))
    return out


@pytest.mark.parametrize("options", [*CASES, {"features": 3, "tau": 0.5}, {"features": 7, "tau": 0.7, "floor": 0.2}])
def test_equals_its_quadratic_form(options: Options) -> None:
    model = shaken(build(options, dtype=torch.float64))
    for length, lengths in ((12, [12, 7]), (3, [3, 1])):
        x, keep = inputs(2, length, dtype=torch.float64), lengths_mask(lengths, length)
        found = with_gradients(partial(model, keep=keep), x, keep)
        expected = with_gradients(partial(quadratic, model, keep=keep), x, keep)
        for one, two in zip(found, expected, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("kernel", KERNELS)
def test_sigma_learns_as_in_the_quadratic_form(kernel: str) -> None:
    model = shaken(build({"features": 9, "kernel": kernel}, dtype=torch.float64))
    assert model.sigma is not None
    assert model.sigma.shape == (3, 8), "of each head and dimension"
    x, keep = inputs(2, 12, dtype=torch.float64), lengths_mask([12, 7], 12)
    chosen = inputs(2, 12, dtype=torch.float64, seed=5) * keep[..., None]
    one, two = (
        torch.autograd.grad((out * chosen).sum(), model.sigma)[0] for out in (model(x, keep), quadratic(model, x, keep))
    )
    assert one.abs().min() > 0
    torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-12)


def estimate_error(options: Options, seed: int, exact: Any, length: int = 32) -> float:
    """Relative error of the heads' outputs against `exact(q, k, v)`, for normal q and k."""
    model = build(options, dtype=torch.float64, dim=16, heads=2, head_dim=16)
    draw = torch.Generator().manual_seed(seed)
    model.directions.copy_(torch.randn(model.directions.shape, generator=draw))
    q, k, v = (torch.randn(2, 2, length, 16, generator=draw, dtype=torch.float64) for _ in range(3))
    expected = exact(q, 3 * k, v)
    with torch.no_grad():
        found = model.mix(Projected(q, q, 3 * k, v), None)
    return float((found - expected).norm() / expected.norm())


def assert_falls_as_the_root(options: Options, exact: Any, last: float) -> None:
    """From 64 to 1,024 to 16,384 features, the error falls to a quarter each time."""
    errors = [
        sum(estimate_error({**options, "features": features}, seed, exact) for seed in range(3)) / 3
        for features in (64, 1024, 16384)
    ]
    ratios = [later / earlier for earlier, later in itertools.pairwise(errors)]
    assert all(0.17 <= ratio <= 0.36 for ratio in ratios), (errors, ratios)
    assert errors[-1] < last, errors


@pytest.mark.slow
@pytest.mark.parametrize("tau", [1.0, 0.8])
def test_converges_to_the_softmax_of_cosines(tau: float) -> None:
    """At the scale of any q and k, since these are made unit vectors; the Performer needs small ones."""

    def exact(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return dense(_unit(q), _unit(k), v, scale=1 / tau**2)

    assert_falls_as_the_root({"tau": tau}, exact, 0.05)


def test_the_arc_cosine_kernel_converges_to_its_closed_form() -> None:
    def exact(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        cosines = (_unit(q) @ _unit(k).transpose(-1, -2)).clamp(-1, 1)
        angles = cosines.acos()
        values = angles.sin() + (math.pi - angles) * cosines
        return values / values.sum(dim=-1, keepdim=True) @ v

    assert_falls_as_the_root({"kernel": "arc-cosine"}, exact, 0.05)


def test_a_learned_sigma_begins_as_a_fixed_temperature() -> None:
    x, keep = inputs(2, 20, dtype=torch.float64), lengths_mask([20, 9], 20)
    learned = build({"tau": 0.9}, dtype=torch.float64)
    fixed = build({"tau": 0.9, "learned_sigma": False}, dtype=torch.float64)
    warm = build({"tau": 1.8, "learned_sigma": True}, dtype=torch.float64)
    assert fixed.sigma is None
    assert "sigma" not in fixed.state_dict()
    assert torch.equal(learned(x, keep), fixed(x, keep))
    with torch.no_grad():
        assert warm.sigma is not None
        warm.sigma.fill_(2.0)
    torch.testing.assert_close(warm(x, keep), fixed(x, keep), rtol=0, atol=1e-12)
    assert not torch.allclose(build({"tau": 1.8}, dtype=torch.float64)(x, keep), fixed(x, keep))


def test_lengths_of_queries_and_keys_do_not_matter() -> None:
    model = build({}, dtype=torch.float64)
    x = inputs(2, 20, dtype=torch.float64)
    before = model(x)
    with torch.no_grad():
        model.query.weight.mul_(7)
        model.key.weight.mul_(0.5)
    torch.testing.assert_close(model(x), before, rtol=0, atol=1e-5)  # but for the epsilon of `unit`
    assert (model(x) - before).abs().max() > 0


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("length", [1, 2, 3, 4, 30])
def test_equal_values_are_given_back_at_any_length(kernel: str, length: int) -> None:
    """The released denominator of at least 1 gives less below about four tokens."""
    model = build({"kernel": kernel}, dtype=torch.float64)
    projected = model.project(inputs(3, 40, dtype=torch.float64))
    v = inputs(1, 1, dim=8, dtype=torch.float64)[:, None].expand(3, 3, 40, 8)
    keep = lengths_mask([length, 40, length], 40)
    found = model.mix(projected._replace(v=v), keep).transpose(1, 2)[keep]
    torch.testing.assert_close(found, v.transpose(1, 2)[keep], rtol=0, atol=1e-12)


def test_the_floor_bounds_what_vanishing_denominators_give() -> None:
    """One projection and one token: the kernel value is a single cosine, of any sign."""
    small = plain = 0
    for seed in range(40):
        model = build({"features": 1, "tau": 0.5}, seed=seed, dtype=torch.float64)
        x = inputs(1, 1, dtype=torch.float64, seed=seed).requires_grad_()
        _, q, k, v = model.project(x)
        w = 2 * model.directions.to(x.dtype)
        value = ((_unit(q) - _unit(k)) * w).sum(dim=-1, keepdim=True).cos()
        found = model.mix(model.project(x), None)
        torch.testing.assert_close(found, value / value.clamp(min=0.01) * v, rtol=1e-9, atol=1e-12)
        torch.autograd.backward(found.square().sum())
        assert x.grad is not None
        assert x.grad.isfinite().all()
        small += int((value < 0.01).sum())
        plain += int((value >= 0.01).sum())
    assert small > 10
    assert plain > 10


def test_the_default_floor_changes_no_usual_value() -> None:
    """With 64 features, for inputs from a normal distribution, also where there is one key."""
    for seed in range(30):
        models = [build({"floor": floor}, seed=seed, dtype=torch.float64) for floor in (0.01, 1e-9)]
        x = inputs(4, 20, dtype=torch.float64, seed=seed)
        keep = lengths_mask([20, 3, 2, 1], 20)
        assert torch.equal(*(model(x, keep)[keep] for model in models))


def test_a_query_without_a_common_feature_gets_nothing() -> None:
    model = build({"kernel": "arc-cosine", "features": 1}, dtype=torch.float64)
    x = inputs(1, 9, dtype=torch.float64).requires_grad_()
    _, q, _, _ = model.project(x)
    active = (q * model.directions.to(q.dtype)).sum(dim=-1) > 0
    found = model.mix(model.project(x), None)
    assert not found[~active].any()
    assert found[active].any(dim=-1).all()
    torch.autograd.backward(found.square().sum())
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_directions_follow_seed_layer_and_step() -> None:
    def drawn(layer: int, stream: int) -> Tensor:
        shape = Shape(dim=24, heads=3, head_dim=8, max_length=64, num_layers=2, layer=layer, seed=stream)
        return RandomFeatureAttention(shape).directions

    def drawn_at(step: int, every: int | None = 1) -> Tensor:
        model = build({"redraw_every": every})
        directions = model.directions.zero_()
        model.on_step(step)
        return directions

    first = drawn(0, 0)
    assert torch.equal(first, drawn_at(0))
    assert torch.equal(drawn_at(7), drawn_at(7))
    others = [first, drawn_at(1), drawn_at(2), drawn(1, 0), drawn(0, 1)]
    assert all(not torch.equal(a, b) for i, a in enumerate(others) for b in others[:i])
    assert not drawn_at(1, every=2).any(), "no draw is due"
    assert not drawn_at(0, every=None).any()
    assert torch.equal(drawn_at(6, every=3), drawn_at(2))


def test_directions_are_normal_and_each_head_has_its_own() -> None:
    drawn = build({"features": 4000}).directions.double()
    assert drawn.shape == (3, 4000, 8)
    torch.testing.assert_close(drawn.mean(dim=1), torch.zeros(3, 8).double(), rtol=0, atol=0.08)
    torch.testing.assert_close(drawn.var(dim=1), torch.ones(3, 8).double(), rtol=0, atol=0.12)
    for one, two in itertools.combinations(drawn, 2):
        assert abs(float(torch.corrcoef(torch.stack([one.flatten(), two.flatten()]))[0, 1])) < 0.05


def test_the_directions_are_saved_and_a_forward_pass_draws_nothing() -> None:
    model = build({})
    assert "directions" in model.state_dict()
    assert "directions" not in dict(model.named_parameters())
    model.on_step(1000)
    kept, before = model.directions.clone(), torch.random.get_rng_state()
    for training in (True, False):
        model.train(training)
        assert torch.equal(model(inputs(1, 9)), model(inputs(1, 9)))
    assert torch.equal(model.directions, kept)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("kernel", KERNELS)
def test_features_are_in_float32_under_autocast(kernel: str) -> None:
    model = build({"kernel": kernel}, max_length=4096)
    projected = model.project(inputs(1, 2000))
    halves = Projected(*(part.bfloat16() for part in projected))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, of_halves = model.mix(projected, None), model.mix(halves, None)
    assert torch.equal(found, model.mix(projected, None))
    assert torch.equal(of_halves, model.mix(Projected(*(part.float() for part in halves)), None).bfloat16())


@pytest.mark.parametrize("kernel", KERNELS)
def test_padding_alone_gives_zero(kernel: str) -> None:
    assert not build({"kernel": kernel})(inputs(1, 10), lengths_mask([0], 10)).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": 0}, "features >= 1, got 0"),
        ({"tau": 0.0}, "tau above 0, got 0.0"),
        ({"kernel": "relu"}, "'arc-cosine'.*, got 'relu'"),
        ({"redraw_every": 0}, "redraw_every >= 1, got 0"),
        ({"floor": 0.0}, "floor above 0, got 0.0"),
    ],
)
def test_options_are_checked(options: Options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(options)


# torch 2.13 itself uses what it deprecates.
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.slow
def test_compiles() -> None:
    """As one graph, forward and backward; without the code generator, which takes a minute."""
    model = build({"features": 9})
    x, keep = inputs(2, 12), lengths_mask([12, 7], 12)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    assert_same(compiled, model, x, keep)
