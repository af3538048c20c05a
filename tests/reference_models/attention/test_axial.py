"""Axial attention: against dense softmaxes under masks from coordinates, and its limits in other attentions."""

import importlib
import math
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from reference_models.attention.axial import AxialAttention
from reference_models.attention.base import Attention
from reference_models.attention.operations import joined
from reference_models.contract import properties
from tests.support.harness import Options, assert_same, build, dense, inputs, lengths_mask, with_gradients

# "sum" is tested by the contract below: its values are two projections, and its rows sum to 2.
CASES: list[Options] = [{}, {"mode": "criss-cross", "num_prefix": 1}]
SLOPE = 1.5
SUM: Options = {"mode": "sum", "num_prefix": 2}
MODES = ["alternate", "sum", "criss-cross"]


def on_lines(length: int, columns: int, axis: str, prefix: int = 0) -> Tensor:
    """Token by token, whether j is in the row, the column or either of i."""
    mask = torch.zeros(length, length, dtype=torch.bool)
    for i in range(length):
        for j in range(length):
            (row, column), (other_row, other_column) = divmod(i - prefix, columns), divmod(j - prefix, columns)
            along = {"row": row == other_row, "column": column == other_column}
            along["both"] = along["row"] or along["column"]
            mask[i, j] = min(i, j) < prefix or along[axis]
    return mask


def heads_of(x: Tensor, model: Attention, names: tuple[str, ...]) -> list[Tensor]:
    weights = [model.get_parameter(f"{name}.weight") for name in names]
    return [torch.stack((x @ weight.T).chunk(3, dim=-1), dim=1) for weight in weights]


def plain(model: Attention, options: Options, kept: Tensor, x: Tensor) -> Tensor:
    """By dense softmaxes under masks."""
    columns, prefix, length = options["grid"][1], options["num_prefix"], x.shape[1]
    q, k, v = heads_of(x, model, ("query", "key", "value"))
    if options["mode"] == "criss-cross":
        mixed = dense(q, k, v, on_lines(length, columns, "both", prefix) & kept)
    elif options["mode"] == "sum":
        mixed = dense(q, k, v, on_lines(length, columns, "row", prefix) & kept)
        q, k, v = heads_of(x, model, ("query_column", "key_column", "value_column"))
        mixed = mixed + dense(q, k, v, on_lines(length, columns, "column", prefix) & kept)
    else:
        mixed = dense(q, k, v, on_lines(length, columns, ("row", "column")[model.shape.layer % 2], prefix) & kept)
    out: Tensor = model.output(joined(mixed))
    return out


@pytest.mark.parametrize(("mode", "layer"), [("alternate", 0), ("alternate", 3), ("sum", 1), ("criss-cross", 1)])
@pytest.mark.parametrize("grid", [(3, 5), (7, 2), (1, 20), (20, 1)])
@pytest.mark.parametrize("length", [1, 2, 11, 14])
def test_equals_dense_softmaxes_under_masks(mode: str, layer: int, grid: tuple[int, int], length: int) -> None:
    for prefix in (0, 2):
        options = {"mode": mode, "grid": grid, "num_prefix": prefix}
        model = build("axial", options, dtype=torch.float64, max_length=14, layer=layer, num_layers=4)
        x = inputs(2, length, dtype=torch.float64)
        holes = torch.rand(2, length, generator=torch.Generator().manual_seed(length)) < 0.6
        for keep in (None, lengths_mask([length, -(-length // 3)], length), holes):
            valid = torch.ones(2, length, dtype=torch.bool) if keep is None else keep
            found = with_gradients(partial(model, keep=keep), x, valid)
            expected = with_gradients(partial(plain, model, options, valid[:, None, None]), x, valid)
            for one, two in zip(found, expected, strict=True):
                torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


def contract() -> ModuleType:
    """The contract tests, which import this module."""
    return importlib.import_module("tests.reference_models.attention.test_contract")


@pytest.mark.parametrize(
    "name",
    [
        "what_stands_under_padding_changes_nothing",
        "a_row_alone_equals_the_row_in_a_batch",
        "more_padding_changes_nothing",
        "no_mask_is_a_mask_of_ones",
        "a_sequence_of_padding_alone_is_finite",
        "every_parameter_gets_a_gradient",
        "gradients_are_those_of_finite_differences",
        "bf16_is_near_float32",
        "evaluation_is_deterministic_and_training_follows_seed_and_step",
        "saved_bytes_grow_as_they_should",
    ],
)
def test_the_sum_does_what_every_model_must(name: str) -> None:
    getattr(contract(), f"test_{name}")("axial", SUM)


@pytest.mark.parametrize("length", [12, 23])
def test_dense_weights_of_the_sum_apply_to_both_values(length: int) -> None:
    model = build("axial", SUM, dtype=torch.float64)
    x, keep = inputs(2, length, dtype=torch.float64), lengths_mask([length, 9], length)
    weights = model.dense_weights(x, keep)
    torch.testing.assert_close(weights.sum(-1)[:, 0][keep], torch.full((length + 9,), 2.0, dtype=torch.float64))
    model.get_parameter("value_column.weight").data.copy_(model.get_parameter("value.weight"))
    out = model.output(joined(weights @ model.project(x).v))
    torch.testing.assert_close(model(x, keep)[keep], out[keep], rtol=0, atol=1e-12)


def test_dense_weights_of_the_columns_are_what_the_layer_computes() -> None:
    model = build("axial", {"num_prefix": 1}, dtype=torch.float64, layer=1, num_layers=2)
    x, keep = inputs(2, 30, dtype=torch.float64), lengths_mask([30, 13], 30)
    out = model.output(joined(model.dense_weights(x, keep) @ model.project(x).v))
    torch.testing.assert_close(model(x, keep)[keep], out[keep], rtol=0, atol=1e-12)


def same_as(name: str, other: Options, options: Options, length: int = 23, **shape: Any) -> None:
    """Outputs and gradients equal those of another attention with the same weights."""
    model = build("axial", options, dtype=torch.float64, **shape)
    reference = build(name, other, dtype=torch.float64, seed=7, **shape)
    reference.load_state_dict(model.state_dict())
    x, keep = inputs(2, length, dtype=torch.float64), lengths_mask([length, 9], length)
    found = with_gradients(lambda x: model(x, keep), x, keep)
    for one, two in zip(found, with_gradients(lambda x: reference(x, keep), x, keep), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


def test_one_long_line_is_full_attention() -> None:
    for prefix in (0, 3):
        same_as("full", {}, {"grid": (1, 64), "num_prefix": prefix})
        same_as("full", {}, {"grid": (64, 1), "num_prefix": prefix}, layer=1, num_layers=2)
        for grid in ((1, 64), (64, 1)):
            same_as("full", {}, {"mode": "criss-cross", "grid": grid, "num_prefix": prefix})


def test_lines_are_blocks_of_the_image_transformer_without_memory_around() -> None:
    alone = {"mode": "2d", "memory_height": 0, "memory_width": 0}
    for prefix in (0, 1):
        picture = {**alone, "grid": (10, 7), "num_prefix": prefix}
        same_as("image_transformer", {**picture, "height": 1, "width": 7}, {"grid": (10, 7), "num_prefix": prefix})
        same_as(
            "image_transformer",
            {**picture, "height": 10, "width": 1},
            {"grid": (10, 7), "num_prefix": prefix},
            layer=1,
            num_layers=2,
        )
    same_as("local", {"block": 8}, {})


def test_a_transposed_grid_exchanges_rows_and_columns() -> None:
    rows, columns = (
        build("axial", {"grid": grid}, dtype=torch.float64, max_length=35, layer=layer, num_layers=2)
        for layer, grid in ((0, (5, 7)), (1, (7, 5)))
    )
    x = inputs(2, 35, dtype=torch.float64)

    def turned(x: Tensor) -> Tensor:
        return x.view(2, 5, 7, 24).transpose(1, 2).flatten(1, 2)

    def back(x: Tensor) -> Tensor:
        return x.view(2, 7, 5, 24).transpose(1, 2).flatten(1, 2)

    torch.testing.assert_close(back(columns(turned(x))), rows(x), rtol=0, atol=1e-12)
    one, two = (
        build("axial", {"mode": "criss-cross", "grid": grid}, dtype=torch.float64, max_length=35)
        for grid in ((5, 7), (7, 5))
    )
    torch.testing.assert_close(back(two(turned(x))), one(x), rtol=0, atol=1e-12)


def reached(function: Callable[[Tensor], Tensor], length: int) -> Tensor:
    x = inputs(1, length, dtype=torch.float64)
    # (L, 1, L, D)
    jacobian = torch.autograd.functional.jacobian(lambda x: function(x).sum(dim=2)[0], x)  # type: ignore[no-untyped-call]
    return torch.as_tensor(jacobian.abs().sum(dim=(1, 3)) > 0)


@pytest.mark.parametrize("mode", MODES)
def test_one_layer_reaches_its_lines_and_two_reach_all(mode: str) -> None:
    """A port adds rows and columns in each layer where the paper lets layers alternate."""
    first, second = (
        build("axial", {"mode": mode}, dtype=torch.float64, max_length=20, layer=layer, num_layers=2, seed=layer)
        for layer in range(2)
    )
    axes = ("row", "column") if mode == "alternate" else ("both", "both")
    assert torch.equal(reached(first, 20), on_lines(20, 5, axes[0]))
    assert torch.equal(reached(second, 20), on_lines(20, 5, axes[1]))
    assert reached(lambda x: second(first(x)), 20).all()


@pytest.mark.parametrize("mode", MODES)
def test_a_masked_token_is_not_seen_from_its_row_or_column(mode: str) -> None:
    """The port takes no mask."""
    for layer in (0, 1):
        model = build("axial", {"mode": mode, "num_prefix": 1}, layer=layer, num_layers=2)
        x, keep = inputs(1, 30), torch.ones(1, 30, dtype=torch.bool)
        keep[0, 12] = False
        other = x.clone()
        other[0, 12] += 1
        assert torch.equal(model(x, keep)[keep], model(other, keep)[keep])


def test_the_rows_follow_from_the_greatest_length() -> None:
    expected = [(1, 0, 1), (2, 0, 2), (4, 0, 2), (5, 0, 3), (1024, 0, 32), (1025, 1, 32), (1025, 0, 33), (4000, 0, 64)]
    for length, prefix, columns in expected:
        model = build("axial", {"num_prefix": prefix}, max_length=length)
        assert isinstance(model, AxialAttention)
        assert model.columns == columns
    assert build("axial", {"num_prefix": 3}, max_length=2)(inputs(1, 2)).shape == (1, 2, 24)


def test_lines_are_as_cheap_as_their_fused_kernels() -> None:
    """SLOPE is that of criss-cross, which writes its weights out."""
    for layer, options in ((0, {}), (1, {}), (0, {"mode": "sum"})):
        found = []
        for length in (1024, 2048):
            model = build("axial", options, max_length=2048, layer=layer, num_layers=2).train()
            found.append(properties.saved_bytes(model, inputs(1, length), lengths_mask([length - 3], length)))
        assert math.log2(found[1] / found[0]) <= 1.1


def test_lines_of_one_token_cannot_learn_what_to_look_at() -> None:
    for layer, grid, still in ((0, (64, 1), True), (1, (64, 1), False), (0, (1, 64), False), (1, (1, 64), True)):
        model = build("axial", {"grid": grid}, layer=layer, num_layers=2, dtype=torch.float64)
        assert list(model.unread(64)) == (["query.weight", "key.weight"] if still else [])
        model(inputs(1, 64, dtype=torch.float64)).square().sum().backward()
        gradient = model.get_parameter("query.weight").grad
        assert gradient is not None
        assert (gradient.norm().item() < 1e-10) is still
    for options in ({"mode": "sum", "grid": (64, 1)}, {"grid": (64, 1), "num_prefix": 1}):
        assert build("axial", options).unread(64) == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "both"}, "expected mode 'alternate', 'sum' or 'criss-cross', got 'both'"),
        ({"num_prefix": -1}, "expected num_prefix >= 0, got -1"),
        ({"grid": (0, 64)}, r"expected a grid >= 1, got \(0, 64\)"),
        ({"grid": (7, 9)}, r"expected max_length of at most num_prefix \+ 7 \* 9 = 63, got 64"),
    ],
)
def test_options_are_checked(options: Options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build("axial", options)
    build("axial", {"grid": (7, 9), "num_prefix": 1})


@pytest.mark.parametrize("mode", MODES)
def test_attention_dropout_is_on_in_training_alone(mode: str) -> None:
    model = build("axial", {"mode": mode, "num_prefix": 1}, dropout=0.5)
    x = inputs(1, 30)
    torch.testing.assert_close(model(x), model(x))
    model.train()
    one, two = model(x), model(x)
    assert not torch.allclose(one[:, 0], two[:, 0])
    assert not torch.allclose(one[:, 1:], two[:, 1:])


# torch 2.13 itself uses what it deprecates. aot_eager: whole graphs forward and backward, without seconds of C++.
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_compiles(mode: str) -> None:
    model = build("axial", {"mode": mode, "num_prefix": 1}, layer=1, num_layers=2)
    x, keep = inputs(2, 24), lengths_mask([24, 7], 24)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    assert_same(compiled, model, x, keep)
