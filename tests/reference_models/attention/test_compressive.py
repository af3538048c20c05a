"""The Compressive Transformer: against the paper's walk with two queues, and Transformer-XL in its limits."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from reference_models.attention.base import Attention
from reference_models.attention.compressive import CompressiveAttention
from reference_models.attention.operations import joined
from tests.reference_models.attention.test_transformer_xl import HOLES, KEEP, LENGTH, same, step
from tests.support.harness import Options, build, dense, inputs, lengths_mask, with_gradients

# No segment is shorter than the 9 tokens of the contract's check by finite differences: those do not know of gradients
# that stop. With both memories at work, gradients are compared with the walk's below.
CASES: list[Options] = [
    {"segment": 9, "memory": 5, "compressed": 4, "rate": 3},
    {"segment": 10, "memory": 7, "compressed": 6, "rate": 2, "compression": "mean", "causal": True},
    {"segment": 12, "memory": 12, "compressed": 2, "rate": 4, "compression": "max"},
]
WALKS: list[Options] = [
    *CASES,
    {"segment": 4, "memory": 4, "compressed": 3, "rate": 2},
    {"segment": 4, "memory": 5, "compressed": 3, "rate": 2, "compression": "max"},
    {"segment": 3, "memory": 1, "compressed": 9, "rate": 3, "compression": "mean", "causal": True},
    {"segment": 4, "memory": 0, "compressed": 3, "rate": 2},
    {"segment": 2, "memory": 7, "compressed": 2, "rate": 1},
    {"segment": 64, "memory": 4, "compressed": 4, "rate": 2},
]
SLOPE = 1.1
AVERAGES = False  # a learned convolution has weights of any sum
# A slot's value is f_c of several tokens: only for the mean a sum of theirs, which is tested below.
WEIGHTS_ARE_ALL = False

SMALL: Options = {"segment": 4, "memory": 5, "compressed": 3, "rate": 2}
KINDS = ["conv", "mean", "max"]


def SLOPE_OPTIONS(length: int) -> Options:  # noqa: N802
    return {"segment": 64, "memory": 64, "compressed": 64}


def compressive(options: Options, **shape: int) -> CompressiveAttention:
    """With large u and v, or their faults would be small."""
    model = build("compressive", options, dtype=torch.float64, **shape)
    assert isinstance(model, CompressiveAttention)
    with torch.no_grad():
        for name in ("content_bias", "position_bias"):
            model.get_parameter(name).mul_(50)
    return model


def slots_of(model: CompressiveAttention, tokens: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
    """f_c by loops and by PyTorch's convolution. tokens: (B, S, D). keep: (B, S)."""
    batch, length, dim = tokens.shape
    rate = model.rate
    kept = torch.stack([keep[:, at : at + rate].any(dim=1) for at in range(0, length, rate)], dim=1)
    if model.compression == "conv":
        kernel = model.convolution.weight.view(dim, rate, dim).transpose(1, 2)
        quiet = torch.where(keep[..., None], tokens, 0.0).transpose(1, 2)
        return functional.conv1d(quiet, kernel, model.convolution.bias, stride=rate).transpose(1, 2), kept
    rows = []
    for row in range(batch):
        for at in range(0, length, rate):
            chosen = tokens[row, at : at + rate][keep[row, at : at + rate]]
            if not len(chosen):
                rows.append(torch.zeros(dim, dtype=tokens.dtype))
            else:
                rows.append(chosen.mean(dim=0) if model.compression == "mean" else chosen.max(dim=0).values)
    return torch.stack(rows).view(batch, length // rate, dim), kept


def looked_up(model: CompressiveAttention, h: Tensor, memory: Tensor, keep: Tensor) -> Tensor:
    """Attention by content alone, with projections that do not learn."""

    def heads(name: str, tokens: Tensor) -> Tensor:
        return torch.stack((tokens @ model.get_parameter(f"{name}.weight").detach().T).chunk(3, dim=-1), dim=1)

    return dense(heads("query", h), heads("key", memory), heads("value", memory), keep[:, None, None])


def walk(layers: list[CompressiveAttention], x: Tensor, keep: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Algorithms 1 and 2 of the paper: the outputs, and each layer's loss, a mean of each sequence's mean."""
    batch, _, dim = x.shape
    size = layers[0].segment
    nothing = [
        (torch.zeros(batch, count, dim, dtype=x.dtype), torch.zeros(batch, count, dtype=torch.bool))
        for count in (layers[0].compressed, layers[0].memory)
    ]
    queues = [list(nothing) for _ in layers]
    outs, errors, queries = [], [x.new_zeros(batch) for _ in layers], [torch.zeros(batch) for _ in layers]
    for start in range(0, x.shape[1], size):
        out, own_keep = x[:, start : start + size], keep[:, start : start + size]
        missing = size - out.shape[1]
        for number, layer in enumerate(layers):
            (coarse, coarse_keep), (memory, memory_keep) = queues[number]
            behind = torch.cat([coarse, memory], dim=1)
            h = out
            out = step(layer, behind.detach(), h, torch.cat([coarse_keep, memory_keep, own_keep], dim=1))
            longer = functional.pad(torch.cat([memory, h], dim=1), (0, 0, 0, missing)).detach()
            longer_keep = functional.pad(torch.cat([memory_keep, own_keep], dim=1), (0, missing))
            old, old_keep = longer[:, :size], longer_keep[:, :size]
            new, new_keep = slots_of(layer, old, old_keep)
            queues[number] = [
                (
                    torch.cat([coarse, new], dim=1)[:, new.shape[1] :],
                    torch.cat([coarse_keep, new_keep], dim=1)[:, new.shape[1] :],
                ),
                (longer[:, size:], longer_keep[:, size:]),
            ]
            lost = looked_up(layer, h.detach(), old, old_keep) - looked_up(layer, h.detach(), new, new_keep)
            counted = own_keep & old_keep.any(dim=1, keepdim=True)
            errors[number] = errors[number] + (lost.square().sum(dim=(1, 3)) * counted).sum(dim=1)
            queries[number] += counted.sum(dim=1)
        outs.append(out)
    return torch.cat(outs, dim=1), [
        (error / count.clamp(min=1)).mean() for error, count in zip(errors, queries, strict=True)
    ]


def learners(model: torch.nn.Module) -> list[Tensor]:
    """What the task trains: all but f_c."""
    return [parameter for name, parameter in model.named_parameters() if "convolution" not in name]


@pytest.mark.parametrize("keep", [KEEP, HOLES], ids=["right", "holes"])
@pytest.mark.parametrize("options", WALKS)
def test_equals_the_walk(options: Options, keep: Tensor) -> None:
    model = compressive(options)
    x = inputs(2, LENGTH, dtype=torch.float64)
    same(
        with_gradients(lambda x: model(x, keep), x, keep),
        with_gradients(lambda x: walk([model], x, keep)[0], x, keep),
    )
    found = torch.autograd.grad(model(x, keep)[keep].square().sum(), learners(model))
    same(found, torch.autograd.grad(walk([model], x, keep)[0][keep].square().sum(), learners(model)), 1e-11)


def test_a_stack_of_layers_at_once_equals_the_walk_through_all_of_them() -> None:
    layers = [compressive(SMALL, seed=seed) for seed in (0, 1)]
    x = inputs(2, LENGTH, dtype=torch.float64)
    same(
        with_gradients(lambda x: layers[1](layers[0](x, KEEP), KEEP), x, KEEP),
        with_gradients(lambda x: walk(layers, x, KEEP)[0], x, KEEP),
    )


@pytest.mark.parametrize("keep", [KEEP, HOLES], ids=["right", "holes"])
@pytest.mark.parametrize("options", [options for options in WALKS if options.get("compression", "conv") == "conv"])
def test_the_auxiliary_loss_is_the_papers(options: Options, keep: Tensor) -> None:
    model = compressive(options).train()
    x = inputs(2, LENGTH, dtype=torch.float64)
    model(x, keep)
    loss = model.auxiliary_loss()
    expected = walk([model], x, keep)[1][0]
    assert loss is not None
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-12)
    convolution = list(model.convolution.parameters())
    same(torch.autograd.grad(loss, convolution), torch.autograd.grad(expected, convolution), 1e-11)


def xl_like(model: CompressiveAttention, memory: int) -> Attention:
    xl = build("transformer_xl", {"segment": model.segment, "memory": memory, "causal": model.causal})
    own = {name: tensor for name, tensor in model.state_dict().items() if "convolution" not in name}
    xl.double().load_state_dict(own)
    return xl


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("causal", [False, True])
def test_with_a_rate_of_one_it_is_transformer_xl_with_both_memories(kind: str, causal: bool) -> None:
    sizes = {"segment": 4, "memory": 3, "compressed": 5, "rate": 1}
    model = compressive({**sizes, "compression": kind, "causal": causal})
    if kind == "conv":
        with torch.no_grad():
            model.convolution.weight.copy_(torch.eye(24))
            model.convolution.bias.zero_()
    xl = xl_like(model, 8)
    x = inputs(2, LENGTH, dtype=torch.float64)
    same(
        with_gradients(lambda x: model(x, HOLES), x, HOLES),
        with_gradients(lambda x: xl(x, HOLES), x, HOLES),
    )
    found = torch.autograd.grad(model(x, HOLES)[HOLES].square().sum(), learners(model))
    same(found, torch.autograd.grad(xl(x, HOLES)[HOLES].square().sum(), learners(xl)), 1e-11)
    torch.testing.assert_close(model.dense_weights(x, HOLES), xl.dense_weights(x, HOLES), rtol=0, atol=1e-12)
    if kind == "conv":
        model.train()(x, HOLES)
        loss = model.auxiliary_loss()
        assert loss is not None
        assert loss < 1e-24, "nothing is lost, so nothing is to be mended"


@pytest.mark.parametrize("memory", [3, 7])
def test_without_slots_it_is_transformer_xl(memory: int) -> None:
    model = compressive({"segment": 4, "memory": memory, "compressed": 0})
    xl = xl_like(model, memory)
    x = inputs(2, LENGTH, dtype=torch.float64)
    same(with_gradients(lambda x: model(x, KEEP), x, KEEP), with_gradients(lambda x: xl(x, KEEP), x, KEEP))


def test_one_segment_without_positions_is_full_attention() -> None:
    model, full = compressive({"segment": 64}), build("full", {}, dtype=torch.float64)
    with torch.no_grad():
        for name in ("position.weight", "content_bias", "position_bias"):
            model.get_parameter(name).zero_()
    full.load_state_dict({name: tensor for name, tensor in model.state_dict().items() if name in full.state_dict()})
    x = inputs(2, LENGTH, dtype=torch.float64)
    same(with_gradients(lambda x: model(x, KEEP), x, KEEP), with_gradients(lambda x: full(x, KEEP), x, KEEP))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("causal", [False, True])
def test_gradients_stop_at_the_boundary_and_the_view_at_the_oldest_slot(kind: str, causal: bool) -> None:
    model = compressive({**SMALL, "compression": kind, "causal": causal})
    x = inputs(1, LENGTH, dtype=torch.float64)
    moved, learned = torch.zeros(LENGTH, LENGTH, dtype=torch.bool), torch.zeros(LENGTH, LENGTH, dtype=torch.bool)
    for j in range(LENGTH):
        other = x.clone()
        other[:, j] += 1 if j % 2 else 100  # up, so that a maximum changes
        moved[:, j] = (model(other) - model(x)).abs().amax(dim=(0, 2)) > 0
    leaf = x.clone().requires_grad_()
    out = model(leaf)
    for i in range(LENGTH):
        learned[i] = torch.autograd.grad(out[0, i].sum(), leaf, retain_graph=True)[0][0].abs().amax(dim=-1) > 0
    seen = model.dense_weights(x)[0].amax(dim=0) > 0
    for i in range(LENGTH):
        start = i // 4 * 4
        last = i if causal else start + 3
        # Slots begin 5 tokens before the start: the 3 newest hold the 6 tokens from start - 5 - 6 on.
        expected = torch.tensor([max(0, start - 11) <= j <= last for j in range(LENGTH)])
        assert torch.equal(moved[i], expected), i
        assert torch.equal(seen[i], expected), i
        assert torch.equal(learned[i], expected & (torch.arange(LENGTH) >= start)), i


def test_the_auxiliary_loss_touches_the_compression_alone_and_the_task_all_else() -> None:
    model = compressive(SMALL).train()
    x = inputs(2, LENGTH, dtype=torch.float64).requires_grad_()
    for _ in range(2):  # twice: the projections must learn on after the memory was compressed
        model.zero_grad()
        x.grad = None
        out = model(x, KEEP)
        loss = model.auxiliary_loss()
        assert loss is not None
        torch.autograd.backward(loss)
        assert {name for name, parameter in model.named_parameters() if parameter.grad is not None} == {
            "convolution.weight",
            "convolution.bias",
        }
        assert x.grad is None
        model.zero_grad()
        out.square().sum().backward()
        without = {name for name, parameter in model.named_parameters() if parameter.grad is None}
        assert without == {"convolution.weight", "convolution.bias"}
        assert all(parameter.requires_grad for parameter in model.parameters())


def test_learning_by_the_auxiliary_loss_mends_the_reconstruction() -> None:
    model = compressive({"segment": 8, "memory": 8, "compressed": 4}).train()
    x = inputs(4, 24, dtype=torch.float64)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        model(x)
        loss = model.auxiliary_loss()
        assert loss is not None
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_there_is_an_auxiliary_loss_in_training_with_a_convolution_alone() -> None:
    x = inputs(2, LENGTH, dtype=torch.float64)
    model = compressive(SMALL)
    assert model.auxiliary_loss() is None
    model.train()(x)
    assert model.auxiliary_loss() is not None
    model.eval()(x)
    assert model.auxiliary_loss() is None
    for kind in ("mean", "max"):
        model = compressive({**SMALL, "compression": kind}).train()
        model(x)
        assert model.auxiliary_loss() is None


@pytest.mark.parametrize("kind", KINDS)
def test_padding_among_compressed_tokens_changes_nothing(kind: str) -> None:
    """With padding on the right alone no valid query sees a slot of padding."""
    model = compressive({**SMALL, "compression": kind}).train()
    x = inputs(2, LENGTH, dtype=torch.float64)
    poisoned = torch.where(HOLES[..., None], x, 1e4 * inputs(2, LENGTH, dtype=torch.float64, seed=5))
    out, loss = model(x, HOLES), model.auxiliary_loss()
    assert torch.equal(model(poisoned, HOLES)[HOLES], out[HOLES])
    again = model.auxiliary_loss()
    if loss is not None and again is not None:
        assert torch.equal(loss, again)


def test_the_auxiliary_loss_does_not_know_of_padding_behind_nor_of_the_batch() -> None:
    model = compressive(SMALL).train()
    x = inputs(2, LENGTH, dtype=torch.float64)

    def loss(x: Tensor, keep: Tensor | None) -> Tensor:
        model(x, keep)
        found = model.auxiliary_loss()
        assert found is not None
        return found

    torch.testing.assert_close(loss(x, lengths_mask([11, 11], LENGTH)), loss(x[:, :11], None), rtol=0, atol=1e-12)
    torch.testing.assert_close(loss(torch.cat([x, x]), None), loss(x, None), rtol=0, atol=1e-12)
    assert loss(x, torch.zeros(2, LENGTH, dtype=torch.bool)) == 0
    torch.autograd.backward(loss(x, torch.zeros(2, LENGTH, dtype=torch.bool)))
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("keep", [KEEP, HOLES], ids=["right", "holes"])
@pytest.mark.parametrize("causal", [False, True])
def test_with_the_mean_the_weights_are_all(causal: bool, keep: Tensor) -> None:
    model = compressive({**SMALL, "compression": "mean", "causal": causal})
    x = inputs(2, LENGTH, dtype=torch.float64)
    out = model.output(joined(model.dense_weights(x, keep) @ model.project(x).v))
    torch.testing.assert_close(model(x, keep)[keep], out[keep], rtol=0, atol=1e-12)


def test_dense_weights_share_a_slots_weight_among_its_kept_tokens() -> None:
    model = compressive({**SMALL, "causal": True})
    weights = model.dense_weights(inputs(2, LENGTH, dtype=torch.float64), HOLES)
    torch.testing.assert_close(weights[HOLES[:, None].expand(2, 3, -1)].sum(-1).min().item(), 1.0)
    assert not weights[0, :, :, ~HOLES[0]].any()
    # The segment that begins at 12 has tokens 7 to 11 as memory; slots of (1, 2), (3, 4), (5, 6). 2 is padding.
    torch.testing.assert_close(weights[0, :, 12, 3], weights[0, :, 12, 4], rtol=0, atol=0)
    torch.testing.assert_close(weights[0, :, 12, 5], weights[0, :, 12, 6], rtol=0, atol=0)
    assert weights[0, :, 12, 1].all()
    assert not weights[0, :, 12, 0].any()


def test_attention_dropout_is_on_in_training_alone() -> None:
    model = build("compressive", SMALL, dropout=0.5)
    x = inputs(1, LENGTH)
    assert torch.equal(model(x), model(x))
    model.train()
    assert not torch.allclose(model(x), model(x))


@pytest.mark.parametrize("autocast", [False, True])
def test_the_convolution_learns_under_autocast(autocast: bool) -> None:
    model = build("compressive", SMALL).train()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        model(inputs(2, LENGTH))
        loss = model.auxiliary_loss()
    assert loss is not None
    assert loss.dtype == torch.float32
    torch.autograd.backward(loss)
    weight = model.get_parameter("convolution.weight")
    assert weight.grad is not None
    assert weight.grad.any()


@pytest.mark.parametrize(
    "options",
    [{"segment": 0}, {"memory": -1}, {"compressed": -1}, {"rate": 0}, {"segment": 5, "rate": 2}],
)
def test_refuses_sizes_that_cannot_be(options: Options) -> None:
    with pytest.raises(ValueError, match="expected segment a multiple of rate, both >= 1, the others >= 0, got"):
        build("compressive", options)


def test_refuses_an_unknown_compression() -> None:
    with pytest.raises(ValueError, match=r"expected compression from \('conv', 'mean', 'max'\), got 'most used'"):
        build("compressive", {"compression": "most used"})


# torch 2.13 itself uses what it deprecates.
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.slow
def test_compiles() -> None:
    model = build("compressive", SMALL).train()
    x = inputs(2, LENGTH)
    # As one graph with these shapes; without code generation, which takes long.
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True, dynamic=False)
    same(
        with_gradients(lambda x: compiled(x, KEEP), x, KEEP),
        with_gradients(lambda x: model(x, KEEP), x, KEEP),
        atol=1e-5,
    )
    losses = []
    for forward in (compiled, model):
        forward(x, KEEP)
        losses.append(model.auxiliary_loss())
        model.eval()(x, KEEP)  # forgets it
        model.train()
    assert losses[0] is not None
    torch.testing.assert_close(losses[0], losses[1])
