"""`compiled`: numba.njit with its cache kept where that can be done, and without one where it cannot.

Numba keeps compiled kernels in NUMBA_CACHE_DIR, or beside the source, or in the user's cache folder, and raises where
none of them can be written, as in an installation of another user, without a home. Here the kernels then go below
LRA_DATA_CACHE, or are compiled again in each process, and a line says so. A cache that fails later, on a full disk,
also costs a compilation only.

This module loads numba. Only modules with kernels import it.
"""

import os
import pickle
from collections.abc import Callable
from types import ModuleType
from typing import Any

from numba import njit
from numba.core import config
from numba.core.caching import FunctionCache
from numba.core.registry import CPUDispatcher

from lra_data.errors import UsageError
from lra_data.notices import say_once
from lra_data.paths import local_path

# As in corpora/download.py, which loads the libraries that download.
_CACHE_VARIABLE = "LRA_DATA_CACHE"
_ADVICE = "set NUMBA_CACHE_DIR to a folder that can be written"


class _Cache(FunctionCache):
    """Numba's cache of one function, whose failures cost a compilation and nothing else."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            _say_unusable(self.cache_path, error)
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            _say_unusable(self.cache_path, error)


def compiled(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Decorate a kernel; the options are numba.njit's."""
    if function is None:
        return lambda kernel: compiled(kernel, **options)
    dispatcher = njit(**options)(function)
    cache = _cache_of(function)
    if cache is not None:
        dispatcher._cache = cache
    return dispatcher


def keep(module: ModuleType) -> None:
    """Keep the kernels of a module that uses numba alone, as the tracer, which shares nothing with what it checks."""
    for dispatcher in vars(module).values():
        if isinstance(dispatcher, CPUDispatcher) and dispatcher.py_func.__module__ == module.__name__:
            cache = _cache_of(dispatcher.py_func)
            if cache is not None:
                dispatcher._cache = cache


def _cache_of(function: Callable[..., Any]) -> _Cache | None:
    """The function's cache in the first place that can be written, None where there is none."""
    try:
        return _Cache(function)
    except RuntimeError as error:
        if "cannot cache function" not in str(error):
            raise
    chosen = os.environ.get(_CACHE_VARIABLE)
    if chosen:
        before = config.CACHE_DIR
        try:
            config.CACHE_DIR = str(local_path(chosen, _CACHE_VARIABLE).absolute() / "kernels")
            return _Cache(function)
        except (RuntimeError, UsageError):  # this one cannot be written either
            pass
        finally:
            config.CACHE_DIR = before
    say_once(
        f"no folder for compiled kernels can be written, so each process compiles its own, for seconds: {_ADVICE}",
        about=_CACHE_VARIABLE,
    )
    return None


def _say_unusable(folder: str, error: Exception) -> None:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    say_once(
        f"the compiled kernels in {folder} cannot be read or written ({reason}); compiling again: {_ADVICE}",
        about=_CACHE_VARIABLE,
    )
