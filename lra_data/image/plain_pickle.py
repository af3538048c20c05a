"""Reads the pickles of CIFAR-10's Python layout without running anything they ask for.

A pickle is a program. This reader lets it make built-in values and arrays of bytes, and answers every other name it
calls for with an error. The arrays are made here, not by NumPy's own unpickling, so that no number in the file decides
how much memory is taken.
"""

import io
import pickle
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray


class ForbiddenPickleError(Exception):
    """The pickle asks for something that a batch of CIFAR-10 never holds."""


def load_plain(data: bytes) -> Any:
    """The value in a pickle of built-ins and uint8 arrays; strings of Python 2 come as bytes.

    Raises ForbiddenPickleError for a pickle that calls anything, and whatever `pickle` raises for a damaged one.
    """
    value = _Reader(io.BytesIO(data), encoding="bytes").load()
    if isinstance(value, dict):
        return {name: item.array if isinstance(item, _Array) else item for name, item in value.items()}
    return value


class _Dtype:
    """Stands for `numpy.dtype`: only that of uint8 is known."""

    def __init__(self, name: Any, *_: Any) -> None:
        text = name.decode() if isinstance(name, bytes) else name
        if text not in ("u1", "|u1", "uint8"):
            raise ForbiddenPickleError(f"an array of {text!r}")

    def __setstate__(self, state: Any) -> None:
        """Byte order and the like, of which one byte has none."""


class _Array:
    """Stands for `numpy.ndarray` until its state comes."""

    array: NDArray[np.uint8]

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, is_fortran, content = state
        if not isinstance(dtype, _Dtype) or not isinstance(content, bytes) or is_fortran:
            raise ForbiddenPickleError("an array that is not one of plain bytes")
        if prod(shape) != len(content):
            raise ForbiddenPickleError(f"an array of shape {shape} with {len(content)} bytes")
        self.array = np.frombuffer(content, dtype=np.uint8).reshape(shape)


def _reconstruct(kind: Any, *_: Any) -> _Array:
    if kind is not _Array:
        raise ForbiddenPickleError("an array of another class")
    return _Array()


def _encode(text: str, encoding: str) -> bytes:
    """What Python 3 writes bytes as in protocol 2: `_codecs.encode` of Latin-1."""
    if encoding != "latin1":
        raise ForbiddenPickleError(f"an encoding {encoding!r}")
    return text.encode("latin-1")


_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("_codecs", "encode"): _encode,
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise ForbiddenPickleError(f"{module}.{name}")
        return _KNOWN[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise ForbiddenPickleError("a persistent object")
