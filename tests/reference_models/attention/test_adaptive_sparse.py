"""The Adaptively Sparse Transformer: alpha-entmax against sorting and bisection, the model against loops."""

import math
from fractions import Fraction
from functools import partial

import pytest
import torch
from torch import Tensor

from reference_models.attention import adaptive_sparse as adaptive_sparse_module
from reference_models.attention.adaptive_sparse import AdaptiveSparseAttention, entmax
from reference_models.attention.operations import joined
from tests.support.harness import Options, assert_same, build, inputs, lengths_mask, with_gradients

# One: quadratic and without a fused kernel, the contract's long sequences take seconds. A fixed alpha is tested below.
CASES: list[Options] = [{}]
FIXED: list[Options] = [{"alpha": 1.5}, {"alpha": 2.0}]
SLOPE = 2.1  # the weights themselves: there is no fused kernel

LENGTH = 11
KEEP = lengths_mask([LENGTH, 6, 0], LENGTH)
HOLES = KEEP & (torch.arange(LENGTH) % 3 != 1)


def adaptive_sparse(options: Options, **shape: int) -> AdaptiveSparseAttention:
    """In float64."""
    model = build("adaptive_sparse", options, dtype=torch.float64, **shape)
    assert isinstance(model, AdaptiveSparseAttention)
    return model


def logits(*shape: int, scale: float = 1.0, seed: int = 0) -> Tensor:
    return scale * torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def of_order(alpha: float, axes: int = 2) -> Tensor:
    return torch.full((1,) * axes, alpha - 1, dtype=torch.float64)


def sparsemax(z: Tensor) -> Tensor:
    """Martins and Astudillo 2016, algorithm 1: sort, find the support, subtract its threshold."""
    ordered = z.sort(dim=-1, descending=True).values
    sums = ordered.cumsum(dim=-1)
    count = torch.arange(1, z.shape[-1] + 1, dtype=z.dtype)
    size = (1 + count * ordered > sums).sum(dim=-1, keepdim=True)
    threshold = (sums.gather(-1, size - 1) - 1) / size
    return (z - threshold).clamp(min=0)


def entmax_15(z: Tensor) -> Tensor:
    """Peters et al. 2019, algorithm 2: by sorting, for alpha = 1.5."""
    z = z / 2
    ordered = z.sort(dim=-1, descending=True).values
    count = torch.arange(1, z.shape[-1] + 1, dtype=z.dtype)
    mean, of_squares = ordered.cumsum(dim=-1) / count, ordered.square().cumsum(dim=-1) / count
    spread = count * (of_squares - mean.square())
    thresholds = mean - ((1 - spread) / count).clamp(min=1e-300).sqrt()
    size = (thresholds <= ordered).sum(dim=-1, keepdim=True)
    return (z - thresholds.gather(-1, size - 1)).clamp(min=0).square()


def bisected(z: Tensor, order: Tensor, steps: int = 100) -> Tensor:
    """The definition, with a threshold by bisection; one step of Newton's afterwards gives it its gradient."""
    scaled = order * z

    def powers(threshold: Tensor) -> Tensor:
        base = scaled - threshold
        inside = base > 0
        return torch.where(inside, torch.where(inside, base, 1.0) ** (1 / order), 0.0)

    with torch.no_grad():
        high = scaled.amax(dim=-1, keepdim=True)
        low = high - 1
        for _ in range(steps):
            middle = (low + high) / 2
            enough = powers(middle).sum(dim=-1, keepdim=True) >= 1
            low, high = torch.where(enough, middle, low), torch.where(enough, high, middle)
        base = scaled - low
        slope = torch.where(base > 0, base.clamp(min=1e-300) ** (1 / order - 1), 0.0).sum(dim=-1, keepdim=True) / order
    return powers(low + (powers(low).sum(dim=-1, keepdim=True) - 1) / slope)


@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
def test_equals_sorting_and_softmax(scale: float) -> None:
    z = logits(40, 70, scale=scale)
    for alpha, expected in ((2.0, sparsemax(z)), (1.5, entmax_15(z)), (1 + 1e-9, z.softmax(dim=-1))):
        found = entmax(z, of_order(alpha))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6 if alpha < 1.1 else 1e-12)
        torch.testing.assert_close(found.sum(dim=-1), torch.ones(40, dtype=torch.float64), rtol=0, atol=1e-14)


def test_is_near_softmax_at_an_alpha_near_one() -> None:
    z = logits(40, 70)
    assert 1e-5 < (entmax(z, of_order(1 + 1e-4)) - z.softmax(dim=-1)).abs().max() < 1e-3


@pytest.mark.parametrize("alpha", [1.001, 1.05, 1.3, 1.7, 1.99])
@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_equals_bisection(alpha: float, scale: float) -> None:
    z = logits(20, 50, scale=scale)
    torch.testing.assert_close(entmax(z, of_order(alpha)), bisected(z, of_order(alpha)), rtol=0, atol=1e-12)
    torch.testing.assert_close(
        entmax(z.float(), of_order(alpha).float()),
        entmax(z.float().double(), of_order(alpha)).float(),
        rtol=0,
        atol=2e-6,
    )


@pytest.mark.parametrize("alpha", [1.2, 1.6, 2.0])
@pytest.mark.parametrize("shrinking", [0.5, 0.9, 0.999])
def test_logits_that_crowd_together_are_solved(alpha: float, shrinking: float) -> None:
    """Support after support is left, which costs Newton's method most."""
    gaps = 1.2 * shrinking ** torch.arange(2000, dtype=torch.float64)
    for z in (gaps[None], -gaps[None]):
        torch.testing.assert_close(entmax(z, of_order(alpha)), bisected(z, of_order(alpha)), rtol=0, atol=1e-13)


def test_larger_alphas_give_more_exact_zeros() -> None:
    z = logits(200, 64)
    shares = [float((entmax(z, of_order(alpha)) == 0).double().mean()) for alpha in (1.01, 1.25, 1.5, 2.0)]
    assert shares[0] == 0
    assert 0.1 < shares[1] < 0.6 < shares[2] < 0.9 < shares[3] < 1


@pytest.mark.parametrize("alpha", [1.001, 1.2, 1.5, 1.9, 2.0])
def test_gradients_are_those_of_finite_differences(alpha: float) -> None:
    z, order = logits(3, 2, 7).requires_grad_(), torch.full((3, 1, 1), alpha - 1, dtype=torch.float64)
    mask = lengths_mask([7, 4], 7)
    order = order.requires_grad_(alpha < 2)
    assert torch.autograd.gradcheck(lambda z, order: entmax(z, order, mask), (z, order), eps=1e-7, atol=1e-6)


def test_gradients_equal_those_of_sorting() -> None:
    z, gradient = logits(30, 40).requires_grad_(), logits(30, 40, seed=1)
    for alpha, by_sorting in ((2.0, sparsemax), (1.5, entmax_15)):
        (found,) = torch.autograd.grad(entmax(z, of_order(alpha)), z, gradient)
        (expected,) = torch.autograd.grad(by_sorting(z), z, gradient)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_the_gradient_of_alpha_is_exact_near_one() -> None:
    """A library's formula divides rounding by the square of alpha - 1; its code says that it is not exact there."""
    z, gradient = logits(5, 30), logits(5, 30, seed=1)
    weights = z.softmax(dim=-1)
    squares = weights.log().square() / 2
    expected = (gradient * weights * ((weights * squares).sum(dim=-1, keepdim=True) - squares)).sum()
    for small in (1e-5, 1e-7, 1e-9):
        order = of_order(1 + small).requires_grad_()
        (found,) = torch.autograd.grad(entmax(z, order), order, gradient)
        torch.testing.assert_close(found.sum(), expected, rtol=0, atol=20 * small + 1e-6)
    for alpha in (1.001, 1.03, 1.4):  # float32 too; the series and the closed form of the remainder meet
        order = of_order(alpha).requires_grad_()
        narrow = order.detach().float().requires_grad_()
        (exact,) = torch.autograd.grad(bisected(z, order), order, gradient)
        (found,) = torch.autograd.grad(entmax(z.float(), narrow), narrow, gradient.float())
        torch.testing.assert_close(found.double(), exact, rtol=1e-4, atol=1e-5)


def test_the_remainder_of_the_exponential_keeps_its_digits() -> None:
    """Through the point where the series ends."""
    y = [sign * size for size in (1e-12, 1e-4, 0.03, 0.0999, 0.1001, 1.0, 6.0) for sign in (1, -1)]
    expected = [float(sum(Fraction(each) ** k / math.factorial(k + 2) for k in range(60))) for each in y]
    found = adaptive_sparse_module._second_remainder(torch.tensor(y, dtype=torch.float64))
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-13, atol=0)


def test_masked_keys_have_no_weight_and_no_gradient() -> None:
    z, mask = logits(3, 9).requires_grad_(), lengths_mask([9, 5, 0], 9)
    order = of_order(1.4).requires_grad_()
    weights = entmax(z, order, mask)
    torch.testing.assert_close(weights[1, :5], entmax(z[1:2, :5], order)[0], rtol=0, atol=1e-14)
    assert not weights[~mask].any()
    (weights * logits(3, 9, seed=1)).sum().backward()  # type: ignore[no-untyped-call]
    assert z.grad is not None
    assert z.grad.isfinite().all()
    assert not z.grad[~mask].any()
    assert order.grad is not None
    assert order.grad.isfinite().all()


@pytest.mark.parametrize("alpha", [1.3, 1.9])
def test_rows_and_pieces_are_solved_on_their_own(alpha: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit: neither a row that takes longer nor the number of rows solved at a time changes another."""
    z, order = logits(2, 100, 60).float(), of_order(alpha, 3).float()
    together = entmax(z, order)
    alone = [torch.cat([entmax(row[None, None], order) for row in rows], dim=1) for rows in z]
    assert torch.equal(torch.cat(alone), together)
    monkeypatch.setattr(adaptive_sparse_module, "_PIECE", 60 * 2 * 7)
    assert torch.equal(entmax(z, order), together)


def test_rows_sum_to_one_in_float32_too() -> None:
    """A threshold's last digit counts once for each of thousands of weights."""
    weights = entmax(logits(20, 3000, scale=1e-3).float(), of_order(2.0).float())
    torch.testing.assert_close(weights.double().sum(dim=-1), torch.ones(20, dtype=torch.float64), rtol=0, atol=1e-6)


def plain(model: AdaptiveSparseAttention, x: Tensor, keep: Tensor) -> Tensor:
    """One query after the other, over its kept keys alone."""
    _, q, k, v = model.project(x)
    mixed = torch.zeros_like(v)
    for b in range(len(x)):
        kept = keep[b].nonzero()[:, 0]
        for h in range(v.shape[1] if len(kept) else 0):
            order = torch.sigmoid(model.raw_alpha[h]) if model.alpha is None else torch.tensor(model.alpha - 1)
            for i in kept:
                z = k[b, h, kept] @ q[b, h, i] / k.shape[-1] ** 0.5
                mixed[b, h, i] = bisected(z, order) @ v[b, h, kept]
    out: Tensor = model.output(joined(mixed))
    return out


@pytest.mark.parametrize("keep", [KEEP, HOLES], ids=["right", "holes"])
@pytest.mark.parametrize("options", [*CASES, *FIXED])
def test_equals_loops_over_queries(options: Options, keep: Tensor) -> None:
    model = adaptive_sparse(options, dim=8, heads=2, head_dim=3)
    x = inputs(3, LENGTH, dim=8, dtype=torch.float64)
    found = with_gradients(lambda x: model(x, keep), x, keep)
    expected = with_gradients(lambda x: plain(model, x, keep), x, keep)
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)
    if model.alpha is None:
        of_alpha = [
            torch.autograd.grad(out[keep].square().sum(), model.raw_alpha)[0]
            for out in (model(x, keep), plain(model, x, keep))
        ]
        assert of_alpha[0].abs().min() > 1e-6
        torch.testing.assert_close(*of_alpha, rtol=0, atol=1e-12)


def test_an_alpha_near_one_is_full_attention() -> None:
    model = adaptive_sparse({"alpha": 1 + 1e-12})
    full = build("full", {}, dtype=torch.float64)
    full.load_state_dict(model.state_dict())
    x = inputs(3, LENGTH, dtype=torch.float64)
    found, expected = (with_gradients(partial(one, keep=KEEP), x, KEEP) for one in (model, full))
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-9)


def test_values_without_weight_get_no_gradient() -> None:
    model = adaptive_sparse({"alpha": 2.0})
    projected = model.project(4 * inputs(1, 20, dtype=torch.float64))
    v = projected.v.detach().requires_grad_()
    mixed = model.mix(projected._replace(v=v), None)
    (gradient,) = torch.autograd.grad(mixed[0, 0, 0].sum(), v)
    weights = model.dense_weights(4 * inputs(1, 20, dtype=torch.float64))[0, 0, 0]
    assert torch.equal(gradient[0, 0, :, 0] != 0, weights > 0)
    assert 1 <= (weights > 0).sum() < 10


def test_each_head_learns_its_own_alpha_between_one_and_two() -> None:
    one, two, again = (adaptive_sparse({}, num_layers=2, layer=layer) for layer in (0, 1, 0))
    assert one.raw_alpha.shape == (3,)
    assert len(set(one.raw_alpha.tolist())) == 3
    assert not torch.equal(one.raw_alpha, two.raw_alpha)
    assert torch.equal(one.raw_alpha, again.raw_alpha)
    with torch.no_grad():
        one.raw_alpha.copy_(torch.tensor([-20.0, 0.0, 20.0]))
    x = 3 * inputs(1, 12, dtype=torch.float64)
    for head, alpha in enumerate((1 + 1e-8, 1.5, 2 - 1e-8)):
        fixed = adaptive_sparse({"alpha": alpha})
        torch.testing.assert_close(one.dense_weights(x)[:, head], fixed.dense_weights(x)[:, head], rtol=0, atol=1e-6)
    assert "raw_alpha" not in dict(adaptive_sparse({"alpha": 1.5}).named_parameters())


def test_attention_dropout_is_on_in_training_alone() -> None:
    model = build("adaptive_sparse", {}, dropout=0.5)
    x = inputs(1, 9)
    torch.testing.assert_close(model(x), model(x))
    model.train()
    assert not torch.allclose(model(x), model(x))


@pytest.mark.parametrize("alpha", [1.0, 2.1, 0.5])
def test_options_are_checked(alpha: float) -> None:
    with pytest.raises(ValueError, match=f"an alpha above 1 and at most 2, or None to learn it, got {alpha}"):
        build("adaptive_sparse", {"alpha": alpha})


# torch 2.13 itself uses what it deprecates.
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*should not be instantiated.*:DeprecationWarning")
@pytest.mark.slow
def test_compiles() -> None:
    """As one graph, forward and backward; without the code generator, which takes a minute."""
    model = build("adaptive_sparse", {})
    x, keep = inputs(2, 12), lengths_mask([12, 7], 12)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    assert_same(compiled, model, x, keep)
