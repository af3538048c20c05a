"""Finds the tasks: every folder of `lra_data` that holds a `task.py` is one.

The folder's `task.py` defines `TASK`, a subclass of `Task`, and its `config.py` defines `Config` and `PRESETS`.
`config.py` is light, so that names and command-line flags cost no numerical import. It may define `ALIASES`, other
names for the family's presets, `SELECTORS` with `select`, options that choose a configuration, and `READS_RELEASE` (see
`pathfinder/config.py`); then `task.py` defines `from_release`, and `from_record` if its tasks are of several kinds. A
family that converts a corpus defines `RAW`, what `--raw` takes, and `PAIRS` if there are lists of pairs beside it.
"""

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
    return _config_module(family).PRESETS  # type: ignore[no-any-return]


def config_class(family: str) -> type[Any]:
    """The family's configuration dataclass."""
    return _config_module(family).Config  # type: ignore[no-any-return]


def aliases() -> dict[str, str]:
    """Other names of presets, such as "path-x", and what they stand for, `family/preset`."""
    return {
        alias: f"{family}/{preset}"
        for family in families()
        for alias, preset in getattr(_config_module(family), "ALIASES", {}).items()
    }


def selectors(family: str) -> Mapping[str, tuple[type, Any, str]]:
    """Options beside `--preset` that choose a configuration: name to type, default and meaning."""
    return getattr(_config_module(family), "SELECTORS", {})


def select(family: str, given: Mapping[str, Any]) -> Any:
    """The configuration that the family's selectors choose."""
    return _config_module(family).select(given)


def task_names() -> list[str]:
    """Every `family/preset`, the default preset of each family first."""
    return [f"{family}/{preset}" for family in families() for preset in presets(family)]


def get_task(task: Any) -> Task:
    """The task for a name (`listops`, `listops/mini`, `path-x`), a configuration, or a task, returned as it is.

    Raises UsageError for an unknown name, listing the known ones.
    """
    if isinstance(task, Task):
        return task
    if isinstance(task, str):
        family, _, preset = aliases().get(task, task).partition("/")
        if family not in families() or (preset and preset not in presets(family)):
            raise unknown_name("task", task, [*families(), *aliases(), *task_names()])
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
    maker = getattr(_task_module(family), "from_record", task_class.from_record)
    return maker(config)


def from_release(family: str, folder: Path, given: Mapping[str, Any], *, allow_partial: bool) -> Task:
    """The task whose rows are those of a user's copy of the original release; `given` are options by name."""
    return _task_module(family).from_release(folder, given, allow_partial=allow_partial)  # type: ignore[no-any-return]


def reads_release(family: str) -> bool:
    """Whether the family converts a copy of the original release."""
    return getattr(_config_module(family), "READS_RELEASE", False)


def raw_inputs(family: str) -> dict[str, str]:
    """What a corpus is given by: the options' names and what they take. Empty for generated tasks."""
    module = _config_module(family)
    return {name.lower(): getattr(module, name) for name in ("RAW", "PAIRS") if hasattr(module, name)}


def _task_class(family: str) -> type[Task]:
    return _task_module(family).TASK  # type: ignore[no-any-return]


def _task_module(family: str) -> Any:
    return importlib.import_module(f"lra_data.{family}.task")


def _config_module(family: str) -> Any:
    return importlib.import_module(f"lra_data.{_known(family)}.config")


def _known(family: str) -> str:
    if family not in families():
        raise unknown_name("task", family, families())
    return family
