"""Reads the pickles of CIFAR-10's Python layout without running anything they ask for.

A pickle is a program. This reader knows only the instructions that a dictionary of built-in values and arrays of bytes
needs, and of those that call or change something only the calls that make such arrays. The arrays are made here, not by
NumPy's own unpickling, so that no number in the file decides how much memory is taken.
"""

import io
import pickle
from math import prod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

# Instructions without a call: frames, the memo, numbers, strings, lists, dictionaries, the end.
_HARMLESS = (
    b"\x80\x95.(N\x88\x89"  # PROTO FRAME STOP MARK NONE NEWTRUE NEWFALSE
    b"IJKML\x8a\x8b"  # INT BININT BININT1 BININT2 LONG LONG1 LONG4
    b"STUVX\x8cBC\x8e"  # STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE, BINBYTES and its like
    b"]ael}dsu)"  # EMPTY_LIST APPEND APPENDS LIST EMPTY_DICT DICT SETITEM SETITEMS EMPTY_TUPLE
    b"pqrghj\x94"  # PUT BINPUT LONG_BINPUT GET BINGET LONG_BINGET MEMOIZE
)


class ForbiddenPickleError(Exception):
    """The pickle asks for something that a batch of CIFAR-10 never holds."""


def load_plain(data: bytes) -> Any:
    """The value in a pickle of built-ins and uint8 arrays; strings of Python 2 come as bytes.

    Raises ForbiddenPickleError for a pickle that calls or changes anything else, and whatever `pickle` raises for a
    damaged one.
    """
    value = _Reader(io.BytesIO(data), encoding="bytes").load()
    if isinstance(value, dict):
        return {name: item.array if isinstance(item, _Array) else item for name, item in value.items()}
    return value


class _Dtype:
    """Stands for `numpy.dtype`: only that of uint8 is known."""

    def __init__(self, name: Any, *_: Any) -> None:
        text = name.decode("latin-1") if isinstance(name, bytes) else name
        if text not in ("u1", "|u1", "uint8"):
            raise ForbiddenPickleError(f"an array of {text!r}")

    def fill(self, state: Any) -> None:
        """Byte order and the like, of which one byte has none."""


class _Array:
    """Stands for `numpy.ndarray`; its bytes come later."""

    array: NDArray[np.uint8]

    def fill(self, state: Any) -> None:
        """Take shape and bytes from what NumPy gave its own array to remember itself by."""
        _, shape, dtype, is_fortran, content = state
        if not isinstance(dtype, _Dtype) or not isinstance(content, bytes) or is_fortran:
            raise ForbiddenPickleError("an array that is not one of plain bytes")
        if prod(shape) != len(content):
            raise ForbiddenPickleError(f"an array of shape {shape} with {len(content)} bytes")
        self.array = np.frombuffer(content, dtype=np.uint8).reshape(shape)


class _Name:
    """A name that the pickle may call for."""

    def __init__(self, module: str, name: str) -> None:
        self.full = f"{module}.{name}"


_MAKES_ARRAY = ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")
_KNOWN = (*_MAKES_ARRAY, "numpy.ndarray", "numpy.dtype", "_codecs.encode")


class _Instructions(dict[int, Any]):
    """What each instruction does; one that is not known is an error of its own."""

    def __missing__(self, code: int) -> Any:
        raise ForbiddenPickleError(f"the instruction {bytes([code])!r}")


class _Reader(pickle._Unpickler):
    """Python's own interpreter of pickles with every instruction replaced that could do harm."""

    stack: list[Any]
    dispatch: ClassVar[Any] = _Instructions({code: pickle._Unpickler.dispatch[code] for code in _HARMLESS})

    def find_class(self, module: str, name: str) -> Any:
        found = _Name(module, name)
        if found.full not in _KNOWN:
            raise ForbiddenPickleError(found.full)
        return found

    def load_reduce(self) -> None:
        arguments, called = self.stack.pop(), self.stack[-1]
        name = called.full if isinstance(called, _Name) else type(called).__name__
        if name in _MAKES_ARRAY:
            self.stack[-1] = _Array()
        elif name == "numpy.dtype":
            self.stack[-1] = _Dtype(*arguments)
        elif name == "_codecs.encode" and arguments[1:] == ("latin1",):
            # What Python 3 writes bytes as in protocol 2.
            self.stack[-1] = arguments[0].encode("latin-1")
        else:
            raise ForbiddenPickleError(f"a call of {name}")

    def load_build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if not isinstance(target, _Array | _Dtype):
            raise ForbiddenPickleError(f"a change of {type(target).__name__}")
        target.fill(state)

    def load_tuple(self) -> None:
        items = self.pop_mark()  # type: ignore[attr-defined]
        self.append(self._flat(items))  # type: ignore[attr-defined]

    def load_tuple1(self) -> None:
        self.stack[-1] = self._flat(self.stack[-1:])

    def load_tuple2(self) -> None:
        self.stack[-2:] = [self._flat(self.stack[-2:])]

    def load_tuple3(self) -> None:
        self.stack[-3:] = [self._flat(self.stack[-3:])]

    def _flat(self, items: Any) -> tuple[Any, ...]:
        """A tuple of tuples of plain values at most: hashing deeper ones can take for ever, or the whole stack."""
        if any(isinstance(inner, tuple) for item in items if isinstance(item, tuple) for inner in item):
            raise ForbiddenPickleError("tuples within tuples")
        return tuple(items)

    dispatch[pickle.GLOBAL[0]] = pickle._Unpickler.dispatch[pickle.GLOBAL[0]]
    dispatch[pickle.STACK_GLOBAL[0]] = pickle._Unpickler.dispatch[pickle.STACK_GLOBAL[0]]
    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.TUPLE[0]] = load_tuple
    dispatch[pickle.TUPLE1[0]] = load_tuple1
    dispatch[pickle.TUPLE2[0]] = load_tuple2
    dispatch[pickle.TUPLE3[0]] = load_tuple3
