"""Synthesizer: against logits written entry by entry, and against full attention and each other where they agree."""

import pytest
import torch
from torch import Tensor

from reference_models.attention.base import Attention
from reference_models.attention.operations import joined
from tests.support.harness import Options, assert_same, build, dense, inputs, lengths_mask, with_gradients

CASES: list[Options] = [
    {},
    {"mode": "dense"},
    {"mode": "factorized_random", "k": 3, "trainable": False},
    {"mode": "mixture", "mixed": ("factorized_dense", "dot_product"), "a": 5},
]
SLOPE = None
ALL_KINDS = ["dense", "random", "factorized_dense", "factorized_random", "dot_product"]


def hidden(state: dict[str, Tensor], x: Tensor, h: int) -> Tensor:
    """relu(W_1 x + b_1) of a head, in the rows of x."""
    rows = slice(8 * h, 8 * h + 8)
    return (x @ state["hidden"][rows].T + state["hidden_bias"][rows]).clamp(min=0)


def logit(kind: str, state: dict[str, Tensor], x: Tensor, h: int, i: int, j: int) -> Tensor:
    """S_ij of a head, as the paper defines it; x: (L, D)."""
    if kind == "random":
        return state["matrix"][h, i, j]
    if kind == "factorized_random":
        return (state["rows"][h, i] * state["columns"][h, j]).sum()
    if kind == "dot_product":
        rows = slice(8 * h, 8 * h + 8)
        return (state["weight"][0, rows] @ x[i]) @ (state["weight"][1, rows] @ x[j]) / 8**0.5
    made = hidden(state, x[i : i + 1], h)[0]
    if kind == "dense":
        return made @ state["columns.0"][h, :, j] + state["biases.0"][h, 0, j]
    width = state["columns.0"].shape[-1]
    tile = made @ state["columns.0"][h, :, j % width] + state["biases.0"][h, 0, j % width]
    return tile * (made @ state["columns.1"][h, :, j // width] + state["biases.1"][h, 0, j // width])


def all_logits(kind: str, part: torch.nn.Module, x: Tensor) -> Tensor:
    """S (B, H, L, L), entry by entry."""
    state, places = {**dict(part.named_parameters()), **dict(part.named_buffers())}, range(x.shape[1])
    entries = [logit(kind, state, y, h, i, j) for y in x for h in range(3) for i in places for j in places]
    return torch.stack(entries).view(len(x), 3, len(places), len(places))


def parts(model: Attention) -> list[torch.nn.Module]:
    return list(model.get_submodule("parts").children())


def moved(model: Attention) -> Attention:
    """Parameters away from where they begin, among them biases of 0, and so large that weights are far from equal."""
    draw = torch.Generator().manual_seed(4)
    for name, tensor in model.state_dict().items():
        if "parts" in name:
            tensor.add_(torch.randn(tensor.shape, generator=draw, dtype=torch.float64) * 0.4)
    return model


@pytest.mark.parametrize("kind", ALL_KINDS)
@pytest.mark.parametrize("trainable", [True, False])
def test_equals_the_paper_entry_by_entry(kind: str, trainable: bool) -> None:
    model = moved(
        build("synthesizer", {"mode": kind, "trainable": trainable, "a": 3}, dtype=torch.float64, max_length=8)
    )
    x, keep = inputs(2, 7, dtype=torch.float64), lengths_mask([7, 4], 7)

    def plain(x: Tensor) -> Tensor:
        weights = all_logits(kind, parts(model)[0], x).masked_fill(~keep[:, None, None], -torch.inf).softmax(dim=-1)
        out: Tensor = model.output(joined(weights @ model.project(x).v))
        return out

    found, expected = with_gradients(lambda x: model(x, keep), x, keep), with_gradients(plain, x, keep)
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


def test_a_mixture_weighs_its_parts_by_a_softmax() -> None:
    model = moved(build("synthesizer", {"mode": "mixture", "mixed": ALL_KINDS}, dtype=torch.float64, max_length=8))
    shares = torch.tensor([0.5, 0.25, 0.125, 0.0625, 0.0625], dtype=torch.float64)
    model.get_parameter("mixture").data.copy_(shares.log() + 3)
    x = inputs(2, 5, dtype=torch.float64)
    logits = sum(a * all_logits(kind, part, x) for a, kind, part in zip(shares, ALL_KINDS, parts(model), strict=True))
    assert isinstance(logits, Tensor)
    out = model.output(joined(logits.softmax(dim=-1) @ model.project(x).v))
    torch.testing.assert_close(model(x), out, rtol=0, atol=1e-12)


def test_a_mixture_of_the_dot_product_alone_is_full_attention() -> None:
    model = build("synthesizer", {"mode": "mixture"}, dtype=torch.float64)
    model.get_parameter("mixture").data.copy_(torch.tensor([-1e4, 0.0]))
    full = build("full", {}, dtype=torch.float64)
    query, key = parts(model)[1].get_parameter("weight")
    state = model.state_dict()
    full.load_state_dict(
        {
            "query.weight": query,
            "key.weight": key,
            "value.weight": state["value.weight"],
            "output.weight": state["output.weight"],
        }
    )
    x, keep = inputs(2, 11, dtype=torch.float64), lengths_mask([11, 6], 11)
    found, expected = (
        with_gradients(lambda x: model(x, keep), x, keep),
        with_gradients(lambda x: full(x, keep), x, keep),
    )
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


def test_random_with_the_logits_of_full_attention_equals_it() -> None:
    model, full = build("synthesizer", {}, dtype=torch.float64), build("full", {}, dtype=torch.float64)
    for name in ("value", "output"):
        model.get_submodule(name).load_state_dict(full.get_submodule(name).state_dict())
    x, keep = inputs(1, 12, dtype=torch.float64), lengths_mask([9], 12)
    _, q, k, v = full.project(x)
    parts(model)[0].get_parameter("matrix").data[:, :12, :12] = (q @ k.transpose(-1, -2) / 8**0.5)[0]
    torch.testing.assert_close(model(x, keep), full(x, keep), rtol=0, atol=1e-12)
    torch.testing.assert_close(model(x), full.output(joined(dense(q, k, v))), rtol=0, atol=1e-12)


def test_factorized_random_with_a_full_rank_is_random() -> None:
    factorized = build("synthesizer", {"mode": "factorized_random", "k": 16}, dtype=torch.float64, max_length=16)
    random = build("synthesizer", {}, dtype=torch.float64, max_length=16)
    random.load_state_dict(factorized.state_dict(), strict=False)  # value and output
    (part,) = parts(factorized)
    part.get_parameter("rows").data.copy_(parts(random)[0].get_parameter("matrix"))
    part.get_parameter("columns").data.copy_(torch.eye(16))
    x, keep = inputs(2, 13, dtype=torch.float64), lengths_mask([13, 5], 13)
    torch.testing.assert_close(factorized(x, keep), random(x, keep), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_rows_sum_to_one_over_the_keys_that_are_kept(kind: str) -> None:
    model = moved(build("synthesizer", {"mode": kind}))
    keep = lengths_mask([20, 7], 20)
    weights = model.dense_weights(inputs(2, 20), keep)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 3, 20))
    assert not weights[1, ..., 7:].any()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 3 * 64 * 64),
        ({"trainable": False}, 0),
        ({"mode": "dense"}, 24 * 24 + 24 + 24 * 64 + 3 * 64),
        ({"mode": "factorized_dense"}, 24 * 24 + 24 + 24 * 16 + 3 * 16),  # A and B of 8
        ({"mode": "factorized_random"}, 2 * 3 * 64 * 8),
        ({"mode": "factorized_random", "trainable": False}, 0),
        ({"mode": "mixture"}, 3 * 64 * 64 + 2 * 24 * 24 + 2),
    ],
)
def test_counts_of_parameters(options: Options, expected: int) -> None:
    model = build("synthesizer", options)
    assert sum(p.numel() for p in model.parameters()) == expected + 2 * 24 * 24  # value and output


@pytest.mark.parametrize("mode", ["random", "factorized_random"])
def test_what_is_random_begins_with_the_same_spread(mode: str) -> None:
    model = build("synthesizer", {"mode": mode, "trainable": False}, max_length=400)
    logits = parts(model)[0](inputs(1, 400))
    assert float(logits.std()) == pytest.approx(400**-0.5, rel=0.1)


@pytest.mark.parametrize("mode", ["random", "factorized_random"])
def test_what_is_fixed_is_saved_and_drawn_from_a_private_stream(mode: str) -> None:
    def stored(layer: int, seed: int) -> dict[str, Tensor]:
        options = {"mode": mode, "trainable": False}
        state = build("synthesizer", options, num_layers=2, layer=layer, seed=seed).state_dict()
        return {name: tensor for name, tensor in state.items() if "parts" in name}

    first, again, second = stored(0, 0), stored(0, 1), stored(1, 0)
    assert first
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], second[name]) for name in first)
    assert not any(torch.equal(first[name][0], first[name][1]) for name in first), "heads are alike"


def test_attention_dropout_is_on_in_training_alone_and_differs_between_examples() -> None:
    model = build("synthesizer", {}, dropout=0.5)
    x = inputs(1, 9).expand(2, -1, -1)
    torch.testing.assert_close(model(x), model(x))
    model.train()
    out = model(x)
    assert not torch.allclose(out, model(x))
    assert not torch.allclose(out[0], out[1])


def test_options_are_checked() -> None:
    wrong: list[tuple[Options, str]] = [
        ({"mode": "sparse"}, "got 'sparse'"),
        ({"mode": "mixture", "mixed": ()}, "got 'mixture' of"),
        ({"mode": "mixture", "mixed": ("mixture",)}, "got 'mixture' of"),
        ({"k": 0}, "k >= 1, got 0"),
        ({"a": 65}, "a from 1 to max_length = 64, got 65"),
    ]
    for options, message in wrong:
        with pytest.raises(ValueError, match=message):
            build("synthesizer", options)


# torch 2.13 itself uses what it deprecates.
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.slow
def test_compiles() -> None:
    """As one graph, forward and backward; without the code generator, which takes a minute."""
    model = build("synthesizer", {"mode": "mixture", "mixed": ALL_KINDS})
    x, keep = inputs(2, 12), lengths_mask([12, 7], 12)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    assert_same(compiled, model, x, keep)
