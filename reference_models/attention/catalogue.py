"""Finds the X-formers: every file of this package except `base.py`, `operations.py` and this one has an `ATTENTION`.

The package's `__path__` is searched, so a folder that is appended to it adds its files.
"""

import difflib
import importlib
import pkgutil

from lra_data import UsageError
from reference_models import attention
from reference_models.attention.base import Attention

_NOT_MODELS = {"base", "catalogue", "operations"}


def attention_names() -> list[str]:
    """Names of the X-formers, sorted."""
    return sorted({module.name for module in pkgutil.iter_modules(attention.__path__)} - _NOT_MODELS)


def attention_class(name: str) -> type[Attention]:
    """The class of one X-former; raises UsageError for an unknown name and suggests the nearest."""
    names = attention_names()
    if name not in names:
        nearest = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
        raise UsageError(f"unknown attention {name!r}; known: {', '.join(names)}.{hint}")
    found: type[Attention] = importlib.import_module(f"{attention.__name__}.{name}").ATTENTION
    return found
