"""A worker process of a build, both sides: it reads jobs from its standard input and writes answers to its output.

The worker is a new Python process that imports this module, never the caller's script. So a script needs no `__main__`
guard, and code that was piped into Python or typed into a notebook works too. `multiprocessing` would run the main file
again in every worker, and needs semaphores, which some containers lack.

A message is a pickle inside a pickled bytes object, so a message that cannot be unpickled does not break the stream.
Before an answer come integers, the numbers of rows that the job has made since the last one, and the texts and ends of
waits (`notices.py`).

`local.py` distributes the jobs.
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
    """The worker process ended without an answer."""


class WorkerProcess:
    """One worker process. It ends when this process ends in any way, because its standard input is then closed."""

    def __init__(self, *, tells: bool = True) -> None:
        """tells: whether this worker prints notices (`notices.py`); one of several workers is enough."""
        if not sys.executable or getattr(sys, "frozen", False):  # a frozen program would start itself again
            raise UsageError("expected a Python interpreter to start workers with, got none: use workers=1")
        # Ctrl-C reaches all processes of a terminal, but only the parent handles it. The worker inherits the mask, so
        # it does not see the signal while it is still starting either.
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
        """`function(job)`, run in the worker. Raises the job's error, or LostWorkerError if the worker has ended."""
        message = pickle.dumps((function, job))
        try:
            pickle.dump(message, self._input)
            self._input.flush()
            answer = pickle.load(_there(self._process.stdout))
            while not isinstance(answer, bytes):  # the job is still running
                _hear(answer)
                answer = pickle.load(_there(self._process.stdout))
        except (OSError, EOFError, pickle.UnpicklingError, ValueError) as error:
            raise LostWorkerError from error
        failed, value = pickle.loads(answer)
        if failed:
            raise value
        return value

    def kill(self) -> None:
        """End the process, even in the middle of a job."""
        self._process.kill()

    def close(self) -> None:
        """End the process and wait for it."""
        for pipe in (self._input, _there(self._process.stdout)):
            with suppress(OSError):  # the last message did not arrive, since the process has ended
                pipe.close()
        self._process.wait()


def _hear(message: int | str | None) -> None:
    """A message of a job that is still running."""
    if isinstance(message, int):
        notices.rows_made(message)
    elif message is None:
        notices.end_wait()
    else:
        notices.begin_wait(message)


def serve() -> None:
    """Run jobs until the standard input ends; then end at once, also in the middle of a job."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    source, answers = sys.stdin.buffer, _moved_output()
    said = pickle.load(source)
    notices.take_over(said)
    jobs: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def read() -> None:
        try:
            while True:
                jobs.put(pickle.load(source))
        except BaseException:  # the parent has closed the pipe or ended
            os._exit(0)

    def send(message: bytes | int | str | None) -> None:
        pickle.dump(message, answers)
        answers.flush()

    notices.listen_rows(send)
    if said is not None:
        notices.listen(send)
    threading.Thread(target=read, daemon=True).start()
    while True:
        send(_answer(jobs.get()))


def _answer(message: bytes) -> bytes:
    """The result that `WorkerProcess.run` returns, or the error that it raises."""
    try:
        function, job = pickle.loads(message)
        return pickle.dumps((False, function(job)))
    except BaseException as error:  # also SystemExit: the parent decides how to handle it
        if not isinstance(error, LraDataError):
            error.add_note(f"In a worker process:\n{traceback.format_exc()}")
        try:
            answer = pickle.dumps((True, error))
            pickle.loads(answer)  # some exceptions can be pickled, but not unpickled
        except Exception:
            return pickle.dumps((True, RuntimeError("".join(traceback.format_exception(error)))))
        return answer


def _moved_output() -> IO[bytes]:
    """The standard output, reserved for answers. The output of any library goes to the standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    instead = 2 if sys.stderr is not None else os.open(os.devnull, os.O_WRONLY)
    os.dup2(instead, sys.stdout.fileno())
    return answers


def _there(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise AssertionError("both pipes were asked for")
    return pipe
