"""Sinkhorn Transformer: against its normalisation in plain loops, and against masks for a given order of blocks."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from reference_models.attention.base import Attention
from reference_models.attention.operations import joined
from reference_models.attention.sinkhorn import SinkhornAttention
from tests.support.harness import Options, assert_same, build, dense, inputs, lengths_mask, with_gradients

CASES: list[Options] = [
    {"block": 8},
    {"block": 5, "temperature": 0.5, "iterations": 3},
    {"block": 6, "sortcut": 2},
]
SLOPE = None


def SLOPE_OPTIONS(length: int) -> Options:  # noqa: N802
    return {"block": math.ceil(math.sqrt(length))}


def sinkhorn(options: Options, *, dtype: torch.dtype = torch.float64, **shape: Any) -> SinkhornAttention:
    model = build("sinkhorn", options, dtype=dtype, **shape)
    assert isinstance(model, SinkhornAttention)
    return model


def equals_dense(model: Attention, mask: Tensor, lengths: list[int]) -> None:
    length = mask.shape[-1]
    x, keep = inputs(len(lengths), length, dtype=torch.float64), lengths_mask(lengths, length)

    def plain(x: Tensor) -> Tensor:
        _, q, k, v = model.project(x)
        out: Tensor = model.output(joined(dense(q, k, v, mask & keep[:, None, None])))
        return out

    for one, two in zip(with_gradients(lambda x: model(x, keep), x, keep), with_gradients(plain, x, keep), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


def with_order(model: SinkhornAttention, order: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Block I takes block order[I], for sure."""
    hard = torch.eye(len(order), dtype=torch.float64)[order]
    monkeypatch.setattr(model, "sorting", lambda x, keep: hard.expand(len(x), 3, -1, -1))


def in_loops(model: SinkhornAttention, x: Tensor, filled: int, head: int) -> list[list[float]]:
    """R of the first `filled` blocks of one example (L, D), by divisions."""
    weight = model.sort.weight.detach().view(3, model.num_blocks, -1)[head]
    found = []
    for number in range(filled):
        total = x[number * model.block : (number + 1) * model.block].sum(dim=0)
        found.append([math.exp(float(weight[column] @ total) / model.temperature) for column in range(filled)])
    for _ in range(model.iterations):
        sums = [sum(row[column] for row in found) for column in range(filled)]
        found = [[entry / by for entry, by in zip(row, sums, strict=True)] for row in found]
        found = [[entry / sum(row) for entry in row] for row in found]
    return found


@pytest.mark.parametrize("options", CASES, ids=str)
def test_the_sorting_is_sinkhorns_of_the_sums_of_blocks(options: Options) -> None:
    model = sinkhorn(options)
    lengths = [39, 14]
    x, keep = inputs(2, 39, dtype=torch.float64), lengths_mask(lengths, 39)
    found = model.sorting(x, keep)
    for row, length in enumerate(lengths):
        filled = -(-length // options["block"])
        for head in range(3):
            expected = in_loops(model, x[row, :length], filled, head)
            torch.testing.assert_close(
                found[row, head, :filled, :filled], torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12
            )
        rest = found[row, :, filled:, filled:]
        assert torch.equal(rest, torch.eye(rest.shape[-1], dtype=torch.float64).expand_as(rest))
        assert not found[row, :, :filled, filled:].any()
        assert not found[row, :, filled:, :filled].any()


def test_rows_and_columns_sum_to_one() -> None:
    x, keep = inputs(2, 64, dtype=torch.float64), lengths_mask([64, 30], 64)
    ones = torch.ones(2, 3, 16, dtype=torch.float64)
    model, once = sinkhorn({"block": 4}), sinkhorn({"block": 4, "iterations": 1})
    torch.testing.assert_close(model.sorting(x, keep).sum(dim=-1), ones, rtol=0, atol=1e-12)
    torch.testing.assert_close(model.sorting(x, keep).sum(dim=-2), ones, rtol=0, atol=2e-4)
    assert (once.sorting(x, keep).sum(dim=-2) - 1).abs().max() > 0.2
    noisy = model.train().sorting(x, keep)
    torch.testing.assert_close(noisy.sum(dim=-1), ones, rtol=0, atol=1e-12)
    torch.testing.assert_close(noisy.sum(dim=-2), ones, rtol=0, atol=0.05)


@pytest.mark.parametrize("sortcut", [None, 1, 3])
@pytest.mark.parametrize("block", [20, 31])
def test_one_block_is_full_attention(sortcut: int | None, block: int) -> None:
    model, full = sinkhorn({"block": block, "sortcut": sortcut}), build("full", {}, dtype=torch.float64)
    full.load_state_dict({name: value for name, value in model.state_dict().items() if name in full.state_dict()})
    x, keep = inputs(2, 20, dtype=torch.float64), lengths_mask([20, 9], 20)
    for one, two in zip(
        with_gradients(lambda x: model(x, keep), x, keep),
        with_gradients(lambda x: full(x, keep), x, keep),
        strict=True,
    ):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


def test_blocks_in_their_places_are_local_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each key counts twice, and so as once."""
    model = sinkhorn({"block": 6})
    with_order(model, [0, 1, 2, 3], monkeypatch)
    number = torch.arange(22) // 6
    equals_dense(model, number[:, None] == number, [22, 15])


@pytest.mark.parametrize("order", [[2, 3, 1, 0], [1, 0, 3, 2], [3, 2, 0, 1]])
def test_a_hard_order_is_a_mask(order: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also that keys and values are sorted alike, and by blocks of neighbours. No block is its own other here."""
    number = torch.arange(22) // 6
    own, other = number[:, None] == number, torch.tensor(order)[number][:, None] == number
    model = sinkhorn({"block": 6})
    with_order(model, order, monkeypatch)
    equals_dense(model, own | other, [22, 15])
    cut = sinkhorn({"block": 6, "sortcut": 2})
    with_order(cut, order, monkeypatch)
    equals_dense(cut, torch.isin(number, torch.tensor(order[:2])).expand(22, -1), [22, 21])


def test_a_soft_order_mixes_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Place t of a sorted block is the mean, by R, of the tokens at t; its weight falls with what is padding there."""
    model = sinkhorn({"block": 4, "sortcut": 1}, heads=1)
    soft = torch.tensor([[0.25, 0.75], [0.75, 0.25]], dtype=torch.float64)
    monkeypatch.setattr(model, "sorting", lambda x, keep: soft.expand(1, 1, -1, -1))
    x = inputs(1, 7, dtype=torch.float64)
    q, k, v = (part[0, 0].detach() for part in model.project(x)[1:])
    keep = lengths_mask([6], 7)
    keys = [0.25 * k[t] + 0.75 * k[t + 4] for t in (0, 1)] + [k[2], k[3]]
    values = [0.25 * v[t] + 0.75 * v[t + 4] for t in (0, 1)] + [v[2], v[3]]
    for i in range(6):
        scores = [float(q[i] @ key) / math.sqrt(8) for key in keys]
        weights = [math.exp(score) * part for score, part in zip(scores, (1, 1, 0.25, 0.25), strict=True)]
        expected = sum(weight * value for weight, value in zip(weights, values, strict=True)) / sum(weights)
        found = model.mix(model.project(x), keep)[0, 0, i]
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("options", CASES, ids=str)
def test_weights_sum_to_one(options: Options) -> None:
    keep = lengths_mask([40, 21, 3], 40)
    weights = sinkhorn(options).dense_weights(inputs(3, 40, dtype=torch.float64), keep)
    sums = weights.sum(dim=-1).transpose(1, 2)[keep]
    torch.testing.assert_close(sums, torch.ones_like(sums), rtol=0, atol=1e-12)


def test_a_far_block_can_be_reached_and_the_sort_net_learns() -> None:
    """In the release the sorting cancels, and the net gets no gradient."""
    model = sinkhorn({"block": 8}).train()
    x = inputs(1, 64, dtype=torch.float64).requires_grad_()
    (model(x)[0, 3] * inputs(1, 24, dtype=torch.float64)[0, 0]).sum().backward()
    assert x.grad is not None
    assert (x.grad[0].abs().sum(dim=-1) > 1e-9).all()
    assert model.sort.weight.grad is not None
    assert (model.sort.weight.grad.view(3, 8, 24).abs().amax(dim=-1) > 1e-9).all()


def test_noise_is_gumbels_of_training_alone_and_pure_in_the_step() -> None:
    model = sinkhorn({"block": 8}, dtype=torch.float32, max_length=1024)
    model.on_step(3)
    third = model.noise.clone()
    assert abs(float(third.mean()) - 0.5772) < 0.02
    assert abs(float(third.var()) - math.pi**2 / 6) < 0.05
    x, keep = inputs(1, 64), lengths_mask([64], 64)
    calm = model.sorting(x, keep)
    noisy = model.train().sorting(x, keep)
    assert not torch.allclose(calm, noisy)
    model.on_step(4)
    assert not torch.equal(model.noise, third)
    assert not torch.equal(model.noise[0], model.noise[1])
    model.on_step(3)
    assert torch.equal(model.noise, third)
    assert torch.equal(model.sorting(x, keep), noisy)
    other = sinkhorn({"block": 8}, dtype=torch.float32, max_length=1024, layer=1, num_layers=2)
    other.on_step(3)
    assert not torch.equal(other.noise, third)
    model.eval()
    assert torch.equal(model.sorting(x, keep), calm)


def test_the_sort_net_stays_in_float32() -> None:
    model = sinkhorn({"block": 4}, dtype=torch.float32)
    x, keep = inputs(2, 64), lengths_mask([64, 30], 64)
    exact = model.sorting(x, keep)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(model.sorting(x, keep), exact)


def test_the_global_generator_is_left_alone() -> None:
    model = sinkhorn(CASES[0]).train()
    before = torch.get_rng_state()
    model.on_step(1)
    model(inputs(1, 40, dtype=torch.float64))
    assert torch.equal(before, torch.get_rng_state())


def test_strong_scores_give_a_hard_order() -> None:
    model = sinkhorn({"block": 8, "temperature": 1e-3, "iterations": 50})
    x = inputs(2, 40, dtype=torch.float64)
    found = model.sorting(x, lengths_mask([40, 40], 40))
    assert found.isfinite().all()
    assert found.max(dim=-1).values.median() > 0.99


def test_nothing_of_length_by_length_is_kept() -> None:
    model = sinkhorn({"block": 16}, dtype=torch.float32, max_length=512).train()
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):  # type: ignore[func-returns-value]
        model(inputs(1, 512))
    assert max(sizes) < 512 * 512 / 2


def test_weights_are_dropped_in_training_alone() -> None:
    for options in CASES:
        model = sinkhorn(options, dropout=0.5)
        x = inputs(1, 40, dtype=torch.float64)
        assert torch.equal(model(x), model(x))
        model.train()
        assert not torch.allclose(model(x), model(x))


def test_the_sort_nets_parameters_are_added_to_the_transformers() -> None:
    ours, full = (sum(p.numel() for p in build(name, {}).parameters()) for name in ("sinkhorn", "full"))
    assert ours == full + 24 * 3 * 2  # D H n: 64 positions are 2 blocks of 50


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"block": 0}, "expected block >= 1, got 0"),
        ({"iterations": 0}, "expected iterations >= 1, got 0"),
        ({"sortcut": 0}, "expected sortcut >= 1, got 0"),
        ({"temperature": 0.0}, "expected a temperature above 0, got 0.0"),
    ],
)
def test_wrong_options_are_refused(options: Options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build("sinkhorn", options)


# torch 2.13 itself uses what it deprecates.
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.parametrize("options", [CASES[0], CASES[2]], ids=str)
@pytest.mark.slow
def test_compiles(options: Options) -> None:
    model = build("sinkhorn", options)
    x, keep = inputs(2, 26), lengths_mask([26, 17], 26)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)  # as one graph; inductor takes a minute for it
    assert_same(compiled, model, x, keep)
