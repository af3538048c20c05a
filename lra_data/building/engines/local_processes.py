"""The engine local: worker processes on this machine."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from queue import SimpleQueue

from lra_data.building.engines.engine import Engine, Job, Result
from lra_data.building.engines.worker_process import LostWorkerError, WorkerProcess
from lra_data.checks import plain_int
from lra_data.errors import BuildError, UsageError


class LocalProcesses:
    """Processes on this machine; with one worker the jobs run in this process, one after another.

    A worker never runs the caller's script again, so scripts need no `__main__` guard (`worker_process.py`).
    """

    def __init__(self, workers: int = 1) -> None:
        number = plain_int(workers)
        if number is None or number < 1:
            raise UsageError(f"expected at least 1 worker, got {workers!r}")
        self.workers = number

    def run(self, function: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[Result]:
        """See Engine. If a worker dies, killed or out of memory, BuildError is raised and the other workers end."""
        if self.workers == 1 or len(jobs) <= 1:
            yield from map(function, jobs)
            return
        free: SimpleQueue[WorkerProcess] = SimpleQueue()
        workers: list[WorkerProcess] = []

        def run_one(job: Job) -> Result:
            worker = free.get()
            try:
                result: Result = worker.run(function, job)
            finally:
                free.put(worker)
            return result

        # A thread waits for each worker; there are as many as workers, so one is always free.
        pool = ThreadPoolExecutor(min(self.workers, len(jobs)), thread_name_prefix="lra-data-worker")
        try:
            for number in range(min(self.workers, len(jobs))):
                workers.append(WorkerProcess(tells=number == 0))
                free.put(workers[-1])
            futures = [pool.submit(run_one, job) for job in jobs]
            for future in as_completed(futures):
                yield future.result()
        except (KeyboardInterrupt, GeneratorExit):
            # Do not wait for running jobs. The next run can clean up whatever a killed job leaves behind.
            for worker in workers:
                worker.kill()
            raise
        except LostWorkerError as error:
            for worker in workers:
                worker.kill()
            raise BuildError(
                "a worker process died (killed, or out of memory); finished shards are kept: "
                "run the same command again, with fewer workers if memory is short"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            for worker in workers:
                worker.close()


def engine_for(workers: int | None) -> Engine:
    """See `get_engine`."""
    return LocalProcesses(1 if workers is None else workers)
