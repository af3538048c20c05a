"""Attentions with made-up weights, and the spans that these must have."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import lra_data
from lra_data.corpus import Corpus
from reference_models.attention.base import Attention, Projected
from reference_models.attention_maps.span import (
    distances_of_tokens,
    measured,
)
from reference_models.model.classifier import Classifier
from reference_models.model.config import ModelConfig
from reference_models.model.encoder import AttentionLayer

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


def by_example(model: Classifier, inputs: list[NDArray[Any]]) -> NDArray[Any]:
    """(layers, heads): each sequence alone and without padding, the encoder's layers one after another, in NumPy."""
    encoder = model.encoder
    front = encoder.num_prefix + int(model.config.pooling == "cls")
    rows = []
    for tokens in inputs:
        n, of_layers = len(tokens), []
        apart = np.array([[abs(i - j) for j in range(n)] for i in range(n)], dtype=float)
        x = encoder.embedding(torch.from_numpy(tokens.astype(np.int64))[None])
        x = x if encoder.cls is None else torch.cat([encoder.cls[None, None], x], dim=1)
        x = x + encoder.positions[: x.shape[1]]
        x = x if encoder.prefix is None else torch.cat([encoder.prefix[None], x], dim=1)
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


def with_cls(pattern: Pattern, share: float) -> Pattern:
    """Each token gives CLS this share, and the rest as the pattern says."""

    def weights(n: int) -> NDArray[Any]:
        rows = np.zeros((n, n))
        rows[:, 0], rows[1:, 1:] = share, (1 - share) * pattern(n - 1)
        return rows

    return weights
