"""The Linear Transformer: against its quadratic form, written out in loops."""

import math

import pytest
import torch
from torch import Tensor

from reference_models.attention.base import Projected
from reference_models.attention.linear import elu_plus_1
from reference_models.attention.operations import joined
from tests.support.harness import Options, assert_same, build, inputs, lengths_mask, with_gradients

CASES: list[Options] = [{}, {"eps": 0.03}]
SLOPE = 1.1
AVERAGES = False  # eps in the denominator; its own test has the exact sums


def quadratic(q: Tensor, k: Tensor, v: Tensor, keep: Tensor, eps: float = 1e-6) -> Tensor:
    """Each output as a weighted mean of v over the pairs of positions."""
    q, k = torch.nn.functional.elu(q) + 1, torch.nn.functional.elu(k) + 1
    examples = []
    for b in range(q.shape[0]):
        rows = []
        for i in range(q.shape[2]):
            total, norm = torch.zeros_like(v[b, :, i]), torch.zeros_like(v[b, :, i, :1])
            for j in keep[b].nonzero()[:, 0].tolist():
                similar = (q[b, :, i] * k[b, :, j]).sum(dim=-1, keepdim=True)
                total, norm = total + similar * v[b, :, j], norm + similar
            rows.append(total / (norm + eps))
        examples.append(torch.stack(rows, dim=1))
    return torch.stack(examples)


@pytest.mark.parametrize("eps", [1e-6, 0.1])
def test_equals_its_quadratic_form(eps: float) -> None:
    model = build("linear", {"eps": eps}, dtype=torch.float64)
    x, keep = inputs(2, 9, dtype=torch.float64), lengths_mask([9, 5], 9)

    def by_pairs(x: Tensor) -> Tensor:
        _, q, k, v = model.project(x)
        out: Tensor = model.output(joined(quadratic(q, k, v, keep, eps)))
        return out

    found, expected = with_gradients(lambda x: model(x, keep), x, keep), with_gradients(by_pairs, x, keep)
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


def test_float32_is_near_the_quadratic_form_at_a_thousand_positions() -> None:
    model = build("linear", {}, max_length=1000)
    x, keep = inputs(1, 1000), lengths_mask([900], 1000)
    out = model.output(joined(model.dense_weights(x, keep) @ model.project(x).v))
    torch.testing.assert_close(model(x, keep)[:, :900], out[:, :900], rtol=0, atol=1e-6)


def test_the_feature_map_is_elu_plus_one() -> None:
    x = torch.linspace(-30, 30, 61, dtype=torch.float64, requires_grad=True)
    assert elu_plus_1(x).tolist() == pytest.approx([v + 1 if v > 0 else math.exp(v) for v in x.tolist()], rel=1e-12)
    (gradient,) = torch.autograd.grad(elu_plus_1(x).sum(), x)
    assert gradient.tolist() == pytest.approx([1 if v > 0 else math.exp(v) for v in x.tolist()], rel=1e-12)
    assert elu_plus_1(torch.tensor(-30.0)) > 0
    assert elu_plus_1(torch.tensor(1e5, requires_grad=True)).isfinite()


def test_rows_are_means_of_the_values() -> None:
    """A port without the denominator grows with L."""
    model = build("linear", {})
    _, q, k, _ = model.project(inputs(1, 60))
    ones = torch.ones_like(q)
    torch.testing.assert_close(model.mix(Projected(q, q, k, ones), None), ones, rtol=1e-5, atol=0)


def test_follows_a_permutation_of_its_tokens() -> None:
    model = build("linear", {}, dtype=torch.float64)
    x, order = inputs(1, 30, dtype=torch.float64), torch.randperm(30, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(model(x[:, order]), model(x)[:, order], rtol=0, atol=1e-12)


def test_padding_alone_gives_zero() -> None:
    model = build("linear", {})
    assert not model(inputs(1, 10), lengths_mask([0], 10)).any()


def test_sums_are_in_float32_under_autocast() -> None:
    model = build("linear", {}, max_length=4096)
    projected = model.project(inputs(1, 4000))
    halves = Projected(*(part.bfloat16() for part in projected))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, of_halves = model.mix(projected, None), model.mix(halves, None)
    assert torch.equal(found, model.mix(projected, None))
    assert torch.equal(of_halves, model.mix(Projected(*(part.float() for part in halves)), None).bfloat16())


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match="eps above 0, got 0"):
        build("linear", {"eps": 0.0})


# torch 2.13 itself uses what it deprecates.
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiles(backend: str) -> None:
    """Traced forward and backward, and what the code that is made of it computes, which takes long to make."""
    torch.compiler.reset()
    model = build("linear", {})
    x, keep = inputs(2, 12), lengths_mask([12, 7], 12)
    assert_same(torch.compile(model, backend=backend), model, x, keep)
