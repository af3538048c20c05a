"""The stamp of a compiled kernel: a digest of the bytecode and the constants of every function that it reaches.

Numba's own cache checks only the file of the kernel. But a kernel also contains the code of functions from other files,
and the values of their constants. `stamp` covers all of these and nothing else, so an edit of another function, of a
comment or of a docstring causes no compilation.

This module loads numba.
"""

import hashlib
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
from numba.core.extending import _Intrinsic
from numba.core.registry import CPUDispatcher


def stamp(kernel: CPUDispatcher) -> str:
    """64 hex digits that change with everything that decides the kernel's machine code, except numba itself.

    Raises TypeError for a constant whose value cannot be followed, such as a module of the same package.
    """
    walk = _Walk(kernel.py_func.__module__.partition(".")[0])
    walk.add_value(kernel.py_func.__name__, kernel)
    return walk.digest.hexdigest()


class _Walk:
    """Visits the functions and constants that a kernel reaches, in the order in which its code names them."""

    def __init__(self, package: str) -> None:
        self.digest = hashlib.sha256()
        self._package = package
        self._seen: dict[FunctionType, int] = {}

    def add_value(self, name: str, value: Any) -> None:
        """Add the value of a name."""
        match value:
            case CPUDispatcher():
                self._note(name, "kernel", sorted((key, repr(option)) for key, option in value.targetoptions.items()))
                self._add_function(value.py_func)  # type: ignore[arg-type]
            case _Intrinsic():
                self._note(name, "intrinsic")
                self._add_function(value.__wrapped__)  # type: ignore[attr-defined]
            case FunctionType() if self._is_ours(value.__module__):
                self._note(name, "function")
                self._add_function(value)
            case type():
                fields = getattr(value, "_fields", ()) if self._is_ours(value.__module__) else ()
                self._note(name, "type", value.__module__, value.__qualname__, fields)
            case np.ndarray() | np.generic():
                self._note(name, value.dtype.str, value.shape, value.tobytes())
            case bool() | int() | float() | complex() | str() | bytes() | None | range():
                self._note(name, type(value).__name__, repr(value))
            case tuple():
                self._note(name, "tuple", len(value))
                for number, entry in enumerate(value):
                    self.add_value(f"{name}[{number}]", entry)
            case frozenset():
                self._note(name, "set", sorted(map(repr, value)))
            case CodeType():
                self._add_code(value)
            case ModuleType() if not self._is_ours(value.__name__):
                self._note(name, "module", value.__name__)
            case BuiltinFunctionType() | FunctionType() | np.ufunc():
                self._note(name, "library", getattr(value, "__module__", None), value.__name__)
            case _:
                raise TypeError(
                    f"a kernel of {self._package} uses {name}, a {type(value).__name__}, whose value the kernel cache "
                    "cannot follow: import functions and constants by name, and keep constants to numbers, texts, "
                    "tuples and arrays"
                )

    def _add_function(self, function: FunctionType) -> None:
        if function in self._seen:
            self._note("again", self._seen[function])
            return
        self._seen[function] = len(self._seen)
        code = function.__code__
        # The docstring, if there is one, is the first constant of a function.
        self._add_code(code, skip=1 if function.__doc__ is not None else 0)
        self.add_value("defaults", function.__defaults__)
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            self.add_value(name, cell.cell_contents)
        for name in _names(code):
            if name in function.__globals__:
                self.add_value(name, function.__globals__[name])

    def _add_code(self, code: CodeType, skip: int = 0) -> None:
        self._note(code.co_name, code.co_code, code.co_exceptiontable, code.co_argcount, code.co_kwonlyargcount)
        self._note(code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        self.add_value("constants", code.co_consts[skip:])

    def _is_ours(self, module: str | None) -> bool:
        return module is not None and module.partition(".")[0] == self._package

    def _note(self, *words: Any) -> None:
        self.digest.update(repr(words).encode())


def _names(code: CodeType) -> list[str]:
    """Names of globals and attributes in the code of a function and of its inner functions, sorted."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names.update(_names(constant))
    return sorted(names)
