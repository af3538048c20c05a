"""Luna: against two plain attentions, the Set Transformer, and full attention where P packs each token by itself."""

from typing import Any

import pytest
import torch
from torch import Tensor

from reference_models.attention.luna import LunaAttention
from tests.support.harness import Options, assert_same, build, dense, inputs, lengths_mask, with_gradients

CASES: list[Options] = [{"projected_length": 5}, {"projected_length": 3, "tie_kv": True}]
SLOPE = 1.1
AVERAGES = False  # values pass through two attentions; its own test has the sums
WEIGHTS_ARE_ALL = False  # the same; `test_dense_weights` has both parts

# Two sequences with 5 vectors of P and 11 tokens: padding at the end, and holes; one vector of P is masked.
HOLES = torch.tensor([[1] * 16, [1, 1, 0, 1, 1, 1, 0, 1, 1, 0, 1, 1, 0, 0, 0, 0]], dtype=torch.bool)


def luna(options: Options, **shape: Any) -> LunaAttention:
    model = build("luna", options, **{"dtype": torch.float64, **shape})
    assert isinstance(model, LunaAttention)
    return model


def heads_of(projected: Tensor, heads: int = 3) -> Tensor:
    return torch.stack(projected.chunk(heads, dim=-1), dim=1)


def attended(y: Tensor, z: Tensor, q: Tensor, k: Tensor, v: Tensor, keep: Tensor) -> Tensor:
    """Joined heads of Attn(Y, Z, Z) by explicit softmax; q, k, v: weights as nn.Linear holds them; keep: of Z."""
    mixed = dense(heads_of(y @ q.T), heads_of(z @ k.T), heads_of(z @ v.T), keep[:, None, None])
    return torch.cat(list(mixed.unbind(1)), dim=-1)


def plain(model: LunaAttention, x: Tensor, keep: Tensor, length: int) -> Tensor:
    """Y_P and Y_X of the paper, or of the released code with tied keys and values."""
    given = {name.removesuffix(".weight"): value for name, value in model.named_parameters()}
    p, tokens = x[:, :length], x[:, length:]
    key = given["value"] if model.tie_kv else given["key"]
    y_p = attended(p, tokens, given["pack_query"], key, given["value"], keep[:, length:])
    y_p = y_p if model.tie_kv else y_p @ given["output.prefix"].T
    key = given["unpack_value"] if model.tie_kv else given["unpack_key"]
    y_x = attended(tokens, y_p, given["query"], key, given["unpack_value"], keep[:, :length])
    return torch.cat([y_p, y_x @ given["output.tokens"].T], dim=1)


def same(found: tuple[Tensor, ...], expected: tuple[Tensor, ...], atol: float = 1e-12) -> None:
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=atol)


@pytest.mark.parametrize("tie_kv", [False, True])
@pytest.mark.parametrize("keep", [lengths_mask([16, 9], 16), HOLES])
def test_equals_two_plain_attentions(tie_kv: bool, keep: Tensor) -> None:
    model = luna({"projected_length": 5, "tie_kv": tie_kv})
    x = inputs(2, 16, dtype=torch.float64)
    found = with_gradients(lambda x: model(x, keep), x, keep)
    same(found, with_gradients(lambda x: plain(model, x, keep, 5), x, keep))
    learned = torch.autograd.grad(model(x, keep)[keep].square().sum(), list(model.parameters()))
    expected = torch.autograd.grad(plain(model, x, keep, 5)[keep].square().sum(), list(model.parameters()))
    same(learned, expected, 1e-11)


@pytest.mark.parametrize("tie_kv", [False, True])
@pytest.mark.parametrize("tokens", [1, 3])
def test_p_is_never_cut(tie_kv: bool, tokens: int) -> None:
    """The released code cuts P to the longest sequence of the batch, and masks it at each sequence's own length."""
    model = luna({"projected_length": 5, "tie_kv": tie_kv})
    x, keep = inputs(1, 5 + tokens, dtype=torch.float64), torch.ones(1, 5 + tokens, dtype=torch.bool)
    for mask in (keep, None):
        torch.testing.assert_close(model(x, mask), plain(model, x, keep, 5), rtol=0, atol=1e-12)
    batch = torch.cat([x, inputs(1, 5 + tokens, dtype=torch.float64, seed=4)])
    longer = torch.cat([batch, inputs(2, 20, dtype=torch.float64, seed=5)], dim=1)
    mask = lengths_mask([5 + tokens, 25 + tokens], 25 + tokens)
    torch.testing.assert_close(model(longer, mask)[:1, : 5 + tokens], model(x), rtol=0, atol=1e-12)


def test_with_p_as_inducing_points_it_is_the_set_transformer() -> None:
    model = luna({"projected_length": 5})
    other = build("set_transformer", {"num_inducing": 5}, dtype=torch.float64, seed=7)
    names = {
        "inducing_query": "pack_query", "key": "key", "value": "value", "inducing_output": "output.prefix",
        "query": "query", "summary_key": "unpack_key", "summary_value": "unpack_value", "output": "output.tokens",
    }  # fmt: skip
    points = other.get_parameter("inducing")
    with torch.no_grad():
        for theirs, ours in names.items():
            other.get_parameter(f"{theirs}.weight").copy_(model.get_parameter(f"{ours}.weight"))
    x, keep = inputs(2, 11, dtype=torch.float64), lengths_mask([11, 6], 11)
    all_keep = torch.cat([torch.ones(2, 5, dtype=torch.bool), keep], dim=1)

    def behind_points(x: Tensor) -> Tensor:
        out: Tensor = model(torch.cat([points.expand(2, -1, -1), x], dim=1), all_keep)[:, 5:]
        return out

    same(with_gradients(behind_points, x, keep), with_gradients(lambda x: other(x, keep), x, keep))
    found = model.dense_weights(torch.cat([points.expand(2, -1, -1), x], dim=1), all_keep)[:, :, 5:, 5:]
    torch.testing.assert_close(found, other.dense_weights(x, keep), rtol=0, atol=1e-12)


@pytest.mark.parametrize("tie_kv", [False, True])
def test_where_each_vector_packs_one_token_it_is_full_attention(tie_kv: bool) -> None:
    """l = L, pack weights equal to the identity, and W_V = W_O = 1 in the pack, so that Y_P = X."""
    model = luna({"projected_length": 8, "tie_kv": tie_kv})
    full = build("full", {}, dtype=torch.float64, seed=7)
    x = inputs(1, 8, dtype=torch.float64)
    one = torch.eye(24, dtype=torch.float64)
    with torch.no_grad():
        for name in ("value", "pack_query", *([] if tie_kv else ["key", "output.prefix"])):
            model.get_parameter(f"{name}.weight").copy_(one)
        if tie_kv:
            full.get_parameter("key.weight").copy_(full.get_parameter("value.weight"))
        else:
            model.get_parameter("unpack_key.weight").copy_(full.get_parameter("key.weight"))
        for ours, theirs in (("query", "query"), ("unpack_value", "value"), ("output.tokens", "output")):
            model.get_parameter(f"{ours}.weight").copy_(full.get_parameter(f"{theirs}.weight"))
        # q_i of head h with q_i k_j = 10,000 where i = j, and 0 elsewhere: 8 tokens and heads of width 8.
        p = torch.cat([1e4 * torch.linalg.inv(part).T for part in x[0].chunk(3, dim=-1)], dim=-1)[None]
    found = with_gradients(lambda x: model(torch.cat([p, x], dim=1))[:, 8:], x)
    same(found, with_gradients(full, x), 1e-11)


def test_one_packed_vector_says_the_same_to_all() -> None:
    model = luna({"projected_length": 1})
    out = model(inputs(2, 12, dtype=torch.float64), lengths_mask([12, 7], 12))[:, 1:]
    torch.testing.assert_close(out, out[:, :1].expand_as(out), rtol=0, atol=1e-14)


@pytest.mark.parametrize("options", CASES)
def test_a_permutation_of_the_tokens_permutes_them_and_leaves_p(options: Options) -> None:
    model, length = luna(options), options["projected_length"]
    draw = torch.Generator().manual_seed(3)
    order = torch.cat([torch.arange(length), length + torch.randperm(11, generator=draw)])
    x, keep = inputs(2, length + 11, dtype=torch.float64), lengths_mask([length + 11, length + 6], length + 11)
    found = with_gradients(lambda x: model(x[:, order], keep[:, order]), x, keep[:, order])
    same(found, with_gradients(lambda x: model(x, keep)[:, order], x, keep[:, order]))
    # The vectors of P have no order either: the tokens' outputs are sums over them.
    swapped = torch.cat([torch.randperm(length, generator=draw), torch.arange(length, length + 11)])
    torch.testing.assert_close(model(x[:, swapped], keep), model(x, keep)[:, swapped], rtol=0, atol=1e-12)


@pytest.mark.parametrize("tie_kv", [False, True])
def test_p_sees_tokens_alone_and_tokens_see_packed_vectors_alone(tie_kv: bool) -> None:
    model = luna({"projected_length": 5, "tie_kv": tie_kv})
    x = inputs(1, 16, dtype=torch.float64)
    keep = lengths_mask([13], 16)

    def rows(x: Tensor) -> Tensor:
        out: Tensor = model(x, keep).sum(dim=2)[0]
        return out

    jacobian = torch.autograd.functional.jacobian(rows, x)[:, 0].abs().sum(dim=-1)  # type: ignore[no-untyped-call]
    expected = torch.ones(16, 16, dtype=torch.bool)
    expected[:5, :5] = torch.eye(5, dtype=torch.bool)  # a vector of P reads no other, and adds itself outside
    expected[:, 13:] = False
    expected[13:, 13:] = torch.eye(3, dtype=torch.bool)  # a padded query reads itself, and nothing reads it
    assert torch.equal(jacobian > 0, expected)


def test_a_masked_vector_of_p_is_not_read() -> None:
    model = luna({"projected_length": 5})
    x = inputs(2, 16, dtype=torch.float64)
    other = x.clone()
    other[1, 2] += 1.0
    assert torch.equal(model(x, HOLES)[HOLES], model(other, HOLES)[HOLES])
    assert not torch.equal(model(x, lengths_mask([16, 16], 16)), model(other, lengths_mask([16, 16], 16)))


def test_sequences_without_tokens_give_zeros() -> None:
    """The released code's softmax over masked logits is NaN there."""
    model = luna({"projected_length": 5})
    x = inputs(2, 16, dtype=torch.float64)
    out = model(x, lengths_mask([5, 16], 16))
    assert not out[0].any()
    assert out[1].any()
    assert not model(x[:, :5]).any()
    assert model(x[:, :3]).shape == (2, 3, 24)


@pytest.mark.parametrize("tie_kv", [False, True])
def test_dense_weights(tie_kv: bool) -> None:
    model = luna({"projected_length": 5, "tie_kv": tie_kv})
    x, keep = inputs(2, 16, dtype=torch.float64), lengths_mask([16, 9], 16)
    given = {name.removesuffix(".weight"): value for name, value in model.named_parameters()}
    p, tokens = x[:, :5], x[:, 5:]
    one = torch.eye(11, dtype=torch.float64).expand(2, 3, -1, -1)
    key = given["value" if tie_kv else "key"]
    onto_tokens = dense(heads_of(p @ given["pack_query"].T), heads_of(tokens @ key.T), one, keep[:, None, None, 5:])
    y_p = plain(model, x, keep, 5)[:, :5]
    keys = heads_of(y_p @ given["unpack_value" if tie_kv else "unpack_key"].T)
    averaged = onto_tokens.mean(dim=1, keepdim=True).expand(2, 3, -1, -1)
    product = dense(heads_of(tokens @ given["query"].T), keys, averaged)
    found = model.dense_weights(x, keep)
    torch.testing.assert_close(found[..., 5:], torch.cat([onto_tokens, product], dim=2), rtol=0, atol=1e-12)
    assert not found[..., :5].any()
    torch.testing.assert_close(found.sum(-1), torch.ones(2, 3, 16, dtype=torch.float64), rtol=0, atol=1e-12)
    # Rows of P are all that the first attention does.
    mixed = found[:, :, :5, 5:] @ heads_of(tokens @ given["value"].T)
    torch.testing.assert_close(model.mix(model.project(x), keep)[:, :, :5], mixed, rtol=0, atol=1e-12)


def test_a_constant_stays_constant_in_each_attention() -> None:
    model = luna({"projected_length": 5})
    value = torch.randn(24, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    x = inputs(2, 16, dtype=torch.float64)
    with torch.no_grad():
        model.get_parameter("value.weight").zero_()[:, 0] = value
        x[:, 5:, 0] = 1.0
        mixed = torch.cat(list(model.mix(model.project(x), lengths_mask([16, 9], 16)).unbind(1)), dim=-1)
        packed = mixed[:, :5]
        torch.testing.assert_close(packed, value.expand_as(packed), rtol=0, atol=1e-12)
        expected = value @ model.get_parameter("output.prefix.weight").T @ model.get_parameter("unpack_value.weight").T
        torch.testing.assert_close(mixed[:, 5:], expected.expand_as(mixed[:, 5:]), rtol=0, atol=1e-12)


def test_dropout_is_on_both_attentions_in_training_alone() -> None:
    model = luna({"projected_length": 1}, dropout=0.5)
    x = inputs(1, 12, dtype=torch.float64)
    resting = model(x)
    assert torch.equal(model(x), resting)
    model.train()
    mixed = model.mix(model.project(x), None)
    assert not torch.allclose(model.output(mixed.transpose(1, 2).flatten(2))[:, :1], resting[:, :1])
    # One packed vector: the second attention gives each head's value times 0 or 2.
    kept = mixed[0, :, 1:].any(dim=-1)
    assert 0 < kept.sum() < 33, "the second attention drops nothing"
    for head in range(3):
        given = mixed[0, head, 1:][kept[head]]
        torch.testing.assert_close(given, given[:1].expand_as(given), rtol=0, atol=1e-12)


def test_tied_keys_and_values_are_one_projection() -> None:
    names = {name for name, _ in luna({"tie_kv": True}).named_parameters()}
    assert names == {f"{name}.weight" for name in ("query", "value", "pack_query", "unpack_value", "output.tokens")}
    assert len(list(luna({}).named_parameters())) == 8


def test_defaults_and_refusals() -> None:
    model = luna({})
    assert (model.num_prefix, model.tie_kv, model.feed_forward, model.pooled) == (256, False, "tokens", "tokens")
    with pytest.raises(ValueError, match="expected projected_length >= 1, got 0"):
        luna({"projected_length": 0})
    with pytest.raises(ValueError, match=r"expected heads \* head_dim = dim = 24 with tie_kv, got 12"):
        luna({"tie_kv": True}, head_dim=4)
    assert luna({}, head_dim=4)(inputs(1, 300, dtype=torch.float64)).shape == (1, 300, 24)
    with pytest.raises(ValueError, match=r"expected at most max_length = 64 \+ 256 positions, got 321"):
        model(inputs(1, 321, dtype=torch.float64))


# torch 2.13 itself uses what it deprecates.
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.slow
@pytest.mark.parametrize("options", CASES)
def test_compiles(options: Options) -> None:
    """As one graph, forward and backward; without the code generator, which takes a minute."""
    model = build("luna", options)
    x, keep = inputs(2, 16), lengths_mask([16, 9], 16)
    assert_same(torch.compile(model, backend="aot_eager", fullgraph=True), model, x, keep)
