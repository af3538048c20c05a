"""The encoder that all X-formers share: embeddings, positions, pre-norm blocks.

    x = dropout(embed(tokens) + positions)
    h = x + dropout(attention(norm(x)));  x = h + mlp(norm(h))        for each layer
    x = norm(x)

Some X-formers have learned vectors in front of the sequence, which pass through all layers (`num_prefix` of an
attention; they begin as N(0, 1), as embeddings do, and have no positions), or make the sequence shorter from layer to
layer (`shortened`). The classifier does not read the vectors in front, except for models whose paper reads only these.

As in the Long Range Arena (Tay et al. 2021, and the released `models/layers/common_layers.py`), with its
initialisations: embeddings N(0, 1) without scaling, dense layers xavier-uniform, GELU's tanh form, norms with epsilon
1e-6. One difference: lengths define the padding, not token 0, since a pixel of value 0 is not padding.

Not here: pooling and heads (`classifier.py`).
"""

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from lra_data import UsageError
from reference_models.attention.base import Attention, Shape
from reference_models.attention.catalogue import attention_class, made
from reference_models.attention.operations import picked, real_tokens, spread
from reference_models.model.config import ModelConfig
from reference_models.model.layers.stems import STEMS, grid_positions
from reference_models.model.reversible import reversible_layers

EPSILON = 1e-6


class Encoder(nn.Module):
    """Tokens (B, L) to vectors (B, L', D): L' = L + 1 with a CLS token in front, or fewer by stem or layers."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        kind = attention_class(config.attention)
        if config.reversible and not kind.repeatable:
            raise UsageError(f"expected an attention that may run twice for reversible layers, got {config.attention}")
        if config.stem == "tokens":
            self.embedding: nn.Module = nn.Embedding(config.vocab_size, config.dim)
            nn.init.normal_(self.embedding.weight)
        else:
            self.embedding = STEMS[config.stem](config)
        self.cls = nn.Parameter(torch.zeros(config.dim)) if config.pooling == "cls" else None
        if config.positions == "learned":
            self.positions = nn.Parameter(torch.empty(config.positions_count, config.dim))
            nn.init.normal_(self.positions, std=0.02)
        elif config.positions == "sinusoidal":
            self.register_buffer("positions", sinusoids(config.positions_count, config.dim), persistent=False)
        self.attentions = nn.ModuleList(AttentionLayer(config, layer) for layer in range(config.num_layers))
        self.feed_forwards = nn.ModuleList(FeedForward(config) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(config.dim, eps=EPSILON)
        first = cast(AttentionLayer, self.attentions[0]).attention
        if config.reversible and (first.changes_length or first.feed_forward != "all"):
            raise UsageError(
                "expected an attention whose layers change all positions and no length for reversible layers, got "
                f"{config.attention}"
            )
        self.num_prefix, self._pooled, self._part_fed = first.num_prefix, first.pooled, first.feed_forward
        self.prefix = nn.Parameter(torch.randn(self.num_prefix, config.dim)) if self.num_prefix else None

    def forward(
        self, tokens: Tensor, keep: Tensor | None = None, hidden: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """tokens: int (B, L). keep: bool (B, L) or None. Returns vectors (B, L', D) and their mask (B, L') or None.

        hidden: the vectors of the stem that are replaced, bool (B, vectors), and what replaces them, (D).

        For a model whose classifier reads the vectors in front (`pooled`), these are returned instead.
        """
        if tokens.shape[1] > self.config.max_length:
            raise UsageError(f"expected at most max_length = {self.config.max_length} tokens, got {tokens.shape[1]}")
        x, keep = (self.embedding(tokens), keep) if self.config.stem == "tokens" else self.embedding(tokens, keep)
        if hidden is not None:
            which, instead = hidden
            x = torch.where(which[..., None], instead.to(x.dtype), x)
        positions = self._positions(x)
        if self.cls is not None:
            x = torch.cat([self.cls.expand(x.shape[0], 1, -1), x], dim=1)
            keep = None if keep is None else functional.pad(keep, (1, 0), value=True)
        x = functional.dropout(x + positions, self.config.dropout, self.training)
        if self.prefix is not None:
            x = torch.cat([self.prefix.to(x.dtype).expand(x.shape[0], -1, -1), x], dim=1)
            keep = None if keep is None else functional.pad(keep, (self.num_prefix, 0), value=True)
        layers = zip(self.attentions, self.feed_forwards, strict=True)
        if self.config.reversible:
            # Both halves begin as x; their mean is the result (Kitaev et al. 2020, section 3).
            first, second = reversible_layers(x, x, list(layers), keep)
            x = (first + second) / 2
        else:
            for attention, feed_forward in layers:
                residual, shorter = cast(AttentionLayer, attention).shortened(x, keep)
                x, keep = residual + attention(x, keep), shorter
                x = self._fed(feed_forward, x, keep)
        if self.prefix is not None:
            if self._pooled == "prefix":
                return self.norm(x[:, : self.num_prefix]), None
            x, keep = x[:, self.num_prefix :], None if keep is None else keep[:, self.num_prefix :]
        return self.norm(x), keep

    def _positions(self, x: Tensor) -> Tensor:
        """Positions (L or L + 1, D) of the stem's vectors x (B, L, D); a CLS in front of a grid has none, so zeros."""
        count = x.shape[1] + (self.cls is not None)
        if self.config.positions != "grid":
            return cast(Tensor, self.positions)[:count]
        on_grid = grid_positions(x.shape[1], x.shape[2], x.device).to(x.dtype)
        return on_grid if self.cls is None else functional.pad(on_grid, (0, 0, 1, 0))

    def _fed(self, feed_forward: nn.Module, x: Tensor, keep: Tensor | None) -> Tensor:
        """x with the feed-forward layer's share added to the part of the sequence that the model says."""
        if self._part_fed == "all":
            return x + cast(Tensor, feed_forward(x, keep))
        front, tokens = x[:, : self.num_prefix], x[:, self.num_prefix :]
        if self._part_fed == "prefix":
            return torch.cat([front + feed_forward(front), tokens], dim=1)
        return torch.cat(
            [front, tokens + feed_forward(tokens, None if keep is None else keep[:, self.num_prefix :])], 1
        )


class AttentionLayer(nn.Module):
    """dropout(attention(norm(x))): the attention's share of the residual."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self._dropout = config.dropout
        self.norm = nn.LayerNorm(config.dim, eps=EPSILON)
        shape = Shape(
            dim=config.dim,
            heads=config.heads,
            head_dim=config.qkv_dim // config.heads,
            max_length=config.positions_count,
            layer=layer,
            num_layers=config.num_layers,
            dropout=config.attention_dropout,
            seed=config.seed,
        )
        self.attention: Attention = made(config.attention, shape, config.options)

    def forward(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """x: (B, L, D) to (B, L, D)."""
        return functional.dropout(self.attention(self.norm(x), keep), self._dropout, self.training)

    def shortened(self, x: Tensor, keep: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The residual that this layer's share is added to, and its mask; see `Attention.shortened`."""
        return self.attention.shortened(x, self.norm(x), keep) if self.attention.changes_length else (x, keep)


class FeedForward(nn.Module):
    """dropout(narrow(dropout(gelu(widen(norm(x)))))): the feed-forward layer's share of the residual."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self._dropout = config.dropout
        self.norm = nn.LayerNorm(config.dim, eps=EPSILON)
        self.widen = _dense(config.dim, config.mlp_dim)
        self.narrow = _dense(config.mlp_dim, config.dim)

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """x: (B, L, D) to (B, L, D); padding is not computed, and is 0."""
        real = real_tokens(keep)
        hidden = functional.gelu(self.widen(self.norm(picked(x, real))), approximate="tanh")
        hidden = functional.dropout(hidden, self._dropout, self.training)
        return spread(functional.dropout(self.narrow(hidden), self._dropout, self.training), real, x)


def sinusoids(length: int, dim: int) -> Tensor:
    """Fixed positions (L, D): sine in even columns, cosine in odd ones (Vaswani et al. 2017, section 3.5)."""
    rates = torch.exp(torch.arange(0, dim, 2) * (-math.log(10_000.0) / dim))
    angles = torch.arange(length)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :dim]


def _dense(inputs: int, outputs: int) -> nn.Linear:
    """A dense layer of the feed-forward part: xavier-uniform, biases N(0, 1e-6)."""
    linear = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(linear.weight)
    nn.init.normal_(linear.bias, std=1e-6)
    return linear
