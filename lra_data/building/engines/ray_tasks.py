"""The engine ray: jobs are core tasks of a Ray cluster, whose nodes may come and go.

Ray runs the jobs of a lost worker or node again by itself. A window of jobs is submitted at a time, larger than the
cluster, so that an autoscaler sees the demand.
"""

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from lra_data.building.engines.engine import Engine, Job, Result, refuse_workers
from lra_data.errors import BuildError
from lra_data.notices import say_once
from lra_data.optional_import import require

ADDRESS_VARIABLE = "RAY_ADDRESS"

_LEAST_WINDOW = 64
_JOBS_PER_CPU = 4
_REACH_S = 5.0
# How long no job may finish before the cluster is asked whether it has nodes.
_QUIET_S = 30.0


class RayTasks:
    """A Ray cluster.

    address: as for `ray.init`; by default $RAY_ADDRESS, else a running cluster of this machine, else a new one.
    retries: how often Ray runs a job again whose worker died.
    cpus: CPUs of one job.
    memory: bytes of one job; None to leave them out of account.
    """

    def __init__(
        self, address: str | None = None, *, retries: int = 8, cpus: float = 1, memory: int | None = None
    ) -> None:
        self._ray: Any = require("ray", "ray")
        self._address = address or os.environ.get(ADDRESS_VARIABLE) or None
        self._options: dict[str, Any] = {"num_cpus": cpus, "max_retries": retries, "scheduling_strategy": "SPREAD"}
        if memory is not None:
            self._options["memory"] = memory

    def run(self, function: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[Result]:
        """See Engine."""
        ray = self._ray
        joined = not ray.is_initialized()
        if joined:
            _join(ray, self._address)
        task = ray.remote(**self._options)(_call)
        window = max(_LEAST_WINDOW, _JOBS_PER_CPU * int(ray.cluster_resources().get("CPU", 0)))
        left = iter(jobs)
        running: list[Any] = []
        try:
            for job in left:
                running.append(task.remote(function, job))
                if len(running) >= window:
                    yield _next(ray, running)
            while running:
                yield _next(ray, running)
        finally:
            for reference in running:
                ray.cancel(reference, force=True)
            if joined:
                ray.shutdown()


def _call(function: Callable[[Job], Result], job: Job) -> Result:
    """What a worker runs."""
    return function(job)


def _join(ray: Any, address: str | None) -> None:
    """Connect to the cluster; raises BuildError soon if it cannot be reached, where Ray would wait long."""
    host, _, port = (address or "").rpartition("://")[2].rpartition(":")
    try:
        if host and port.isdecimal():
            socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_S).close()
        ray.init(
            address=address,
            include_dashboard=False,
            log_to_driver=False,
            configure_logging=False,
            logging_level="error",
        )
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise BuildError(
            f"expected a Ray cluster at {address or 'this machine'}, got: {reason}: start it, or set {ADDRESS_VARIABLE}"
        ) from error


def _next(ray: Any, running: list[Any]) -> Any:
    """The result of the job that finishes first; it leaves the list."""
    done, rest = ray.wait(running, num_returns=1, timeout=_QUIET_S)
    while not done:
        if not ray.cluster_resources().get("CPU"):
            say_once("the Ray cluster has no CPUs now; waiting for a node")
        done, rest = ray.wait(running, num_returns=1, timeout=_QUIET_S)
    running[:] = rest
    try:
        return ray.get(done[0])
    except ray.exceptions.RayTaskError as error:
        # Ray's error is of both types, and prints the worker's traceback in colours.
        raise error.cause if isinstance(error.cause, Exception) else error from None
    except ray.exceptions.RayError as error:
        raise BuildError(
            f"a job's Ray worker died several times ({type(error).__name__}), killed or out of memory; finished shards "
            "are kept: run the same command again"
        ) from error


def engine_for(workers: int | None) -> Engine:
    """See `get_engine`."""
    refuse_workers("ray", workers)
    return RayTasks()
