"""Finds the tasks: every folder of `lra_data` with a `task.py` is a family of tasks.

The folder's `config.py` defines `FAMILY`, a `lra_data.family.Family`. It is light, so that names and command-line flags
need no numerical import. `task.py` defines `MAKERS`, a `lra_data.family.Makers`.
"""

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lra_data.corpus import Corpus
from lra_data.errors import UsageError, unknown_name
from lra_data.family import Family, Makers
from lra_data.task import Preset, Task


def families() -> list[str]:
    """Names of the task folders, sorted."""
    return sorted(
        {path.parent.name for folder in sys.modules[__package__].__path__ for path in Path(folder).glob("*/task.py")}
    )


def family(name: str) -> Family:
    """The declaration of a task folder; raises UsageError for an unknown name."""
    if name not in families():
        raise unknown_name("task", name, families())
    found: Family = importlib.import_module(f"lra_data.{name}.config").FAMILY
    return found


def presets(name: str) -> Mapping[str, Preset]:
    """The presets of one family by name, the default first."""
    return family(name).presets


def aliases() -> dict[str, str]:
    """Other names of presets, such as "path-x", each with its `family/preset`."""
    return {alias: f"{name}/{preset}" for name in families() for alias, preset in family(name).aliases.items()}


def task_names() -> list[str]:
    """Every `family/preset`, the default preset of each family first."""
    return [f"{name}/{preset}" for name in families() for preset in presets(name)]


def get_task(task: Any) -> Task:
    """The task for a name (`listops`, `listops/mini`, `path-x`) or a configuration; a task is returned unchanged.

    Raises UsageError for an unknown name; the message lists the known names.
    """
    if isinstance(task, Task):
        return task
    if isinstance(task, str):
        name, _, preset = aliases().get(task, task).partition("/")
        if name not in families():
            raise unknown_name("task", task, [*families(), *aliases()], also=task_names())
        if preset and preset not in presets(name):
            raise unknown_name("task", task, [f"{name}/{known}" for known in presets(name)])
        return _makers(name).from_config(presets(name)[preset or next(iter(presets(name)))].config)
    for name in families():
        if isinstance(task, family(name).config):
            return _makers(name).from_config(task)
    raise UsageError(
        f"expected a task name, a task or its configuration, got {task!r}; known: {', '.join(task_names())}"
    )


def task_from_record(name: str, version: int, config: Mapping[str, Any], *, corpus: Corpus | None = None) -> Task:
    """The task that a plan or manifest describes, with its rows from `corpus`.

    Raises UsageError if this package makes another version of the task.
    """
    family(name)
    makers = _makers(name)
    if makers.from_config.version != version:
        raise UsageError(
            f"the set holds version {version} of {name}, this package makes version {makers.from_config.version}: "
            "install the release of lra-data that built it, or build the set again"
        )
    return (makers.from_record or makers.from_config.from_record)(config, corpus=corpus)


def from_release(name: str, corpus: Corpus, **chosen: Any) -> Task:
    """The task with the rows of a user's copy of the original release; `chosen` are the family's selectors."""
    maker = _makers(name).from_release
    if maker is None:
        raise UsageError(f"expected a task that reads a copy of the release, got {name}")
    return maker(corpus, **chosen)


def _makers(name: str) -> Makers:
    found: Makers = importlib.import_module(f"lra_data.{name}.task").MAKERS
    return found
