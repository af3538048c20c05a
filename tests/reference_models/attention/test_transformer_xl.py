"""Transformer-XL: against the paper's walk from segment to segment, written with loops over pairs."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from reference_models.attention.base import Attention
from reference_models.attention.transformer_xl import TransformerXLAttention
from tests.support.harness import Options, build, inputs, lengths_mask, with_gradients

# No segment is shorter than the 9 tokens of the contract's check by finite differences: those do not know of gradients
# that stop. With a memory at work, gradients are compared with the walk's below.
CASES: list[Options] = [
    {"segment": 9, "memory": 5},
    {"segment": 10, "memory": 23, "causal": True},
    {"segment": 16, "memory": 16},
]
WALKS: list[Options] = [
    *CASES,
    {"segment": 4, "memory": 3},
    {"segment": 3, "memory": 7, "causal": True},
    {"segment": 1, "memory": 5},
    {"segment": 5, "memory": 0},
    {"segment": 64, "memory": 4},
]
SLOPE = 1.1


def SLOPE_OPTIONS(length: int) -> Options:  # noqa: N802
    return {"segment": 64, "memory": 64}


LENGTH = 19
KEEP = lengths_mask([19, 11], LENGTH)
HOLES = KEEP & (torch.arange(LENGTH) % 5 != 2)


def sinusoid(distance: int, dim: int) -> Tensor:
    angles = [distance / 10000 ** (2 * number / dim) for number in range((dim + 1) // 2)]
    return torch.tensor(([*map(math.sin, angles), *map(math.cos, angles)])[:dim], dtype=torch.float64)


def step(model: Attention, memory: Tensor, own: Tensor, keep: Tensor) -> Tensor:
    """One segment's outputs, pair by pair. memory: (B, m, D). own: (B, s, D). keep: (B, m + s)."""
    heads, width = model.shape.heads, model.shape.head_dim
    state = dict(model.named_parameters())
    tokens = torch.cat([memory, own], dim=1)
    causal = getattr(model, "causal", False)

    def projected(name: str, row: Tensor) -> Tensor:
        out = row @ state[f"{name}.weight"].T
        return out.reshape(*out.shape[:-1], heads, width)

    relative: dict[int, Tensor] = {}
    outs = []
    for i in range(memory.shape[1], tokens.shape[1]):
        q = projected("query", tokens[:, i])
        columns = []
        for j in range(tokens.shape[1]):
            if i - j not in relative:
                relative[i - j] = projected("position", sinusoid(i - j, model.shape.dim))
            k = projected("key", tokens[:, j])
            content = (q * k).sum(-1) + (state["content_bias"] * k).sum(-1)
            by_distance = ((q + state["position_bias"]) * relative[i - j]).sum(-1)
            seen = keep[:, j, None] & torch.tensor(j <= i or not causal)
            columns.append(torch.where(seen, torch.exp((content + by_distance) / math.sqrt(width)), 0.0))
        weights = torch.stack(columns, dim=1)  # (B, keys, H)
        values = projected("value", tokens)
        total = weights.sum(1).clamp(min=1e-300)
        outs.append((weights[..., None] * values).sum(1) / total[..., None])
    return torch.stack(outs, dim=1).flatten(2) @ state["output.weight"].T


def walk(layers: list[Attention], x: Tensor, keep: Tensor, segment: int, memory: int) -> Tensor:
    """The paper's procedure: every segment goes through all layers, then each layer remembers its own last inputs."""
    remembered = [x[:, :0] for _ in layers]
    outs = []
    for start in range(0, x.shape[1], segment):
        out = x[:, start : start + segment]
        for number, layer in enumerate(layers):
            old = remembered[number]
            kept = keep[:, start - old.shape[1] : start + segment]
            remembered[number] = torch.cat([old, out], dim=1).detach()[:, -memory:] if memory else old
            out = step(layer, old, out, kept)
        outs.append(out)
    return torch.cat(outs, dim=1)


def xl(options: Options, dtype: torch.dtype = torch.float64, **shape: int) -> Attention:
    """With large u and v, or their faults would be small."""
    model = build("transformer_xl", options, dtype=dtype, **shape)
    with torch.no_grad():
        for name in ("content_bias", "position_bias"):
            model.get_parameter(name).mul_(50)
    return model


def same(found: tuple[Tensor, ...], expected: tuple[Tensor, ...], atol: float = 1e-12) -> None:
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=atol)


@pytest.mark.parametrize("keep", [KEEP, HOLES], ids=["right", "holes"])
@pytest.mark.parametrize("options", WALKS)
def test_equals_the_walk(options: Options, keep: Tensor) -> None:
    model = xl(options)
    x = inputs(2, LENGTH, dtype=torch.float64)
    sizes = options["segment"], options["memory"]
    same(
        with_gradients(lambda x: model(x, keep), x, keep),
        with_gradients(lambda x: walk([model], x, keep, *sizes), x, keep),
    )
    parameters = list(model.parameters())  # the projections learn from the memory too
    found = torch.autograd.grad(model(x, keep)[keep].square().sum(), parameters)
    same(found, torch.autograd.grad(walk([model], x, keep, *sizes)[keep].square().sum(), parameters), 1e-11)


def test_a_stack_of_layers_at_once_equals_the_walk_through_all_of_them() -> None:
    layers = [xl({"segment": 4, "memory": 6}, seed=seed) for seed in (0, 1)]
    x = inputs(2, LENGTH, dtype=torch.float64)
    same(
        with_gradients(lambda x: layers[1](layers[0](x, KEEP), KEEP), x, KEEP),
        with_gradients(lambda x: walk(layers, x, KEEP, 4, 6), x, KEEP),
    )


def test_works_with_an_odd_width() -> None:
    model = xl({"segment": 4, "memory": 3}, dim=7, heads=2, head_dim=3)
    x = inputs(2, LENGTH, dim=7, dtype=torch.float64)
    torch.testing.assert_close(model(x, KEEP)[KEEP], walk([model], x, KEEP, 4, 3)[KEEP], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_causal_segments_with_all_of_the_past_are_one_causal_attention(dtype: torch.dtype, atol: float) -> None:
    def stack(segment: int, memory: int, causal: bool) -> Tensor:
        layers = [xl({"segment": segment, "memory": memory, "causal": causal}, dtype, seed=seed) for seed in (0, 1)]
        x = inputs(2, LENGTH, dtype=dtype)
        out: Tensor = layers[1](layers[0](x, KEEP), KEEP)
        return out[KEEP]

    torch.testing.assert_close(stack(4, LENGTH, True), stack(LENGTH, 0, True), rtol=0, atol=atol)
    assert not torch.allclose(stack(4, LENGTH, False), stack(LENGTH, 0, False), atol=1e-3)  # no token sees what follows
    assert not torch.allclose(stack(4, 9, True), stack(LENGTH, 0, True), atol=1e-3)


def test_one_segment_without_positions_is_full_attention() -> None:
    model, full = build("transformer_xl", {"segment": 64}, dtype=torch.float64), build("full", {}, dtype=torch.float64)
    with torch.no_grad():
        for name in ("position.weight", "content_bias", "position_bias"):
            model.get_parameter(name).zero_()
    full.load_state_dict({name: tensor for name, tensor in model.state_dict().items() if name in full.state_dict()})
    x = inputs(2, LENGTH, dtype=torch.float64)
    same(
        with_gradients(lambda x: model(x, KEEP), x, KEEP),
        with_gradients(lambda x: full(x, KEEP), x, KEEP),
    )


@pytest.mark.parametrize("options", [{"segment": 4, "memory": 6}, {"segment": 5, "memory": 3, "causal": True}])
def test_gradients_stop_at_the_boundary_and_the_view_at_the_memory(options: Options) -> None:
    model = xl(options)
    x = inputs(1, LENGTH, dtype=torch.float64)
    segment, memory, causal = options["segment"], options["memory"], options.get("causal", False)
    moved = torch.zeros(LENGTH, LENGTH, dtype=torch.bool)  # [i, j]: whether output i changes with token j
    learned = torch.zeros_like(moved)
    for j in range(LENGTH):
        other = x.clone()
        other[:, j] += 1
        moved[:, j] = (model(other) - model(x)).abs().amax(dim=(0, 2)) > 0
    leaf = x.clone().requires_grad_()
    out = model(leaf)
    for i in range(LENGTH):
        (gradient,) = torch.autograd.grad(out[0, i].sum(), leaf, retain_graph=True)
        learned[i] = gradient[0].abs().amax(dim=-1) > 0
    for i in range(LENGTH):
        start = i // segment * segment
        for j in range(LENGTH):
            last = i if causal else start + segment - 1
            assert moved[i, j] == (max(0, start - memory) <= j <= last), (i, j)
            assert learned[i, j] == (start <= j <= last), (i, j)


def test_dense_weights_have_the_walks_support() -> None:
    model = xl({"segment": 4, "memory": 6})
    weights = model.dense_weights(inputs(2, LENGTH, dtype=torch.float64), HOLES)
    for i in range(LENGTH):
        start = i // 4 * 4
        seen = torch.tensor([start - 6 <= j < start + 4 for j in range(LENGTH)]) & HOLES
        assert torch.equal(weights[:, :, i].gt(0), seen[:, None].expand(2, 3, -1)), i


def test_the_input_is_left_alone() -> None:
    model, x = xl({"segment": 4, "memory": 6}), inputs(2, LENGTH, dtype=torch.float64)
    before = x.clone()
    model(x, KEEP)
    assert torch.equal(x, before)


def test_attention_dropout_is_on_in_training_alone() -> None:
    model = build("transformer_xl", {"segment": 4, "memory": 6}, dropout=0.5)
    x = inputs(1, LENGTH)
    assert torch.equal(model(x), model(x))
    model.train()
    assert not torch.allclose(model(x), model(x))


def test_the_biases_come_from_the_seed_and_the_layer() -> None:
    def biases(**shape: Any) -> Tensor:
        model = build("transformer_xl", {}, **shape)
        return torch.cat([model.get_parameter("content_bias"), model.get_parameter("position_bias")])

    assert torch.equal(biases(), biases(seed=7))  # build's seed is the global one, which is not asked
    assert not torch.equal(biases(num_layers=2), biases(num_layers=2, layer=1))
    assert len(set(biases().flatten().tolist())) == 2 * 24
    assert 0.01 < biases().std() < 0.03


@pytest.mark.parametrize("options", [{"segment": 0}, {"memory": -1}])
def test_refuses_sizes_that_cannot_be(options: Options) -> None:
    with pytest.raises(ValueError, match="expected segment >= 1 and memory >= 0, got"):
        build("transformer_xl", options)


# torch 2.13 itself uses what it deprecates.
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.parametrize("length", [3, LENGTH])
@pytest.mark.slow
def test_compiles(length: int) -> None:
    model = xl({"segment": 4, "memory": 6}, torch.float32)
    assert isinstance(model, TransformerXLAttention)
    x, keep = inputs(2, length), lengths_mask([length, 2], length)
    # As one graph with these shapes; without code generation, which takes long.
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True, dynamic=False)
    same(
        with_gradients(lambda x: compiled(x, keep), x, keep),
        with_gradients(lambda x: model(x, keep), x, keep),
        atol=1e-5,
    )
