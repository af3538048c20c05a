"""Luna: a short sequence P reads the tokens, and the tokens read what it found (pack and unpack attention).

    Y_P = Attn(P, X, X)          pack: the l vectors of P look at the tokens
    Y_X = Attn(X, Y_P, Y_P)      unpack: the tokens look at the packed vectors

    Attn(Q, C, C) = concat_h[softmax((Q W_Q)_h (C W_K)_h^T / sqrt(E)) (C W_V)_h] W_O

P is learned before the first layer and flows through all layers: each layer adds Y_P to P and Y_X to X. The
feed-forward layers change X alone, and a classifier reads X.

Ma et al., "Luna: linear unified nested attention", NeurIPS 2021, section 3.1. Time O(L l D), memory O(L D + l D) with
PyTorch's fused kernels, O(L l H) where attention dropout needs the weights. P makes it order-free like attention by
content: a permutation of the tokens permutes Y_X and leaves Y_P.

Differences from the paper: the encoder's norms are before each layer, Luna's after it. The released code ties K and V
(`tie_kv`): each attention has one projection of what it reads, and Y_P has no output projection, so that H * E = D. The
paper's formula leaves out all W_O; without `tie_kv` both attentions have one, as multi-head attention has. The released
code may give the pack attention other heads, and cuts P to the length of the longest sequence of a batch and of each
sequence: here P always has l vectors, so that a row does not depend on its batch. A sequence without tokens packs 0.
"""

import torch
from torch import Tensor, nn

from lra_data import UsageError
from reference_models.attention.base import Attention, Projected, Shape
from reference_models.attention.operations import (
    OutputOfParts,
    attend,
    joined,
    key_mask,
    projection,
    softmax_weights,
)


class LunaAttention(Attention):
    """Pack and unpack attention: the first l positions of x are P. `key` and `value` belong to the first attention,
    `query` to the second.

    projected_length: l.
    tie_kv: whether each attention has one projection for keys and values, and the first no output projection, as in the
        released code; needs H * E = D.

    Dropout is on the weights of both. torch.compile works (tests/reference_models).
    """

    family = "memory"
    no_span = "tokens look at packed vectors, which have no place"
    cost = "L l"
    paper = "Ma et al. 2021, §3.1"
    feed_forward = "tokens"

    def __init__(self, shape: Shape, *, projected_length: int = 256, tie_kv: bool = False) -> None:
        super().__init__(shape)
        if projected_length < 1:
            raise UsageError(f"expected projected_length >= 1, got {projected_length}")
        width = shape.heads * shape.head_dim
        if tie_kv and width != shape.dim:
            raise UsageError(f"expected heads * head_dim = dim = {shape.dim} with tie_kv, got {width}")
        self.num_prefix, self.tie_kv = projected_length, tie_kv
        self.pack_query = projection(shape.dim, width)  # W_Q of the first attention
        self.unpack_value = projection(shape.dim, width)  # W_V of the second
        if tie_kv:
            del self.key
        else:
            self.unpack_key = projection(shape.dim, width)  # W_K of the second
        self.output = OutputOfParts(
            projected_length, nn.Identity() if tie_kv else projection(width, shape.dim), self.output
        )

    def project(self, x: Tensor, real: Tensor | None = None) -> Projected:
        """q of P by the first attention's projection and of X by the second's, (B, H, L, E); k and v of X alone."""
        packing, tokens = x[:, : self.num_prefix], x[:, self.num_prefix :]
        q = torch.cat([self.pack_query(packing), self.query(tokens)], dim=1)
        v = self.split(self.value(tokens))
        return Projected(x, self.split(q), v if self.tie_kv else self.split(self.key(tokens)), v)

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """See Attention."""
        _, q, k, v = projected
        packing, tokens = q[:, :, : self.num_prefix], q[:, :, self.num_prefix :]
        of_packed, of_tokens = self._masks(keep)
        packed = attend(packing, k, v, of_tokens, dropout=self.attention_dropout)
        unpacked = attend(tokens, *self._packed(packed), of_packed, dropout=self.attention_dropout)
        return torch.cat([packed, unpacked], dim=2)

    def _packed(self, heads: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of Y_P, from the first attention's heads: (B, H, l, E) each."""
        packed = self.output(joined(heads))  # Y_P: (B, l, D)
        values = self.split(self.unpack_value(packed))
        return values if self.tie_kv else self.split(self.unpack_key(packed)), values

    def _masks(self, keep: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """Masks over P and over X as keys."""
        if keep is None:
            return None, None
        return key_mask(keep[:, : self.num_prefix]), key_mask(keep[:, self.num_prefix :])

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """Rows of P: the first attention's weights, which the heads of Y_P are made by. Rows of X: the second
        attention's weights of head h for P, times the first attention's weights averaged over heads, since Y_P mixes
        these. Rows sum to 1. The product shows where the layer looks; as in `set_transformer.py`, values pass through
        two attentions.
        """
        _, q, k, v = self.project(x)
        packing, tokens = q[:, :, : self.num_prefix], q[:, :, self.num_prefix :]
        of_packed, of_tokens = self._masks(keep)
        onto_tokens = softmax_weights(self.scaled_logits(packing, k), of_tokens)  # (B, H, l, L - l)
        keys, _ = self._packed(onto_tokens.to(v.dtype) @ v)
        onto_packed = softmax_weights(self.scaled_logits(tokens, keys), of_packed)  # (B, H, L - l, l)
        rows = torch.cat([onto_tokens, onto_packed @ onto_tokens.mean(dim=1, keepdim=True)], dim=2)
        return torch.cat([rows.new_zeros(*rows.shape[:3], packing.shape[2]), rows], dim=3)


ATTENTION = LunaAttention
