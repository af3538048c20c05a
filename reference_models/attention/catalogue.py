"""Finds the X-formers: every file of this folder but `base.py`, `operations.py` and this one defines an `ATTENTION`."""

import difflib
import importlib
from pathlib import Path

from lra_data import UsageError
from reference_models.attention.base import Attention

_NOT_MODELS = {"__init__", "base", "catalogue", "operations"}


def attention_names() -> list[str]:
    """Names of the X-formers, sorted."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in _NOT_MODELS)


def attention_class(name: str) -> type[Attention]:
    """The class of one X-former; raises UsageError for an unknown name, with the nearest."""
    names = attention_names()
    if name not in names:
        nearest = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
        raise UsageError(f"unknown attention {name!r}; known: {', '.join(names)}.{hint}")
    found: type[Attention] = importlib.import_module(f"reference_models.attention.{name}").ATTENTION
    return found
