"""Required attention span: by hand for made-up weights, and every model against a second reckoning, one by one."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lra_data
from lra_data.corpus import Corpus
from reference_models.attention.catalogue import attention_names
from reference_models.attention_maps import span as module
from reference_models.attention_maps.span import (
    attention_span,
    distances_of_pixels,
    distances_of_tokens,
    drawn,
    measured,
)
from reference_models.attention_maps.span_result import NOT_A_DISTRIBUTION
from tests.support.harness import declared
from tests.support.made_attention import (
    LISTOPS,
    ONE_LAYER,
    PICTURE,
    SMALL,
    Pattern,
    ahead,
    block,
    blocks,
    by_example,
    layers_of,
    lengths_of,
    made,
    model_of,
    of_uniform,
    pictures,
    spans,
    uniform,
    with_cls,
)


@pytest.mark.parametrize("n", [1, 2, 12, 60])
def test_spans_by_hand(n: int) -> None:
    assert spans(np.eye(n)) == 0.0
    assert spans(uniform(n)) == pytest.approx(of_uniform(n), rel=1e-6)
    assert of_uniform(n) == pytest.approx(np.mean([abs(i - j) for i in range(n) for j in range(n)]))
    for k in (1, 5):
        stopped = sum(min(k, n - 1 - i) for i in range(n)) / n  # the last ones have no token so far ahead
        assert spans(ahead(k)(n)) == pytest.approx(stopped, rel=1e-6)
        # In a ring, n - k look k ahead and k look n - k back.
        ring = np.roll(np.eye(n), k, axis=1)
        assert spans(ring) == pytest.approx(2 * (k % n) * (n - k % n) / n, rel=1e-6)
    for size in (1, 2, 6):
        if n % size == 0:
            assert spans(block(size)(n)) == pytest.approx((size * size - 1) / (3 * size), rel=1e-6)


def test_spans_of_made_up_weights_through_a_whole_model() -> None:
    lengths = lengths_of(LISTOPS)
    found = attention_span(made(np.eye, uniform, ahead(3), block(4)), LISTOPS, examples=12)
    assert (found.sequences, found.examples, found.pixels, found.cls_share) == (12, 12, None, None)
    assert found.tokens.uniform == pytest.approx(np.mean([of_uniform(n) for n in lengths]), rel=1e-12)
    expected = [
        0.0,
        found.tokens.uniform,
        float(np.mean([(3 * (n - 3) + 2 + 1) / n for n in lengths])),
        float(np.mean([sum(size * of_uniform(size) for size in blocks(n, 4)) / n for n in lengths])),
    ]
    assert len(found.tokens.heads) == 2
    for heads in found.tokens.heads:
        assert heads == pytest.approx(expected, rel=1e-6)
    assert found.tokens.layers == pytest.approx([np.mean(expected)] * 2, rel=1e-6)
    assert found.tokens.mean == pytest.approx(np.mean(expected), rel=1e-6)
    assert found.tokens.ratio == pytest.approx(np.mean(expected) / found.tokens.uniform, rel=1e-6)
    assert found.faults == (("",) * 4,) * 2


# Their rows have negative entries or any sum.
OF_ANY_SUM = ("linformer", "nystromformer")
# Some heads may have such rows: a token in no cluster looks at nothing, and sines and cosines may be negative.
SOMETIMES = {"routing": "row sums differ from 1 by up to 1, least entry 0", "random_feature": "least entry -"}


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("name", attention_names())
@torch.no_grad()
def test_every_model_against_each_example_alone_and_unpadded(name: str, pooling: str) -> None:
    """So padding and the other examples of a batch change nothing."""
    options = declared(name, "CASES", None)[0]
    model = model_of(SMALL, attention=name, options=options, pooling=pooling).eval()
    found = attention_span(model, LISTOPS, examples=5, seed=3)
    matrices, no_span = model.attentions[0].num_matrices, model.attentions[0].no_span
    if name in OF_ANY_SUM or no_span:
        assert found.tokens.heads == ((NOT_A_DISTRIBUTION,) * matrices,) * 2
        assert (found.tokens.mean, found.tokens.ratio) == (NOT_A_DISTRIBUTION,) * 2
        assert found.cls_share in (None, found.tokens.heads)
        reason = f" over tokens: {no_span}; " if no_span else ": row sums differ"
        assert all(fault.startswith(f"{NOT_A_DISTRIBUTION}{reason}") for fault in found.faults[0])
        return
    assert all(len(heads) == 3 for heads in found.tokens.heads)
    expected = by_example(model, [LISTOPS[place]["inputs"] for place in drawn(12, 5, 3)])
    for of_layer, should, faults in zip(found.tokens.heads, expected, found.faults, strict=True):
        for value, number, fault in zip(of_layer, should, faults, strict=True):
            if name in SOMETIMES and fault:
                assert (value, fault) == (NOT_A_DISTRIBUTION, fault)
                assert SOMETIMES[name] in fault
            else:
                assert fault == ""
                assert value == pytest.approx(number, rel=1e-4)
    assert found.tokens.uniform > 0


def test_local_attention_stays_in_its_block() -> None:
    lengths = lengths_of(LISTOPS)
    model = model_of(SMALL, attention="local", options={"block": 8})
    found = attention_span(model, LISTOPS, examples=12)
    assert all(isinstance(head, float) and 0 < head <= 7 for heads in found.tokens.heads for head in heads)
    for attention in model.attentions:
        torch.nn.init.zeros_(attention.query.weight)
        torch.nn.init.zeros_(attention.key.weight)
    even = attention_span(model, LISTOPS, examples=12).tokens
    expected = np.mean([sum(size * of_uniform(size) for size in blocks(n, 8)) / n for n in lengths])
    assert [head for heads in even.heads for head in heads] == pytest.approx([expected] * 6, rel=1e-6)


def test_local_attention_of_whole_blocks_has_the_blocks_span(corpora: dict[str, Path]) -> None:
    model = model_of(ONE_LAYER, attention="local", options={"block": 32}, **PICTURE)
    torch.nn.init.zeros_(model.attentions[0].query.weight)
    found = attention_span(model, pictures(corpora), examples=2)
    assert found.tokens.mean == pytest.approx((32 * 32 - 1) / (3 * 32), rel=1e-6)
    assert found.pixels is not None
    assert found.pixels.mean == pytest.approx(found.tokens.mean, rel=1e-6)  # a block is one row


@pytest.mark.parametrize("n", [1, 7, 12])
@pytest.mark.parametrize("front", [0, 1, 2])
def test_measured_is_the_plain_sum(n: int, front: int) -> None:
    rng = np.random.default_rng(n)
    rows = rng.random((2, front + n, front + n))
    rows /= rows.sum(axis=-1, keepdims=True)
    found = measured(torch.from_numpy(rows), [distances_of_tokens(12), distances_of_pixels(12, 4)], front=front)
    for head in range(2):
        by_place = by_pixel = total = 0.0
        for i in range(n):
            for j in range(n):
                weight = rows[head, front + i, front + j]
                by_place += weight * abs(i - j)
                by_pixel += weight * math.dist(divmod(i, 4), divmod(j, 4))
                total += weight
        assert found.spans[:, head].tolist() == pytest.approx([by_place / total, by_pixel / total], rel=1e-6)
        assert found.share[head].item() == pytest.approx(total / n, rel=1e-6)
    assert found.deviation.max() < 1e-6
    assert found.least.tolist() == pytest.approx(rows[:, front:].min(axis=(1, 2)), rel=1e-6)
    assert all(facts.dtype == torch.float64 for facts in found)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (lambda n: uniform(n) * (1 - 2e-3), "row sums differ from 1 by up to 0.002, least entry 0"),
        (lambda n: uniform(n) + 0.1 * (np.eye(n) - np.eye(n)[::-1]), "least entry -0.0"),
        (lambda n: np.full((n, n), math.nan), "row sums differ from 1 by up to nan"),
        (lambda n: np.where(np.arange(n)[:, None] == n // 2, 0, uniform(n)), "differ from 1 by up to 1, least entry 0"),
    ],
)
def test_rows_that_are_no_distribution_have_no_span(pattern: Pattern, reason: str) -> None:
    model = made(uniform, pattern)
    found = attention_span(model, LISTOPS, examples=6)
    for heads, faults in zip(found.tokens.heads, found.faults, strict=True):
        assert heads[0] == pytest.approx(found.tokens.uniform, rel=1e-6)
        assert (heads[1], faults[0]) == (NOT_A_DISTRIBUTION, "")
        assert faults[1].startswith(NOT_A_DISTRIBUTION)
        assert reason in faults[1]
    # Nor has a mean over heads that mean nothing.
    assert found.tokens.layers == (NOT_A_DISTRIBUTION,) * 2
    assert (found.tokens.mean, found.tokens.ratio) == (NOT_A_DISTRIBUTION,) * 2
    right = attention_span(made(uniform, lambda n: uniform(n) * (1 - 5e-4)), LISTOPS, examples=6)
    assert right.faults == (("", ""),) * 2


def test_one_bad_layer_or_sequence_is_enough() -> None:
    lengths = lengths_of(LISTOPS)
    assert lengths.count(max(lengths)) == 1
    model = made(uniform)
    layers_of(model)[1].patterns = [lambda n: uniform(n) * (1 - 0.005 * (n == max(lengths)))]
    found = attention_span(model, LISTOPS, examples=12)
    assert found.tokens.layers[0] == pytest.approx(found.tokens.uniform, rel=1e-6)
    assert found.tokens.layers[1] == found.tokens.mean == NOT_A_DISTRIBUTION
    assert found.faults[0] == ("",)
    assert "row sums differ from 1 by up to 0.005" in found.faults[1][0]


def test_weight_on_padding_is_missing_from_the_rows() -> None:
    model = made(uniform, config=ONE_LAYER)
    layers_of(model)[0].on_padding = 0.5
    found = attention_span(model, LISTOPS, examples=6)
    assert found.tokens.mean == NOT_A_DISTRIBUTION
    assert "row sums differ from 1 by up to 0.5, least entry 0" in found.faults[0][0]


def test_cls_has_no_place_and_shifts_none() -> None:
    changes: dict[str, Any] = {"pooling": "cls"}
    plain = attention_span(made(np.eye, uniform, ahead(3)), LISTOPS, examples=12)
    heads = with_cls(np.eye, 0.3), with_cls(uniform, 0.9), with_cls(ahead(3), 0.0)
    found = attention_span(made(*heads, **changes), LISTOPS, examples=12)
    for of_layer, expected, shares in zip(found.tokens.heads, plain.tokens.heads, found.cls_share or (), strict=True):
        assert of_layer == pytest.approx(expected, rel=1e-5)
        assert shares == pytest.approx((0.3, 0.9, 0.0), abs=1e-6)
    assert found.tokens.uniform == plain.tokens.uniform
    # Weight counts, not rows: half of the tokens look at CLS alone, the others two places on.
    near_cls = lambda n: np.where(np.arange(n)[:, None] % 2, np.eye(n)[0], with_cls(ahead(2), 0.0)(n))  # noqa: E731
    (value,) = attention_span(made(near_cls, config=ONE_LAYER, **changes), LISTOPS, examples=12).tokens.heads[0]
    # Places 2, 4, … of n + 1, CLS at 0: tokens 1, 3, … of n, of which the last or the last but one stop at the end.
    each = [np.mean([min(2, n - 1 - token) for token in range(1, n, 2)]) for n in lengths_of(LISTOPS)]
    assert value == pytest.approx(np.mean(each), rel=1e-6)
    alone = attention_span(made(with_cls(uniform, 1.0), uniform, **changes), LISTOPS, examples=3)
    assert [heads[0] for heads in alone.tokens.heads] == [NOT_A_DISTRIBUTION] * 2
    assert "all weight of a sequence goes to CLS" in alone.faults[0][0]
    assert alone.tokens.heads[0][1] == pytest.approx(alone.tokens.uniform, rel=1e-6)


def test_reversible_layers_are_seen_too() -> None:
    plain = attention_span(model_of(SMALL), LISTOPS, examples=4)
    both_ways = attention_span(model_of(SMALL, reversible=True), LISTOPS, examples=4)
    assert both_ways.tokens.heads[0] == pytest.approx(plain.tokens.heads[0], rel=1e-5)  # x is the same there
    assert both_ways.tokens.heads[1] != pytest.approx(plain.tokens.heads[1], rel=1e-5)


@pytest.mark.parametrize("sequences_at_a_time", [1, 3, 5])
def test_weights_at_hand_stay_below_the_limit(sequences_at_a_time: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = made(ahead(2), block(3))
    whole = attention_span(model, LISTOPS, examples=12)
    one = 4 * 2 * 127 * 127
    assert max(layer.most for layer in layers_of(model)) == 12 * one
    for layer in layers_of(model):
        layer.most = layer.together = 0
    monkeypatch.setattr(module, "LARGEST_WEIGHTS", (sequences_at_a_time + 1) * one - 1)
    parts = attention_span(model, LISTOPS, examples=12)
    assert max(layer.most for layer in layers_of(model)) == sequences_at_a_time * one
    assert max(layer.together for layer in layers_of(model)) == sequences_at_a_time
    for few, many in zip(parts.tokens.heads, whole.tokens.heads, strict=True):
        assert few == pytest.approx(many, rel=1e-9)


def test_both_documents_of_an_example_need_not_be_at_hand(
    corpora: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = lra_data.load("retrieval", split="train", corpus=Corpus(corpora["retrieval"], allow_partial=True))
    model = made(uniform, config=ONE_LAYER, vocab_size=257, num_classes=2, max_length=50, head="concat")
    monkeypatch.setattr(module, "LARGEST_WEIGHTS", 1)
    assert attention_span(model, pairs, examples=2).tokens.ratio == pytest.approx(1, rel=1e-6)
    assert (layers_of(model)[0].most, layers_of(model)[0].together) == (4 * 50 * 50, 2)


def test_the_model_is_measured_in_evaluation_and_left_as_it_was() -> None:
    model = model_of(SMALL, dropout=0.5, attention_dropout=0.5).train()
    model.head.eval()
    found = attention_span(model, LISTOPS, examples=4)
    assert (model.training, model.encoder.training, model.head.training) == (True, True, False)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert attention_span(model.eval(), LISTOPS, examples=4) == found
    assert not any(attention._forward_pre_hooks for attention in model.attentions)
    with pytest.raises(ValueError, match="expected a model"):
        attention_span(model_of(SMALL, num_classes=2).train(), LISTOPS, examples=4)


def test_examples_follow_from_the_seed_alone() -> None:
    assert drawn(1000, 5, 0) == drawn(1000, 5, 0)
    assert drawn(1000, 5, 0) != drawn(1000, 5, 1)
    assert drawn(1000, 5, 0) == [394, 430, 776, 864, 911]  # what was measured once can be measured again
    assert drawn(12, 12, 7) == list(range(12))
    counts = np.bincount(np.concatenate([drawn(10, 3, seed) for seed in range(2000)]), minlength=10)
    assert counts.tolist() == pytest.approx([600] * 10, abs=100)  # five deviations
    model = model_of(SMALL)
    first, again, other = (attention_span(model, LISTOPS, examples=4, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first.tokens.uniform != other.tokens.uniform
    assert first.tokens.uniform == pytest.approx(
        np.mean([of_uniform(lengths_of(LISTOPS)[place]) for place in drawn(12, 4, 0)])
    )


def test_what_cannot_be_is_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match=r"^expected at most 12 examples, which is all there are, got 1000: ask .*$"):
        attention_span(model_of(SMALL), LISTOPS)
    for examples in (0, -1):
        with pytest.raises(ValueError, match=f"examples must be an integer >= 1, got {examples}"):
            drawn(12, examples, 0)
    with pytest.raises(ValueError, match="seed must be an integer >= 0, got -1"):
        drawn(12, 3, -1)
    with pytest.raises(ValueError, match="max_length"):
        attention_span(model_of(SMALL, max_length=100), LISTOPS, examples=2)


def test_what_is_printed_and_written(corpora: dict[str, Path]) -> None:
    model = made(with_cls(ahead(3), 0.25), with_cls(lambda n: 2 * uniform(n), 0.0), pooling="cls")
    found = attention_span(model, LISTOPS, examples=12)
    written = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert {name: written[name] for name in ("attention", "data", "examples", "seed", "sequences", "pixels")} == {
        "attention": "full", "data": "listops/mini validation", "examples": 12, "seed": 0, "sequences": 12,
        "pixels": None,
    }  # fmt: skip
    tokens = written["tokens"]
    assert tokens["heads"] == [[pytest.approx(found.tokens.heads[0][0]), NOT_A_DISTRIBUTION]] * 2
    assert (tokens["mean"], tokens["ratio"], tokens["layers"]) == (*[NOT_A_DISTRIBUTION] * 2, [NOT_A_DISTRIBUTION] * 2)
    assert tokens["uniform"] == found.tokens.uniform
    assert written["cls_share"] == [[pytest.approx(0.25), NOT_A_DISTRIBUTION]] * 2
    assert written["faults"] == [list(faults) for faults in found.faults]
    lines = found.lines()
    assert lines[0] == "full: required attention span, 12 of listops/mini validation, seed 0"
    assert lines[1] == f"tokens: not a distribution; uniform {found.tokens.uniform:.2f}, ratio not a distribution"
    assert lines[2] == f"  layer 0: not a distribution; heads {found.tokens.heads[0][0]:.2f}, not a distribution"
    assert "  layer 1: share on CLS 0.25, not a distribution" in lines
    assert lines[-1] == f"  layer 1, head 1: {found.faults[1][1]}"
    assert len(lines) == 8
    both = attention_span(made(uniform, config=ONE_LAYER, **PICTURE), pictures(corpora), examples=2)
    assert both.lines()[1] == "tokens: 341.33; uniform 341.33, ratio 1.00"
    assert both.lines()[3].startswith("pixels: 16.")
    assert json.loads(json.dumps(both.to_json()))["pixels"]["ratio"] == pytest.approx(1, rel=1e-6)
