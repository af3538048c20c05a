"""Attention spans that were never measured, for tests of what shows them."""

from typing import Any

from reference_models.attention_maps.span_result import Distances, Span


def made_span(heads: Any = ((3.0, 5.0), (8.0, 9.0)), **changes: Any) -> Span:
    """A span of two layers with two heads."""
    entries: dict[str, Any] = {
        "attention": "full",
        "data": "listops/mini validation",
        "examples": 20,
        "seed": 0,
        "sequences": 20,
        "tokens": Distances(uniform=16.5, heads=heads),
        "pixels": None,
        "cls_share": None,
        "faults": tuple(tuple("" for _ in layer) for layer in heads),
    }
    return Span(**{**entries, **changes})
