"""What an attention is: (x, keep) -> x, with its projections, and the dense weights to check it by.

Letters: B batch, L length, D model width, H heads, E width of a head, M keys or features that represent a
sequence. Masks are boolean, True = keep. The output of a padded query is finite, and nothing reads it. Values under
padding never change another row.

Not here: operations that several attentions share (`operations.py`); embeddings, feed-forward layers, residuals and
norms (`model/encoder.py`).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from lra_data import UsageError
from reference_models.attention.operations import (
    joined,
    picked,
    projection,
    real_tokens,
    split_heads,
    spread,
    wide_dtype,
)

Family = Literal[
    "none", "fixed pattern", "learnable pattern", "memory", "low rank", "kernel", "recurrence", "downsampling",
    "sparse", "not attention", "own",
]  # fmt: skip
Part = Literal["all", "tokens", "prefix"]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The sizes and settings that every attention takes.

    dim: D.
    heads: H.
    head_dim: E; H * E may differ from D.
    max_length: greatest L, for weights with an axis of positions; prefix vectors are not counted.
    layer: number of this layer, counted from 0.
    num_layers: number of layers.
    dropout: probability of dropping an attention weight.
    seed: of the random numbers that an attention draws; each layer has a stream of its own.
    """

    dim: int
    heads: int
    head_dim: int
    max_length: int
    layer: int = 0
    num_layers: int = 1
    dropout: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("dim", "heads", "head_dim", "max_length", "num_layers"):
            if getattr(self, name) < 1:
                raise UsageError(f"expected {name} >= 1, got {getattr(self, name)}")
        if not 0 <= self.layer < self.num_layers:
            raise UsageError(f"expected a layer from 0 to {self.num_layers - 1}, got {self.layer}")
        if not 0.0 <= self.dropout < 1.0:
            raise UsageError(f"expected a dropout from 0 to below 1, got {self.dropout}")


class Projected(NamedTuple):
    """The input x (B, L, D), and its projections q, k, v (B, H, L, E)."""

    x: Tensor
    q: Tensor
    k: Tensor
    v: Tensor


class Attention(nn.Module, ABC):
    """One attention layer. Subclasses define `mix`; those of the zoo also `written_out`, family, cost and paper.

    family: in the survey's taxonomy; "own" for a model that is not in it.
    cost: time as a function of L, as text; with "L²" in it, a model is not measured at great lengths unless asked.
    paper: authors, year, section.
    has_query, has_key: whether the model has this projection; without it, `Projected` holds v in its place, which must
        not be used.
    has_value: whether the model has a value and an output projection. Without them each channel is a head of width 1,
        v is x itself, (B, D, L, 1), and the subclass sets `output`, a module from (B, L, D) to (B, L, D).
    repeatable: whether a forward pass in training leaves the model unchanged, so that checkpointing and reversible
        layers may run it again.
    changes_length: whether the output is shorter than the input (see `shortened`).
    mixes: whether an output depends on any input; False for the control alone.
    no_span: why the weights are not those of a token's neighbours, so that they have no span; "" if they are.

    feed_forward: the part of the sequence that the encoder's feed-forward layers change.
    pooled: the part that a classifier reads. Like `feed_forward` it may depend on options, but not on the layer.
    num_prefix: number of learned vectors that the encoder puts in front of the tokens, before the first layer. x and
        the output hold them first, and all layers of a model have the same number. 0 for most models.
    """

    family: ClassVar[Family] = "own"
    cost: ClassVar[str] = "L²"
    paper: ClassVar[str] = "–"
    repeatable: ClassVar[bool] = True
    has_query: ClassVar[bool] = True
    has_key: ClassVar[bool] = True
    has_value: ClassVar[bool] = True
    changes_length: ClassVar[bool] = False
    mixes: ClassVar[bool] = True
    no_span: ClassVar[str] = ""
    feed_forward: Part = "all"
    pooled: Literal["tokens", "prefix"] = "tokens"
    num_prefix: int = 0
    output: nn.Module

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.heads * shape.head_dim
        if self.has_query:
            self.query = projection(shape.dim, width)
        if self.has_key:
            self.key = projection(shape.dim, width)
        if self.has_value:
            self.value = projection(shape.dim, width)
            self.output = projection(width, shape.dim)

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """x: (B, L, D). keep: bool (B, L), True for real tokens, or None if all are. Returns (B, L, D).

        With prefix vectors, L counts them, and `keep` is True for them.
        """
        if x.shape[1] > self.shape.max_length + self.num_prefix:
            most = f"max_length = {self.shape.max_length}" + (f" + {self.num_prefix}" if self.num_prefix else "")
            raise UsageError(f"expected at most {most} positions, got {x.shape[1]}")
        if x.shape[0] == 0 or x.shape[1] == 0:
            return self._without_tokens(x)
        real = real_tokens(keep)
        heads = self._joined(self.mix(self.project(x, real), keep), x)
        if not isinstance(self.output, nn.Linear) or heads.shape[1] != x.shape[1]:
            out: Tensor = self.output(heads)
            return out
        return spread(self.output(picked(heads, real)), real, heads)

    def _joined(self, mixed: Tensor, x: Tensor) -> Tensor:
        """(B, H, L, E) to (B, L, H * E); raises UsageError for outputs of `mix` of another shape."""
        heads, width = (self.shape.heads, self.shape.head_dim) if self.has_value else (x.shape[2], 1)
        if mixed.ndim == 4:
            found = joined(mixed)
            length = found.shape[1] if self.changes_length else x.shape[1]
            if found.shape == (x.shape[0], length, heads * width):
                return found
        raise UsageError(
            f"expected {type(self).__name__}.mix to return a tensor of shape (B, H, L, E) = "
            f"{(x.shape[0], heads, x.shape[1], width)}, got {tuple(mixed.shape)}: `lra-zoo test` tries small examples"
        )

    def _without_tokens(self, x: Tensor) -> Tensor:
        """The output for B = 0 or L = 0, which has no element.

        The layer runs on one padded token for each empty axis: statistics do not count padding, the auxiliary loss of
        padding is 0, and a model that reduces over ranks also does so on a rank without examples. Each parameter is
        part of the graph and gets a gradient of zeros, which `DistributedDataParallel` needs from every rank.
        """
        batch, length = x.shape[:2]
        padding = functional.pad(x, (0, 0, 0, int(length == 0), 0, int(batch == 0)))
        nothing = torch.zeros(padding.shape[:2], dtype=torch.bool, device=x.device)
        # A layer that shortens gives another length, which is also 0 for L = 0.
        mixed: Tensor = self.output(joined(self.mix(self.project(padding), nothing)))[:batch, : None if length else 0]
        # The Compressive Transformer's convolution learns from the auxiliary loss alone.
        every = [parameter.sum().to(mixed.dtype) for parameter in self.parameters()]
        return mixed + torch.stack(every).sum() if every else mixed

    def project(self, x: Tensor, real: Tensor | None = None) -> Projected:
        """q, k and v of an input.

        real: the tokens that are not padding (see `real_tokens`); the others need not be computed, and may be 0.
        """
        rows = picked(x, real)

        def heads(layer: nn.Module) -> Tensor:
            return self.split(spread(layer(rows), real, x))

        v = heads(self.value) if self.has_value else x.transpose(1, 2)[..., None]
        q = heads(self.query) if self.has_query else v
        k = heads(self.key) if self.has_key else v
        return Projected(x, q, k, v)

    def keys_and_values(self, x: Tensor, keep: Tensor | None) -> tuple[Tensor, Tensor]:
        """k and v alone (B, H, T, E), of x (B, T, D) with its mask (B, T); 0 under padding."""
        real = real_tokens(keep)
        rows = picked(x, real)
        return self.split(spread(self.key(rows), real, x)), self.split(spread(self.value(rows), real, x))

    def split(self, projected: Tensor) -> Tensor:
        """(B, L, H * E) to (B, H, L, E)."""
        return split_heads(projected, self.shape.heads)

    @abstractmethod
    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """The heads' outputs (B, H, L, E) before the output projection. B and L are at least 1."""

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """`dense_weights`, for B and L of at least 1. Raises UsageError for a model that does not define it."""
        raise UsageError(
            f"expected an attention with a matrix of weights, got {type(self).__name__} without written_out"
        )

    def dense_weights(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """The matrix (B, H, L, L) that makes the heads' outputs from v, written out in O(L^2): row i holds the weights
        of query i for each position. H is `num_matrices`. Columns of padding are 0. Where a model has no such matrix,
        the docstring of its `written_out` says what is returned.
        """
        batch, length, _ = x.shape
        if batch == 0 or length == 0:
            return torch.zeros(batch, self.num_matrices, length, length, dtype=wide_dtype(x), device=x.device)
        return self.written_out(x, keep)

    @property
    def num_matrices(self) -> int:
        """The number of matrices of `dense_weights`: H, or D where each channel is a head."""
        return self.shape.heads if self.has_value else self.shape.dim

    def shortened(self, x: Tensor, normed: Tensor, keep: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The residual (B, L', D) that this layer's output is added to, and its mask (B, L') or None.

        x: the layer's input (B, L, D) in the encoder. normed: the same after the norm, as `forward` gets it.
        keep: of both. Only models with `changes_length` return another length than L.
        """
        return x, keep

    @property
    def attention_dropout(self) -> float:
        """The probability of dropping a weight in the current mode: 0 in evaluation."""
        return self.shape.dropout if self.training else 0.0

    def drop(self, weights: Tensor) -> Tensor:
        """Dropout of attention weights."""
        return functional.dropout(weights, self.shape.dropout, self.training)

    def scaled_logits(self, q: Tensor, k: Tensor) -> Tensor:
        """q k^T / sqrt(E), written out: (B, H, L, L)."""
        logits: Tensor = q @ k.transpose(-1, -2) / self.shape.head_dim**0.5
        return logits

    def auxiliary_loss(self) -> Tensor | None:
        """A loss of the last forward pass that training adds to its own; None for models without one."""
        return None

    def unread(self, outputs: int) -> dict[str, str]:
        """Names of parameters that get no gradient if only the first `outputs` tokens of the result are read, with the
        reason; where `pooled` is "prefix", the first `outputs` of its vectors. The names for outputs = max_length
        cannot learn in any model.
        """
        return {}

    def unread_when_last(self) -> dict[str, str]:
        """Names of parameters that get no gradient in the last layer, where only the part `pooled` is read, with the
        reason. In other layers they learn, so training does not reject them.
        """
        return {}

    def on_step(self, step: int) -> None:
        """Called before each training step. Whatever is drawn again is a pure function of the step's number."""

    def generator(self, purpose: int = 0, step: int = 0) -> torch.Generator:
        """A private stream of random numbers, on the CPU: pure in (seed, layer, purpose, step)."""
        mixed = (self.shape.seed * 1_000_003 + self.shape.layer) * 1_000_003 + purpose
        return torch.Generator().manual_seed((mixed * 1_000_003 + step) % 2**63)
