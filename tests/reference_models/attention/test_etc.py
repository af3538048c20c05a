"""ETC: against dense softmaxes under masks from coordinates, against Longformer, and as full attention over [P; X]."""

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from reference_models.attention.base import Attention
from reference_models.attention.etc import EtcAttention
from reference_models.attention.longformer import LongformerAttention
from reference_models.attention.operations import joined
from tests.support.harness import Options, assert_same, build, dense, inputs, lengths_mask, with_gradients

CASES: list[Options] = [
    {"radius": 3, "num_global": 4},
    {"radius": 2, "num_global": 3, "sharing": "none"},
    {"radius": 40, "num_global": 1, "sharing": "key-value"},
]
SLOPE = 1.1


def SLOPE_OPTIONS(length: int) -> Options:  # noqa: N802
    """With lengths that blocks of queries divide: otherwise a copy of the queries comes in at one of them."""
    return {"radius": 3, "num_global": 16}


WEIGHTS_ARE_ALL = False  # without sharing, values differ: `test_dense_weights_weigh_the_values_of_each_part`
SHARINGS = ["all", "key-value", "none"]


def etc(options: Options, **shape: Any) -> EtcAttention:
    model = build("etc", options, **{"dtype": torch.float64, **shape})
    assert isinstance(model, EtcAttention)
    return model


@cache
def row_mask(length: int, radius: int, num_global: int) -> Tensor:
    mask = torch.zeros(length, length, dtype=torch.bool)
    for i in range(length):
        for j in range(length):
            mask[i, j] = min(i, j) < num_global or abs(i - j) <= radius
    return mask


def weights_of(model: EtcAttention) -> dict[str, Tensor]:
    """Projections by part, as the paper's four pieces have them."""
    given = {name.removesuffix(".weight"): value for name, value in model.named_parameters()}
    if model.sharing == "all":
        names = {"global_query": "query", "global_output": "output", "long_output": "output"}
        pieces = dict.fromkeys(("l2l", "l2g", "g2g", "g2l"), "")
    else:
        names = {"global_query": "query_global", "global_output": "output.prefix", "long_output": "output.tokens"}
        pieces = {"l2l": "", "l2g": "", "g2g": "_global", "g2l": "_global"}
    if model.sharing == "none":
        pieces |= {"l2g": "_l2g", "g2g": "_g2g"}
    names |= {f"{piece}_{what}": f"{what}{end}" for piece, end in pieces.items() for what in ("key", "value")}
    return {"long_query": given["query"], **{name: given[of] for name, of in names.items()}}


def plain(model: EtcAttention, x: Tensor, kept: Tensor) -> Tensor:
    """Global rows and long rows as two softmaxes over concatenated keys, all written out; kept: (B, 1, 1, L)."""
    weights, count, length = weights_of(model), model.num_prefix, x.shape[1]

    def heads(part: Tensor, name: str) -> Tensor:
        return torch.stack([part @ weights[name][8 * h : 8 * h + 8].T for h in range(3)], dim=1)

    front, tokens = x[:, :count], x[:, count:]
    rows = []
    mask = row_mask(length, model.radius, count)
    for side, query, some in (("g", front, mask[:count]), ("l", tokens, mask[count:])):
        side_name = {"g": "global", "l": "long"}[side]
        keys, values = (
            torch.cat([heads(front, f"{side}2g_{what}"), heads(tokens, f"{side}2l_{what}")], dim=2)
            for what in ("key", "value")
        )
        mixed = dense(heads(query, f"{side_name}_query"), keys, values, some & kept)
        rows.append(joined(mixed) @ weights[f"{side_name}_output"].T)
    return torch.cat(rows, dim=1)


def assert_equal(model: Attention, expected: Any, length: int, atol: float = 1e-12) -> None:
    """Outputs and gradients of model(x, keep) and expected(x, keep), with and without padding."""
    x = inputs(2, length, dtype=torch.float64)
    holes = torch.rand(2, length, generator=torch.Generator().manual_seed(length)) < 0.6  # not at the end alone
    for keep in (None, lengths_mask([length, -(-length // 3)], length), holes):
        valid = torch.ones(2, length, dtype=torch.bool) if keep is None else keep
        found = with_gradients(lambda x, keep=keep: model(x, keep), x, valid)  # type: ignore[misc]
        should = with_gradients(lambda x, valid=valid: expected(x, valid), x, valid)  # type: ignore[misc]
        for one, two in zip(found, should, strict=True):
            torch.testing.assert_close(one, two, rtol=0, atol=atol)


@pytest.mark.parametrize("sharing", SHARINGS)
@pytest.mark.parametrize("length", [1, 5, 40])
@pytest.mark.parametrize(("radius", "num_global"), [(0, 3), (2, 4), (18, 1), (2, 0)])
def test_equals_two_dense_softmaxes(sharing: str, length: int, radius: int, num_global: int) -> None:
    model = etc({"radius": radius, "num_global": num_global, "sharing": sharing})
    assert_equal(model, lambda x, keep: plain(model, x, keep[:, None, None]), length)


@pytest.mark.parametrize("sharing", SHARINGS)
def test_the_gradients_of_all_projections(sharing: str) -> None:
    model = etc({"radius": 2, "num_global": 4, "sharing": sharing})
    x, keep = inputs(2, 30, dtype=torch.float64), lengths_mask([30, 17], 30)
    parameters = list(model.parameters())
    found = torch.autograd.grad(model(x, keep)[keep].square().sum(), parameters)
    expected = torch.autograd.grad(plain(model, x, keep[:, None, None])[keep].square().sum(), parameters)
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-10)


@pytest.mark.parametrize("radius", [18, 100])
def test_where_the_radius_covers_the_sequence_it_is_full_attention(radius: int) -> None:
    """The limit that the authors' code states, over global tokens and sequence."""
    model = etc({"radius": radius, "num_global": 4})
    full = build("full", {}, dtype=torch.float64, seed=7)
    full.load_state_dict(model.state_dict())
    assert_equal(model, full, 23)


@pytest.mark.parametrize(("radius", "num_global"), [(3, 4), (20, 2)])
def test_with_copied_projections_it_is_longformer(radius: int, num_global: int) -> None:
    shape: Options = {"window": 2 * radius, "num_global": num_global}
    model = etc({"radius": radius, "num_global": num_global, "sharing": "key-value"})
    other = build("longformer", shape, dtype=torch.float64, seed=7)
    with torch.no_grad():
        model.get_parameter("output.prefix.weight").copy_(model.get_parameter("output.tokens.weight"))
        for name, value in other.named_parameters():
            value.copy_(model.get_parameter("output.tokens.weight" if name == "output.weight" else name))
    assert_equal(model, other, 33)
    # And with shared ones as long as Longformer's are copies.
    model, other = etc({"radius": radius, "num_global": num_global}), build("longformer", shape, dtype=torch.float64)
    assert isinstance(other, LongformerAttention)
    other.load_state_dict({**other.state_dict(), **model.state_dict()})
    for name in ("query", "key", "value"):
        other.get_parameter(f"{name}_global.weight").data.copy_(model.get_parameter(f"{name}.weight"))
    assert_equal(model, other, 33)


def test_without_global_tokens_it_is_a_window() -> None:
    model = etc({"radius": 3, "num_global": 0, "sharing": "none"})
    assert model.sharing == "all"
    other = build("longformer", {"window": 6, "num_global": 0}, dtype=torch.float64, seed=7)
    other.load_state_dict(model.state_dict())
    assert_equal(model, other, 33)


@pytest.mark.parametrize("sharing", SHARINGS)
def test_global_tokens_see_all_and_tokens_see_them_and_their_window(sharing: str) -> None:
    model = etc({"radius": 2, "num_global": 3, "sharing": sharing})
    x, keep = inputs(1, 50, dtype=torch.float64), lengths_mask([41], 50)

    def rows(x: Tensor) -> Tensor:
        out: Tensor = model(x, keep).sum(dim=2)[0]
        return out

    seen = torch.autograd.functional.jacobian(rows, x)[:, 0].abs().sum(dim=-1) > 0  # type: ignore[no-untyped-call]
    assert torch.equal(seen[:41], (row_mask(50, 2, 3) & keep)[:41])


def test_the_first_token_is_no_neighbour_of_the_last_global_token() -> None:
    """A window over [P; X] would reach from the first tokens into P, and count these keys twice."""
    model = etc({"radius": 2, "num_global": 3})
    with torch.no_grad():
        for name in ("query", "key"):
            model.get_parameter(f"{name}.weight").zero_()
    weights = model.dense_weights(inputs(1, 20, dtype=torch.float64))[0, 0]
    expected = row_mask(20, 2, 3).double()
    torch.testing.assert_close(weights, expected / expected.sum(dim=1, keepdim=True), rtol=0, atol=1e-15)
    model.get_parameter("output.weight").data.copy_(torch.eye(24))
    v = joined(model.project(inputs(1, 20, dtype=torch.float64)).v)
    torch.testing.assert_close(model(inputs(1, 20, dtype=torch.float64)), weights @ v, rtol=0, atol=1e-12)


def test_a_masked_global_token_is_not_seen() -> None:
    model = etc({"radius": 2, "num_global": 3, "sharing": "none"})
    x, keep = inputs(1, 20, dtype=torch.float64), torch.ones(1, 20, dtype=torch.bool)
    keep[:, 1] = False
    other = x.clone()
    other[:, 1] += 1
    assert torch.equal(model(x, keep)[keep], model(other, keep)[keep])


@pytest.mark.parametrize("sharing", SHARINGS)
@pytest.mark.parametrize("length", [3, 13, 40])
def test_dense_weights_weigh_the_values_of_each_part(sharing: str, length: int) -> None:
    model = etc({"radius": 2, "num_global": 4, "sharing": sharing})
    x, keep = inputs(2, length, dtype=torch.float64), lengths_mask([length, -(-length // 2)], length)
    weights, given = model.dense_weights(x, keep), weights_of(model)
    rows = []
    for side, some in (("g", weights[:, :, :4]), ("l", weights[:, :, 4:])):
        values = torch.cat([x[:, :4] @ given[f"{side}2g_value"].T, x[:, 4:] @ given[f"{side}2l_value"].T], dim=1)
        mixed = some @ torch.stack(values.chunk(3, dim=-1), dim=1)
        rows.append(joined(mixed) @ given["global_output" if side == "g" else "long_output"].T)
    torch.testing.assert_close(model(x, keep)[keep], torch.cat(rows, dim=1)[keep], rtol=0, atol=1e-12)
    if sharing == "all":
        out = model.output(joined(weights @ model.project(x).v))
        torch.testing.assert_close(model(x, keep)[keep], out[keep], rtol=0, atol=1e-12)


def test_sharing_counts_the_projections() -> None:
    counts = {sharing: len(list(etc({"sharing": sharing}).named_parameters())) for sharing in SHARINGS}
    assert counts == {"all": 4, "key-value": 8, "none": 12}  # 2 queries, 4 keys, 4 values, 2 outputs


def test_which_projections_of_a_last_layer_never_learn() -> None:
    for sharing in SHARINGS:
        model = etc({"radius": 2, "num_global": 3, "sharing": sharing})
        model(inputs(2, 30, dtype=torch.float64))[:, 3:].square().sum().backward()
        still = {name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()}
        assert still == set(model.unread_when_last())
        assert model.unread(64) == {}


def test_attention_dropout_is_on_both_rows_in_training_alone() -> None:
    model = etc({"radius": 2, "num_global": 3}, dropout=0.5)
    x = inputs(1, 30, dtype=torch.float64)
    assert torch.equal(model(x), model(x))
    model.train()
    one, two = model(x), model(x)
    assert not torch.allclose(one[:, :3], two[:, :3])
    assert not torch.allclose(one[:, 3:], two[:, 3:])


def test_defaults_and_refusals() -> None:
    model = etc({})
    assert (model.radius, model.num_prefix, model.sharing, model.pooled) == (84, 230, "all", "tokens")
    for options, message in (
        ({"radius": -1}, "expected a radius >= 0, got -1"),
        ({"num_global": -1}, "expected num_global >= 0, got -1"),
        ({"sharing": "key"}, r"expected sharing from \('all', 'key-value', 'none'\), got 'key'"),
    ):
        with pytest.raises(ValueError, match=message):
            etc(options)


# torch 2.13 itself uses what it deprecates.
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.slow
@pytest.mark.parametrize("options", CASES[:2])
def test_compiles(options: Options) -> None:
    """As one graph, forward and backward; without the code generator, which takes a minute."""
    model = build("etc", options)
    x, keep = inputs(2, 26), lengths_mask([26, 9], 26)
    assert_same(torch.compile(model, backend="aot_eager", fullgraph=True), model, x, keep)
