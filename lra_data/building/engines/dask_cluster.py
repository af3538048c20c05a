"""The engine dask: jobs are tasks of a Dask cluster."""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from lra_data.building.engines.engine import Engine, Job, Result, refuse_workers
from lra_data.errors import BuildError, UsageError
from lra_data.optional_import import require

ADDRESS_VARIABLE = "DASK_SCHEDULER_ADDRESS"

_REACH_S = 10.0
# How long no job may finish before the workers are counted.
NO_WORKERS_S = 60.0


class DaskCluster:
    """A Dask cluster.

    address: the scheduler's; by default $DASK_SCHEDULER_ADDRESS.
    retries: how often Dask runs a job again that failed. Jobs of lost workers run again in any case.
    """

    def __init__(self, address: str | None = None, *, retries: int = 0) -> None:
        self._distributed: Any = require("distributed", "dask")
        found = address or os.environ.get(ADDRESS_VARIABLE)
        if not found:
            raise UsageError(f"expected the address of a Dask scheduler, got none: set {ADDRESS_VARIABLE}")
        self._address, self._retries = found, retries

    def run(self, function: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[Result]:
        """See Engine."""
        distributed = self._distributed
        try:
            client = distributed.Client(self._address, timeout=_REACH_S, set_as_default=False)
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise BuildError(
                f"expected a Dask scheduler at {self._address}, got: {reason}: start it, or set {ADDRESS_VARIABLE}"
            ) from error
        try:
            left = set(client.map(function, list(jobs), pure=False, retries=self._retries))
            while left:
                try:
                    for future in distributed.as_completed(list(left), loop=client.loop, timeout=NO_WORKERS_S):
                        left.discard(future)
                        yield self._result(future)
                except TimeoutError as error:
                    if not client.scheduler_info()["workers"]:
                        raise BuildError(
                            f"the Dask cluster at {self._address} has no workers; finished shards are kept: start some "
                            "and run the same command again"
                        ) from error
        finally:
            client.close(timeout=_REACH_S)  # which cancels what is left

    def _result(self, future: Any) -> Any:
        distributed = self._distributed
        if future.status == "error":
            failure = future.exception()
            if isinstance(failure, distributed.KilledWorker):
                raise BuildError(
                    "a job's Dask worker died several times, killed or out of memory; finished shards are kept: run "
                    "the same command again"
                ) from failure
            raise failure
        try:
            return future.result()
        except (distributed.CancelledError, distributed.client.FutureCancelledError, OSError) as error:
            raise BuildError(
                f"the Dask scheduler at {self._address} is gone; finished shards are kept: start it and run the same "
                "command again"
            ) from error


def engine_for(workers: int | None) -> Engine:
    """See `get_engine`."""
    refuse_workers("dask", workers)
    return DaskCluster()
