"""Memory-compressed attention: against PyTorch's convolution and loops, and against full attention in its limits."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from reference_models.attention.base import Attention
from reference_models.attention.compressive import CompressiveAttention
from reference_models.attention.memory_compressed import MemoryCompressedAttention
from reference_models.attention.operations import joined
from tests.support.harness import Options, assert_same, build, inputs, lengths_mask, with_gradients

CASES: list[Options] = [{}, {"kernel": 4}]
SLOPE = 1.1
# A slot's value is a convolution of several tokens: only for a mean a sum of theirs, which is tested below.
WEIGHTS_ARE_ALL = False
AVERAGES = False  # the convolution does not keep a constant

LENGTH = 13
KEEP = lengths_mask([LENGTH, 7, 0], LENGTH)
HOLES = KEEP & (torch.arange(LENGTH) % 5 > 1)


def memory_compressed(options: Options, *, mean: bool = False, **shape: int) -> MemoryCompressedAttention:
    """In float64. mean: each slot is the mean of its tokens."""
    model = build("memory_compressed", options, dtype=torch.float64, **shape)
    assert isinstance(model, MemoryCompressedAttention)
    if mean:
        with torch.no_grad():
            for convolution in (model.compress_key, model.compress_value):
                convolution.weight.copy_(torch.eye(24, dtype=torch.float64).repeat(1, model.kernel) / model.kernel)
    return model


def full_like(model: MemoryCompressedAttention) -> Attention:
    full = build("full", {}, dtype=torch.float64)
    full.load_state_dict({name: model.state_dict()[name] for name in full.state_dict()})
    return full


def plain(model: MemoryCompressedAttention, x: Tensor, keep: Tensor) -> Tensor:
    """One query after the other, with `conv1d` over the channels of all heads."""
    heads, width = model.shape.heads, model.shape.head_dim
    missing = -x.shape[1] % model.kernel
    slots = []
    for projection, convolution in ((model.key, model.compress_key), (model.value, model.compress_value)):
        quiet = torch.where(keep[..., None], projection(x), 0.0).transpose(1, 2)  # (B, H E, L)
        taps = convolution.weight.view(heads * width, model.kernel, heads * width).transpose(1, 2)
        slots.append(functional.conv1d(functional.pad(quiet, (0, missing)), taps, stride=model.kernel))
    rows = []
    for b in range(len(x)):
        starts = range(0, x.shape[1], model.kernel)
        seen = [s for s, at in enumerate(starts) if keep[b, at : at + model.kernel].any()]
        for i in range(x.shape[1]):
            q, k, v = model.query(x[b, i]).view(heads, width), *(part[b].view(heads, width, -1) for part in slots)
            powers = [[torch.exp(q[h] @ k[h, :, s] / width**0.5) for s in seen] for h in range(heads)]
            parts = [
                sum((power / sum(row) * v[h, :, s] for power, s in zip(row, seen, strict=True)), torch.zeros_like(q[h]))
                for h, row in enumerate(powers)
            ]
            rows.append(model.output(torch.cat(parts)))
    return torch.stack(rows).view(x.shape)


@pytest.mark.parametrize("keep", [KEEP, HOLES], ids=["right", "holes"])
@pytest.mark.parametrize("kernel", [3, 4])
def test_equals_loops_over_slots(kernel: int, keep: Tensor) -> None:
    model = memory_compressed({"kernel": kernel}, dim=6, heads=2, head_dim=4)
    x = inputs(3, LENGTH, dim=6, dtype=torch.float64)
    found = with_gradients(lambda x: model(x, keep), x, keep)
    expected = with_gradients(lambda x: plain(model, x, keep), x, keep)
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


def test_a_kernel_of_one_with_the_identity_is_full_attention() -> None:
    model = memory_compressed({"kernel": 1}, mean=True)
    full = full_like(model)
    x = inputs(3, LENGTH, dtype=torch.float64)
    for keep in (KEEP, HOLES):
        found = with_gradients(partial(model, keep=keep), x, keep)
        expected = with_gradients(partial(full, keep=keep), x, keep)
        for one, two in zip(found, expected, strict=True):
            torch.testing.assert_close(one, two, rtol=0, atol=1e-12)
        torch.testing.assert_close(model.dense_weights(x, keep), full.dense_weights(x, keep), rtol=0, atol=1e-12)


@pytest.mark.parametrize("keep", [lengths_mask([12, 9], 12), lengths_mask([12, 6], 12)])
def test_means_are_attention_over_the_means_of_blocks(keep: Tensor) -> None:
    """Then the dense weights are exact, where no slot is partly padding."""
    model = memory_compressed({}, mean=True)
    x = inputs(2, 12, dtype=torch.float64)
    out = model.output(joined(model.dense_weights(x, keep) @ model.project(x).v))
    torch.testing.assert_close(model(x, keep)[keep], out[keep], rtol=0, atol=1e-12)


def test_dense_weights_of_a_slot_are_even_and_sum_to_one() -> None:
    model = memory_compressed({"kernel": 4})
    x, keep = inputs(2, LENGTH, dtype=torch.float64), lengths_mask([LENGTH, 6], LENGTH)
    weights = model.dense_weights(x, keep)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 3, LENGTH, dtype=torch.float64))
    assert torch.equal(weights[..., 0], weights[..., 3])
    assert not torch.equal(weights[..., 3], weights[..., 4])
    assert torch.equal(weights[1, ..., 4], weights[1, ..., 5])


def test_the_slots_of_means_are_those_of_the_compressive_transformer() -> None:
    model = memory_compressed({}, mean=True)
    other = build("compressive", {"segment": 12, "rate": 3, "compression": "mean"}, dtype=torch.float64)
    assert isinstance(other, CompressiveAttention)
    v = model.project(inputs(2, 12, dtype=torch.float64)).v
    expected, kept = other.compress(joined(v)[:, None], torch.ones(2, 1, 12, 1, dtype=torch.bool))
    found = model._compressed(model.compress_value, v, None)
    torch.testing.assert_close(joined(found), expected[:, 0], rtol=0, atol=1e-14)
    assert kept.all()


def test_one_slot_gives_all_queries_the_same() -> None:
    model = memory_compressed({"kernel": 16}, mean=True)
    x = inputs(2, 9, dtype=torch.float64)
    found = model.mix(model.project(x), None)
    expected = model.project(x).v.sum(dim=2, keepdim=True) / 16
    torch.testing.assert_close(found, expected.expand_as(found), rtol=0, atol=1e-14)


def reached(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Which tokens each output depends on: (L, L)."""
    jacobian = torch.autograd.functional.jacobian(lambda x: function(x).norm(dim=-1)[0], x)  # type: ignore[no-untyped-call]
    found: Tensor = jacobian.abs().sum(dim=(1, 3)) > 0
    return found


def test_every_kept_token_reaches_every_query() -> None:
    """A port's mask compares the wrong way round, so that a real query sees its null key alone."""
    model = memory_compressed({})
    x, keep = inputs(1, 11, dtype=torch.float64), lengths_mask([8], 11)
    found = reached(lambda x: model(x, keep), x)
    assert found[:8, :8].all()
    assert not found[:8, 8:].any()
    assert torch.equal(model(x, torch.ones(1, 11, dtype=torch.bool)), model(x))


def test_the_convolution_mixes_the_channels_of_all_heads() -> None:
    """A port has a convolution for each head alone."""
    model = memory_compressed({})
    projected = model.project(inputs(1, 6, dtype=torch.float64))
    k, v = projected.k.clone(), projected.v.clone()
    k[:, 2, 0] += 1
    v[:, 2, 0] += 1
    before = model.mix(projected, None)
    for changed in (projected._replace(k=k), projected._replace(v=v)):
        assert (model.mix(changed, None) - before).flatten(2).norm(dim=-1).min() > 1e-3


def test_there_is_no_null_key_and_the_scale_is_that_of_a_head() -> None:
    """A port adds a learned key and value, and divides by the root of the whole width."""
    model = memory_compressed({"kernel": 2}, mean=True)
    x = inputs(1, 6, dtype=torch.float64).repeat_interleave(2, dim=1)  # pairs of equal tokens
    full = full_like(model)
    torch.testing.assert_close(model(x), full(x), rtol=0, atol=1e-12)


def test_layers_alternate_with_local_ones() -> None:
    x, keep = inputs(2, LENGTH, dtype=torch.float64), lengths_mask([LENGTH, 6], LENGTH)
    for layer in range(4):
        model = memory_compressed({"local_block": 5}, layer=layer, num_layers=4)
        if layer % 2:
            assert hasattr(model, "compress_key")
            continue
        assert not hasattr(model, "compress_key")
        local = build("local", {"block": 5}, dtype=torch.float64)
        local.load_state_dict(model.state_dict())
        torch.testing.assert_close(model(x, keep)[keep], local(x, keep)[keep], rtol=0, atol=1e-12)
        torch.testing.assert_close(model.dense_weights(x, keep), local.dense_weights(x, keep), rtol=0, atol=1e-12)
        torch.testing.assert_close(model(x[:, :3]), local(x[:, :3]), rtol=0, atol=1e-12)
        torch.testing.assert_close(model.dense_weights(x), local.dense_weights(x), rtol=0, atol=1e-12)


def test_two_alternating_layers_reach_everything_and_one_does_not() -> None:
    first, second = (memory_compressed({"local_block": 4}, layer=layer, num_layers=2) for layer in (0, 1))
    x = inputs(1, 12, dtype=torch.float64)
    block = torch.arange(12) // 4
    assert torch.equal(reached(first, x), block[:, None] == block)
    assert reached(lambda x: second(first(x)), x).all()


@pytest.mark.parametrize("options", [{}, {"local_block": 4}])
def test_attention_dropout_is_on_in_training_alone(options: Options) -> None:
    model = build("memory_compressed", options, dropout=0.5)
    x = inputs(1, 20)
    torch.testing.assert_close(model(x), model(x))
    model.train()
    assert not torch.allclose(model(x), model(x))


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match="kernel >= 1 and local_block >= 0, got kernel=0, local_block=0"):
        build("memory_compressed", {"kernel": 0})
    with pytest.raises(ValueError, match="got kernel=3, local_block=-1"):
        build("memory_compressed", {"local_block": -1})


# torch 2.13 itself uses what it deprecates.
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.parametrize("options", [{}, {"local_block": 5}])
@pytest.mark.slow
def test_compiles(options: Options) -> None:
    """As one graph, forward and backward; without the code generator, which takes a minute."""
    model = build("memory_compressed", options)
    x, keep = inputs(2, 12), lengths_mask([12, 7], 12)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    assert_same(compiled, model, x, keep)
