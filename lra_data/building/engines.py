"""Who runs the jobs of a build. An engine maps a pure function over jobs and yields results as they come.

The interface is one method, so that a Ray or Slurm engine is one more class: jobs and results pickle, need only the
shared folder, and may run anywhere, twice, and in any order.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Protocol, TypeVar

from lra_data.errors import BuildError, UsageError

Job = TypeVar("Job")
Result = TypeVar("Result")


class Engine(Protocol):
    """Runs `function` on every job and yields the results in order of completion."""

    def run(self, function: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[Result]:
        """Raises what a job raised; jobs already under way finish first, the others are not begun.

        An interrupt does not wait for those under way.
        """


class LocalProcesses:
    """Processes on this machine; with one worker the jobs run in this process, one after another."""

    def __init__(self, workers: int = 1) -> None:
        if not isinstance(workers, int) or workers < 1:
            raise UsageError(f"expected at least 1 worker, got {workers!r}")
        self.workers = workers

    def run(self, function: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[Result]:
        """See Engine. A worker that dies, killed or out of memory, raises BuildError."""
        if self.workers == 1 or len(jobs) == 1:
            yield from map(function, jobs)
            return
        # spawn: forking a process that runs Arrow's threads can deadlock.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(self.workers, len(jobs)), mp_context=context, initializer=_start_worker) as pool:
            try:
                with _interrupts_held_back():
                    futures = [pool.submit(function, job) for job in jobs]
                for future in as_completed(futures):
                    yield future.result()
            except (KeyboardInterrupt, GeneratorExit):
                # Nobody waits for the jobs under way. Killed, they leave nothing that the next run does not expect.
                # `kill_workers` does the same, from Python 3.14 on.
                for process in list(pool._processes.values()):
                    process.kill()
                raise
            except BrokenProcessPool as error:
                raise BuildError(
                    "a worker process died (killed, or out of memory); finished shards are kept: "
                    "run the same command again, with fewer workers if memory is short"
                ) from error
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Processes started within the block do not hear Ctrl-C until they have said what they do with it; this one hears
    it through its other threads, or after the block.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # starting it would end the block for the processes after it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, and end with it: a killed parent must not leave workers behind."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is None:
        raise AssertionError("a worker has a parent process")

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
