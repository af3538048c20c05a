"""`compiled` and `compiled_part`: numba.njit for kernels, and for the functions that only kernels call.

A kernel is kept on disk in NUMBA_CACHE_DIR, or beside the source, or in the user's cache folder. Where none of these
can be written, as in an installation of another user without a home, numba raises; here the kernel then goes below
LRA_DATA_CACHE, or is compiled again in each process, and a line says so. A cache that fails later, on a full disk, also
costs a compilation only. What is kept belongs to one `kernel_stamp.stamp`, and is compiled again when that changes.

Kernels and parts allocate no arrays: callers hand in all memory. So numba counts no references to arrays, which took
Pathfinder half of its time, and compiles less. A part gets none of the code with which Python calls a kernel.

This module loads numba. Only modules with kernels import it.
"""

import os
import pickle
from collections.abc import Callable
from types import ModuleType
from typing import Any

from numba import njit
from numba.core import config
from numba.core.caching import Cache, CompileResultCacheImpl, IndexDataCacheFile, NullCache
from numba.core.registry import CPUDispatcher

from lra_data.errors import UsageError
from lra_data.kernel_stamp import stamp
from lra_data.notices import say_once, show_once
from lra_data.paths import local_path

# As in corpora/fetch.py, which loads the libraries that download.
_CACHE_VARIABLE = "LRA_DATA_CACHE"
_ADVICE = "set NUMBA_CACHE_DIR to a folder that can be written"

# _nrt: numba's name for its runtime of allocations and reference counts. error_model: a division by zero raises nothing
# and needs no code for it; kernels divide by nothing that can be zero.
_OPTIONS: dict[str, Any] = {"_nrt": False, "error_model": "numpy", "no_cfunc_wrapper": True}


class _Impl(CompileResultCacheImpl):
    """Names a function's files without its line number, which an edit above the function moves."""

    def get_filename_base(self, fullname: str, abiflags: str) -> str:
        base: str = super().get_filename_base(fullname, abiflags)
        return base.replace(f"-{self.locator.get_disambiguator()}.", ".", 1)


class _Cache(Cache):
    """Numba's cache of one kernel, whose failures cost a compilation and nothing else."""

    _impl_class = _Impl

    def __init__(self, kernel: CPUDispatcher) -> None:
        super().__init__(kernel.py_func)
        self._kernel = kernel
        self._stamped = False

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        self._stamp_once()
        found = None
        try:
            found = super().load_overload(sig, target_context)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            _say_unusable(self.cache_path, error)
        if found is None:
            _show_compiling()
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            _say_unusable(self.cache_path, error)

    def _stamp_once(self) -> None:
        """When the kernel is first called, and not when it is decorated: it may call what its file defines later."""
        if not self._stamped:
            self._cache_file = IndexDataCacheFile(self.cache_path, self._impl.filename_base, stamp(self._kernel))
            self._stamped = True


class _NoCache(NullCache):
    """Keeps nothing."""

    def load_overload(self, sig: Any, target_context: Any) -> None:
        _show_compiling()


def compiled(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Decorate a kernel, which Python calls; the options are numba.njit's."""
    if function is None:
        return lambda kernel: compiled(kernel, **options)
    dispatcher = njit(**_OPTIONS | options)(function)
    dispatcher._cache = _cache_of(dispatcher)
    return dispatcher


def compiled_part(function: Callable[..., Any]) -> Any:
    """Decorate a function that kernels call and Python cannot; it is kept on disk as a part of these kernels alone."""
    return njit(**_OPTIONS | {"no_cpython_wrapper": True})(function)


def keep(*modules: ModuleType) -> None:
    """Keep the kernels of modules that use numba alone, as the tracer's, which share nothing with what they check."""
    for module in modules:
        for dispatcher in vars(module).values():
            if isinstance(dispatcher, CPUDispatcher) and dispatcher.py_func.__module__ == module.__name__:
                dispatcher._cache = _cache_of(dispatcher)


def _cache_of(kernel: CPUDispatcher) -> _Cache | _NoCache:
    """The kernel's cache in the first place that can be written, one that keeps nothing where there is none."""
    try:
        return _Cache(kernel)
    except RuntimeError as error:
        if "cannot cache function" not in str(error):
            raise
    chosen = os.environ.get(_CACHE_VARIABLE)
    if chosen:
        before = config.CACHE_DIR
        try:
            config.CACHE_DIR = str(local_path(chosen, _CACHE_VARIABLE).absolute() / "kernels")
            return _Cache(kernel)
        except (RuntimeError, UsageError):  # this one cannot be written either
            pass
        finally:
            config.CACHE_DIR = before
    say_once(
        f"no folder for compiled kernels can be written, so each process compiles its own, for seconds: {_ADVICE}",
        about=_CACHE_VARIABLE,
    )
    return _NoCache()


def _say_unusable(folder: str, error: Exception) -> None:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    say_once(
        f"the compiled kernels in {folder} cannot be read or written ({reason}); compiling again: {_ADVICE}",
        about=_CACHE_VARIABLE,
    )


def _show_compiling() -> None:
    show_once("compiling kernels (first use)")
