"""Perceiver: a few latent vectors read the tokens, and a tower of layers works on the latents alone.

    Z <- Z + Attn(Z, X, X)       read, in layers 0, T + 1, 2 (T + 1), ...
    Z <- Z + Attn(Z, Z, Z)       tower, in the T layers after each read

    Attn(Q, C, C) = concat_h[softmax((Q W_Q)_h (C W_K)_h^T / sqrt(E)) (C W_V)_h] W_O

The N latents Z are learned and flow through all layers. Feed-forward layers change Z alone, the tokens X never change,
and a classifier reads Z: its mean, or the first latent where a model pools CLS. A read takes time O(L N D) and memory
O(L D + N D), a layer of the tower O(N^2 D), whatever L is.

Jaegle et al., "Perceiver: general perception with iterative attention", ICML 2021, section 3.

The form "read-out" is Perceiver IO (Jaegle et al., ICLR 2022, section 3): each layer has latents and a tower of its
own, and the tokens look at the result, so that it maps tokens to tokens as other attentions do:

    H = tower(Attn(Z, X, X));   O = Attn(X, H, H)

Without a tower this is the Set Transformer's attention through inducing points.

Differences from the papers: in the form "latents", positions are added to the tokens by the encoder, not concatenated
as Fourier features; a read has H heads, not one; and no two layers share weights. In the form "read-out", H has no
residual from Z, the input's own queries replace those of an output, and a tower's feed-forward layer is as wide as D
(as in IO) with GELU. A sequence without tokens leaves Z as it is.
"""

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from lra_data import UsageError
from reference_models.attention.base import Attention, Part, Projected, Shape
from reference_models.attention.operations import (
    OutputOfParts,
    attend,
    joined,
    key_mask,
    projection,
    softmax_weights,
    split_heads,
)

Form = Literal["latents", "read-out"]

_EPSILON = 1e-6  # of norms, as in the encoder


class PerceiverAttention(Attention):
    """A read or a layer of the tower, or all of them and a read-out.

    num_latents: N. In the form "latents" they are the first N positions of x.
    tower_layers: T, number of layers on the latents after each read; in the form "read-out" within each layer.
    form: "latents" for the Perceiver, "read-out" for Perceiver IO.

    Dropout is on all attention weights. torch.compile works (tests/reference_models).
    """

    family = "downsampling"
    no_span = "latents, which have no place, look at the tokens or are looked at"
    cost = "L N + N²"
    paper = "Jaegle et al. 2021, §3"
    feed_forward: Part = "prefix"
    pooled: Literal["tokens", "prefix"] = "prefix"

    def __init__(self, shape: Shape, *, num_latents: int = 512, tower_layers: int = 1, form: Form = "latents") -> None:
        super().__init__(shape)
        if num_latents < 1:
            raise UsageError(f"expected num_latents >= 1, got {num_latents}")
        if tower_layers < 0:
            raise UsageError(f"expected tower_layers >= 0, got {tower_layers}")
        if form not in get_args(Form):
            raise UsageError(f"expected a form from {get_args(Form)}, got {form!r}")
        self.form = form
        self.reads = form == "read-out" or shape.layer % (tower_layers + 1) == 0
        if form == "latents":
            self.num_prefix = num_latents
            self.output = OutputOfParts(num_latents, self.output, _Zeros(shape.dim))
            return
        self.feed_forward, self.pooled = "all", "tokens"
        width = shape.heads * shape.head_dim
        # As the encoder's vectors in front begin.
        self.latents = nn.Parameter(torch.randn(num_latents, shape.dim, generator=self.generator()))
        self.latent_query = projection(shape.dim, width)  # W_Q of the read
        self.latent_output = projection(width, shape.dim)  # W_O of the read
        self.tower = nn.ModuleList(_TowerLayer(shape) for _ in range(tower_layers))
        self.read_out_key = projection(shape.dim, width)  # W_K of the read-out
        self.read_out_value = projection(shape.dim, width)  # W_V of the read-out

    def project(self, x: Tensor, real: Tensor | None = None) -> Projected:
        """In the form "latents": q of the latents; k and v of the tokens for a read, of the latents for the tower."""
        if self.form == "read-out":
            return super().project(x, real)
        latents, tokens = x[:, : self.num_prefix], x[:, self.num_prefix :]
        context = tokens if self.reads else latents
        return Projected(
            x, *(self.split(part) for part in (self.query(latents), self.key(context), self.value(context)))
        )

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """See Attention. In the form "latents" the rows of tokens are 0."""
        x, q, k, v = projected
        dropout = self.attention_dropout
        if self.form == "read-out":
            keys, values = self._summary(attend(self._latent_queries(len(x)), k, v, key_mask(keep), dropout=dropout))
            return attend(q, keys, values, None, dropout=dropout)
        mixed = attend(q, k, v, self._mask(keep), dropout=dropout)
        return functional.pad(mixed, (0, 0, 0, x.shape[1] - mixed.shape[2]))

    def _mask(self, keep: Tensor | None) -> Tensor | None:
        """Mask over the keys in the form "latents"."""
        if keep is None:
            return None
        return key_mask(keep[:, self.num_prefix :] if self.reads else keep[:, : self.num_prefix])

    def _latent_queries(self, batch: int) -> Tensor:
        """Z W_Q: (B, H, N, E)."""
        return self.split(self.latent_query(self.latents[None])).expand(batch, -1, -1, -1)

    def _summary(self, heads: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of H, from the heads of the read: (B, H, N, E) each."""
        summary = self.latent_output(joined(heads))
        for layer in self.tower:
            summary = layer(summary, self.attention_dropout)
        return self.split(self.read_out_key(summary)), self.split(self.read_out_value(summary))

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """In the form "latents" the weights of the latents' rows; rows of tokens are 0. In the form "read-out" the
        read-out's weights for the latents, times the read's weights for the tokens averaged over heads: what the tower
        exchanges between latents is left out. Rows sum to 1; values pass through both.
        """
        _, q, k, v = self.project(x)
        if self.form == "read-out":
            onto_tokens = softmax_weights(self.scaled_logits(self._latent_queries(len(x)), k), key_mask(keep))
            keys, _ = self._summary(onto_tokens.to(v.dtype) @ v)
            return softmax_weights(self.scaled_logits(q, keys), None) @ onto_tokens.mean(dim=1, keepdim=True)
        weights = softmax_weights(self.scaled_logits(q, k), self._mask(keep))
        first = q.shape[2] if self.reads else 0  # column of the first key
        last = x.shape[1] - first - k.shape[2]
        return functional.pad(weights, (first, last, 0, x.shape[1] - q.shape[2]))


class _TowerLayer(nn.Module):
    """h + Attn(norm(h)), then the same with a feed-forward layer as wide as D."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self._heads = shape.heads
        width = shape.heads * shape.head_dim
        self.norm_attention, self.norm_output = (nn.LayerNorm(shape.dim, eps=_EPSILON) for _ in range(2))
        self.query, self.key, self.value = (projection(shape.dim, width) for _ in range(3))
        self.output = projection(width, shape.dim)
        self.widen, self.narrow = (nn.Linear(shape.dim, shape.dim) for _ in range(2))

    def forward(self, latents: Tensor, dropout: float) -> Tensor:
        """latents: (B, N, D). dropout: of attention weights."""
        normed = self.norm_attention(latents)
        q, k, v = (split_heads(part(normed), self._heads) for part in (self.query, self.key, self.value))
        latents = latents + self.output(joined(attend(q, k, v, None, dropout=dropout)))
        hidden = functional.gelu(self.widen(self.norm_output(latents)), approximate="tanh")
        result: Tensor = latents + self.narrow(hidden)
        return result


class _Zeros(nn.Module):
    """(B, L, H * E) to zeros (B, L, D)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self._dim = dim

    def forward(self, heads: Tensor) -> Tensor:
        """The share of tokens, which never change."""
        return heads.new_zeros(*heads.shape[:2], self._dim)


ATTENTION = PerceiverAttention
