"""Poolingformer: against loops over slots and windows, and its limits in full attention and Longformer."""

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from reference_models.attention.base import Attention
from reference_models.attention.operations import joined
from tests.support.harness import Options, assert_same, build, dense, inputs, lengths_mask, with_gradients

CASES: list[Options] = [
    {"window": 3, "pooling_window": 9},
    {"window": 4, "pooling_window": 11, "kernel": 3, "stride": 2, "pooling": "max"},
]
SLOPE = 1.1
WEIGHTS_ARE_ALL = False  # the second level's values are projections of the first's outputs, which mix heads
AVERAGES = False  # the outputs are y + z, and z is made of projections of y
MEAN: Options = {"window": 2, "pooling_window": 7, "pooling": "mean"}
POOLINGS = ["mean", "max", "ldconv"]


def heads_of(x: Tensor, model: Attention, name: str, heads: int = 3) -> Tensor:
    return torch.stack((x @ model.get_parameter(f"{name}.weight").T).chunk(heads, dim=-1), dim=1)


def pooled(rows: Tensor, kept: list[int], start: int, kernel: int, pooling: str, weights: Tensor) -> Tensor:
    """One slot of one example, of rows (L, H * E) with the heads side by side; weights: (3 kernel, H * E)."""
    tokens = [j for j in range(start, start + kernel) if j in kept]
    if pooling == "mean":
        return torch.stack([rows[j] for j in tokens]).mean(dim=0)
    if pooling == "max":
        return torch.stack([rows[j] for j in tokens]).amax(dim=0)
    centre = start + (kernel - 1) // 2
    logits = (weights @ rows[centre] if centre in kept else weights.new_zeros(len(weights))).view(3, kernel)
    of_tokens = logits[:, [j - start for j in tokens]].softmax(dim=-1)
    return torch.einsum("hj,jhe->he", of_tokens, rows[tokens].view(len(tokens), 3, -1)).flatten()


def both_levels(model: Attention, options: Options, keep: Tensor, x: Tensor) -> Tensor:
    """Heads' outputs y + z (B, H, L, E)."""
    length, (kernel, stride) = x.shape[1], (options.get("kernel", 5), options.get("stride", 4))
    place = torch.arange(length)
    near = (place[:, None] - place).abs() <= options["window"]
    q, k, v = (heads_of(x, model, name) for name in ("query", "key", "value"))
    y = dense(q, k, v, near & keep[:, None, None])
    outputs = []
    for b, kept in enumerate(keep):
        tokens, rows = kept.nonzero()[:, 0].tolist(), joined(y[b : b + 1])[0]
        starts = [s for s in range(0, length, stride) if any(s <= j < s + kernel for j in tokens)]
        slots = []
        for name in ("key", "value"):
            values = rows @ model.get_parameter(f"{name}_pooling.weight").T
            weights = dict(model.named_parameters()).get(f"{name}_weights.weight", values)
            pooling = options.get("pooling", "ldconv")
            slots.append(torch.stack([pooled(values, tokens, s, kernel, pooling, weights) for s in starts]))
        seen = [[abs(s + (kernel - 1) // 2 - i) <= options["pooling_window"] for s in starts] for i in range(length)]
        keys, values = (torch.stack(part.chunk(3, dim=-1))[None] for part in slots)
        outputs.append(dense(heads_of(rows[None], model, "query_pooling"), keys, values, torch.tensor(seen)))
    return y + torch.cat(outputs)


def plain(model: Attention, options: Options, keep: Tensor, x: Tensor) -> Tensor:
    out: Tensor = model.output(joined(both_levels(model, options, keep, x)))
    return out


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize(
    ("window", "pooling_window", "kernel", "stride"), [(2, 6, 5, 4), (0, 1, 2, 1), (3, 20, 3, 3), (17, 3, 4, 2)]
)
@pytest.mark.parametrize("length", [1, 6, 40])
def test_equals_loops_over_slots(
    pooling: str, window: int, pooling_window: int, kernel: int, stride: int, length: int
) -> None:
    options = {
        "window": window, "pooling_window": pooling_window, "kernel": kernel, "stride": stride, "pooling": pooling,
    }  # fmt: skip
    model = build("poolingformer", options, dtype=torch.float64)
    x = inputs(2, length, dtype=torch.float64)
    holes = torch.rand(2, length, generator=torch.Generator().manual_seed(length)) < 0.6  # not at the end alone
    holes[:, 0] = True
    for keep in (lengths_mask([length, -(-length // 3)], length), holes):
        found = with_gradients(partial(model, keep=keep), x, keep)
        expected = with_gradients(partial(plain, model, options, keep), x, keep)
        for one, two in zip(found, expected, strict=True):
            torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


def with_weights(model: Attention, weights: dict[str, Tensor]) -> Attention:
    for name, weight in weights.items():
        model.get_parameter(f"{name}.weight").data.copy_(weight)
    return model


@pytest.mark.parametrize("pooling", POOLINGS)
def test_slots_of_one_token_and_wide_windows_are_two_full_attentions(pooling: str) -> None:
    options = {"window": 40, "pooling_window": 40, "kernel": 1, "stride": 1, "pooling": pooling}
    model = build("poolingformer", options, dtype=torch.float64)
    first, second = (build("full", {}, dtype=torch.float64, seed=seed) for seed in (3, 4))
    names = ("query", "key", "value")
    with_weights(first, {name: model.get_parameter(f"{name}.weight") for name in names})
    with_weights(second, {name: model.get_parameter(f"{name}_pooling.weight") for name in names})
    x, keep = inputs(2, 23, dtype=torch.float64), lengths_mask([23, 9], 23)

    def stacked(x: Tensor) -> Tensor:
        y = joined(first.mix(first.project(x), keep))
        out: Tensor = model.output(y + joined(second.mix(second.project(y), keep)))
        return out

    found = with_gradients(partial(model, keep=keep), x, keep)
    for one, two in zip(found, with_gradients(stacked, x, keep), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


def test_with_a_first_level_that_changes_nothing_it_is_full_attention_to_slots_of_one_token() -> None:
    """w1 = 0 and an identity for v: y = x. The residual is taken off again."""
    options = {"window": 0, "pooling_window": 40, "kernel": 1, "stride": 1, "pooling": "mean"}
    model = with_weights(build("poolingformer", options, dtype=torch.float64), {"value": torch.eye(24)})
    full = build("full", {}, dtype=torch.float64, seed=7)
    with_weights(full, {name: model.get_parameter(f"{name}_pooling.weight") for name in ("query", "key", "value")})
    with_weights(full, {"output": model.get_parameter("output.weight")})
    x, keep = inputs(2, 23, dtype=torch.float64), lengths_mask([23, 9], 23)
    found = with_gradients(lambda x: model(x, keep) - model.output(x), x, keep)
    for one, two in zip(found, with_gradients(partial(full, keep=keep), x, keep), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


@pytest.mark.parametrize("window", [0, 3, 20])
def test_without_the_second_level_it_is_longformer_without_global_tokens(window: int) -> None:
    options = {"window": window, "pooling_layers": (1, 2)}
    names = []
    for layer in range(4):
        model = build("poolingformer", options, dtype=torch.float64, layer=layer, num_layers=4)
        names.append(sum("pooling" in name for name, _ in model.named_parameters()))
    assert names == [0, 3, 3, 0]
    other = build("longformer", {"window": max(1, 2 * window), "num_global": 0}, dtype=torch.float64, seed=7)
    other.load_state_dict(model.state_dict())
    x, keep = inputs(2, 40, dtype=torch.float64), lengths_mask([40, 9], 40)
    found = with_gradients(partial(model, keep=keep), x, keep)
    for one, two in zip(found, with_gradients(partial(other, keep=keep), x, keep), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)
    torch.testing.assert_close(model.dense_weights(x, keep), other.dense_weights(x, keep), rtol=0, atol=1e-12)


@pytest.mark.parametrize("options", [MEAN, {**MEAN, "pooling": "ldconv"}, {**MEAN, "window": 5, "kernel": 4}])
def test_dense_weights_are_all_with_one_head_and_an_identity_in_between(options: Options) -> None:
    """Then y + z is the first level's weights and the second's, times v."""
    model = build("poolingformer", options, dtype=torch.float64, heads=1, head_dim=24)
    with_weights(model, {"value_pooling": torch.eye(24)})
    x, keep = inputs(2, 30, dtype=torch.float64), lengths_mask([30, 13], 30)
    weights = model.dense_weights(x, keep)
    torch.testing.assert_close(weights.sum(-1)[:, 0][keep], torch.full((43,), 2.0, dtype=torch.float64))
    out = model.output(joined(weights @ model.project(x).v))
    torch.testing.assert_close(model(x, keep)[keep], out[keep], rtol=0, atol=1e-12)


def test_dense_weights_average_the_first_heads() -> None:
    model = build("poolingformer", MEAN, dtype=torch.float64)
    x, keep = inputs(2, 30, dtype=torch.float64), lengths_mask([30, 13], 30)
    alone = build("poolingformer", {**MEAN, "pooling_layers": (1, 1)}, dtype=torch.float64)
    with_weights(alone, {name: model.get_parameter(f"{name}.weight") for name in ("query", "key", "value")})
    first = alone.dense_weights(x, keep)
    y = joined(first @ model.project(x).v)
    slots = torch.zeros(2, 30, 30, dtype=torch.float64)  # (B, T, L): shares
    for b, count in enumerate((30, 13)):
        for s in range(0, count, 4):
            slots[b, s // 4, s : min(s + 5, count)] = 1 / (min(s + 5, count) - s)
    queries, keys = (heads_of(y, model, f"{name}_pooling") for name in ("query", "key"))
    logits = queries @ (slots[:, None] @ keys).transpose(-1, -2) / math.sqrt(8)
    far = (torch.arange(30) * 4 + 2 - torch.arange(30)[:, None]).abs() > 7
    nothing = ~slots.any(dim=-1)[:, None, None]
    second = logits.masked_fill(far | nothing, -math.inf).softmax(dim=-1).nan_to_num()
    expected = first + second @ slots[:, None] @ first.mean(dim=1, keepdim=True)
    rows = keep[:, None, :, None].expand_as(expected)
    torch.testing.assert_close(model.dense_weights(x, keep)[rows], expected[rows], rtol=0, atol=1e-12)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_inputs_reach_as_far_as_both_windows(pooling: str) -> None:
    """The first level reaches w1; the second the slots whose centres are within w2, and each of their tokens w1."""
    model = build("poolingformer", {**MEAN, "pooling": pooling}, dtype=torch.float64)
    x = inputs(1, 64, dtype=torch.float64)
    # (L, 1, L, D)
    jacobian = torch.autograd.functional.jacobian(lambda x: model(x).sum(dim=2)[0], x)  # type: ignore[no-untyped-call]
    expected = torch.zeros(64, 64, dtype=torch.bool)
    for i in range(64):
        expected[i, max(0, i - 2) : i + 3] = True
        for s in range(0, 64, 4):
            if abs(s + 2 - i) <= 7:
                expected[i, max(0, s - 2) : s + 7] = True
    found = jacobian.abs().sum(dim=(1, 3)) > 0
    assert not (found & ~expected).any()
    if pooling != "max":  # a token that is not the greatest in any channel does not count
        assert torch.equal(found, expected)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_slot_without_a_kept_token_is_no_key(pooling: str) -> None:
    model = build("poolingformer", {**MEAN, "pooling": pooling}, dtype=torch.float64)
    x, keep = inputs(1, 64, dtype=torch.float64), lengths_mask([9], 64)
    torch.testing.assert_close(model(x, keep)[:, :9], model(x[:, :9]), rtol=0, atol=1e-12)
    keep = torch.ones(1, 64, dtype=torch.bool)
    keep[:, 8:24] = False
    other = torch.where(keep[..., None], x, 5 + x)
    assert torch.equal(model(x, keep)[keep], model(other, keep)[keep])


def test_the_defaults_are_the_papers() -> None:
    found: Any = build("poolingformer", {})
    assert (found.window, found.pooling_window, found.kernel, found.stride) == (128, 512, 5, 4)
    assert (found.pooling, found.has_pooling) == ("ldconv", True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": -1}, "expected windows >= 0, got -1, 512"),
        ({"stride": 0}, "expected a stride from 1 to the kernel, got 0 with a kernel of 5"),
        ({"stride": 6}, "expected a stride from 1 to the kernel, got 6 with a kernel of 5"),
        ({"pooling": "sum"}, "expected the pooling 'mean', 'max' or 'ldconv', got 'sum'"),
        ({"pooling_window": 3}, "expected a pooling_window >= kernel - 1, got 3 with a kernel of 5"),
        ({"pooling_layers": (2, 1)}, r"expected pooling_layers 0 <= first <= last, got \(2, 1\)"),
        ({"pooling_layers": (-1, 1)}, "expected pooling_layers 0 <= first <= last"),
    ],
)
def test_options_are_checked(options: Options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build("poolingformer", options)


def test_dropout_is_on_both_levels_in_training_alone() -> None:
    model = build("poolingformer", {**MEAN, "window": 0}, dropout=0.5, dtype=torch.float64)
    with_weights(model, {"value": torch.eye(24)})
    values = model.get_parameter("value_pooling.weight").detach().clone()

    def mixed(x: Tensor, second: Tensor) -> Tensor:
        with_weights(model, {"value_pooling": second})
        torch.manual_seed(0)
        return joined(model.mix(model.project(x), None)).detach()

    x = inputs(1, 30, dtype=torch.float64)
    assert torch.equal(mixed(x, values), model.mix(model.project(x), None).transpose(1, 2).flatten(2))
    model.train()
    y = mixed(x, torch.zeros(24, 24))  # each query has one key: 0 or twice its value
    assert {round(factor) for factor in (y / x).flatten().tolist()} == {0, 2}
    z = mixed(x, values) - y
    model.eval()
    assert not torch.allclose(mixed(y, values) - y, z), "the second level drops nothing"


# torch 2.13 itself uses what it deprecates. aot_eager: whole graphs forward and backward, without seconds of C++.
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.slow
@pytest.mark.parametrize("pooling", POOLINGS)
def test_compiles(pooling: str) -> None:
    model = build("poolingformer", {**MEAN, "pooling": pooling})
    x, keep = inputs(2, 24), lengths_mask([24, 7], 24)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    assert_same(compiled, model, x, keep)
