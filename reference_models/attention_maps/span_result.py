"""The result of `attention_span`: spans of heads, layers and the model, as JSON values and as text."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lra_data import UsageError, paths
from reference_models.strict_json import Record, RecordError, decoded

NOT_A_DISTRIBUTION = "not a distribution"

# For each head of each layer a number, or "not a distribution".
PerHead = tuple[tuple[float | str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Distances:
    """Spans in one measure of distance. A span is a number, or the text "not a distribution".

    uniform: span of uniform attention.
    heads: span of each head of each layer, from the first.
    """

    uniform: float
    heads: PerHead

    @property
    def layers(self) -> tuple[float | str, ...]:
        """The mean over the heads of each layer."""
        return tuple(_mean(heads) for heads in self.heads)

    @property
    def mean(self) -> float | str:
        """The mean over all heads of all layers."""
        return _mean(self.layers)

    @property
    def ratio(self) -> float | str:
        """The mean divided by the span of uniform attention."""
        return self.mean if isinstance(self.mean, str) else self.mean / self.uniform

    def to_json(self) -> dict[str, Any]:
        """The spans as JSON values."""
        return asdict(self) | {"layers": self.layers, "mean": self.mean, "ratio": self.ratio}


@dataclass(frozen=True, kw_only=True)
class Span:
    """The required attention span of a model.

    attention: name of the X-former.
    data: set and split.
    examples: number of examples drawn.
    seed: of the draw.
    sequences: number of sequences, two per example for Retrieval.
    tokens: spans by distance in the sequence.
    pixels: spans by distance in the picture; None for other tasks.
    cls_share: each head's share of weight on CLS and on other vectors in front of the tokens; None without any.
    faults: for each head, why it has no span; "" if it has one.
    """

    attention: str
    data: str
    examples: int
    seed: int
    sequences: int
    tokens: Distances
    pixels: Distances | None
    cls_share: PerHead | None
    faults: tuple[tuple[str, ...], ...]

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        pixels = None if self.pixels is None else self.pixels.to_json()
        return asdict(self) | {"tokens": self.tokens.to_json(), "pixels": pixels}

    def lines(self) -> list[str]:
        """The result as lines of text."""
        lines = [f"{self.attention}: required attention span, {self.examples:,} of {self.data}, seed {self.seed}"]
        for name, distances in (("tokens", self.tokens), ("pixels", self.pixels)):
            if distances is not None:
                ratio, uniform = _shown(distances.ratio), _shown(distances.uniform)
                lines.append(f"{name}: {_shown(distances.mean)}; uniform {uniform}, ratio {ratio}")
                for layer, heads in enumerate(distances.heads):
                    each = ", ".join(map(_shown, heads))
                    lines.append(f"  layer {layer}: {_shown(distances.layers[layer])}; heads {each}")
        for layer, shares in enumerate(self.cls_share or ()):
            lines.append(f"  layer {layer}: share on CLS {', '.join(map(_shown, shares))}")
        for layer, faults in enumerate(self.faults):
            lines += [f"  layer {layer}, head {head}: {fault}" for head, fault in enumerate(faults) if fault]
        return lines


class _Distances(Record, frozen=True, kw_only=True):
    uniform: float
    heads: tuple[tuple[float | str, ...], ...]
    layers: tuple[float | str, ...]
    mean: float | str
    ratio: float | str


class _SpanFile(Record, frozen=True, kw_only=True):
    """The entries of `Span.to_json`; layers, mean and ratio follow from the heads, and are not read."""

    attention: str
    data: str
    examples: int
    seed: int
    sequences: int
    tokens: _Distances
    pixels: _Distances | None
    cls_share: tuple[tuple[float | str, ...], ...] | None
    faults: tuple[tuple[str, ...], ...]


def read_span(path: Path) -> Span:
    """The result in a file that `lra-zoo span --out` or `--json` wrote; raises UsageError for any other file."""
    file = paths.local_path(path, "a result of lra-zoo span")
    try:
        found = decoded(file.read_bytes(), _SpanFile)
    except OSError as error:
        raise UsageError(f"{file}: expected a result of lra-zoo span, got: {error.strerror}") from error
    except RecordError as error:
        raise UsageError(f"{file}: expected a result of lra-zoo span --out, got: {error}") from error
    return Span(
        attention=found.attention,
        data=found.data,
        examples=found.examples,
        seed=found.seed,
        sequences=found.sequences,
        tokens=_of(found.tokens),
        pixels=None if found.pixels is None else _of(found.pixels),
        cls_share=found.cls_share,
        faults=found.faults,
    )


def _of(found: _Distances) -> Distances:
    return Distances(uniform=found.uniform, heads=found.heads)


def _mean(values: Sequence[float | str]) -> float | str:
    numbers = [value for value in values if not isinstance(value, str)]
    return sum(numbers) / len(numbers) if len(numbers) == len(values) else NOT_A_DISTRIBUTION


def _shown(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:,.2f}"
