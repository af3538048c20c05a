"""A value that each process makes for itself, such as a connection."""

import os
from collections.abc import Callable
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")


class PerProcess(Generic[Value]):
    """`make()`, called at the first use in each process: the value is not pickled, and made again after a fork."""

    def __init__(self, make: Callable[[], Value]) -> None:
        self._make = make
        self._made: tuple[int, Value] | None = None

    def get(self) -> Value:
        """The value of this process."""
        if self._made is None or self._made[0] != os.getpid():
            self._made = os.getpid(), self._make()
        return self._made[1]

    def __reduce__(self) -> tuple[Any, ...]:
        return PerProcess, (self._make,)
