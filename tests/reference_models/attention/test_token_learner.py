"""TokenLearner: against loops over tokens and maps, and full attention in the limit. Whole models with their schedule
are in `tests/reference_models/model/test_shorter_sequences.py`.
"""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from reference_models.attention.operations import joined
from reference_models.attention.token_learner import TokenLearnerAttention
from tests.support.harness import Options, assert_same, build, dense, inputs, lengths_mask, with_gradients

CASES: list[Options] = [{"form": "local", "num_tokens": 5}, {"form": "local", "maps": "sigmoid"}]
SLOPE = 1.1
WEIGHTS_ARE_ALL = False  # tokens have a norm
AVERAGES = False  # TokenFuser's gates have any sum

MIDDLE: Options = {"num_layers": 3, "layer": 1}


def made(options: Options, *, dtype: torch.dtype = torch.float64, **shape: Any) -> TokenLearnerAttention:
    model = build("token_learner", options, dtype=dtype, **shape)
    assert isinstance(model, TokenLearnerAttention)
    with torch.no_grad():  # so that maps and norms are not plain
        for name, parameter in model.named_parameters():
            if "maps" in name or "gates" in name or "norm" in name:
                parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(4)).to(dtype))
    return model


def network(layers: nn.Module, x: Tensor) -> Tensor:
    """Two dense layers with GELU's tanh form between them."""
    first, last = layers.get_submodule("0"), layers.get_submodule("2")
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    hidden = first(x)
    inner = math.sqrt(2 / math.pi) * (hidden + 0.044715 * hidden**3)
    out: Tensor = last(0.5 * hidden * (1 + torch.tanh(inner)))
    return out


def learned(model: TokenLearnerAttention, x: Tensor, normed: Tensor) -> Tensor:
    """The S tokens of one sequence of kept tokens (L, D), each as a sum over tokens."""
    scores, rows = network(model.to_maps, normed), []
    for i in range(model.num_tokens):
        if model.maps == "softmax":
            weights = scores[:, i].exp() / scores[:, i].exp().sum()
        else:
            weights = 1 / (1 + (-scores[:, i]).exp()) / len(x)
        rows.append(sum(weight * token for weight, token in zip(weights, x, strict=True)))
    return torch.stack(rows)


def plain(model: TokenLearnerAttention, x: Tensor, keep: Tensor) -> Tensor:
    """The layer for each sequence without its padding; of the form "local", on padding 0."""
    outs = []
    for row, kept in zip(x, keep, strict=True):
        u, front = row[kept], model.front
        tokens = learned(model, u[front:], u[front:])
        tokens = (tokens - tokens.mean(dim=1, keepdim=True)) / (
            tokens.var(dim=1, correction=0, keepdim=True) + 1e-6
        ).sqrt()
        tokens = torch.cat([u[:front], tokens * model.token_norm.weight + model.token_norm.bias])
        q, k, v = (model.split(layer(tokens[None])) for layer in (model.query, model.key, model.value))
        mixed = joined(dense(q, k, v))[0]
        if model.fuses:
            gates = network(model.to_gates, u).sigmoid()
            mixed = torch.stack(
                [sum(g * (m @ mixed) for g, m in zip(gate, model.mixing, strict=True)) for gate in gates]
            )
            mixed = torch.cat([mixed, mixed.new_zeros(int((~kept).sum()), mixed.shape[1])])
        outs.append(model.output(mixed))
    return torch.stack(outs)


@pytest.mark.parametrize("maps", ["softmax", "sigmoid"])
@pytest.mark.parametrize(
    ("options", "length"), [({"form": "local"}, 13), ({}, 13), ({"separate_cls": True}, 12), ({}, 5)]
)
def test_equals_loops_over_maps(options: Options, length: int, maps: str) -> None:
    """Also for fewer tokens than are learned."""
    model = made({"num_tokens": 6, "maps": maps, **options}, **MIDDLE)
    x, keep = inputs(2, length, dtype=torch.float64), lengths_mask([length, 4], length)
    valid = keep if model.fuses else None
    found = with_gradients(lambda x: model(x, keep), x, valid)
    expected = with_gradients(lambda x: plain(model, x, keep), x, valid)
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)
    assert found[0].shape[1] == (length if model.fuses else 6 + model.front)


@pytest.mark.parametrize("separate_cls", [True, False])
@pytest.mark.parametrize("maps", ["softmax", "sigmoid"])
def test_the_residual_is_what_the_maps_take_from_the_input(maps: str, separate_cls: bool) -> None:
    """Maps of the normed input, tokens of the input without norm."""
    model = made({"num_tokens": 6, "maps": maps, "separate_cls": separate_cls}, **MIDDLE)
    x, normed = inputs(2, 13, dtype=torch.float64), inputs(2, 13, dtype=torch.float64, seed=7)
    keep, front = lengths_mask([13, 4], 13), int(separate_cls)
    found, kept = model.shortened(x, normed, keep)
    assert kept is not None
    assert kept.all()
    for row, count in enumerate((13, 4)):
        assert torch.equal(found[row, :front], x[row, :front])
        tokens = learned(model, x[row, front:count], normed[row, front:count])
        torch.testing.assert_close(found[row, front:], tokens, rtol=0, atol=1e-12)
    without, _ = model.shortened(x, normed, None)
    torch.testing.assert_close(without[0], found[0], rtol=0, atol=1e-12)


def test_a_sequence_without_tokens_has_no_learned_tokens() -> None:
    for separate_cls in (False, True):
        model = made({"separate_cls": separate_cls}, **MIDDLE)
        x, keep = inputs(2, 9, dtype=torch.float64), lengths_mask([9, int(separate_cls)], 9)
        found, kept = model.shortened(x, x, keep)
        assert kept is not None
        assert kept.sum(dim=1).tolist() == [8 + separate_cls, int(separate_cls)]
        assert not found[1, int(separate_cls) :].any()
        alone = model(x[:, :1])  # CLS alone sees itself
        if separate_cls:
            torch.testing.assert_close(model(x, keep)[1, :1], alone[1, :1])
            torch.testing.assert_close(alone[:, 0], model.output(model.value(x[:, 0])))


def test_one_hot_maps_and_gates_give_full_attention() -> None:
    """S = L, token i learned from position i and given back to it. The first channels say where a token is."""
    model = made({"form": "local", "num_tokens": 8, "bottleneck": 8}, dim=24)
    full = build("full", {}, dtype=torch.float64)
    full.load_state_dict({name: model.state_dict()[name] for name in full.state_dict()})
    x = inputs(2, 8, dtype=torch.float64)
    x[..., :8] = torch.eye(8, dtype=torch.float64)
    x = functional.layer_norm(x, [24])  # so that the norm of tokens changes nothing
    x[..., :8] = x[..., :8] - x[..., :8].amin(dim=-1, keepdim=True)  # 0 but for the token's own channel
    with torch.no_grad():
        for name in ("to_maps", "to_gates"):
            for number in ("0", "2"):
                layer = model.get_submodule(f"{name}.{number}")
                assert isinstance(layer, nn.Linear)
                layer.weight.zero_()
                if layer.bias is not None:
                    layer.bias.zero_()
                layer.weight[:, :8] = 200 * torch.eye(8, dtype=torch.float64)
            if name == "to_gates":
                assert isinstance(layer, nn.Linear)
                layer.bias.fill_(-2000.0)
        model.mixing.copy_(torch.eye(8))
        model.token_norm = nn.Identity()  # type: ignore[assignment]
    for one, two in zip(with_gradients(model, x), with_gradients(full, x), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("num_layers", "at_layer", "expected"), [(1, None, 0), (2, None, 1), (5, None, 2), (3, 0, 0), (3, 2, 2)]
)
def test_which_layer_learns(num_layers: int, at_layer: int | None, expected: int) -> None:
    """Other layers are full attention, and have nothing to learn tokens with."""
    full, x, keep = build("full", {}), inputs(2, 20), lengths_mask([20, 11], 20)
    for layer in range(num_layers):
        options = {"at_layer": at_layer, "num_tokens": 5}
        model = build("token_learner", options, num_layers=num_layers, layer=layer)
        if layer == expected:
            assert model(x, keep).shape == (2, 5, 24)
            assert model.shortened(x, x, keep)[0].shape == (2, 5, 24)
            continue
        full.load_state_dict(model.state_dict())
        torch.testing.assert_close(model(x, keep)[keep], full(x, keep)[keep])
        torch.testing.assert_close(model.dense_weights(x, keep), full.dense_weights(x, keep))
        assert model.shortened(x, x, keep) == (x, keep)


def test_as_many_tokens_as_fit() -> None:
    for length, separate_cls, expected in ((64, False, 8), (5, False, 5), (5, True, 5), (9, True, 9), (8, True, 8)):
        model = made({"separate_cls": separate_cls}, max_length=length)
        assert model(inputs(1, 2, dtype=torch.float64)).shape[1] == expected
    assert made({"form": "local"}, max_length=3).num_tokens == 8
    with pytest.raises(ValueError, match="max_length >= 2 with separate_cls, got 1"):
        made({"separate_cls": True}, max_length=1)


def test_the_residual_is_exact_under_autocast() -> None:
    """The maps come from a network in bfloat16; what they take from the input is summed in float32."""
    model = made({}, dtype=torch.float32, **MIDDLE)
    x = 1 + 1e-3 * inputs(2, 40)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, _ = model.shortened(x, inputs(2, 40, seed=3), None)
    assert found.dtype == torch.float32
    assert (found.mean() - 1).abs() < 1e-4
    assert (found - 1).abs().max() < 5e-3


def test_dense_weights_are_products_of_the_parts() -> None:
    for options in ({"form": "local"}, {}, {"separate_cls": True}):
        model = made({"num_tokens": 5, **options}, **MIDDLE)
        x, keep = inputs(2, 9, dtype=torch.float64), lengths_mask([9, 4], 9)
        weights = model.dense_weights(x, keep)
        assert not weights[1, :, :, 4:].any()
        if not model.fuses:
            count = 5 + model.front
            torch.testing.assert_close(weights[:, :, :count].sum(dim=3), torch.ones(2, 3, count, dtype=torch.float64))
            assert not weights[:, :, count:].any()
        else:
            gates = network(model.to_gates, x).sigmoid()
            expected = (gates @ model.mixing).sum(dim=2)
            torch.testing.assert_close(weights.sum(dim=3), expected[:, None].expand(-1, 3, -1))
    short = made({"num_tokens": 5}, **MIDDLE).dense_weights(inputs(1, 3, dtype=torch.float64))
    assert short.shape == (1, 3, 3, 3)


def test_only_a_sigmoid_sees_a_bias() -> None:
    """Added to all scores of a map, it changes no softmax, so it would never learn more than rounding errors."""
    for maps in ("softmax", "sigmoid"):
        names = dict(made({"maps": maps}).named_parameters())
        assert ("to_maps.2.bias" in names) == (maps == "sigmoid")


def test_layers_begin_differently() -> None:
    one, two = (build("token_learner", {"form": "local"}, num_layers=2, layer=layer) for layer in (0, 1))
    assert not torch.equal(one.get_parameter("mixing"), two.get_parameter("mixing"))


def test_attention_dropout_is_on_in_training_alone() -> None:
    for options in ({"form": "local"}, {"at_layer": 0}):
        for layer in (0, 1):
            model = build("token_learner", options, dropout=0.5, num_layers=2, layer=layer)
            x = inputs(1, 9)
            torch.testing.assert_close(model(x), model(x))
            model.train()
            assert not torch.allclose(model(x), model(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_tokens": 0}, ">= 1, got 0 and 64"),
        ({"bottleneck": 0}, ">= 1, got 8 and 0"),
        ({"form": "global"}, "got 'global' and 'softmax'"),
        ({"maps": "relu"}, "got 'schedule' and 'relu'"),
        ({"at_layer": 3}, "at_layer from 0 to 2, got 3"),
        ({"at_layer": -1}, "at_layer from 0 to 2, got -1"),
        ({"form": "local", "at_layer": 1}, "no at_layer and no separate_cls"),
        ({"form": "local", "separate_cls": True}, "no at_layer and no separate_cls"),
    ],
)
def test_options_are_checked(options: Options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build("token_learner", options, **MIDDLE)


# torch 2.13 itself uses what it deprecates.
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.slow
def test_compiles() -> None:
    """As one graph, forward and backward; without the code generator, which takes a minute."""
    model = build("token_learner", {"form": "local"})
    x, keep = inputs(2, 12), lengths_mask([12, 7], 12)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    assert_same(compiled, model, x, keep)
