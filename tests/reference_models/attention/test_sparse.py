"""Sparse Transformer: against masks that plain loops fill from the paper's sets."""

import math

import pytest
import torch
from torch import Tensor

from reference_models.attention.base import Attention
from reference_models.attention.operations import joined
from tests.support.harness import Options, assert_same, build, dense, inputs, lengths_mask, with_gradients

CASES: list[Options] = [
    {"pattern": "strided", "stride": 5},
    {"pattern": "fixed", "stride": 8, "summary": 3},
    {"pattern": "fixed", "stride": 7, "summary": 2, "heads": "separate"},
    {"pattern": "strided", "stride": 6, "heads": "separate", "causal": True},
]
SLOPE = 1.6


def SLOPE_OPTIONS(length: int) -> Options:  # noqa: N802
    return {"pattern": "strided", "stride": math.ceil(math.sqrt(length))}


def sets(options: Options, i: int, length: int) -> tuple[set[int], set[int]]:
    """The paper's A1 and A2 of query i, without the bound j <= i unless the options say so."""
    stride = options["stride"]
    end = i + 1 if options.get("causal") else length
    if options["pattern"] == "strided":
        first = {j for j in range(end) if i - stride <= j <= i + stride}
        return first, {j for j in range(end) if (i - j) % stride == 0}
    first = {j for j in range(end) if j // stride == i // stride}
    return first, {j for j in range(end) if j % stride in range(stride - options["summary"], stride)}


def mask_of(options: Options, length: int, layer: int = 0) -> Tensor:
    """(3 heads, L, L)."""
    mask = torch.zeros(3, length, length, dtype=torch.bool)
    for head in range(3):
        for i in range(length):
            first, second = sets(options, i, length)
            turn = {"separate": head, "interleaved": layer}.get(options.get("heads", "merged"))
            keys = first | second if turn is None else (first, second)[turn % 2]
            mask[head, i, list(keys)] = True
    return mask


def equals_dense(model: Attention, mask: Tensor, length: int, lengths: list[int]) -> None:
    x, keep = inputs(2, length, dtype=torch.float64), lengths_mask(lengths, length)

    def plain(x: Tensor) -> Tensor:
        _, q, k, v = model.project(x)
        out: Tensor = model.output(joined(dense(q, k, v, mask & keep[:, None, None])))
        return out

    for one, two in zip(with_gradients(lambda x: model(x, keep), x, keep), with_gradients(plain, x, keep), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


@pytest.mark.parametrize("pattern", ["strided", "fixed"])
@pytest.mark.parametrize("heads", ["merged", "separate", "interleaved"])
@pytest.mark.parametrize("causal", [False, True])
def test_equals_the_papers_sets(pattern: str, heads: str, causal: bool) -> None:
    options = {"pattern": pattern, "stride": 6, "summary": 2, "heads": heads, "causal": causal}
    for layer in (0, 1):
        model = build("sparse", options, dtype=torch.float64, layer=layer, num_layers=2)
        for length, lengths in ((29, [29, 20]), (12, [12, 7]), (4, [4, 2])):
            equals_dense(model, mask_of(options, length, layer), length, lengths)


def test_the_default_is_the_benchmarks_stride_and_summary() -> None:
    options = {"pattern": "fixed", "stride": 50, "summary": 10}
    equals_dense(build("sparse", {}, dtype=torch.float64, max_length=128), mask_of(options, 120), 120, [120, 70])


@pytest.mark.parametrize("pattern", ["strided", "fixed"])
@pytest.mark.parametrize("stride", [20, 33])
def test_a_long_stride_is_full_attention(pattern: str, stride: int) -> None:
    model = build("sparse", {"pattern": pattern, "stride": stride, "summary": 3}, dtype=torch.float64)
    full = build("full", {}, dtype=torch.float64)
    full.load_state_dict(model.state_dict())
    x, keep = inputs(2, 20, dtype=torch.float64), lengths_mask([20, 9], 20)
    for one, two in zip(
        with_gradients(lambda x: model(x, keep), x, keep),
        with_gradients(lambda x: full(x, keep), x, keep),
        strict=True,
    ):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


def test_a_long_stride_in_a_causal_model_is_causal_full_attention() -> None:
    for pattern in ("strided", "fixed"):
        model = build("sparse", {"pattern": pattern, "stride": 20, "causal": True}, dtype=torch.float64)
        equals_dense(model, torch.ones(20, 20, dtype=torch.bool).tril(), 20, [20, 20])


@pytest.mark.parametrize("options", CASES, ids=str)
def test_a_token_reaches_the_tokens_of_the_sets_alone(options: Options) -> None:
    """The support of the Jacobian is the mask of all heads, so that nothing is causal which should not be."""
    model = build("sparse", options, dtype=torch.float64)
    x = inputs(1, 23, dtype=torch.float64).requires_grad_()
    sums = model(x)[0].sum(dim=-1)
    rows = [torch.autograd.grad(sums[i], x, retain_graph=True)[0][0].abs().sum(dim=-1) for i in range(23)]
    assert torch.equal(torch.stack(rows) > 1e-12, mask_of(options, 23).any(dim=0))


@pytest.mark.parametrize("pattern", ["strided", "fixed"])
def test_two_steps_reach_every_token(pattern: str) -> None:
    """Section 4.2: what makes the factorisation worth having."""
    model = build("sparse", {"pattern": pattern, "stride": 6, "summary": 1})
    reached = (model.dense_weights(inputs(1, 36))[0, 0] > 0).double()
    assert ((reached @ reached) > 0).all()
    assert not reached.all()


def test_a_head_without_any_key_gives_zero() -> None:
    model = build("sparse", {"pattern": "fixed", "stride": 9, "summary": 2, "heads": "separate"})
    mixed = model.mix(model.project(inputs(1, 7)), None)  # ends before the first summary
    assert not mixed[:, 1].any()
    assert mixed[:, 0].any()


def test_weights_are_dropped_in_training_alone() -> None:
    model = build("sparse", CASES[0], dropout=0.5)
    x = inputs(1, 19)
    assert torch.equal(model(x), model(x))
    model.train()
    assert not torch.allclose(model(x), model(x))


def test_parameters_are_the_transformers() -> None:
    ours, full = build("sparse", {}), build("full", {})
    assert {n: p.shape for n, p in ours.named_parameters()} == {n: p.shape for n, p in full.named_parameters()}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pattern": "local"}, "expected the pattern strided or fixed, got 'local'"),
        ({"stride": 0}, "expected a stride >= 1, got 0"),
        ({"stride": 4, "summary": 5}, "expected a summary from 1 to stride = 4, got 5"),
        ({"heads": "both"}, "expected heads merged, separate or interleaved, got 'both'"),
    ],
)
def test_wrong_options_are_refused(options: Options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build("sparse", options)


# torch 2.13 itself uses what it deprecates.
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.parametrize("options", CASES[:2], ids=str)
@pytest.mark.slow
def test_compiles(options: Options) -> None:
    model = build("sparse", options)
    x, keep = inputs(2, 12), lengths_mask([12, 7], 12)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)  # as one graph; inductor takes a minute for it
    assert_same(compiled, model, x, keep)
