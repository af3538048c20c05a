"""A worker process of a build, seen from both sides: it gets jobs through its standard input and answers on its output.

It is a Python of its own that imports this module, and never the caller's script: a script needs no `__main__` guard,
and code that was piped into Python or typed into a notebook has no file that could be run again. `multiprocessing`
runs the main file again in every worker, and needs semaphores, which some containers lack.

A message is a pickle inside a pickled bytes object, so that one that cannot be unpickled leaves the stream in order.

Not here: who gets which job (`local.py`).
"""

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from lra_data import notices
from lra_data.errors import LraDataError, UsageError

# -P: a file in the current folder must not be taken for a module of the standard library.
_COMMAND = (
    "import sys, pickle; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from lra_data.building.engines.worker_process import serve; serve()"
)


class LostWorkerError(Exception):
    """The process ended without an answer."""


class WorkerProcess:
    """One worker process. It ends with this process, however this one ends: its standard input is closed then."""

    def __init__(self, *, tells: bool = True) -> None:
        """tells: whether this one says what users should know (`notices.py`): of several workers one is enough."""
        if not sys.executable or getattr(sys, "frozen", False):  # a frozen program would start itself again
            raise UsageError("expected a Python program that can be started again, found none: use workers=1")
        # Ctrl-C reaches all processes of a terminal, and it is for the parent. The mask is inherited: a worker that is
        # still starting does not see the signal either.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _COMMAND], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        package = str(Path(__file__).parents[3])
        pickle.dump([*sys.path, *([] if package in sys.path else [package])], self._input)
        pickle.dump(notices.said() if tells else None, self._input)

    @property
    def _input(self) -> IO[bytes]:
        return _there(self._process.stdin)

    def run(self, function: Callable[[Any], Any], job: Any) -> Any:
        """`function(job)`, computed there. Raises what it raised, and LostWorkerError if the process has ended."""
        message = pickle.dumps((function, job))
        try:
            pickle.dump(message, self._input)
            self._input.flush()
            answer = pickle.load(_there(self._process.stdout))
        except (OSError, EOFError, pickle.UnpicklingError, ValueError) as error:
            raise LostWorkerError from error
        failed, value = pickle.loads(answer)
        if failed:
            raise value
        return value

    def kill(self) -> None:
        """End the process, whatever it is at."""
        self._process.kill()

    def close(self) -> None:
        """End the process and wait for it."""
        for pipe in (self._input, _there(self._process.stdout)):
            with suppress(OSError):  # what was written last did not arrive: the process has ended
                pipe.close()
        self._process.wait()


def serve() -> None:
    """Run jobs until the standard input ends; then end at once, also in the middle of a job."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    source, answers = sys.stdin.buffer, _moved_output()
    notices.take_over(pickle.load(source))
    jobs: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def read() -> None:
        try:
            while True:
                jobs.put(pickle.load(source))
        except BaseException:  # the parent has closed the pipe, or is gone
            os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    while True:
        pickle.dump(_answer(jobs.get()), answers)
        answers.flush()


def _answer(message: bytes) -> bytes:
    """What `WorkerProcess.run` is to return or raise."""
    try:
        function, job = pickle.loads(message)
        return pickle.dumps((False, function(job)))
    except BaseException as error:  # also SystemExit: the parent decides what becomes of it
        if not isinstance(error, LraDataError):
            error.add_note(f"In a worker process:\n{traceback.format_exc()}")
        try:
            answer = pickle.dumps((True, error))
            pickle.loads(answer)  # some exceptions can be pickled, but not made again
        except Exception:
            return pickle.dumps((True, RuntimeError("".join(traceback.format_exception(error)))))
        return answer


def _moved_output() -> IO[bytes]:
    """The standard output for answers alone. What any library prints goes to the standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    instead = 2 if sys.stderr is not None else os.open(os.devnull, os.O_WRONLY)
    os.dup2(instead, sys.stdout.fileno())
    return answers


def _there(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise AssertionError("both pipes were asked for")
    return pipe
