"""Finds the tasks: every folder of `lra_data` that holds a `task.py` is one.

The folder's `task.py` defines `TASK`, a subclass of `Task`, and its `config.py` defines `Config` and `PRESETS`.
`config.py` is light, so that names and command-line flags cost no numerical import.
"""

import dataclasses
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lra_data.errors import UsageError, unknown_name
from lra_data.task import Preset, Task


def families() -> list[str]:
    """Names of the task folders, sorted."""
    return sorted(path.parent.name for path in Path(__file__).parent.glob("*/task.py"))


def presets(family: str) -> Mapping[str, Preset]:
    """The presets of one family by name, the default first."""
    return importlib.import_module(f"lra_data.{_known(family)}.config").PRESETS  # type: ignore[no-any-return]


def config_class(family: str) -> type[Any]:
    """The family's configuration dataclass."""
    return importlib.import_module(f"lra_data.{_known(family)}.config").Config  # type: ignore[no-any-return]


def task_names() -> list[str]:
    """Every `family/preset`, the default preset of each family first."""
    return [f"{family}/{preset}" for family in families() for preset in presets(family)]


def get_task(task: Any) -> Task:
    """The task for a name (`listops`, `listops/mini`), a configuration, or a task, which is returned as it is.

    Raises UsageError for an unknown name, listing the known ones.
    """
    if isinstance(task, Task):
        return task
    if isinstance(task, str):
        family, _, preset = task.partition("/")
        if family not in families() or (preset and preset not in presets(family)):
            raise unknown_name("task", task, [*families(), *task_names()])
        return _task_class(family)(presets(family)[preset or next(iter(presets(family)))].config)
    for family in families():
        if isinstance(task, config_class(family)):
            return _task_class(family)(task)
    raise UsageError(
        f"expected a task name, a task or its configuration, got {task!r}; known: {', '.join(task_names())}"
    )


def task_from_record(family: str, version: int, config: Mapping[str, Any]) -> Task:
    """The task that a plan or manifest describes; raises UsageError if this package makes another version of it."""
    task_class = _task_class(_known(family))
    if task_class.version != version:
        raise UsageError(
            f"the set holds version {version} of {family}, this package makes version {task_class.version}: "
            "install the release of lra-data that built it, or build anew"
        )
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in config.items()}
    known = {field.name for field in dataclasses.fields(config_class(family))}
    if set(fields) != known:
        raise UsageError(
            f"expected a configuration of {family} with {', '.join(sorted(known))}, got {', '.join(sorted(fields))}"
        )
    return task_class(config_class(family)(**fields))


def _task_class(family: str) -> type[Task]:
    return importlib.import_module(f"lra_data.{family}.task").TASK  # type: ignore[no-any-return]


def _known(family: str) -> str:
    if family not in families():
        raise unknown_name("task", family, families())
    return family
