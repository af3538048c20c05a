"""The configuration of a model: one frozen dataclass that checks itself. Named ones are in `presets.py`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isqrt
from typing import Any, Literal, get_args

from lra_data import UsageError, checks
from reference_models.strict_json import ADDED

Pooling = Literal["cls", "mean"]
Positions = Literal["sinusoidal", "learned", "grid"]
Stem = Literal["tokens", "grey", "convolution", "strided"]
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
    positions: "sinusoidal" (fixed), "learned", or "grid", sinusoids of a picture's row and column.
    stem: what becomes a vector: "tokens", an id; "grey", a picture's patch of stride x stride grey values;
        "convolution", the same by convolutions; "strided", `stride` adjacent ids. See `layers/stems.py`.
    stride: side of a patch, or number of ids.
    grey_mean, grey_deviation: a grey value g from 0 to 255 enters a stem of pictures as (g - mean) / deviation.
    head: "single" for one sequence; for two "concat" [a, b], "four-way" [a, b, a b, a - b], or "cross", where each
        document first attends to the other (for comparison: not a two-tower model).
    standardised: whether the pooled vectors are standardised before the head. See `layers/standardise.py`.
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
    stem: Stem = field(default="tokens", metadata=ADDED)
    stride: int = field(default=1, metadata=ADDED)
    grey_mean: float = field(default=127.5, metadata=ADDED)
    grey_deviation: float = field(default=127.5, metadata=ADDED)
    standardised: bool = field(default=False, metadata=ADDED)
    dropout: float = 0.1
    attention_dropout: float = 0.0
    reversible: bool = False
    seed: int = 0
    note: str = ""

    def __post_init__(self) -> None:
        for name in (
            "vocab_size",
            "num_classes",
            "max_length",
            "dim",
            "heads",
            "qkv_dim",
            "mlp_dim",
            "num_layers",
            "stride",
        ):
            object.__setattr__(self, name, checks.whole_number(name, getattr(self, name), 1))
        object.__setattr__(self, "seed", checks.whole_number("seed", self.seed, 0))
        object.__setattr__(self, "options", {name: _plain(value) for name, value in self.options.items()})
        if self.qkv_dim % self.heads:
            raise UsageError(f"expected a qkv_dim that {self.heads} heads divide, got {self.qkv_dim}")
        for name, known in (
            ("pooling", get_args(Pooling)),
            ("positions", get_args(Positions)),
            ("stem", get_args(Stem)),
            ("head", get_args(Head)),
        ):
            if getattr(self, name) not in known:
                raise UsageError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        for name in ("dropout", "attention_dropout"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise UsageError(f"{name} must be a share from 0 to below 1, got {getattr(self, name)!r}")
        if not 0.0 <= self.grey_mean <= 255.0 or not 0.0 < self.grey_deviation <= 255.0:
            raise UsageError(
                "expected a grey_mean from 0 to 255 and a grey_deviation above 0 and up to 255, got "
                f"{self.grey_mean!r} and {self.grey_deviation!r}"
            )
        self._check_stem()

    def _check_stem(self) -> None:
        side = isqrt(self.max_length)
        if (self.of_pictures or self.positions == "grid") and side * side != self.max_length:
            what = f"the stem {self.stem!r}" if self.of_pictures else "grid positions"
            raise UsageError(
                f"expected max_length to be the pixels of a square picture for {what}, got {self.max_length}"
            )
        if self.of_pictures and side % self.stride:
            raise UsageError(f"expected a stride that divides the side of {side} pixels, got {self.stride}")
        if self.stem == "tokens" and self.stride != 1:
            raise UsageError(f"expected a stride of 1 for the stem 'tokens', got {self.stride}")
        if self.stem == "convolution" and self.stride & (self.stride - 1):
            raise UsageError(f"expected a stride that is a power of two for the stem 'convolution', got {self.stride}")
        if self.positions == "grid" and (self.stem == "strided" or self.dim % 4):
            raise UsageError(
                f"expected grid positions with a stem of pictures and a width that 4 divides, got {self.stem!r} and "
                f"dim = {self.dim}"
            )

    @property
    def of_pictures(self) -> bool:
        """Whether the stem reads patches of a square picture."""
        return self.stem in ("grey", "convolution")

    @property
    def num_sequences(self) -> int:
        """S: number of sequences per example, 2 for the heads that compare."""
        return 1 if self.head == "single" else 2

    @property
    def positions_count(self) -> int:
        """The greatest number of positions that an attention sees: the vectors of max_length ids, and CLS."""
        return self.vectors(self.max_length) + (self.pooling == "cls")

    def vectors(self, length: int) -> int:
        """Number of vectors that the stem makes of a sequence of so many ids."""
        return length // self.stride**2 if self.of_pictures else -(-length // self.stride)


def _plain(value: Any) -> Any:
    """The value with NumPy's integers as ints, also in tuples, since a card is JSON."""
    if isinstance(value, tuple):
        return tuple(_plain(item) for item in value)
    number = checks.plain_int(value)
    return value if number is None else number
