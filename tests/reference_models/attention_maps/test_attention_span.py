"""Required attention span: by hand for made-up weights, and every model against a second reckoning, one by one."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import lra_data
from lra_data import get_task
from lra_data.corpus import Corpus
from reference_models.attention.base import Attention, Projected
from reference_models.attention.catalogue import attention_names
from reference_models.attention_maps import span as module
from reference_models.attention_maps.span import (
    attention_span,
    distances_in,
    distances_of_pixels,
    distances_of_tokens,
    drawn,
    measured,
)
from reference_models.attention_maps.span_result import NOT_A_DISTRIBUTION
from reference_models.model.classifier import Classifier
from reference_models.model.config import ModelConfig
from reference_models.model.encoder import AttentionLayer
from tests.support.harness import declared
from tests.support.tiny_corpora import imdb_files, write_tar

SMALL = ModelConfig(
    attention="full", vocab_size=16, num_classes=10, max_length=127, dim=16, heads=3, qkv_dim=24, mlp_dim=8,
    num_layers=2, pooling="mean",
)  # fmt: skip
ONE_LAYER = replace(SMALL, heads=1, qkv_dim=8, dim=8, num_layers=1)
LISTOPS = lra_data.load("listops/mini", split="validation[:12]")
# What a model of pictures differs in.
PICTURE: dict[str, Any] = {"vocab_size": 256, "max_length": 1024}

Pattern = Callable[[int], NDArray[Any]]  # from n to the weights (n, n) of a sequence of n


def model_of(config: ModelConfig, **changes: Any) -> Classifier:
    torch.manual_seed(0)
    return Classifier(replace(config, **changes))


def pictures(corpora: dict[str, Path], preset: str = "lra") -> Any:
    return lra_data.load(f"image/{preset}", split="test", corpus=Corpus(corpora["image"], allow_partial=True))


class Made(Attention):
    """Made-up weights for each head; what stands under padding, and the row of CLS, is no number."""

    family, cost, paper = "none", "", ""

    def __init__(self, shape: Any, patterns: list[Pattern], front: int) -> None:
        super().__init__(shape)
        self.patterns, self.front = patterns, front
        self.most = 0  # bytes asked for at a time
        self.together = 0  # sequences in a forward
        self.on_padding = 0.0  # of each row

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        self.together = max(self.together, len(projected.v))
        return projected.v

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        assert keep is not None
        weights = torch.full((len(x), len(self.patterns), x.shape[1], x.shape[1]), math.nan)
        self.most = max(self.most, weights.numel() * 4)
        for row, count in enumerate(keep.sum(dim=1).tolist()):
            for head, pattern in enumerate(self.patterns):
                rows = torch.from_numpy(pattern(count))[self.front :] * (1 - self.on_padding)
                weights[row, head, self.front : count, :count] = rows
                weights[row, head, self.front : count, count:] = self.on_padding / max(1, x.shape[1] - count)
        return weights


def made(*patterns: Pattern, config: ModelConfig = SMALL, **changes: Any) -> Classifier:
    """A model with these weights in the heads of each layer."""
    model = model_of(config, heads=len(patterns), qkv_dim=8 * len(patterns), **changes)
    for layer in model.encoder.attentions:
        assert isinstance(layer, AttentionLayer)
        layer.attention = Made(layer.attention.shape, list(patterns), int(model.config.pooling == "cls"))
    return model


def layers_of(model: Classifier) -> list[Made]:
    return [attention for attention in model.attentions if isinstance(attention, Made)]


def uniform(n: int) -> NDArray[Any]:
    return np.full((n, n), 1 / n)


def ahead(k: int) -> Pattern:
    """Each token looks at the one k places on, or at the last."""

    def pattern(n: int) -> NDArray[Any]:
        return np.eye(n)[np.minimum(np.arange(n) + k, n - 1)]

    return pattern


def block(size: int) -> Pattern:
    def pattern(n: int) -> NDArray[Any]:
        number = np.arange(n) // size
        same: NDArray[Any] = (number[:, None] == number).astype(float)
        same /= same.sum(axis=1, keepdims=True)
        return same

    return pattern


def lengths_of(dataset: Any) -> list[int]:
    return [len(dataset[place]["inputs"]) for place in range(len(dataset))]


def blocks(n: int, size: int) -> list[int]:
    """Sizes of the blocks of n tokens."""
    return [size] * (n // size) + [n % size] * (n % size > 0)


def of_uniform(n: int) -> float:
    return (n * n - 1) / (3 * n)


def spans(weights: NDArray[Any]) -> float:
    """`measured` of one head."""
    return float(measured(torch.from_numpy(weights)[None], [distances_of_tokens(len(weights))]).spans)


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


def by_example(model: Classifier, inputs: list[NDArray[Any]]) -> NDArray[Any]:
    """(layers, heads): each sequence alone and without padding, the encoder's layers one after another, in NumPy."""
    encoder, front = model.encoder, int(model.config.pooling == "cls")
    rows = []
    for tokens in inputs:
        n, of_layers = len(tokens), []
        apart = np.array([[abs(i - j) for j in range(n)] for i in range(n)], dtype=float)
        x = encoder.embedding(torch.from_numpy(tokens.astype(np.int64))[None])
        x = x if encoder.cls is None else torch.cat([encoder.cls[None, None], x], dim=1)
        x = x + encoder.positions[: x.shape[1]]
        keep = torch.ones(x.shape[:2], dtype=torch.bool)
        for layer, feed_forward in zip(encoder.attentions, encoder.feed_forwards, strict=True):
            assert isinstance(layer, AttentionLayer)
            weights = layer.attention.dense_weights(layer.norm(x), keep)[0].double().numpy()[:, front:, front:]
            of_layers.append([(head * apart).sum() / head.sum() for head in weights])
            x = x + layer(x, keep)
            x = x + feed_forward(x)
        rows.append(of_layers)
    found: NDArray[Any] = np.mean(rows, axis=0)
    return found


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("name", attention_names())
@torch.no_grad()
def test_every_model_against_each_example_alone_and_unpadded(name: str, pooling: str) -> None:
    """So padding and the other examples of a batch change nothing."""
    options = declared(name, "CASES", None)[0]
    model = model_of(SMALL, attention=name, options=options, pooling=pooling).eval()
    found = attention_span(model, LISTOPS, examples=5, seed=3)
    assert all(len(heads) == 3 for heads in found.tokens.heads)
    if name in ("linformer", "set_transformer"):
        assert found.tokens.heads == ((NOT_A_DISTRIBUTION,) * 3,) * 2
        assert (found.tokens.mean, found.tokens.ratio) == (NOT_A_DISTRIBUTION,) * 2
        assert found.cls_share in (None, found.tokens.heads)
        reason = "over tokens: heads look at inducing points" if name == "set_transformer" else r": row sums differ"
        assert all(
            fault.startswith(f"{NOT_A_DISTRIBUTION}{' ' * (name[0] == 's')}{reason}") for fault in found.faults[0]
        )
        return
    expected = by_example(model, [LISTOPS[place]["inputs"] for place in drawn(12, 5, 3)])
    for of_layer, should, faults in zip(found.tokens.heads, expected, found.faults, strict=True):
        for value, number, fault in zip(of_layer, should, faults, strict=True):
            if name == "routing" and fault:  # a token in no cluster looks at nothing
                assert (value, fault) == (NOT_A_DISTRIBUTION, fault)
                assert "row sums differ from 1 by up to 1, least entry 0" in fault
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


def with_cls(pattern: Pattern, share: float) -> Pattern:
    """Each token gives CLS this share, and the rest as the pattern says."""

    def weights(n: int) -> NDArray[Any]:
        rows = np.zeros((n, n))
        rows[:, 0], rows[1:, 1:] = share, (1 - share) * pattern(n - 1)
        return rows

    return weights


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
    assert "of a sequence all weight goes to CLS" in alone.faults[0][0]
    assert alone.tokens.heads[0][1] == pytest.approx(alone.tokens.uniform, rel=1e-6)


@pytest.mark.parametrize(
    ("length", "width", "channels"), [(16, None, 1), (12, 3, 1), (12, 4, 1), (27, None, 3), (5, 1, 1)]
)
def test_distances_of_pixels(length: int, width: int | None, channels: int) -> None:
    found = distances_of_pixels(length, width, channels=channels)
    columns = width or math.isqrt(length // channels)
    for i in range(length):
        for j in range(length):
            one, other = divmod(i // channels, columns), divmod(j // channels, columns)
            assert found[i, j].item() == pytest.approx(math.dist(one, other), rel=1e-6)


def test_a_width_that_does_not_fit_is_refused() -> None:
    for length, width in [(12, None), (12, 5), (12, 0), (12, -3)]:
        with pytest.raises(
            ValueError, match=f"expected a width that divides 12 pixels, or a square .* got width {width}"
        ):
            distances_of_pixels(length, width)
    with pytest.raises(ValueError, match="expected no width for listops/mini, which has no pictures, got 8"):
        attention_span(model_of(SMALL), LISTOPS, examples=2, width=8)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_pictures_have_distances_in_the_plane(pooling: str, corpora: dict[str, Path]) -> None:
    patterns: list[Pattern] = [np.eye, uniform, lambda n: np.roll(np.eye(n), 32, axis=1)]
    heads = [with_cls(pattern, 0.0) for pattern in patterns] if pooling == "cls" else patterns
    model = made(*heads, config=replace(SMALL, num_layers=1), pooling=pooling, **PICTURE)
    found = attention_span(model, pictures(corpora), examples=3)
    assert found.pixels is not None
    # The mean over all pairs of pixels, by how often each difference of rows and of columns occurs.
    often = [32] + [2 * (32 - apart) for apart in range(1, 32)]
    plane = sum(math.hypot(a, b) * often[a] * often[b] for a in range(32) for b in range(32)) / 32**4
    assert found.pixels.uniform == pytest.approx(plane, rel=1e-6)
    # One row down, and from the last row up to the first.
    assert found.tokens.heads[0] == pytest.approx((0, of_uniform(1024), (992 * 32 + 32 * 992) / 1024), rel=1e-6)
    assert found.pixels.heads[0] == pytest.approx((0, plane, (992 * 1 + 32 * 31) / 1024), rel=1e-6)
    # In rows of 64: 32 beside, or 32 back in the next row; from the end of the last row, 15 up to the first.
    flat = attention_span(model, pictures(corpora), examples=3, width=64).pixels
    assert flat is not None
    beside = 16 * 32 * 32 + 15 * 32 * math.hypot(32, 1) + 32 * math.hypot(32, 15)
    assert flat.heads[0][2] == pytest.approx(beside / 1024, rel=1e-6)


@pytest.mark.parametrize(
    "name", ["listops/lra", "text/lra", "retrieval", "image/lra", "pathfinder/32-hard", "pathfinder"]
)
def test_which_tasks_are_of_pictures(name: str) -> None:
    tables = distances_in(get_task(name), 1024)
    assert len(tables) == 1 + (name.startswith(("image", "pathfinder")))
    assert torch.equal(tables[0], distances_of_tokens(1024))
    assert all(torch.equal(table, distances_of_pixels(1024, 32)) for table in tables[1:])


def test_channels_of_a_pixel_are_at_one_place() -> None:
    _, pixels = distances_in(get_task("image/rgb"), 3072)
    # Red of the first pixel; blue of it, red of the next, and green of the first and of the last in the second row.
    assert pixels[0, [2, 3, 97, 3 * 63 + 1]].tolist() == pytest.approx([0, 1, 1, math.hypot(31, 1)])


def test_text_is_cut_and_shifted_as_the_model_reads_it(corpora: dict[str, Path]) -> None:
    texts = lra_data.load("text/lra", split="test", corpus=Corpus(corpora["text"], allow_partial=True))
    model = model_of(SMALL, vocab_size=257, num_classes=2, max_length=40).eval()
    found = attention_span(model, texts, examples=4, seed=1)
    inputs = [texts[place]["inputs"][:40] + np.int32(1) for place in drawn(len(texts), 4, 1)]
    assert found.tokens.uniform == pytest.approx(np.mean([of_uniform(len(each)) for each in inputs]))
    with torch.no_grad():
        expected = by_example(model, inputs)
    assert np.array(found.tokens.heads) == pytest.approx(expected, rel=1e-4)


def test_documents_of_one_byte_have_no_distances(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "aclImdb.tar.gz", dict.fromkeys(imdb_files(), b"w"))
    dataset = lra_data.load("text/lra", split="test", corpus=Corpus(archive, allow_partial=True))
    model = model_of(SMALL, vocab_size=257, num_classes=2, max_length=40)
    with pytest.raises(
        ValueError, match="expected sequences of 2 tokens or more, got none in text/lra-partial: there are no"
    ):
        attention_span(model, dataset, examples=3)


def test_both_documents_count(corpora: dict[str, Path]) -> None:
    pairs = lra_data.load("retrieval", split="train", corpus=Corpus(corpora["retrieval"], allow_partial=True))
    model = model_of(SMALL, vocab_size=257, num_classes=2, max_length=300, head="four-way").eval()
    found = attention_span(model, pairs, examples=3)
    rows = [pairs[place] for place in drawn(len(pairs), 3, 0)]
    inputs = [row[name][:300] + np.int32(1) for row in rows for name in ("inputs_1", "inputs_2")]
    assert found.sequences == 6
    assert found.tokens.uniform == pytest.approx(np.mean([of_uniform(len(each)) for each in inputs]))
    with torch.no_grad():
        expected = by_example(model, inputs)
    assert np.array(found.tokens.heads) == pytest.approx(expected, rel=1e-4)


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
