"""TokenLearner: at one layer, S tokens are learned from the sequence, and the layers after it see these alone.

    Z = A X        A = softmax over the tokens of a(X)^T: S maps of weights for the sequence, made from the input
    O = softmax(Q(Z) K(Z)^T / sqrt(E)) V(Z), added to Z

a is a small network of two dense layers for each token. Layers before `at_layer` are full attention on the sequence,
layers after it are full attention among the S tokens.

In the form "local" each layer learns S tokens, lets them attend to one another, and fuses the result with the sequence
(TokenFuser), so the length does not change:

    O = G (M softmax(Q(Z) K(Z)^T / sqrt(E)) V(Z)), added to X        G = sigmoid(g(X)), (L, S);  M learned, (S, S)

Ryoo et al., "TokenLearner: What Can 8 Learned Tokens Do for Images and Videos?", 2021, section 2. Time O(L^2) in the
layers before `at_layer`, O(L S) in this layer and O(S^2) after it; O(L S) in each layer of the form "local".

The maps are made from the normed input, as in version 1.1 of the authors' code, and applied to the input without norm
for the residual. With maps "sigmoid", A = sigmoid(a(X)^T) divided by the number of kept tokens: the paper's average;
the authors' code sums instead.

Differences from the paper: a is the network of version 1.1 on each token (the paper first had convolutions on a
picture, and the authors' module takes square pictures alone); queries, keys and values are made of a norm of A applied
to the normed input, where a block of the paper norms Z; TokenFuser has no norms, and the encoder's feed-forward layer
comes after it, on the sequence, where the paper's comes before it, on the S tokens. Padding has no weight in A.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from lra_data import UsageError
from reference_models.attention.base import Attention, Projected, Shape
from reference_models.attention.operations import (
    all_kept,
    attend,
    key_mask,
    softmax_weights,
    wide_dtype,
    xavier_matrices,
)

Form = Literal["schedule", "local"]
Maps = Literal["softmax", "sigmoid"]


class TokenLearnerAttention(Attention):
    """Attention among learned tokens. Dropout is on the attention's weights. torch.compile works
    (tests/reference_models).

    num_tokens: S. In the form "schedule" at most max_length, since later layers see S tokens.
    form: "schedule", or "local" to learn and fuse tokens in each layer.
    at_layer: the layer in which tokens are learned, counted from 0; None for the middle, num_layers // 2.
    maps: how a(X) becomes A.
    bottleneck: width between the two dense layers of a and of g.
    separate_cls: whether the first token is kept apart in the form "schedule", and comes before the learned tokens:
        for models whose classifier reads a CLS token.
    """

    family = "downsampling"
    cost = "L², later S²"
    paper = "Ryoo et al. 2021, §2"
    changes_length = True
    no_span = "heads look at learned tokens, which have no place"

    def __init__(
        self,
        shape: Shape,
        *,
        num_tokens: int = 8,
        form: Form = "schedule",
        at_layer: int | None = None,
        maps: Maps = "softmax",
        bottleneck: int = 64,
        separate_cls: bool = False,
    ) -> None:
        super().__init__(shape)
        if min(num_tokens, bottleneck) < 1:
            raise UsageError(f"expected num_tokens and bottleneck >= 1, got {num_tokens} and {bottleneck}")
        if form not in ("schedule", "local") or maps not in ("softmax", "sigmoid"):
            raise UsageError(
                f"expected a form 'schedule' or 'local' and maps 'softmax' or 'sigmoid', got {form!r} and {maps!r}"
            )
        if form == "local" and (at_layer is not None or separate_cls):
            raise UsageError("expected no at_layer and no separate_cls for the form 'local', where each layer learns")
        at_layer = shape.num_layers // 2 if at_layer is None else at_layer
        if not 0 <= at_layer < shape.num_layers:
            raise UsageError(f"expected at_layer from 0 to {shape.num_layers - 1}, got {at_layer}")
        self.form, self.maps, self.front = form, maps, int(separate_cls)
        if form == "schedule":
            num_tokens = min(num_tokens, shape.max_length - self.front)
            if num_tokens < 1:
                raise UsageError(f"expected max_length >= 2 with separate_cls, got {shape.max_length}")
        self.num_tokens = num_tokens
        self.learns = form == "local" or shape.layer == at_layer
        self.fuses = form == "local"
        if self.learns:
            # A softmax over tokens does not see a bias.
            self.to_maps = _network(shape.dim, bottleneck, num_tokens, bias=maps == "sigmoid")  # a
            self.token_norm = nn.LayerNorm(shape.dim, eps=1e-6)
        if self.fuses:
            self.to_gates = _network(shape.dim, bottleneck, num_tokens, bias=True)  # g
            self.mixing = nn.Parameter(xavier_matrices(1, num_tokens, num_tokens, self.generator())[0])  # M

    def project(self, x: Tensor, real: Tensor | None = None) -> Projected:
        """See Attention. A layer that learns tokens projects these alone, in `mix`: here its q, k and v are x."""
        if not self.learns:
            return super().project(x, real)
        v = x.transpose(1, 2)[..., None]
        return Projected(x, v, v, v)

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """See Attention. Returns (B, H, L', E), with L' tokens in the layer that learns them."""
        x, q, k, v = projected
        if not self.learns:
            return attend(q, k, v, key_mask(keep), dropout=self.attention_dropout)
        tokens, kept = self._tokens(x, x, all_kept(x, keep))
        q, k, v = self._of_tokens(tokens)
        mixed = attend(q, k, v, key_mask(kept), dropout=self.attention_dropout)
        return self._fused(x, mixed) if self.fuses else mixed

    def shortened(self, x: Tensor, normed: Tensor, keep: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """See Attention: Z in the layer that learns its tokens."""
        if not self.learns or self.fuses:
            return x, keep
        if x.shape[1] == 0:
            return x, keep
        return self._tokens(x, normed, all_kept(x, keep))

    def _weights(self, normed: Tensor, keep: Tensor) -> Tensor:
        """A: (B, S, L - front) of the normed input and keep, both without the first token if it is kept apart."""
        logits = self.to_maps(normed).transpose(1, 2)
        if self.maps == "softmax":
            return softmax_weights(logits, keep[:, None])
        gates = torch.sigmoid(logits.to(wide_dtype(logits))).masked_fill(~keep[:, None], 0.0)
        return gates / keep.sum(dim=1).clamp(min=1)[:, None, None]

    def _tokens(self, x: Tensor, normed: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
        """The first token if it is kept apart, and the S tokens that the maps of `normed` take from x: (B, L', D), and
        their mask, where learned tokens count if the sequence has any token to learn from.
        """
        rest, kept = x[:, self.front :], keep[:, self.front :]
        weights = self._weights(normed[:, self.front :], kept)
        with torch.autocast(x.device.type, enabled=False):
            learned = weights @ rest.masked_fill(~kept[..., None], 0.0).to(weights.dtype)
        tokens = torch.cat([x[:, : self.front], learned.to(x.dtype)], dim=1)
        return tokens, torch.cat([keep[:, : self.front], kept.any(dim=1, keepdim=True).expand(-1, self.num_tokens)], 1)

    def _of_tokens(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """q, k and v of tokens (B, L', D), of which the learned ones get a norm: a mean of normed tokens is small."""
        first, learned = tokens[:, : self.front], self.token_norm(tokens[:, self.front :])
        normed = torch.cat([first, learned.to(first.dtype)], dim=1)
        return self.split(self.query(normed)), self.split(self.key(normed)), self.split(self.value(normed))

    def _fused(self, x: Tensor, mixed: Tensor) -> Tensor:
        """TokenFuser: (B, H, S, E) to (B, H, L, E)."""
        gates = torch.sigmoid(self.to_gates(x)).to(mixed.dtype)[:, None]
        fused: Tensor = gates @ (self.mixing.to(mixed.dtype) @ mixed)
        return fused

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """The product of the matrices of a layer: maps A, attention among the tokens, and for the form "local" M and
        the gates. In a layer that learns its tokens, row i holds the weights of token i of the result, and rows beyond
        these are 0; a matrix of fewer rows than tokens is cut. The product leaves out the norm of the tokens, so it
        shows where a layer looks, and does not make the outputs from v. Layers that learn no tokens are full attention.
        """
        kept = all_kept(x, keep)
        if not self.learns:
            _, q, k, _ = self.project(x)
            return softmax_weights(self.scaled_logits(q, k), key_mask(kept))
        tokens, token_keep = self._tokens(x, x, kept)
        q, k, _ = self._of_tokens(tokens)
        among = softmax_weights(self.scaled_logits(q, k), key_mask(token_keep))  # (B, H, L', L')
        onto = self._weights(x[:, self.front :], kept[:, self.front :])
        length = x.shape[1]
        taken = onto.new_zeros(len(x), tokens.shape[1], length)
        taken[:, : self.front, : self.front] = kept[:, : self.front, None].to(onto.dtype)
        taken[:, self.front :, self.front :] = onto
        rows = among @ taken[:, None]
        if self.fuses:
            return self._fused(x, rows)
        matrix = rows.new_zeros(len(x), self.shape.heads, length, length)
        matrix[:, :, : rows.shape[2]] = rows[:, :, :length]
        return matrix


def _network(dim: int, bottleneck: int, outputs: int, *, bias: bool) -> nn.Sequential:
    """A small network for each token, (B, L, D) to (B, L, outputs); xavier-uniform, biases 0."""
    layers = nn.Linear(dim, bottleneck), nn.Linear(bottleneck, outputs, bias=bias)
    for layer in layers:
        nn.init.xavier_uniform_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return nn.Sequential(layers[0], nn.GELU(approximate="tanh"), layers[1])


ATTENTION = TokenLearnerAttention
