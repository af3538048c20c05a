"""H-Transformer-1D: against a loop over pairs of tokens, its limits, and what the public port gets wrong."""

import math
from functools import partial

import pytest
import torch
from torch import Tensor

from reference_models.attention.base import Attention, Projected
from tests.support.harness import Options, assert_same, build, inputs, lengths_mask, with_gradients

CASES: list[Options] = [{"rank": 4}, {"rank": 2}]
SLOPE = 1.1


def level_of(i: int, j: int, rank: int) -> int:
    """The lowest level at which the blocks of two tokens are the same or neighbours."""
    level = 0
    while abs(i // (rank * 2**level) - j // (rank * 2**level)) > 1:
        level += 1
    return level


def mean(rows: Tensor, kept: Tensor, token: int, level: int) -> Tensor:
    """Over the kept tokens of the cell of a token: (H, L, E) to (H, E)."""
    start = token // 2**level * 2**level
    return rows[:, start : start + 2**level][:, kept[start : start + 2**level]].mean(dim=1)


def plain(model: Attention, rank: int, keep: Tensor, x: Tensor) -> Tensor:
    """Each kept query: one softmax over all kept tokens, each by the logit of its cell."""
    layers = (model.query, model.key, model.value)
    parts = [torch.stack((x @ layer.weight.T).chunk(3, dim=-1), dim=1) for layer in layers]
    rows = []
    for b, kept in enumerate(keep):
        q, k, v = (part[b] for part in parts)
        tokens = kept.nonzero()[:, 0].tolist()
        for i in range(len(kept)):
            logits = []
            for j in tokens if kept[i] else []:
                level = level_of(i, j, rank)
                logits.append((mean(q, kept, i, level) * mean(k, kept, j, level)).sum(-1) / math.sqrt(8))
            out = torch.zeros(3, 8, dtype=x.dtype)
            rows.append(torch.einsum("jh,hje->he", torch.stack(logits).softmax(dim=0), v[:, tokens]) if logits else out)
    found: Tensor = model.output(torch.stack(rows).view(len(x), -1, 24))
    return found


@pytest.mark.parametrize(("rank", "length"), [(2, 1), (2, 5), (2, 19), (4, 16), (4, 21)])
def test_equals_a_loop_over_pairs(rank: int, length: int) -> None:
    model = build("h_transformer", {"rank": rank}, dtype=torch.float64)
    x = 2 * inputs(2, length, dtype=torch.float64)
    holes = torch.rand(2, length, generator=torch.Generator().manual_seed(length)) < 0.6  # not at the end alone
    for keep in (torch.ones(2, length, dtype=torch.bool), lengths_mask([length, -(-length // 3)], length), holes):
        found = with_gradients(partial(model, keep=keep), x, keep)
        expected = with_gradients(partial(plain, model, rank, keep), x, keep)
        for one, two in zip(found, expected, strict=True):
            torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


def levels(length: int, rank: int) -> Tensor:
    return torch.tensor([[level_of(i, j, rank) for j in range(length)] for i in range(length)])


@pytest.mark.parametrize(("rank", "length"), [(2, 64), (4, 50)])
def test_a_far_token_is_seen_through_its_cell(rank: int, length: int) -> None:
    """All neighbours of a block are near, not only its sibling in the tree as in a port."""
    model = build("h_transformer", {"rank": rank}, dtype=torch.float64)
    weights = model.dense_weights(inputs(1, length, dtype=torch.float64))[0, 0]
    found = levels(length, rank)
    for level in range(1, int(found.max()) + 1):
        start = torch.arange(length) // 2**level * 2**level
        same = (weights - weights[:, start]).abs() < 1e-15
        assert same[found == level].all()
    near = found == 0
    assert near[rank - 1, rank]
    assert near[2 * rank - 1, 2 * rank], "the block after the sibling is not near"
    logits = weights.log()
    q, k = (part[0, 0] for part in model.project(inputs(1, length, dtype=torch.float64))[1:3])
    exact = q @ k.T / math.sqrt(8)
    difference = logits - exact  # the same in all near places of a row: the logarithm of its normaliser
    rows = difference.masked_fill(~near, 0.0).sum(-1, keepdim=True) / near.sum(-1, keepdim=True)
    torch.testing.assert_close(difference[near], rows.expand_as(difference)[near], rtol=0, atol=1e-12)


def of_constant_values(model: Attention, length: int, keep: Tensor | None = None) -> Tensor:
    """The heads' outputs where each value is 1."""
    x, q, k, v = model.project(3 * inputs(2, length, dtype=torch.float64))
    return model.mix(Projected(x, q, k, torch.ones_like(v)), keep)


@pytest.mark.parametrize("length", [16, 37, 64])
def test_constant_values_come_out_as_they_are(length: int) -> None:
    """A port sums levels relative to different maxima and forgets the counts 2^l: about 2 comes out."""
    model = build("h_transformer", {"rank": 4}, dtype=torch.float64)
    found = of_constant_values(model, length)
    torch.testing.assert_close(found, torch.ones_like(found), rtol=0, atol=1e-12)
    keep = lengths_mask([length, length // 2], length)
    found = of_constant_values(model, length, keep).transpose(1, 2)[keep]
    torch.testing.assert_close(found, torch.ones_like(found), rtol=0, atol=1e-12)


def with_the_ports_faults(q: Tensor, k: Tensor, v: Tensor, *, counts: bool, common: bool) -> Tensor:
    """Siblings of a tree with blocks of 4, as in the port; `counts` and `common` (one maximum) mend its faults."""
    y, d = torch.zeros_like(v), torch.zeros_like(v[:, :1])
    length = len(q)
    seen = torch.zeros(length, length, dtype=torch.bool)
    parts = []
    for level in range(length.bit_length() - 2):
        size = 2**level
        cells = [part.view(-1, size, 8) for part in (q, k, v)]
        s = cells[0].mean(1) @ cells[1].mean(1).T / math.sqrt(8)
        token = torch.arange(length)
        block = token // (4 * size) // 2
        mine = (block[:, None] == block) & ~seen
        seen |= mine
        cell = torch.arange(0, length, size)
        parts.append((s, cells[2].sum(1), mine[cell][:, cell], size))
    greatest = [s.masked_fill(~mask, -math.inf).amax(-1).repeat_interleave(size) for s, _, mask, size in parts]
    overall = torch.stack(greatest).amax(0)
    for (s, summed, mask, size), own in zip(parts, greatest, strict=True):
        maximum = overall if common else own.masked_fill(own.isinf(), 0.0)
        # The weights of all tokens of a cell, each relative to its own maximum.
        weights = s.exp().masked_fill(~mask, 0.0).repeat_interleave(size, dim=0) / maximum.exp()[:, None]
        y = y + weights @ summed
        d = d + weights.sum(-1, keepdim=True) * (size if counts else 1)
    return y / d


def test_the_ports_faults_would_be_found() -> None:
    model = build("h_transformer", {"rank": 4}, dtype=torch.float64)
    q, k, v = (part[0, 0] for part in model.project(inputs(1, 64, dtype=torch.float64))[1:])
    for counts, common in ((True, True), (True, False), (False, True), (False, False)):
        ones = with_the_ports_faults(q, k, torch.ones_like(v), counts=counts, common=common)
        if counts:
            torch.testing.assert_close(ones, torch.ones_like(ones), rtol=0, atol=1e-12)
        else:
            assert ones.mean() > 1.5
    # Different maxima keep a constant, but not the weights.
    steep = torch.cat([30 * k[:32], -30 * k[:32]])
    one, two = (with_the_ports_faults(q, steep, v, counts=True, common=common) for common in (True, False))
    assert not torch.allclose(one, two)


@pytest.mark.parametrize("length", [7, 32])
def test_two_blocks_are_full_attention(length: int) -> None:
    same_as_full(build("h_transformer", {}, dtype=torch.float64), inputs(2, length, dtype=torch.float64))


def same_as_full(model: Attention, x: Tensor) -> None:
    full = build("full", {}, dtype=torch.float64, seed=7)
    full.load_state_dict(model.state_dict())
    keep = lengths_mask([x.shape[1], 5], x.shape[1])
    out = model(x, keep), full(x, keep)
    torch.testing.assert_close(out[0][keep], out[1][keep], rtol=0, atol=1e-12)


def test_tokens_that_are_constant_in_cells_are_full_attention() -> None:
    x = inputs(2, 8, dtype=torch.float64).repeat_interleave(
        8, dim=1
    )  # the coarsest cells of 64 / 4 blocks have 8 tokens
    same_as_full(build("h_transformer", {"rank": 4}, dtype=torch.float64), x)


def test_a_query_far_below_the_greatest_is_not_lost() -> None:
    """The authors' code subtracts one maximum for all queries of an example, and gives 0 where nothing is left."""
    model = build("h_transformer", {"rank": 2})
    x, q, k, v = model.project(inputs(1, 40))
    q = q.clone()
    q[:, :, 3] = 1e4
    mixed = model.mix(Projected(x, q, k, torch.ones_like(v)), None)
    torch.testing.assert_close(mixed, torch.ones_like(mixed))
    low = model.mix(Projected(x, torch.full_like(q, 1e3), torch.full_like(k, -1e3), torch.ones_like(v)), None)
    torch.testing.assert_close(low, torch.ones_like(mixed))


def test_each_token_reaches_each() -> None:
    model = build("h_transformer", {"rank": 2}, dtype=torch.float64)
    x, keep = inputs(1, 45, dtype=torch.float64), lengths_mask([41], 45)
    # (L, 1, L, D)
    jacobian = torch.autograd.functional.jacobian(lambda x: model(x, keep).sum(dim=2)[0], x)  # type: ignore[no-untyped-call]
    reached = jacobian.abs().sum(dim=(1, 3)) > 0
    assert reached[:41, :41].all()
    assert not reached[:41, 41:].any()


def test_means_leave_masked_tokens_out() -> None:
    """A cell with masked tokens has the mean of the others, and their number as its weight."""
    model = build("h_transformer", {"rank": 2}, dtype=torch.float64)
    x = inputs(1, 1, dtype=torch.float64).repeat(1, 40, 1)
    keep = torch.rand(1, 40, generator=torch.Generator().manual_seed(0)) < 0.5
    weights = model.dense_weights(x, keep)[0, 0][keep[0]]
    torch.testing.assert_close(weights, keep.to(weights.dtype).expand_as(weights) / keep.sum(), rtol=0, atol=1e-12)
    x, q, k, _ = model.project(x)
    numbers = torch.arange(40, dtype=torch.float64)[None, None, :, None].expand(1, 3, 40, 8)
    mixed = model.mix(Projected(x, q, k, numbers), keep)[0, :, keep[0]]
    torch.testing.assert_close(mixed, keep[0].nonzero().double().mean().expand_as(mixed), rtol=0, atol=1e-12)


def test_the_default_is_the_papers() -> None:
    assert getattr(build("h_transformer", {}), "rank") == 16  # noqa: B009


@pytest.mark.parametrize("rank", [0, -2, 3])
def test_options_are_checked(rank: int) -> None:
    with pytest.raises(ValueError, match=f"expected an even rank >= 2, got {rank}"):
        build("h_transformer", {"rank": rank})


def test_attention_dropout_is_on_in_training_alone() -> None:
    model = build("h_transformer", {"rank": 2}, dropout=0.5, dtype=torch.float64)
    x = inputs(1, 40, dtype=torch.float64)
    torch.testing.assert_close(model(x), model(x))
    model.train()
    ones = of_constant_values(model, 40)
    assert (ones - 1).abs().max() > 0.1
    # Dropped weights are not taken out of the denominator: the mean over many draws is 1.
    assert abs(torch.stack([of_constant_values(model, 40) for _ in range(30)]).mean() - 1) < 0.05


# torch 2.13 itself uses what it deprecates. aot_eager: whole graphs forward and backward, without seconds of C++.
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.slow
def test_compiles() -> None:
    model = build("h_transformer", {"rank": 2})
    x, keep = inputs(2, 24), lengths_mask([24, 7], 24)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    assert_same(compiled, model, x, keep)
