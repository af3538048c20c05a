"""Synthesizer: the attention's logits come from each token alone, or from parameters, not from pairs of tokens.

    O = softmax(S) V,    S of shape (L, L) for each head:

    dense               S_i = W_2 relu(W_1 x_i + b_1) + b_2
    random              S = R, trained or fixed
    factorized dense    S_ij = A_i[j mod a] B_i[j div a]: A_i in R^a tiled, B_i in R^c repeated, each made as in dense
    factorized random   S = R_1 R_2^T, each (L, k)
    dot product         S = Q K^T / sqrt(E), the Transformer's, for mixtures
    mixture             S = sum_n α_n S_n, α the softmax of a parameter

Tay et al., "Synthesizer: rethinking self-attention for Transformer models", ICML 2021, section 3. Time O(L^2 D), memory
O(L^2 H): there is no product of Q and K, but the weights are a full matrix.

Differences from the paper: padded keys are masked (the LRA's code masks none without a dot product). Every axis of
positions has max_length entries; a shorter input uses the first L. A and B share the hidden layer. R is initialised
xavier-uniform as in the LRA, and R_1 R_2^T with the same variance; the paper does not say. The LRA ran random + dot
product with α = (1, 1): here this is a mixture, whose α sum to 1 as in the paper.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from lra_data import UsageError
from reference_models.attention.base import Attention, Projected, Shape
from reference_models.attention.operations import key_mask, softmax_weights, split_heads, xavier_matrices

Kind = Literal["dense", "random", "factorized_dense", "factorized_random", "dot_product"]
Mode = Kind | Literal["mixture"]


class SynthesizerAttention(Attention):
    """Attention by synthesized weights. torch.compile works (tests/reference_models trace it only).

    mode: where S comes from.
    mixed: the parts of a mixture.
    trainable: whether R, R_1 and R_2 are trained.
    k: rank of R_1 R_2^T.
    a: length of A; None for the root of max_length, rounded up.
    """

    family = "low rank"
    cost = "L²"
    paper = "Tay et al. 2021, §3"
    has_query = False
    has_key = False

    def __init__(
        self,
        shape: Shape,
        *,
        mode: Mode = "random",
        mixed: Sequence[Kind] = ("random", "dot_product"),
        trainable: bool = True,
        k: int = 8,
        a: int | None = None,
    ) -> None:
        super().__init__(shape)
        if k < 1:
            raise UsageError(f"expected k >= 1, got {k}")
        if a is not None and not 1 <= a <= shape.max_length:
            raise UsageError(f"expected a from 1 to max_length = {shape.max_length}, got {a}")
        generator = self.generator()
        makers: dict[str, Callable[[], nn.Module]] = {
            "dense": lambda: _Dense(shape, generator),
            "random": lambda: _Random(shape, trainable, generator),
            "factorized_dense": lambda: _FactorizedDense(shape, a or math.ceil(shape.max_length**0.5), generator),
            "factorized_random": lambda: _FactorizedRandom(shape, k, trainable, generator),
            "dot_product": lambda: _DotProduct(shape, generator),
        }
        kinds = tuple(mixed) if mode == "mixture" else (mode,)
        if not kinds or not makers.keys() >= set(kinds):
            raise UsageError(f"expected modes of {', '.join(makers)}, or a mixture of them, got {mode!r} of {kinds}")
        self.parts = nn.ModuleList(makers[kind]() for kind in kinds)
        self.mixture = nn.Parameter(torch.zeros(len(kinds))) if mode == "mixture" else None

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """See Attention."""
        x, _, _, v = projected
        weights = softmax_weights(self._logits(x), key_mask(keep)).to(v.dtype)
        if self.training and self.shape.dropout:
            weights = functional.dropout(weights.expand(len(x), -1, -1, -1), self.shape.dropout)
        if len(weights) < len(x):  # the same weights for all examples: a plain product would copy them
            return torch.einsum("hij,bhje->bhie", weights[0], v)
        return weights @ v

    def _logits(self, x: Tensor) -> Tensor:
        """S: (B, H, L, L), or (1, H, L, L) where no part depends on x."""
        found: list[Tensor] = [part(x) for part in self.parts]
        if self.mixture is not None:
            found = [alpha * part for alpha, part in zip(self.mixture.softmax(dim=0), found, strict=True)]
        return functools.reduce(torch.add, found)

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """See Attention."""
        return softmax_weights(self._logits(x), key_mask(keep)).expand(len(x), -1, -1, -1)


class _FromToken(nn.Module):
    """W_2 relu(W_1 x + b_1) + b_2 in each head: one W_1 and b_1, and a W_2 and b_2 for each width."""

    def __init__(self, shape: Shape, widths: Sequence[int], generator: torch.Generator) -> None:
        super().__init__()
        self.heads = shape.heads
        self.hidden = nn.Parameter(xavier_matrices(1, shape.heads * shape.head_dim, shape.dim, generator)[0])
        self.hidden_bias = nn.Parameter(torch.zeros(shape.heads * shape.head_dim))
        self.columns = nn.ParameterList(
            xavier_matrices(shape.heads, shape.head_dim, width, generator) for width in widths
        )
        self.biases = nn.ParameterList(torch.zeros(shape.heads, 1, width) for width in widths)

    def entries(self, x: Tensor, counts: Sequence[int]) -> list[Tensor]:
        """For each width, the first `count` entries: (B, L, D) to (B, H, L, count)."""
        hidden = split_heads(functional.linear(x, self.hidden, self.hidden_bias).relu(), self.heads)
        weights = zip(self.columns, self.biases, counts, strict=True)
        return [hidden @ matrix[..., :count] + bias[..., :count] for matrix, bias, count in weights]


class _Dense(_FromToken):
    def __init__(self, shape: Shape, generator: torch.Generator) -> None:
        super().__init__(shape, [shape.max_length], generator)

    def forward(self, x: Tensor) -> Tensor:
        return self.entries(x, [x.shape[1]])[0]


class _FactorizedDense(_FromToken):
    def __init__(self, shape: Shape, a: int, generator: torch.Generator) -> None:
        super().__init__(shape, [a, -(-shape.max_length // a)], generator)
        self.a = a

    def forward(self, x: Tensor) -> Tensor:
        length = x.shape[1]
        tiled, repeated = self.entries(x, [self.a, -(-length // self.a)])
        return (repeated[..., :, None] * tiled[..., None, :]).flatten(-2)[..., :length]  # (B, H, L, c, a), flattened


class _Random(nn.Module):
    matrix: Tensor

    def __init__(self, shape: Shape, trainable: bool, generator: torch.Generator) -> None:
        super().__init__()
        _hold(self, "matrix", xavier_matrices(shape.heads, shape.max_length, shape.max_length, generator), trainable)

    def forward(self, x: Tensor) -> Tensor:
        return self.matrix[None, :, : x.shape[1], : x.shape[1]]


class _FactorizedRandom(nn.Module):
    rows: Tensor
    columns: Tensor

    def __init__(self, shape: Shape, k: int, trainable: bool, generator: torch.Generator) -> None:
        super().__init__()
        spread = (shape.max_length * k) ** -0.25  # so that a sum of k products has a variance of 1 / max_length
        for name in ("rows", "columns"):
            drawn = spread * torch.randn(shape.heads, shape.max_length, k, generator=generator)
            _hold(self, name, drawn, trainable)

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = (factor[None, :, : x.shape[1]] for factor in (self.rows, self.columns))
        return rows @ columns.transpose(-1, -2)


class _DotProduct(nn.Module):
    def __init__(self, shape: Shape, generator: torch.Generator) -> None:
        super().__init__()
        self.shape = shape
        self.weight = nn.Parameter(xavier_matrices(2, shape.heads * shape.head_dim, shape.dim, generator))  # of Q, of K

    def forward(self, x: Tensor) -> Tensor:
        q, k = (split_heads(functional.linear(x, w), self.shape.heads) for w in self.weight)
        logits: Tensor = q @ k.transpose(-1, -2) / self.shape.head_dim**0.5
        return logits


def _hold(module: nn.Module, name: str, drawn: Tensor, trainable: bool) -> None:
    if trainable:
        module.register_parameter(name, nn.Parameter(drawn))
    else:
        module.register_buffer(name, drawn)


ATTENTION = SynthesizerAttention
