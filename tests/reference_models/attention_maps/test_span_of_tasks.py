"""Spans of pictures, texts and pairs of documents: distances in the plane, cut and shifted as the model reads them."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import lra_data
from lra_data import get_task
from lra_data.corpus import Corpus
from reference_models.attention_maps.span import (
    attention_span,
    distances_in,
    distances_of_pixels,
    distances_of_tokens,
    drawn,
)
from tests.support.made_attention import (
    LISTOPS,
    PICTURE,
    SMALL,
    Pattern,
    by_example,
    made,
    model_of,
    of_uniform,
    pictures,
    uniform,
    with_cls,
)
from tests.support.tiny_corpora import imdb_files, write_tar


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


def test_stems_that_join_tokens_are_refused() -> None:
    with pytest.raises(
        ValueError, match="a vector for each token to measure spans, got the stem 'strided' of stride 4"
    ):
        attention_span(model_of(replace(SMALL, stem="strided", stride=4)), LISTOPS, examples=2)


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
