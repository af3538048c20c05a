"""A call with a time limit that does not depend on its library.

Each of fsspec's file systems has its own limits of many minutes, and some have no limit while they look for
credentials. So the call runs in a thread, which is abandoned if it does not end in time.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

Answer = TypeVar("Answer")

_LEAST_S = 0.01


class Deadline:
    """A common time limit for several calls, in seconds from now; None for no limit."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._until = None if seconds is None else time.monotonic() + seconds

    def __call__(self, call: Callable[..., Answer], *arguments: Any) -> Answer:
        """The answer of `call(*arguments)`; raises TimeoutError if it does not come in time."""
        if self._until is None:
            return call(*arguments)
        answer: Future[Answer] = Future()

        def run() -> None:
            try:
                answer.set_result(call(*arguments))
            except BaseException as error:
                answer.set_exception(error)

        threading.Thread(target=run, daemon=True, name="lra-data-deadline").start()
        try:
            return answer.result(timeout=max(self._until - time.monotonic(), _LEAST_S))
        except TimeoutError:
            if answer.done():
                raise  # the call's own error
            raise TimeoutError(f"no answer within {self._seconds:g} s") from None
