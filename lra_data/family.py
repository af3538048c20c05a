"""Family: what a task folder declares. `config.py` defines it as FAMILY, without a numerical import."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lra_data.task import Preset, Task


@dataclass(frozen=True, kw_only=True)
class Selector:
    """An option of `lra-data build` that chooses a configuration, as `--res` does.

    kind: int, str or bool.
    default: the value of an option that is not given while another selector is.
    help: a noun phrase for `--help`.
    """

    kind: type
    default: Any
    help: str


@dataclass(frozen=True, kw_only=True)
class Family:
    """A task folder, as its `config.py` describes it.

    config: the frozen dataclass of the parameters.
    presets: by name, the default first.
    aliases: other names of presets, such as "path-x".
    selectors: options that choose a configuration, by name; `select` makes it from their values.
    corpus: what `--corpus` takes, in words; empty for a generated task.
    pairs: what `--pairs` takes, in words; empty where there are no lists of pairs.
    reads_release: whether `--from-release` converts a copy of the original release.
    """

    config: type[Any]
    presets: Mapping[str, Preset]
    aliases: Mapping[str, str] = field(default_factory=dict)
    selectors: Mapping[str, Selector] = field(default_factory=dict)
    select: Callable[[Mapping[str, Any]], Any] | None = None
    corpus: str = ""
    pairs: str = ""
    reads_release: bool = False


@dataclass(frozen=True, kw_only=True)
class Makers:
    """How the tasks of a family are made. `task.py` defines it as MAKERS.

    from_config: the class of the tasks that a configuration describes.
    from_record: the task of a plan or manifest; where a family has one class, that class's.
    from_release: the task of a copy of the original release, where the family reads one.
    """

    from_config: type[Task]
    from_record: Callable[..., Task] | None = None
    from_release: Callable[..., Task] | None = None
