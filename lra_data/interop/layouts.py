"""Layouts: the files that a foreign loader opens, for each task. A layout is declared in its code base's module.

Nothing is written here: `export.py` makes the folder, and calls the writer of the task.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lra_data.store.row_access import Rows
from lra_data.task import Task


@dataclass(frozen=True, kw_only=True)
class ExportJob:
    """The arguments of a writer.

    rows: the set.
    folder: an empty folder for the files.
    ascii_only: whether bytes that are not printable ASCII become spaces; only set for files that `take_ascii`.
    tell: receives a line for the user about values that were left out, cut or replaced.
    warn: receives a line for the user about rows that the loader cannot read.
    """

    rows: Rows
    folder: Path
    ascii_only: bool
    tell: Callable[[str], None]
    warn: Callable[[str], None]


def holds_every_set(task: Task) -> str:
    """The refusal of files that every set of their task has: always empty."""
    return ""


@dataclass(frozen=True, kw_only=True)
class TaskFiles:
    """The files that a layout has for one task.

    units: the files or folders that a set adds, in the order in which they appear; a loader opens the last one first.
    write: writes all splits into the job's folder and yields each finished file.
    refusal: the reason why the layout does not support the set, as "holds ..."; empty if it does.
    takes_ascii: whether `--ascii` changes these files.
    """

    units: Callable[[Task], tuple[str, ...]]
    write: Callable[[ExportJob], Iterator[Path]]
    refusal: Callable[[Task], str] = holds_every_set
    takes_ascii: bool = False


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A folder of files as a foreign loader wants it.

    name: the value of `lra-data export --layout`.
    summary: the loaders and the files, in one line.
    tasks: the files of each task, by family.
    absent: known reasons why the layout has no files for a task, by family.
    """

    name: str
    summary: str
    tasks: Mapping[str, TaskFiles]
    absent: Mapping[str, str] = field(default_factory=dict)

    def refusal(self, task: Task) -> str:
        """The reason why the layout does not support the set, as "holds ..."; empty if it does."""
        if task.family not in self.tasks:
            reason = self.absent.get(task.family, "")
            return f"has no files for {task.family}" + (f", for {reason}" if reason else "")
        return self.tasks[task.family].refusal(task)
