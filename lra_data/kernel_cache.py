"""`compiled` and `compiled_part`: numba.njit for kernels, and for the functions that only kernels call.

A kernel is stored on disk in NUMBA_CACHE_DIR, or next to the source, or in the user's cache folder. If none of them is
writable, as in another user's installation without a home folder, numba raises an error. Here the kernel is then stored
below LRA_DATA_CACHE, or compiled again in each process, and a notice says so. A cache that fails later, on a full disk,
also costs only a compilation. A stored kernel belongs to one `kernel_stamp.stamp`; if that changes, it is compiled
again.

Kernels and parts allocate no arrays: callers pass all memory. So numba does not count references to arrays, which took
half of Pathfinder's time, and compiles less. A part has no code for calls from Python.

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
from lra_data.notices import begin_wait, end_wait, say_once
from lra_data.paths import local_path

# As in downloads/cache_folder.py, whose package loads the libraries for downloads.
_CACHE_VARIABLE = "LRA_DATA_CACHE"
_ADVICE = "set NUMBA_CACHE_DIR to a folder that can be written"

# _nrt: numba's runtime for allocations and reference counts. error_model: no code for divisions by zero, which raise
# nothing; kernels never divide by zero.
_OPTIONS: dict[str, Any] = {"_nrt": False, "error_model": "numpy", "no_cfunc_wrapper": True}


class _Impl(CompileResultCacheImpl):
    """Names a function's files without its line number, which changes with edits above the function."""

    def get_filename_base(self, fullname: str, abiflags: str) -> str:
        base: str = super().get_filename_base(fullname, abiflags)
        return base.replace(f"-{self.locator.get_disambiguator()}.", ".", 1)


class _Cache(Cache):
    """Numba's cache of one kernel; a failure costs only a compilation."""

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
        end_wait()

    def _stamp_once(self) -> None:
        """Computed at the first call, not at decoration: the kernel may call functions defined later in its file."""
        if not self._stamped:
            self._cache_file = IndexDataCacheFile(self.cache_path, self._impl.filename_base, stamp(self._kernel))
            self._stamped = True


class _NoCache(NullCache):
    """Keeps nothing."""

    def load_overload(self, sig: Any, target_context: Any) -> None:
        _show_compiling()

    def save_overload(self, sig: Any, data: Any) -> None:
        end_wait()


def compiled(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Decorate a kernel, which Python calls; the options are numba.njit's."""
    if function is None:
        return lambda kernel: compiled(kernel, **options)
    dispatcher = njit(**_OPTIONS | options)(function)
    dispatcher._cache = _cache_of(dispatcher)
    return dispatcher


def compiled_part(function: Callable[..., Any]) -> Any:
    """Decorate a function that only kernels can call; on disk it is stored only as a part of these kernels."""
    return njit(**_OPTIONS | {"no_cpython_wrapper": True})(function)


def keep(*modules: ModuleType) -> None:
    """Cache the kernels of modules that use plain numba, as the tracer does to share no code with the generator."""
    for module in modules:
        for dispatcher in vars(module).values():
            if isinstance(dispatcher, CPUDispatcher) and dispatcher.py_func.__module__ == module.__name__:
                dispatcher._cache = _cache_of(dispatcher)


def _cache_of(kernel: CPUDispatcher) -> _Cache | _NoCache:
    """The kernel's cache in the first writable folder; without such a folder, a cache that stores nothing."""
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
        except (RuntimeError, UsageError):  # this folder is not writable either
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
    begin_wait("compiling kernels (first use)")
