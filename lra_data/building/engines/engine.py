"""The contract of an engine, which runs the jobs of a build, and how engines are found.

An engine maps a pure function over jobs and yields results as jobs finish. Jobs and results can be pickled; a job needs
only the output of the build, may run anywhere, twice, and in any order. So the files of a set do not depend on the
engine.

Every other module of this folder but `worker_process.py` is an engine. Its name is its module's name up to the
underscore: `ray_tasks.py` holds the engine ray. No module has the name of a library, since it would hide it.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Protocol, TypeVar

from lra_data.building import engines
from lra_data.errors import UsageError, unknown_name

Job = TypeVar("Job")
Result = TypeVar("Result")

_NO_ENGINES = {"engine", "worker_process"}


class Engine(Protocol):
    """Runs `function` on every job and yields the results in order of completion."""

    def run(self, function: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[Result]:
        """Raises the error of a failed job. Running jobs finish first, or are abandoned; the others are not started.

        An interrupt does not wait for running jobs.
        """


def engine_names() -> tuple[str, ...]:
    """The names of all engines, sorted, found without importing their modules."""
    return tuple(sorted(_modules()))


def get_engine(name: str, workers: int | None = None) -> Engine:
    """The engine with this name; its module defines `engine_for`, which takes the number of workers, or None.

    Raises UsageError for an unknown name, for workers that are not this engine's to choose, and without its library.
    """
    if name not in _modules():
        raise unknown_name("engine", name, engine_names())
    module = importlib.import_module(f"{engines.__name__}.{_modules()[name]}")
    engine: Engine = module.engine_for(workers)
    return engine


def refuse_workers(name: str, workers: int | None) -> None:
    """Raise UsageError for a number of workers, where a cluster decides it."""
    if workers is not None:
        raise UsageError(f"expected no --workers with --engine {name}, whose cluster decides: leave it out")


@cache
def _modules() -> dict[str, str]:
    """Module names by engine."""
    modules = (module.name for module in pkgutil.iter_modules(engines.__path__) if module.name not in _NO_ENGINES)
    return {module.partition("_")[0]: module for module in modules}
