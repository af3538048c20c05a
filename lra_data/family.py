"""Family: what a task folder declares. `config.py` defines it as FAMILY, without a numerical import."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lra_data.task import Preset, Task


@dataclass(frozen=True, kw_only=True)
class Selector:
    """An option of `lra-data build` that chooses a configuration, such as `--res`.

    kind: int, str or bool.
    default: the value if only other selectors are given.
    help: a noun phrase for `--help`.
    """

    kind: type
    default: Any
    help: str


@dataclass(frozen=True, kw_only=True)
class Family:
    """The description of a task folder, from its `config.py`.

    config: the frozen dataclass of the parameters.
    presets: presets by name, the default first.
    aliases: other names of presets, such as "path-x".
    groups: what the presets of a group are, by the group's name, such as "RES-LEVEL".
    selectors: options that choose a configuration, by name.
    select: makes the configuration from the selectors' values.
    corpus: help text of `--corpus`; empty for a generated task.
    pairs: help text of `--pairs`; empty if the task has no lists of pairs.
    reads_release: whether `--from-release` converts a copy of the original release.
    """

    config: type[Any]
    presets: Mapping[str, Preset]
    aliases: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    selectors: Mapping[str, Selector] = field(default_factory=dict)
    select: Callable[[Mapping[str, Any]], Any] | None = None
    corpus: str = ""
    pairs: str = ""
    reads_release: bool = False


@dataclass(frozen=True, kw_only=True)
class Makers:
    """How the tasks of a family are made. `task.py` defines it as MAKERS.

    from_config: the class of the tasks that a configuration describes.
    from_record: makes the task of a plan or manifest; None means `from_config.from_record`.
    from_release: makes the task of a copy of the original release; None if the family reads no release.
    """

    from_config: type[Task]
    from_record: Callable[..., Task] | None = None
    from_release: Callable[..., Task] | None = None
