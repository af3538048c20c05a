"""Reads the pickles of CIFAR-10's Python layout without running any code that they name.

A pickle is a program. This reader supports only the instructions for a dictionary of built-in values and of arrays of
integers or strings. Of the instructions that call or change something, it supports only the calls that make such
arrays. It makes the arrays itself, without NumPy's unpickling, so that no number in the file decides how much memory is
allocated.

A check of official digests cannot replace this reader, because it must also read batches that were saved again, whose
digests are unknown. A `pickle.Unpickler` with a restricted `find_class` is not safe enough for such files: a file of 9
bytes makes it allocate 4 GB, and a file of 142 bytes keeps it busy for as long as its author likes (docs/log.md).

Upstream's files were written by Python 2. Batches may be saved again with any protocol and with NumPy 1 or 2. Then keys
may be text, labels may be an array or NumPy numbers, and with protocol 5 arrays come as buffers.
"""

import io
import pickle
import re
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
    """The pickle contains something that a batch of CIFAR-10 never holds."""


def load_plain(data: bytes) -> Any:
    """The value in a pickle of built-ins and plain arrays; strings of Python 2 become bytes.

    Raises ForbiddenPickleError for a pickle that calls or changes anything else, and the errors of `pickle` for a
    damaged pickle.
    """
    value = _Reader(data).load()
    if isinstance(value, dict):
        return {name: item.array if isinstance(item, _Array) else item for name, item in value.items()}
    return value


# Integers of 1 to 8 bytes, and strings such as file names, with their byte order.
_KNOWN_DTYPE = re.compile(r"([|<>]?)([iu][1248]|[SU][1-9][0-9]{0,5})")


class _Dtype:
    """Replaces `numpy.dtype`; it supports only dtypes of integers and strings."""

    def __init__(self, name: Any, *_: Any) -> None:
        text = name.decode("latin-1") if isinstance(name, bytes) else name
        match = _KNOWN_DTYPE.fullmatch("u1" if text == "uint8" else text) if isinstance(text, str) else None
        if match is None:
            raise ForbiddenPickleError(f"an array of {text!r}")
        self.order, self.kind = match.groups()

    def fill(self, state: Any) -> None:
        """Take the byte order from the pickled state of NumPy's dtype."""
        _, order, *parts = state
        text = order.decode("latin-1") if isinstance(order, bytes) else order
        if text not in ("|", "<", ">") or any(part is not None for part in parts[:3]):
            raise ForbiddenPickleError("an array of several fields, or of another order of bytes")
        self.order = text

    def array(self, content: Any, shape: Any, *, is_fortran: bool) -> NDArray[Any]:
        """An array over the bytes of the file, whose number must fit the shape."""
        if not isinstance(content, bytes) or not isinstance(shape, tuple) or not all(type(n) is int for n in shape):
            raise ForbiddenPickleError("an array that is not one of plain bytes")
        dtype = np.dtype(f"{self.order}{self.kind}")
        if min(shape, default=0) < 0 or prod(shape) * dtype.itemsize != len(content):
            raise ForbiddenPickleError(f"an array of shape {shape} with {len(content)} bytes")
        return np.frombuffer(content, dtype=dtype).reshape(shape, order="F" if is_fortran else "C")


class _Array:
    """Replaces `numpy.ndarray`; its bytes come later."""

    array: NDArray[Any]

    def fill(self, state: Any) -> None:
        """Take shape and bytes from the pickled state of NumPy's array."""
        _, shape, dtype, is_fortran, content = state
        if not isinstance(dtype, _Dtype):
            raise ForbiddenPickleError("an array that is not one of plain bytes")
        self.array = dtype.array(content, shape, is_fortran=bool(is_fortran))


def _from_buffer(content: Any, dtype: Any, shape: Any, order: Any, *axes: Any) -> _Array:
    """The function that protocol 5 calls to make an array from a buffer."""
    if not isinstance(dtype, _Dtype) or order not in ("C", "F") or any(axis is not None for axis in axes):
        raise ForbiddenPickleError("an array that is not one of plain bytes")
    made = _Array()
    made.array = dtype.array(content, shape, is_fortran=order == "F")
    return made


def _scalar(dtype: Any, content: Any) -> int:
    """A NumPy integer."""
    if not isinstance(dtype, _Dtype) or dtype.kind[0] not in "iu":
        raise ForbiddenPickleError("a number that is not a whole one")
    return int(dtype.array(content, (1,), is_fortran=False)[0])


class _Name:
    """A name that the pickle may use."""

    def __init__(self, module: str, name: str) -> None:
        self.full = f"{module}.{name}"


# NumPy 2 renamed its core; Python 3 gives Python 2's names to built-ins up to protocol 2.
_MAKES_ARRAY = ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")
_FROM_BUFFER = ("numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer")
_SCALAR = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
_BYTES = ("__builtin__.bytes", "builtins.bytes")
_KNOWN = (*_MAKES_ARRAY, *_FROM_BUFFER, *_SCALAR, *_BYTES, "numpy.ndarray", "numpy.dtype", "_codecs.encode")


class _Instructions(dict[int, Any]):
    """The handler of each instruction; an unknown instruction raises an error of its own."""

    def __missing__(self, code: int) -> Any:
        raise ForbiddenPickleError(f"the instruction {bytes([code])!r}")


class _Reader(pickle._Unpickler):
    """Python's own interpreter of pickles, with every harmful instruction replaced."""

    stack: list[Any]
    dispatch: ClassVar[Any] = _Instructions({code: pickle._Unpickler.dispatch[code] for code in _HARMLESS})

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="bytes")
        self._size = len(data)

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
        elif name in _FROM_BUFFER:
            self.stack[-1] = _from_buffer(*arguments)
        elif name in _SCALAR:
            self.stack[-1] = _scalar(*arguments)
        elif name in _BYTES and arguments == ():
            self.stack[-1] = b""  # up to protocol 2, Python 3 writes empty bytes as such a call
        elif name == "numpy.dtype":
            self.stack[-1] = _Dtype(*arguments)
        elif name == "_codecs.encode" and arguments[1:] == ("latin1",):
            # In protocol 2, Python 3 writes bytes as such a call.
            self.stack[-1] = arguments[0].encode("latin-1")
        else:
            raise ForbiddenPickleError(f"a call of {name}")

    def load_build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if not isinstance(target, _Array | _Dtype):
            raise ForbiddenPickleError(f"a change of {type(target).__name__}")
        target.fill(state)

    def load_bytearray8(self) -> None:
        """Bytes, read without allocating the size that the file states."""
        size = int.from_bytes(self.read(8), "little")  # type: ignore[attr-defined]
        content = self.read(min(size, self._size))  # type: ignore[attr-defined]
        if len(content) != size:
            raise EOFError("the pickle ends within an array")
        self.append(content)  # type: ignore[attr-defined]

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
        """A tuple, nested at most once: hashing deeper tuples may take forever, or overflow the stack."""
        if any(isinstance(inner, tuple) for item in items if isinstance(item, tuple) for inner in item):
            raise ForbiddenPickleError("tuples within tuples")
        return tuple(items)

    dispatch[pickle.GLOBAL[0]] = pickle._Unpickler.dispatch[pickle.GLOBAL[0]]
    dispatch[pickle.STACK_GLOBAL[0]] = pickle._Unpickler.dispatch[pickle.STACK_GLOBAL[0]]
    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8
    dispatch[pickle.TUPLE[0]] = load_tuple
    dispatch[pickle.TUPLE1[0]] = load_tuple1
    dispatch[pickle.TUPLE2[0]] = load_tuple2
    dispatch[pickle.TUPLE3[0]] = load_tuple3
