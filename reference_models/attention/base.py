"""What an attention is: (x, keep) -> x, with projections that stand here once, and the dense weights to check it by.

Letters: B batch, L length, D model width, H heads, E width of a head, M keys or features that stand for a sequence.
Masks are boolean, True = keep. What a model computes for a padded query is never looked at, but is finite; what stands
under padding never reaches another row.

Not here: embeddings, feed-forward layers, residuals, norms (`encoder.py`).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from lra_data import UsageError

Family = Literal["none", "fixed pattern", "learnable pattern", "memory", "low rank", "kernel", "recurrence"]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What every attention is told.

    dim: D. heads: H. head_dim: E; H * E need not be D. max_length: greatest L, for weights with an axis of positions.
    layer, num_layers: which layer of how many, from 0. dropout: of attention weights. seed: of what a model draws for
    itself; with `layer` it gives each layer's own stream.
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
                raise UsageError(f"expected {name} from 1 on, got {getattr(self, name)}")
        if not 0 <= self.layer < self.num_layers:
            raise UsageError(f"expected a layer from 0 to {self.num_layers - 1}, got {self.layer}")
        if not 0.0 <= self.dropout < 1.0:
            raise UsageError(f"expected a dropout from 0 to below 1, got {self.dropout}")


class Projected(NamedTuple):
    """The input x (B, L, D), and what the projections make of it: q, k, v (B, H, L, E)."""

    x: Tensor
    q: Tensor
    k: Tensor
    v: Tensor


class Attention(nn.Module, ABC):
    """One attention layer. Subclasses say `mix` and `dense_weights`, and what they are.

    family, cost: of the survey's taxonomy; time in L as text. paper: authors, year, section. has_query, has_key:
    whether the model has such a projection; without it q or k is v's place holder and must not be used. repeatable:
    whether a forward pass in training leaves the model as it was, so that checkpointing and reversible layers may run
    it again.
    """

    family: ClassVar[Family]
    cost: ClassVar[str]
    paper: ClassVar[str]
    repeatable: ClassVar[bool] = True
    has_query: ClassVar[bool] = True
    has_key: ClassVar[bool] = True

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.heads * shape.head_dim
        if self.has_query:
            self.query = _projection(shape.dim, width)
        if self.has_key:
            self.key = _projection(shape.dim, width)
        self.value = _projection(shape.dim, width)
        self.output = _projection(width, shape.dim)

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """x: (B, L, D). keep: bool (B, L), True for real tokens, or None if all are. Returns (B, L, D)."""
        if x.shape[1] > self.shape.max_length:
            raise UsageError(f"expected at most max_length = {self.shape.max_length} positions, got {x.shape[1]}")
        if x.shape[0] == 0 or x.shape[1] == 0:
            return self._without_tokens(x)
        mixed: Tensor = self.output(joined(self.mix(self.project(x), keep)))
        return mixed

    def _without_tokens(self, x: Tensor) -> Tensor:
        """The output for B = 0 or L = 0, which has no element.

        The layer runs on one padded token for each missing axis: statistics do not count padding, the auxiliary loss of
        padding is 0, and a model that reduces over ranks does so on a rank without examples, too. Each parameter is
        part of the graph and gets a gradient of zeros, which `DistributedDataParallel` needs from every rank.
        """
        batch, length = x.shape[:2]
        padding = functional.pad(x, (0, 0, 0, int(length == 0), 0, int(batch == 0)))
        nothing = torch.zeros(padding.shape[:2], dtype=torch.bool, device=x.device)
        mixed: Tensor = self.output(joined(self.mix(self.project(padding), nothing)))[:batch, :length]
        # The Compressive Transformer's convolution learns from the auxiliary loss alone.
        every = torch.stack([parameter.sum().to(mixed.dtype) for parameter in self.parameters()])
        return mixed + every.sum()

    def project(self, x: Tensor) -> Projected:
        """q, k and v of an input."""
        v = self.split(self.value(x))
        q = self.split(self.query(x)) if self.has_query else v
        k = self.split(self.key(x)) if self.has_key else v
        return Projected(x, q, k, v)

    def split(self, projected: Tensor) -> Tensor:
        """(B, L, H * E) to (B, H, L, E)."""
        batch, length, _ = projected.shape
        return projected.view(batch, length, self.shape.heads, self.shape.head_dim).transpose(1, 2)

    @abstractmethod
    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """The heads' outputs (B, H, L, E) before the output projection."""

    @abstractmethod
    def dense_weights(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """The matrix (B, H, L, L) by which the heads' outputs are sums of v, written out in O(L^2): row i says what
        query i takes of each position. Columns of padding are 0. Where a model has no such matrix its docstring says
        what this is.
        """

    def auxiliary_loss(self) -> Tensor | None:
        """A loss of the last forward that training adds; None for models without one."""
        return None

    def unread(self, outputs: int) -> dict[str, str]:
        """Names of parameters that get no gradient if the first `outputs` positions of the result are read, with the
        reason; those for outputs = max_length can learn in no model.
        """
        return {}

    def on_step(self, step: int) -> None:
        """Called before each training step, with its number: a pure function of it decides what is drawn anew."""

    def generator(self, purpose: int = 0, step: int = 0) -> torch.Generator:
        """A private stream of random numbers, on the CPU: pure in (seed, layer, purpose, step)."""
        mixed = (self.shape.seed * 1_000_003 + self.shape.layer) * 1_000_003 + purpose
        return torch.Generator().manual_seed((mixed * 1_000_003 + step) % 2**63)


def joined(heads: Tensor) -> Tensor:
    """(B, H, L, E) to (B, L, H * E)."""
    return heads.transpose(1, 2).flatten(2)


def attend(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, *, dropout: float = 0.0, scale: float | None = None
) -> Tensor:
    """softmax(q k^T / sqrt(E)) v by PyTorch's fused kernels, for tensors of four axes (…, …, L, E).

    mask: bool, True = keep, may be broadcast over heads and queries; a query without any key gets 0. scale: in place of
    1 / sqrt(E).
    """
    mixed: Tensor = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, scale=scale)
    return mixed


def softmax_weights(logits: Tensor, mask: Tensor | None) -> Tensor:
    """Softmax over the last axis in float32 or better; masked entries are 0, and so is a row without any key."""
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if mask is None:
        return wide.softmax(dim=-1)
    weights = wide.masked_fill(~mask, -math.inf).softmax(dim=-1)
    return weights.masked_fill(~mask, 0.0)  # a row of -inf alone is NaN


def key_mask(keep: Tensor | None) -> Tensor | None:
    """keep (B, L) as a mask over keys (B, 1, 1, L), which keeps the fused kernels fast."""
    return None if keep is None else keep[:, None, None, :]


def padded_to(x: Tensor, multiple: int, dim: int, value: float | bool = 0) -> Tensor:
    """x with `value` behind it along an axis, up to a multiple."""
    missing = -x.shape[dim] % multiple
    if missing == 0:
        return x
    after = [0, 0] * (x.ndim - 1 - dim % x.ndim) + [0, missing]
    padded: Tensor = functional.pad(x, after, value=value)
    return padded


# glibc keeps freed memory of up to 32 MiB; what is larger it takes from the system each time, page by page.
_PIECE_BYTES = 16 * 2**20


def mix_in_pieces(
    logits: Callable[[Tensor, Tensor], Tensor],
    drop: Callable[[Tensor], Tensor],
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor,
) -> Tensor:
    """softmax(logits(q, k)) v for n segments, (B, H, n, S, E), as many of them at once as have small logits.

    q: (B, H, n, S, E). k, v: (B, H, n, K, E). mask: (B, 1, n, S or 1, K). logits: from q and k of some of the segments
    to (B, H, n', S, K). drop: dropout of the weights.
    """
    batch, heads, _, length, _ = q.shape
    at_once = max(1, _PIECE_BYTES // (4 * batch * heads * length * k.shape[3]))
    mixed = [
        drop(softmax_weights(logits(some_q, some_k), some_mask)).to(v.dtype) @ some_v
        for some_q, some_k, some_v, some_mask in zip(
            *(torch.split(part, at_once, dim=2) for part in (q, k, v, mask)), strict=True
        )
    ]
    return torch.cat(mixed, dim=2)


def _projection(inputs: int, outputs: int) -> nn.Linear:
    """A dense layer without bias, xavier-uniform, as the LRA encoder has them."""
    linear = nn.Linear(inputs, outputs, bias=False)
    nn.init.xavier_uniform_(linear.weight)
    return linear
