"""The configuration of a model: one frozen dataclass that checks itself. Named ones are in `presets.py`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lra_data import UsageError, checks

Pooling = Literal["cls", "mean"]
Positions = Literal["sinusoidal", "learned"]
Head = Literal["single", "concat", "four-way", "cross"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """An encoder with an attention and a head.

    attention: name of the X-former.
    options: keyword arguments of the X-former's constructor.
    vocab_size: number of ids, padding included.
    num_classes: number of logits, C.
    max_length: greatest L of a sequence, without CLS.
    dim: model width D.
    heads: H.
    qkv_dim: H times the width of a head.
    mlp_dim: hidden width of feed-forward layers and head.
    num_layers: number of blocks.
    pooling: "cls" for the output at a CLS token in front, "mean" for the mean over the kept tokens.
    positions: "sinusoidal" (fixed) or "learned".
    head: "single" for one sequence; for two "concat" [a, b], "four-way" [a, b, a b, a - b], or "cross", where each
        document first attends to the other (for comparison: not a two-tower model).
    dropout: of embeddings, attention outputs and feed-forward layers.
    attention_dropout: of attention weights.
    reversible: whether layers are reversible, and so computed again in the backward pass.
    seed: of the random numbers that attentions draw.
    note: remark on a preset.
    """

    attention: str
    options: Mapping[str, Any] = field(default_factory=dict)
    vocab_size: int
    num_classes: int
    max_length: int
    dim: int
    heads: int
    qkv_dim: int
    mlp_dim: int
    num_layers: int
    pooling: Pooling = "cls"
    positions: Positions = "sinusoidal"
    head: Head = "single"
    dropout: float = 0.1
    attention_dropout: float = 0.0
    reversible: bool = False
    seed: int = 0
    note: str = ""

    def __post_init__(self) -> None:
        for name in ("vocab_size", "num_classes", "max_length", "dim", "heads", "qkv_dim", "mlp_dim", "num_layers"):
            object.__setattr__(self, name, checks.whole_number(name, getattr(self, name), 1))
        object.__setattr__(self, "seed", checks.whole_number("seed", self.seed, 0))
        object.__setattr__(self, "options", {name: _plain(value) for name, value in self.options.items()})
        if self.qkv_dim % self.heads:
            raise UsageError(f"expected a qkv_dim that {self.heads} heads divide, got {self.qkv_dim}")
        for name, known in (
            ("pooling", ("cls", "mean")),
            ("positions", ("sinusoidal", "learned")),
            ("head", ("single", "concat", "four-way", "cross")),
        ):
            if getattr(self, name) not in known:
                raise UsageError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        for name in ("dropout", "attention_dropout"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise UsageError(f"{name} must be a share from 0 to below 1, got {getattr(self, name)!r}")

    @property
    def num_sequences(self) -> int:
        """S: number of sequences per example, 2 for the heads that compare."""
        return 1 if self.head == "single" else 2

    @property
    def positions_count(self) -> int:
        """The greatest number of positions that an attention sees: max_length, and CLS."""
        return self.max_length + (self.pooling == "cls")


def _plain(value: Any) -> Any:
    """The value with NumPy's integers as ints, also in tuples, since a card is JSON."""
    if isinstance(value, tuple):
        return tuple(_plain(item) for item in value)
    number = checks.plain_int(value)
    return value if number is None else number
