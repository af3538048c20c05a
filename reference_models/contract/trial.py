"""What a property is tried with: a small model, sequences of several lengths, and the comparison of two results."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from reference_models.attention.base import Attention, Shape
from reference_models.attention.catalogue import made

DIM, HEADS, HEAD_DIM = 24, 3, 8


class PropertyError(AssertionError):
    """A property does not hold; the text gives the example."""


@dataclass(frozen=True)
class Subject:
    """An attention with options.

    name: as in `attention_class`.
    options: keyword arguments of its constructor.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def build(self, *, dtype: torch.dtype = torch.float32, seed: int = 0, **shape: Any) -> Attention:
        """A small model in evaluation mode: width 24, 3 heads of 8, weights drawn from a seed."""
        torch.manual_seed(seed)
        given = {"dim": DIM, "heads": HEADS, "head_dim": HEAD_DIM, "max_length": 64, **shape}
        return made(self.name, Shape(**given), self.options).to(dtype).eval()


@dataclass(frozen=True)
class Size:
    """Sequences that a property is tried with.

    lengths: number of kept tokens of each sequence.
    length: L, with padding.
    """

    lengths: tuple[int, ...]
    length: int

    @property
    def keep(self) -> Tensor:
        """bool (B, L)."""
        return lengths_mask(list(self.lengths), self.length)

    def x(self, *, dim: int = DIM, dtype: torch.dtype = torch.float32, seed: int = 1) -> Tensor:
        """Random vectors (B, L, D)."""
        return inputs(len(self.lengths), self.length, dim=dim, dtype=dtype, seed=seed)

    def __str__(self) -> str:
        return f"L = {self.length}, {', '.join(map(str, self.lengths))} kept"


Property = Callable[[Subject, Size], None]


def inputs(batch: int, length: int, *, dim: int = DIM, dtype: torch.dtype = torch.float32, seed: int = 1) -> Tensor:
    """x (B, L, D)."""
    return torch.randn(batch, length, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def lengths_mask(lengths: list[int], length: int) -> Tensor:
    """keep (B, L) of sequences with padding on the right."""
    return torch.arange(length) < torch.tensor(lengths)[:, None]


def expect(holds: bool, text: str) -> None:
    """Raise PropertyError with a text unless something holds."""
    if not holds:
        raise PropertyError(text)


def same(found: Tensor, expected: Tensor, keep: Tensor, what: str, *, atol: float = 0.0, rtol: float = 0.0) -> None:
    """Raise PropertyError if kept rows of two results (B, L, …) differ, and name the first of them."""
    expect(found.shape == expected.shape, f"{what}: expected shape {tuple(expected.shape)}, got {tuple(found.shape)}")
    off = (found - expected).abs() > atol + rtol * expected.abs()
    off |= found.isnan() != expected.isnan()
    off &= keep.view(*keep.shape, *(1 for _ in range(found.ndim - 2)))
    if not off.any():
        return
    place = off.nonzero()[0]
    row, position = (int(part) for part in place[:2])
    was, became = expected[tuple(place)].item(), found[tuple(place)].item()
    worst = (found - expected)[off].abs().max().item()
    number = f"{became:.6g} instead of {was:.6g}" if math.isfinite(became) else f"{became}"
    raise PropertyError(f"{what}: sequence {row}, position {position}: {number}; greatest difference {worst:.2g}")


def trained_loss(model: Attention, x: Tensor, keep: Tensor | None) -> Tensor:
    """A loss that weighs each element of the output differently, with the model's own loss."""
    out = model(x, keep)
    loss: Tensor = (out.float() * inputs(*out.shape[:2], dim=out.shape[2], seed=3)).sum()
    extra = model.auxiliary_loss()
    return loss if extra is None else loss + extra
