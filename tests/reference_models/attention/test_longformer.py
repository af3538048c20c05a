"""Longformer: against dense softmaxes under masks from coordinates, and what the released code and ports get wrong."""

from typing import Any

import pytest
import torch
from torch import Tensor

from reference_models.attention.base import Attention, Shape
from reference_models.attention.longformer import LongformerAttention
from reference_models.attention.operations import joined
from tests.support.harness import Options, assert_same, build, dense, inputs, lengths_mask, with_gradients

CASES: list[Options] = [
    {"window": 6},
    {"window": 5, "num_global": 3, "dilation": (1, 3)},
    {"window": 9, "num_global": 0, "dilation": 2},
    {"window": 70},
]
SLOPE = 1.1
WEIGHTS_ARE_ALL = False  # global rows weigh other values: `test_dense_weights_weigh_the_values_of_each_kind_of_row`


def window_mask(length: int, radius: int, num_global: int, dilation: int = 1) -> Tensor:
    mask = torch.zeros(length, length, dtype=torch.bool)
    for i in range(length):
        for step in range(-radius, radius + 1):
            if 0 <= i + step * dilation < length:
                mask[i, i + step * dilation] = True
    mask[:num_global] = True
    mask[:, :num_global] = True
    return mask


def untied(options: Options, **shape: Any) -> LongformerAttention:
    """A model in float64 whose global projections differ from the window's, as after training."""
    model = build("longformer", options, dtype=torch.float64, **shape)
    assert isinstance(model, LongformerAttention)
    if model.num_global:
        draw = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for layer in (model.query_global, model.key_global, model.value_global):
                layer.weight += 0.2 * torch.randn(layer.weight.shape, generator=draw, dtype=torch.float64)
    return model


def assert_equal(model: Attention, plain: Any, length: int) -> None:
    """Outputs and gradients of model(x, keep) and plain(x, allowed keys), with and without padding."""
    x = inputs(2, length, dtype=torch.float64)
    holes = torch.rand(2, length, generator=torch.Generator().manual_seed(length)) < 0.6  # not at the end alone
    for keep in (None, lengths_mask([length, -(-length // 3)], length), holes):
        valid = torch.ones(2, length, dtype=torch.bool) if keep is None else keep
        found = with_gradients(lambda x, keep=keep: model(x, keep), x, valid)  # type: ignore[misc]
        expected = with_gradients(lambda x, valid=valid: plain(x, valid[:, None, None]), x, valid)  # type: ignore[misc]
        for one, two in zip(found, expected, strict=True):
            torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


@pytest.mark.parametrize("length", [1, 2, 17, 40, 64])
@pytest.mark.parametrize(("window", "radius"), [(1, 0), (2, 1), (5, 2), (6, 3), (36, 18)])
@pytest.mark.parametrize(("num_global", "dilation"), [(0, 1), (1, 1), (3, 2), (0, 5)])
def test_equals_one_dense_softmax_as_long_as_the_projections_are_copies(
    length: int, window: int, radius: int, num_global: int, dilation: int
) -> None:
    options = {"window": window, "num_global": num_global, "dilation": dilation}
    model = build("longformer", options, dtype=torch.float64)
    mask = window_mask(length, radius, num_global, dilation)

    def plain(x: Tensor, kept: Tensor) -> Tensor:
        _, q, k, v = model.project(x)
        out: Tensor = model.output(joined(dense(q, k, v, mask & kept)))
        return out

    assert_equal(model, plain, length)


def test_a_global_token_that_is_padding_is_not_seen() -> None:
    model = untied({"window": 2, "num_global": 2})
    x, keep = inputs(1, 20, dtype=torch.float64), torch.ones(1, 20, dtype=torch.bool)
    keep[:, 1] = False
    other = x.clone()
    other[:, 1] += 1
    assert torch.equal(model(x, keep)[keep], model(other, keep)[keep])


def test_heads_take_their_dilations_in_turn() -> None:
    model = build("longformer", {"window": 4, "num_global": 1, "dilation": (1, 3)}, dtype=torch.float64)
    mask = torch.stack([window_mask(23, 2, 1, dilation) for dilation in (1, 3, 1)])

    def plain(x: Tensor, kept: Tensor) -> Tensor:
        _, q, k, v = model.project(x)
        out: Tensor = model.output(joined(dense(q, k, v, mask & kept)))
        return out

    assert_equal(model, plain, 23)


@pytest.mark.parametrize("length", [2, 19, 40])
def test_global_tokens_look_by_their_own_projections_and_are_seen_by_the_windows(length: int) -> None:
    model = untied({"window": 4, "num_global": 2})
    mask = window_mask(length, 2, 2)

    def plain(x: Tensor, kept: Tensor) -> Tensor:
        heads = [
            torch.stack([x @ layer.weight[8 * h : 8 * h + 8].T for h in range(3)], dim=1)
            for layer in (model.query_global, model.key_global, model.value_global)
        ]
        _, q, k, v = model.project(x)
        rows = [dense(heads[0][:, :, :2], heads[1], heads[2], kept), dense(q, k, v, mask & kept)[:, :, 2:]]
        out: Tensor = model.output(joined(torch.cat(rows, dim=2)))
        return out

    assert_equal(model, plain, length)


@pytest.mark.parametrize("options", CASES)
@pytest.mark.parametrize("length", [2, 13, 40])
def test_dense_weights_weigh_the_values_of_each_kind_of_row(options: Options, length: int) -> None:
    model = untied(options)
    x, keep = inputs(2, length, dtype=torch.float64), lengths_mask([length, -(-length // 2)], length)
    weights, count = model.dense_weights(x, keep), model.num_global
    rows = weights @ model.project(x).v
    if count:
        rows = torch.cat([(weights @ model.split(model.value_global(x)))[:, :, :count], rows[:, :, count:]], dim=2)
    torch.testing.assert_close(model(x, keep)[keep], model.output(joined(rows))[keep], rtol=0, atol=1e-12)


@pytest.mark.parametrize("num_global", [0, 1])
def test_a_window_of_twice_the_length_is_full_attention(num_global: int) -> None:
    model = build("longformer", {"window": 46, "num_global": num_global}, dtype=torch.float64)
    full = build("full", {}, dtype=torch.float64, seed=7)
    full.load_state_dict({name: value for name, value in model.state_dict().items() if "global" not in name})
    x, keep = inputs(2, 23, dtype=torch.float64), lengths_mask([23, 9], 23)
    found = with_gradients(lambda x: model(x, keep), x, keep)
    for one, two in zip(found, with_gradients(lambda x: full(x, keep), x, keep), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


@pytest.mark.parametrize("window", [6, 7])
@pytest.mark.parametrize("token", [1, 16, 20, 63])
def test_a_window_is_symmetric(window: int, token: int) -> None:
    # The benchmark's code sees one token fewer on one side; ports see whole blocks, asymmetrically.
    model = build("longformer", {"window": window, "num_global": 0})
    x = inputs(1, 64)
    other = x.clone()
    other[:, token] += 1
    changed = (model(x) != model(other)).any(dim=2)[0]
    assert changed.nonzero().flatten().tolist() == list(range(max(0, token - 3), min(64, token + 4)))


def test_a_global_token_sees_all_and_is_seen_by_all_in_one_layer() -> None:
    # The benchmark's code has none: its CLS token sees 256 neighbours.
    model = untied({"window": 2, "num_global": 1})
    x = inputs(1, 50, dtype=torch.float64)
    # (L, 1, L, D)
    jacobian = torch.autograd.functional.jacobian(lambda x: model(x).sum(dim=2)[0], x)  # type: ignore[no-untyped-call]
    assert torch.equal(jacobian.abs().sum(dim=(1, 3)) > 0, window_mask(50, 1, 1))


def test_shifting_the_tokens_shifts_the_outputs_away_from_the_edges() -> None:
    model = build("longformer", {"window": 10, "num_global": 0, "dilation": (1, 2)}, dtype=torch.float64)
    x = inputs(1, 64, dtype=torch.float64)
    torch.testing.assert_close(model(x[:, 7:])[:, 10:-10], model(x)[:, 17:-10], rtol=0, atol=1e-12)


def test_global_projections_begin_as_copies_and_are_trained_apart() -> None:
    model = build("longformer", {"window": 4}).train()
    assert isinstance(model, LongformerAttention)
    for local, other in (("query", "query_global"), ("key", "key_global"), ("value", "value_global")):
        one, two = model.get_parameter(f"{local}.weight"), model.get_parameter(f"{other}.weight")
        assert torch.equal(one, two)
        assert one.data_ptr() != two.data_ptr()
    model(inputs(1, 20))[:, 0].sum().backward()  # the global token's row alone
    assert model.query.weight.grad is None or not model.query.weight.grad.any()
    assert model.query_global.weight.grad is not None
    assert model.query_global.weight.grad.any()
    assert not any("global" in name for name, _ in build("longformer", {"num_global": 0}).named_parameters())


def test_the_defaults_are_the_benchmarks_window_and_one_global_token() -> None:
    model = LongformerAttention(Shape(dim=4, heads=2, head_dim=2, max_length=9))
    assert (model.radius, model.num_global, model.dilations) == (256, 1, [1, 1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0}, "expected a window >= 1, got 0"),
        ({"dilation": (1, 0)}, r"expected dilations >= 1, got \(1, 0\)"),
        ({"dilation": ()}, "expected dilations >= 1"),
        ({"num_global": -1}, "expected num_global >= 0, got -1"),
    ],
)
def test_refuses_what_makes_no_sense(options: Options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build("longformer", options)


def test_attention_dropout_is_on_in_training_alone() -> None:
    model = build("longformer", {"window": 5, "num_global": 1}, dropout=0.5)
    x = inputs(1, 30)
    torch.testing.assert_close(model(x), model(x))
    model.train()
    one, two = model(x), model(x)
    assert not torch.allclose(one[:, 0], two[:, 0])
    assert not torch.allclose(one[:, 1:], two[:, 1:])


# torch 2.13 itself uses what it deprecates. aot_eager: whole graphs forward and backward, without seconds of C++.
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.slow
def test_compiles() -> None:
    model = build("longformer", {"window": 4, "num_global": 2, "dilation": 2})
    x, keep = inputs(2, 24), lengths_mask([24, 7], 24)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    assert_same(compiled, model, x, keep)
