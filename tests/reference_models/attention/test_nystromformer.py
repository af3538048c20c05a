"""Nyströmformer: against loops over segments and iterations, and against full attention where the paper is exact."""

from functools import partial

import pytest
import torch
from torch import Tensor

from reference_models.attention.nystromformer import NystromformerAttention
from reference_models.attention.operations import joined
from tests.support.harness import Options, assert_same, build, inputs, lengths_mask, with_gradients

CASES: list[Options] = [{"num_landmarks": 7, "kernel": 5}, {"num_landmarks": 5, "n_iter": 3, "kernel": 0}]
SLOPE = 1.1
AVERAGES = False  # Z is not the exact inverse of A, and C V is added

LENGTH = 10
KEEP = lengths_mask([LENGTH, 6, 2, 0], LENGTH)
HOLES = KEEP & (torch.arange(LENGTH) % 4 != 1)


def nystromformer(options: Options, *, sharp: bool = False, **shape: int) -> NystromformerAttention:
    """In float64. sharp: tokens look at their like above all, so that A is far from singular."""
    model = build("nystromformer", options, dtype=torch.float64, **shape)
    assert isinstance(model, NystromformerAttention)
    if sharp:
        with torch.no_grad():
            model.key.weight.copy_(model.query.weight.mul_(2) + 0.2 * model.key.weight)
    return model


def softmax(rows: list[Tensor], columns: list[Tensor]) -> Tensor:
    """s(X Y^T), one weight after the other."""
    powers = [[torch.exp(row @ column / len(row) ** 0.5) for column in columns] for row in rows]
    return torch.stack([torch.stack(row) / sum(row) for row in powers])


def iterated(matrix: Tensor, n_iter: int) -> Tensor:
    """Equation 10 of the paper for one matrix, multiplied out."""
    z = matrix.T / (matrix.abs().sum(dim=0).max() * matrix.abs().sum(dim=1).max())
    for _ in range(n_iter):
        az = matrix @ z
        z = (13 * z - 15 * z @ az + 7 * z @ az @ az - z @ az @ az @ az) / 4
    return z


def plain(model: NystromformerAttention, x: Tensor, keep: Tensor) -> Tensor:
    """Each head of each sequence without its padding; only landmarks that have tokens exist."""
    _, q, k, v = model.project(x)
    mixed = torch.zeros_like(v)
    for b in range(len(x)):
        kept = keep[b].nonzero()[:, 0].tolist()
        members: dict[int, list[int]] = {}
        for rank, place in enumerate(kept):
            at = rank * model.num_landmarks // len(kept) if len(kept) > model.num_landmarks else rank
            members.setdefault(at, []).append(place)
        for h in range(v.shape[1]):
            near, far = (
                [torch.stack([y[b, h, j] for j in segment]).mean(dim=0) for segment in members.values()] for y in (q, k)
            )
            if kept:
                z = iterated(softmax(near, far), model.n_iter)
                last = softmax(near, [k[b, h, j] for j in kept])
            for i in kept:
                first = softmax([q[b, h, i]], far)
                mixed[b, h, i] = (first @ z @ last)[0] @ v[b, h, kept]
                if model.kernel:
                    for j in kept:
                        tap = j - i + model.kernel // 2
                        if 0 <= tap < model.kernel:
                            mixed[b, h, i] += model.convolution[h, tap] * v[b, h, j]
    out: Tensor = model.output(joined(mixed))
    return out


def same(found: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor], atol: float = 1e-12) -> None:
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=atol)


@pytest.mark.parametrize("keep", [KEEP, HOLES], ids=["right", "holes"])
@pytest.mark.parametrize("options", [*CASES, {"num_landmarks": 1, "kernel": 33}, {"num_landmarks": 40, "kernel": 3}])
def test_equals_loops_over_landmarks(options: Options, keep: Tensor) -> None:
    model = nystromformer(options, dim=8, heads=2, head_dim=3)
    x = inputs(4, LENGTH, dim=8, dtype=torch.float64)
    same(
        with_gradients(lambda x: model(x, keep), x, keep),
        with_gradients(lambda x: plain(model, x, keep), x, keep),
    )


@pytest.mark.parametrize("num_landmarks", [LENGTH, 50])
def test_as_many_landmarks_as_kept_tokens_give_full_attention(num_landmarks: int) -> None:
    """Section 3.3, once the inverse has converged; for short sequences with fewer landmarks than max_length too."""
    model = nystromformer({"num_landmarks": num_landmarks, "n_iter": 25, "kernel": 0}, sharp=True)
    full = build("full", {}, dtype=torch.float64)
    full.load_state_dict(model.state_dict())
    x = inputs(4, LENGTH, dtype=torch.float64)
    for keep in (KEEP, HOLES):
        found, expected = (with_gradients(partial(one, keep=keep), x, keep) for one in (model, full))
        same(found, expected, 1e-9)
    torch.testing.assert_close(model(x[:1]), full(x[:1]), rtol=0, atol=1e-8)


def test_six_iterations_do_not_give_it() -> None:
    """`n_iter` changes the model: it is not a tolerance."""
    errors = []
    for n_iter in (6, 25):
        model = nystromformer({"num_landmarks": 12, "n_iter": n_iter, "kernel": 0}, sharp=True)
        full = build("full", {}, dtype=torch.float64)
        full.load_state_dict(model.state_dict())
        x = inputs(2, 12, dtype=torch.float64)
        errors.append(((model(x) - full(x)).norm() / full(x).norm()).item())
    assert errors[0] > 1e-3
    assert errors[1] < 1e-12


def test_segments_of_equal_tokens_give_full_attention() -> None:
    model = nystromformer({"num_landmarks": 4, "n_iter": 30, "kernel": 0}, sharp=True)
    full = build("full", {}, dtype=torch.float64)
    full.load_state_dict(model.state_dict())
    x = inputs(2, 4, dtype=torch.float64).repeat_interleave(5, dim=1)
    torch.testing.assert_close(model(x), full(x), rtol=0, atol=1e-9)
    torch.testing.assert_close(model.dense_weights(x), full.dense_weights(x), rtol=0, atol=1e-9)


def test_the_iteration_finds_the_pseudo_inverse() -> None:
    model = nystromformer({"num_landmarks": 7, "n_iter": 25})
    noise = torch.randn(2, 2, 3, 7, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    near, far = 3 * torch.eye(7, 8, dtype=torch.float64) + noise / 2
    matrix = torch.softmax(near @ far.transpose(-1, -2) / 8**0.5, dim=-1)
    found = model._inverse(near, far, torch.ones(2, 7, dtype=torch.bool))
    torch.testing.assert_close(found, torch.linalg.pinv(matrix), rtol=0, atol=1e-10)


def test_rows_sum_to_one_where_the_inverse_has_converged() -> None:
    model = nystromformer({"num_landmarks": 6, "n_iter": 30, "kernel": 0}, sharp=True)
    x, keep = inputs(4, LENGTH, dtype=torch.float64), KEEP & KEEP.any(dim=1, keepdim=True)
    sums = model.dense_weights(x, keep).sum(dim=-1).transpose(1, 2)[keep]
    torch.testing.assert_close(sums, torch.ones_like(sums), rtol=0, atol=1e-8)


def test_each_heads_inverse_is_scaled_by_itself() -> None:
    """Two ports take one maximum over the batch and all heads: a head then sees the others."""
    model = nystromformer({"num_landmarks": 6})
    x = inputs(2, 20, dtype=torch.float64)
    projected = model.project(x)
    sharp = projected.q.clone()
    sharp[0, 1] *= 30  # one head of one sequence
    before, after = (model.mix(projected._replace(q=q), None) for q in (projected.q, sharp))
    assert not torch.allclose(before[0, 1], after[0, 1])
    others = torch.tensor([[True, False, True], [True, True, True]])
    torch.testing.assert_close(before[others], after[others], rtol=0, atol=1e-13)


def test_empty_landmarks_count_for_nothing() -> None:
    """The released code gives them a logit of 0; a port has rows of equal weights in A for them."""
    x, keep = inputs(2, 30, dtype=torch.float64), lengths_mask([9, 4], 30)
    few, many = (nystromformer({"num_landmarks": count, "kernel": 0}) for count in (9, 25))
    torch.testing.assert_close(few(x, keep)[keep], many(x, keep)[keep], rtol=0, atol=1e-12)


def test_landmarks_are_means_over_kept_tokens() -> None:
    """The released code divides by the whole segment's size."""
    model = nystromformer({"num_landmarks": 3})
    _, q, k, _ = model.project(inputs(1, 12, dtype=torch.float64))
    near, far, kept = model._landmarks(q, k, lengths_mask([7], 12))
    for found, given in ((near, q), (far, k)):
        expected = [given[:, :, first:last].mean(dim=2) for first, last in ((0, 3), (3, 5), (5, 7))]
        torch.testing.assert_close(found, torch.stack(expected, dim=2), rtol=0, atol=1e-14)
    assert kept.all()


def test_padding_in_front_moves_no_segment() -> None:
    """A port pads in front to a multiple of the landmarks; and segments do not depend on max_length."""
    x = inputs(1, 11, dtype=torch.float64)
    model = nystromformer({"num_landmarks": 4, "kernel": 0})
    in_front = torch.cat([inputs(1, 6, dtype=torch.float64, seed=4), x], dim=1)
    found = model(in_front, torch.arange(17)[None] >= 6)[:, 6:]
    torch.testing.assert_close(found, model(x), rtol=0, atol=1e-12)
    other = nystromformer({"num_landmarks": 4, "kernel": 0}, max_length=11)
    torch.testing.assert_close(other(x), model(x), rtol=0, atol=0)


def test_the_convolution_spans_its_kernel() -> None:
    model = nystromformer({"num_landmarks": 3, "kernel": 5})
    without = nystromformer({"num_landmarks": 3, "kernel": 0})
    keep = lengths_mask([9], 12)
    x = inputs(1, 12, dtype=torch.float64)
    banded = (model.dense_weights(x, keep) - without.dense_weights(x, keep))[0, :, :9]
    place = torch.arange(12)
    near = ((place - place[:9, None]).abs() <= 2) & (place < 9)
    assert torch.equal(banded.abs() > 1e-12, near.expand(3, -1, -1))
    with torch.no_grad():
        model.convolution.zero_()[:, 2] = 1.0
    projected = model.project(x)
    added = model.mix(projected, keep) - without.mix(projected, keep)
    torch.testing.assert_close(added[:, :, :9], projected.v[:, :, :9], rtol=0, atol=1e-12)


def test_each_layer_begins_with_its_own_convolution() -> None:
    one, two, again = (nystromformer({}, num_layers=2, layer=layer) for layer in (0, 1, 0))
    assert one.convolution.shape == (3, 33)
    assert not torch.equal(one.convolution, two.convolution)
    assert torch.equal(one.convolution, again.convolution)
    assert 0.16 < one.convolution.abs().max() <= 33**-0.5


def test_dropout_is_on_both_softmaxes_in_training_alone() -> None:
    """With one landmark, F of a query is 1; dropped it is 0 or 2. What is then seen varies with the dropout of B."""
    model = build("nystromformer", {"num_landmarks": 1, "kernel": 0}, dropout=0.5)
    x = inputs(1, 30)
    torch.testing.assert_close(model(x), model(x))
    model.train()
    seen = []
    for seed in range(2):
        torch.manual_seed(seed)
        (mixed,) = model.mix(model.project(x), None)
        shown = mixed[0].abs().sum(dim=-1) > 0
        assert 5 < shown.sum() < 25
        first = mixed[0, shown]
        torch.testing.assert_close(first, first[:1].expand_as(first))
        seen.append(first[0])
    assert not torch.allclose(*seen)


def test_options_are_checked() -> None:
    for options, message in (
        ({"num_landmarks": 0}, "num_landmarks >= 1 and n_iter >= 0, got num_landmarks=0, n_iter=6"),
        ({"n_iter": -1}, "got num_landmarks=64, n_iter=-1"),
        ({"kernel": 4}, "odd kernel, or 0 for none, got 4"),
        ({"kernel": -3}, "odd kernel, or 0 for none, got -3"),
    ):
        with pytest.raises(ValueError, match=message):
            build("nystromformer", options)


# torch 2.13 itself uses what it deprecates.
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.slow
def test_compiles() -> None:
    """As one graph, forward and backward; without the code generator, which takes a minute."""
    model = build("nystromformer", {"num_landmarks": 4, "kernel": 3})
    x, keep = inputs(2, 12), lengths_mask([12, 7], 12)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    assert_same(compiled, model, x, keep)
