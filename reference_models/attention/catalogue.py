"""Finds the X-formers: every file of this package but a few that are named here has an `ATTENTION`.

The package's `__path__` is searched, so a folder that is appended to it adds its files. Attentions from elsewhere are
found by `registration.py`.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from typing import Any

from lra_data import UsageError, errors
from reference_models import attention
from reference_models.attention.base import Attention, Shape
from reference_models.attention.registration import registered, registered_names

_NOT_MODELS = {"base", "catalogue", "convolutions", "operations", "registration", "windows"}


def attention_names() -> list[str]:
    """Names of the zoo's X-formers, sorted; attentions from elsewhere are not among them."""
    return sorted({module.name for module in pkgutil.iter_modules(attention.__path__)} - _NOT_MODELS)


def attention_class(name: str) -> type[Attention]:
    """The class of an X-former, or of an attention from elsewhere.

    Raises UsageError for an unknown name and suggests the nearest.
    """
    names = attention_names()
    if name not in names:
        own = registered(name)
        if own is not None:
            return own.kind
        names += registered_names()
        raise errors.unknown_name("attention", name, names, note="your own needs --attention FILE.py:CLASS")
    found: type[Attention] = importlib.import_module(f"{attention.__name__}.{name}").ATTENTION
    return found


def made(name: str, shape: Shape, options: Mapping[str, Any]) -> Attention:
    """An X-former, or an attention from elsewhere, of a shape.

    Raises UsageError for options that its constructor does not have, and for any error in the constructor of an
    attention from elsewhere.
    """
    kind = attention_class(name)
    taken = inspect.signature(kind).parameters
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values()):
        known = [option for option in taken if option != next(iter(taken))]
        for option in options:
            if option not in known:
                raise errors.unknown_name(f"option of {name}", option, known)
    try:
        return kind(shape, **options)
    except UsageError:
        raise
    except Exception as error:
        if name in attention_names():
            raise
        text = " ".join(str(error).split())
        raise UsageError(
            f"expected {name}(shape) with options {dict(options)} to be made, got {type(error).__name__}: {text}: "
            "`lra-zoo test` tries it"
        ) from error


def source_digest(name: str) -> str | None:
    """The SHA-256 of the file of an attention from elsewhere; None for a model of the zoo, which its version names."""
    own = None if name in attention_names() else registered(name)
    return None if own is None else own.sha256


def place_of(name: str) -> str:
    """The text that names the code of an attention from elsewhere to another process; "" for a model of the zoo.

    Raises UsageError for a class that was given from Python, which another process cannot import.
    """
    own = None if name in attention_names() else registered(name)
    if own is not None and not own.place:
        raise UsageError(f"expected {name} as FILE.py:CLASS, since another process imports it, got a class from Python")
    return "" if own is None else own.place
