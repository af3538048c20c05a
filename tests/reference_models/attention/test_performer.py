"""The Performer: against its quadratic form in logarithms, and against the softmax that it estimates."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from reference_models.attention.base import Projected, Shape
from reference_models.attention.operations import joined
from reference_models.attention.performer import PerformerAttention, orthogonal_directions
from tests.support.harness import Options, assert_same, build, dense, inputs, lengths_mask, with_gradients

CASES: list[Options] = [{}, {"features": 5, "redraw_every": 2}, {"features": 13, "kernel": "relu"}]
SLOPE = 1.1


def quadratic(q: Tensor, k: Tensor, v: Tensor, keep: Tensor, directions: Tensor, kernel: str) -> Tensor:
    """Weights over pairs of positions; each pair is a sum over the features, never split in two, as in `mix`."""
    q, k = q / q.shape[-1] ** 0.25, k / k.shape[-1] ** 0.25
    pairs = torch.full((*q.shape[:-1], k.shape[-2]), -math.inf, dtype=q.dtype)
    for w in directions.to(q.dtype):
        if kernel == "relu":
            one, two = (((x * w).sum(-1).clamp(min=0) + 0.001).log() for x in (q, k))
        else:
            one, two = ((x * w).sum(-1) - (x * x).sum(-1) / 2 for x in (q, k))
        pairs = torch.logaddexp(pairs, one[..., :, None] + two[..., None, :])
    return pairs.masked_fill(~keep[:, None, None], -math.inf).softmax(dim=-1) @ v


@pytest.mark.parametrize("options", [{}, {"features": 1}, {"features": 6}, {"features": 13, "kernel": "relu"}])
@pytest.mark.parametrize("scale", [1.0, 6.0])
def test_equals_its_quadratic_form(options: Options, scale: float) -> None:
    """No epsilon, and no maximum that does not cancel: those of the ports are seen here."""
    model = build("performer", options, dtype=torch.float64)
    x, keep = scale * inputs(2, 12, dtype=torch.float64), lengths_mask([12, 7], 12)

    def by_pairs(x: Tensor) -> Tensor:
        _, q, k, v = model.project(x)
        directions = model.get_buffer("directions")
        out: Tensor = model.output(joined(quadratic(q, k, v, keep, directions, options.get("kernel", "softmax"))))
        return out

    found, expected = with_gradients(lambda x: model(x, keep), x, keep), with_gradients(by_pairs, x, keep)
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("kernel", ["softmax", "relu"])
def test_float32_is_near_the_quadratic_form(kernel: str) -> None:
    model = build("performer", {"kernel": kernel})
    x, keep = inputs(2, 50), lengths_mask([50, 31], 50)
    out = model.output(joined(model.dense_weights(x, keep) @ model.project(x).v))
    torch.testing.assert_close(model(x, keep)[keep], out[keep], rtol=0, atol=2e-6)


def test_large_logits_stay_exact_in_float32() -> None:
    """A maximum over all features leaves whole rows at 0 / 0 here."""
    model = build("performer", {})
    x, keep = 60 * inputs(2, 30), lengths_mask([30, 11], 30)
    _, q, k, v = (part.double() for part in model.project(x))
    expected = quadratic(q, k, v, keep, model.get_buffer("directions"), "softmax")
    found = model.mix(model.project(x), keep)
    assert found.isfinite().all()
    assert (found - expected).norm() < 2e-2 * expected.norm()


def estimate_error(features: int, seed: int, scale: float = 0.5) -> float:
    """Relative error of the heads' outputs against the softmax, for normal q, k of a standard deviation."""
    model = build("performer", {"features": features}, dtype=torch.float64, dim=16, heads=1, head_dim=16, seed=seed)
    draw = torch.Generator().manual_seed(seed)
    q, k, v = (torch.randn(1, 4, 48, 16, generator=draw, dtype=torch.float64) for _ in range(3))
    directions = orthogonal_directions(features, 16, draw)
    model.get_buffer("directions").copy_(directions)
    exact = dense(scale * q, scale * k, v)
    return float((model.mix(Projected(q, scale * q, scale * k, v), None) - exact).norm() / exact.norm())


def test_error_falls_as_the_root_of_the_number_of_features() -> None:
    errors = [sum(estimate_error(features, seed) for seed in range(8)) / 8 for features in (64, 256, 1024, 4096)]
    ratios = [later / earlier for earlier, later in itertools.pairwise(errors)]
    assert all(0.35 <= ratio <= 0.65 for ratio in ratios), (errors, ratios)
    assert errors[-1] < 0.1


def test_directions_are_orthogonal_in_blocks_with_gaussian_lengths() -> None:
    drawn = orthogonal_directions(21, 8, torch.Generator().manual_seed(0)).double()
    assert drawn.shape == (21, 8)
    for block in (drawn[:8], drawn[8:16], drawn[16:]):
        products = block @ block.T
        torch.testing.assert_close(products, products.diagonal().diag(), rtol=0, atol=1e-5)
    many = torch.stack([orthogonal_directions(3, 3, torch.Generator().manual_seed(s)) for s in range(2000)]).double()
    squares = many.square().sum(dim=-1)
    assert squares.mean() == pytest.approx(3, rel=0.05)  # chi-squared of 3: mean 3, variance 6
    assert squares.var() == pytest.approx(6, rel=0.15)
    assert many.mean(dim=0).abs().max() < 0.1  # a plain QR has a first entry that is negative always
    torch.testing.assert_close(many.square().mean(dim=0), torch.ones(3, 3).double(), rtol=0.12, atol=0)


def test_the_default_number_of_features_is_e_log_e() -> None:
    found = {width: build("performer", {}, head_dim=width).get_buffer("directions").shape for width in (1, 8, 32)}
    assert found == {1: (1, 1), 8: (17, 8), 32: (111, 32)}


def test_directions_follow_seed_layer_and_step() -> None:
    def drawn(layer: int, stream: int) -> Tensor:
        shape = Shape(dim=24, heads=3, head_dim=8, max_length=64, num_layers=2, layer=layer, seed=stream)
        return PerformerAttention(shape).directions

    def drawn_at(step: int, every: int | None = 1000) -> Tensor:
        model = build("performer", {"redraw_every": every})
        directions = model.get_buffer("directions").zero_()
        model.on_step(step)
        return directions

    first = drawn(0, 0)
    assert torch.equal(first, drawn_at(0))
    assert torch.equal(drawn_at(1000), drawn_at(1000))
    others = [first, drawn_at(1000), drawn_at(2000), drawn(1, 0), drawn(0, 1)]
    assert all(not torch.equal(a, b) for i, a in enumerate(others) for b in others[:i])
    assert not drawn_at(999).any(), "no draw is due"
    assert not drawn_at(0, every=None).any()
    assert torch.equal(drawn_at(6, every=3), drawn_at(2000))


def test_the_directions_are_saved_and_not_trained() -> None:
    model = build("performer", {})
    assert "directions" in model.state_dict()
    assert "directions" not in dict(model.named_parameters())
    before = torch.random.get_rng_state()
    model.on_step(1000)
    model(inputs(1, 9))
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("kernel", ["softmax", "relu"])
def test_features_are_in_float32_under_autocast(kernel: str) -> None:
    model = build("performer", {"kernel": kernel}, max_length=4096)
    projected = model.project(inputs(1, 2000))
    halves = Projected(*(part.bfloat16() for part in projected))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, of_halves = model.mix(projected, None), model.mix(halves, None)
    assert torch.equal(found, model.mix(projected, None))
    assert torch.equal(of_halves, model.mix(Projected(*(part.float() for part in halves)), None).bfloat16())


def test_padding_alone_gives_zero() -> None:
    for kernel in ("softmax", "relu"):
        model = build("performer", {"kernel": kernel})
        assert not model(inputs(1, 10), lengths_mask([0], 10)).any()


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match="features >= 1, got 0"):
        build("performer", {"features": 0})
    with pytest.raises(ValueError, match="redraw_every >= 1, got -1"):
        build("performer", {"redraw_every": -1})
    with pytest.raises(ValueError, match="kernel 'softmax' or 'relu', got 'exp'"):
        build("performer", {"kernel": "exp"})


# torch 2.13 itself uses what it deprecates.
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.slow
def test_compiles() -> None:
    model = build("performer", {})
    x, keep = inputs(2, 12), lengths_mask([12, 7], 12)
    compiled = torch.compile(model)
    assert_same(compiled, model, x, keep)
