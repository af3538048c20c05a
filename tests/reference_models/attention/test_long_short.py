"""Long-Short Transformer: against loops over queries and slots, and against full attention, Linformer and bands."""

from functools import partial

import pytest
import torch
from torch import Tensor

from reference_models.attention.base import Attention
from reference_models.attention.long_short import LongShortAttention
from reference_models.attention.operations import joined
from tests.support.harness import Options, assert_same, build, dense, inputs, lengths_mask, with_gradients

CASES: list[Options] = [{"window": 4, "rank": 5}, {"window": 3, "rank": 2, "source": "keys"}]
SLOPE = 1.1
# Values are normalised: their sums are not those of v.
WEIGHTS_ARE_ALL = False
AVERAGES = False

LENGTH = 13
KEEP = lengths_mask([LENGTH, 7, 0], LENGTH)
HOLES = KEEP & (torch.arange(LENGTH) % 4 != 1)


def long_short(options: Options, *, normed: bool = True, **shape: int) -> LongShortAttention:
    """In float64, with norms that are not as new, or without norms."""
    model = build("long_short", options, dtype=torch.float64, **shape)
    assert isinstance(model, LongShortAttention)
    generator = torch.Generator().manual_seed(7)
    for name in ("norm_local", "norm_global"):
        norm = getattr(model, name, None)
        if norm is None:
            continue
        if normed:
            for parameter in norm.parameters():
                parameter.data += 0.3 * torch.randn(parameter.shape, dtype=torch.float64, generator=generator)
        else:
            norm.forward = lambda x: x
    return model


def normalised(model: LongShortAttention, name: str, vector: Tensor) -> Tensor:
    """Layer normalisation of one vector, by its definition."""
    scale, shift = model.get_parameter(f"{name}.weight"), model.get_parameter(f"{name}.bias")
    apart = vector - vector.mean()
    return apart / (apart.square().mean() + 1e-5).sqrt() * scale + shift


def plain(model: LongShortAttention, x: Tensor, keep: Tensor) -> Tensor:
    """One query after the other: equation 3 of the paper for the slots, then equation 6."""
    _, q, k, v = model.project(x)
    mixed = torch.zeros_like(v)
    for b in range(len(x)):
        kept = keep[b].nonzero()[:, 0].tolist()
        for h in range(v.shape[1]):
            slots = []
            for r in range(model.rank if kept else 0):
                if model.source == "inputs":
                    logits = [x[b, j] @ model.dynamic.weight[h * model.rank + r] for j in kept]
                else:
                    logits = [k[b, h, j] @ model.dynamic_keys[h, :, r] for j in kept]
                shares = torch.stack(logits).softmax(dim=0)
                sums = [sum(s * y[b, h, j] for s, j in zip(shares, kept, strict=True)) for y in (k, v)]
                slots.append([normalised(model, "norm_global", torch.as_tensor(each)) for each in sums])
            for i in kept:
                seen = list(slots)
                if model.window:
                    start = i // model.window * model.window
                    reach = range(start - model.window // 2, start + model.window + model.window // 2)
                    seen += [[normalised(model, "norm_local", y[b, h, j]) for y in (k, v)] for j in kept if j in reach]
                powers = [torch.exp(q[b, h, i] @ key / len(key) ** 0.5) for key, _ in seen]
                mixed[b, h, i] = sum(p * value for p, (_, value) in zip(powers, seen, strict=True)) / sum(powers)
    out: Tensor = model.output(joined(mixed))
    return out


@pytest.mark.parametrize("keep", [KEEP, HOLES], ids=["right", "holes"])
@pytest.mark.parametrize(
    "options", [*CASES, {"window": 1, "rank": 0}, {"window": 0, "rank": 3}, {"window": 20, "rank": 1}], ids=str
)
def test_equals_loops_over_queries(options: Options, keep: Tensor) -> None:
    model = long_short(options, dim=8, heads=2, head_dim=3)
    x = inputs(3, LENGTH, dim=8, dtype=torch.float64)
    found = with_gradients(lambda x: model(x, keep), x, keep)
    expected = with_gradients(lambda x: plain(model, x, keep), x, keep)
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-11)


def test_blocks_of_many_queries_equal_the_band() -> None:
    """Longer than the blocks that share a stretch of keys, at lengths that no window divides."""
    for window, length in ((4, 50), (5, 37), (1, 20), (16, 64), (8, 63)):
        model = long_short({"window": window, "rank": 3}, normed=False)
        x, keep = inputs(2, length, dtype=torch.float64), lengths_mask([length, length // 2], length)
        out = model.output(joined(model.dense_weights(x, keep) @ model.project(x).v))
        torch.testing.assert_close(model(x, keep)[keep], out[keep], rtol=0, atol=1e-12)


def full_like(model: LongShortAttention) -> Attention:
    full = build("full", {}, dtype=torch.float64)
    full.load_state_dict({name: model.state_dict()[name] for name in full.state_dict()})
    return full


def same_as_full(model: LongShortAttention, x: Tensor, keep: Tensor) -> None:
    found, expected = (with_gradients(partial(one, keep=keep), x, keep) for one in (model, full_like(model)))
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


@pytest.mark.parametrize("window", [LENGTH, 40])
def test_a_window_over_all_without_slots_is_full_attention(window: int) -> None:
    same_as_full(long_short({"window": window, "rank": 0}, normed=False), inputs(3, LENGTH, dtype=torch.float64), KEEP)


@pytest.mark.parametrize("window", [0, LENGTH])
def test_one_slot_for_each_token_is_full_attention(window: int) -> None:
    """With the window each key is seen twice."""
    model = long_short({"window": window, "rank": LENGTH}, normed=False)
    with torch.no_grad():
        model.dynamic.weight.zero_().view(3, LENGTH, 24)[:, :, :LENGTH] = 60 * torch.eye(LENGTH)
    x = inputs(1, LENGTH, dtype=torch.float64)
    x[:, :, :LENGTH] = torch.eye(LENGTH, dtype=torch.float64)  # each token's slot is marked in it
    same_as_full(model, x, KEEP[:1])


def test_slots_that_do_not_depend_on_the_input_are_linformers() -> None:
    model = long_short({"window": 0, "rank": 5}, normed=False)
    shares = torch.randn(3, 5, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).softmax(dim=-1)
    setattr(model, "_shares", lambda x, k, keep: shares.expand(len(x), -1, -1, -1))  # noqa: B010
    linformer = build("linformer", {"k": 5, "sharing": "none"}, dtype=torch.float64, max_length=12)
    state = {name: value for name, value in model.state_dict().items() if name in linformer.state_dict()}
    linformer.load_state_dict({**state, "project_keys": shares, "project_values": shares})
    x = inputs(2, 12, dtype=torch.float64)
    for one, two in zip(with_gradients(model, x), with_gradients(linformer, x), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


@pytest.mark.parametrize("window", [1, 2, 3, 8])
def test_the_window_alone_is_a_band_of_blocks(window: int) -> None:
    """A window of 1 is the token itself: the released code sees a neighbour on each side."""
    model = long_short({"window": window, "rank": 0}, normed=False)
    x = inputs(2, 30, dtype=torch.float64)
    _, q, k, v = model.project(x)
    mask = torch.zeros(30, 30, dtype=torch.bool)
    for i in range(30):
        first = i - i % window
        mask[i, max(0, first - window // 2) : first + window + window // 2] = True
    torch.testing.assert_close(model(x), model.output(joined(dense(q, k, v, mask))), rtol=0, atol=1e-12)
    assert torch.equal((model.dense_weights(x) > 0)[0, 0], mask)


@pytest.mark.parametrize("options", [{}, {"window": 0}, {"rank": 0}])
def test_a_sequence_of_padding_alone_gives_zeros(options: Options) -> None:
    """Its slots, which the norm shifts, are not keys."""
    model = long_short(options)
    mixed = model.mix(model.project(inputs(3, LENGTH, dtype=torch.float64)), KEEP)
    assert not mixed[2].any()
    assert mixed[:2].any()


def test_slots_reach_what_the_window_does_not() -> None:
    x = inputs(1, 40, dtype=torch.float64).requires_grad_()
    for rank, reached in ((0, 8), (2, 40)):
        model = long_short({"window": 4, "rank": rank})
        (gradient,) = torch.autograd.grad(model(x)[0, 20].sum(), x)
        assert int((gradient[0].abs().sum(dim=-1) > 0).sum()) == reached


def test_one_softmax_covers_window_and_slots() -> None:
    model = long_short({"window": 4, "rank": 3})
    x, keep = inputs(3, LENGTH, dtype=torch.float64), HOLES
    sums = model.dense_weights(x, keep).sum(dim=-1).transpose(1, 2)[keep]
    torch.testing.assert_close(sums, torch.ones_like(sums), rtol=0, atol=1e-12)


@pytest.mark.parametrize("options", CASES)
def test_heads_do_not_see_each_other(options: Options) -> None:
    """The released code normalises the channels of all heads together."""
    model = long_short(options)
    projected = model.project(inputs(1, LENGTH, dtype=torch.float64))
    k, v = projected.k.clone(), projected.v.clone()
    k[:, 1], v[:, 1] = 3 * k[:, 1] + 1, 5 * v[:, 1].flip(1)
    before, after = model.mix(projected, None), model.mix(projected._replace(k=k, v=v), None)
    torch.testing.assert_close(before[:, ::2], after[:, ::2], rtol=0, atol=1e-13)
    assert not torch.allclose(before[:, 1], after[:, 1])


def test_slots_are_normalised_once() -> None:
    """The released code sums keys and values that the other norm has normalised; scales of tokens are then lost."""
    model = long_short({"window": 4, "rank": 3})
    projected = model.project(inputs(1, LENGTH, dtype=torch.float64))
    louder = projected.v.clone()
    louder[:, :, 0] *= 100
    shares = model._shares(projected.x, projected.k, None)
    before, after = model._slots(shares, projected.v), model._slots(shares, louder)
    first = model.norm_global(projected.v[:, :, :1])
    assert ((after - first).norm(dim=-1) < (before - first).norm(dim=-1)).all()


def test_keys_and_values_share_two_norms() -> None:
    model = long_short({})
    names = [name for name, _ in model.named_parameters() if name.startswith("norm")]
    assert names == ["norm_local.weight", "norm_local.bias", "norm_global.weight", "norm_global.bias"]
    assert model.norm_local.weight.shape == (8,)
    assert model.dynamic.weight.shape == (3 * 32, 24)
    assert not any("global" in name or "dynamic" in name for name in long_short({"rank": 0}).state_dict())
    assert not any("local" in name for name in long_short({"window": 0}).state_dict())


def test_each_layer_begins_with_its_own_projection() -> None:
    options: Options = {"source": "keys", "rank": 4}
    one, two, again = (long_short(options, num_layers=2, layer=layer) for layer in (0, 1, 0))
    assert one.dynamic_keys.shape == (3, 8, 4)
    assert not torch.equal(one.dynamic_keys, two.dynamic_keys)
    assert torch.equal(one.dynamic_keys, again.dynamic_keys)


@pytest.mark.parametrize("options", [{}, {"window": 0}, {"rank": 0}])
def test_attention_dropout_is_on_in_training_alone(options: Options) -> None:
    model = build("long_short", options, dropout=0.5)
    x = inputs(1, 20)
    torch.testing.assert_close(model(x), model(x))
    model.train()
    assert not torch.allclose(model(x), model(x))


def test_options_are_checked() -> None:
    for options, message in (
        ({"window": -1}, "window and rank >= 0, not both 0, got window=-1, rank=32"),
        ({"rank": -2}, "got window=8, rank=-2"),
        ({"window": 0, "rank": 0}, "got window=0, rank=0"),
        ({"source": "values"}, "'keys'\\), got 'values'"),
    ):
        with pytest.raises(ValueError, match=message):
            build("long_short", options)


# torch 2.13 itself uses what it deprecates.
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.parametrize("options", CASES)
@pytest.mark.slow
def test_compiles(options: Options) -> None:
    """As one graph, forward and backward; without the code generator, which takes a minute."""
    model = build("long_short", options)
    x, keep = inputs(2, 12), lengths_mask([12, 7], 12)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    assert_same(compiled, model, x, keep)
