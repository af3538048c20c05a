"""Local attention: against a dense softmax under a mask of blocks, and what the benchmark's code gets wrong."""

import pytest
import torch
from torch import Tensor

from reference_models.attention.base import Attention, Shape
from reference_models.attention.local import LocalAttention
from reference_models.attention.operations import joined
from tests.support.harness import Options, assert_same, build, dense, inputs, lengths_mask, with_gradients

CASES: list[Options] = [{"block": 7}, {"block": 1000}, {"block": 8}]
SLOPE = 1.1


def blocks_mask(length: int, block: int) -> Tensor:
    mask = torch.zeros(length, length, dtype=torch.bool)
    for start in range(0, length, block):
        mask[start : start + block, start : start + block] = True
    return mask


def assert_equal_with_gradients(model: Attention, other: Attention, mask: Tensor | None, length: int) -> None:
    """model(x) against a dense softmax with the projections of `other`, with and without padding."""
    x = inputs(2, length, dtype=torch.float64)
    holes = torch.rand(2, length, generator=torch.Generator().manual_seed(length)) < 0.6  # not at the end alone
    for keep in (None, lengths_mask([length, -(-length // 3)], length), holes):
        allowed = torch.ones(length, length, dtype=torch.bool) if mask is None else mask
        allowed = allowed if keep is None else allowed & keep[:, None, None]

        def plain(x: Tensor, allowed: Tensor = allowed) -> Tensor:
            _, q, k, v = other.project(x)
            out: Tensor = other.output(joined(dense(q, k, v, allowed)))
            return out

        valid = torch.ones(2, length, dtype=torch.bool) if keep is None else keep
        found = with_gradients(lambda x, keep=keep: model(x, keep), x, valid)  # type: ignore[misc]
        for one, two in zip(found, with_gradients(plain, x, valid), strict=True):
            torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


@pytest.mark.parametrize("block", [1, 5, 8])
@pytest.mark.parametrize("length", [1, 7, 8, 40])
def test_equals_a_dense_softmax_under_a_mask_of_blocks(block: int, length: int) -> None:
    model = build("local", {"block": block}, dtype=torch.float64)
    assert_equal_with_gradients(model, model, blocks_mask(length, block), length)


@pytest.mark.parametrize("block", [23, 1000])
def test_one_block_is_full_attention(block: int) -> None:
    model, full = build("local", {"block": block}, dtype=torch.float64), build("full", {}, dtype=torch.float64, seed=7)
    full.load_state_dict(model.state_dict())
    assert_equal_with_gradients(model, full, None, 23)
    x, keep = inputs(2, 23, dtype=torch.float64), lengths_mask([23, 9], 23)
    found = with_gradients(lambda x: model(x, keep), x, keep)
    for one, two in zip(found, with_gradients(lambda x: full(x, keep), x, keep), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


@pytest.mark.parametrize("token", [0, 9, 10, 39, 41])
def test_a_token_reaches_its_block_alone(token: int) -> None:
    # The benchmark's code would reach tokens token % 5, token % 5 + 5, ... in place of a block.
    model = build("local", {"block": 10})
    x = inputs(1, 42)
    other = x.clone()
    other[:, token] += 1
    changed = (model(x) != model(other)).any(dim=2)[0]
    start = token // 10 * 10
    assert changed.nonzero().flatten().tolist() == list(range(start, min(start + 10, 42)))


def test_a_mask_may_be_a_slice_of_a_longer_one() -> None:
    model = build("local", {"block": 8})
    x, keep = inputs(2, 16), lengths_mask([16, 9], 40)[:, :16]
    assert torch.equal(model(x, keep), model(x, keep.contiguous()))


def test_inputs_reach_where_the_mask_says() -> None:
    model = build("local", {"block": 4}, dtype=torch.float64)
    x = inputs(1, 10, dtype=torch.float64)
    # (L, 1, L, D)
    jacobian = torch.autograd.functional.jacobian(lambda x: model(x).sum(dim=2)[0], x)  # type: ignore[no-untyped-call]
    assert torch.equal(jacobian.abs().sum(dim=(1, 3)) > 0, blocks_mask(10, 4))


def test_the_block_is_the_papers() -> None:
    assert LocalAttention(Shape(dim=4, heads=1, head_dim=4, max_length=9)).block == 50


def test_a_block_has_a_token() -> None:
    with pytest.raises(ValueError, match="expected a block >= 1, got 0"):
        build("local", {"block": 0})


def test_attention_dropout_is_on_in_training_alone() -> None:
    model = build("local", {"block": 5}, dropout=0.5)
    x = inputs(1, 12)
    torch.testing.assert_close(model(x), model(x))
    model.train()
    assert not torch.allclose(model(x), model(x))


# torch 2.13 itself uses what it deprecates. aot_eager: whole graphs forward and backward, without seconds of C++.
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.slow
def test_compiles() -> None:
    model = build("local", {"block": 5})
    x, keep = inputs(2, 12), lengths_mask([12, 7], 12)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    assert_same(compiled, model, x, keep)
