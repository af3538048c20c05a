"""What a layout is: the files that a foreign loader opens, task by task. Each is declared in its code base's module.

Nothing is written here: `export.py` makes the folder, and calls the writer of the task.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lra_data.store.row_access import Rows
from lra_data.task import Task


@dataclass(frozen=True, kw_only=True)
class ExportJob:
    """What a writer is given.

    rows: the set.
    folder: an empty folder for the files.
    ascii_only: whether bytes that are not printable ASCII become spaces; only set for files that `take_ascii`.
    tell: takes a line for the user on what was left out, cut or replaced.
    warn: takes a line for the user on what the loader cannot read.
    """

    rows: Rows
    folder: Path
    ascii_only: bool
    tell: Callable[[str], None]
    warn: Callable[[str], None]


def holds_every_set(task: Task) -> str:
    """The refusal of files that exist for every set of their task: none."""
    return ""


@dataclass(frozen=True, kw_only=True)
class TaskFiles:
    """The files that a layout has for one task.

    units: the files or folders that a set adds, in the order in which they appear; a loader opens the last one first.
    write: writes all splits into the job's folder and yields each finished file.
    refusal: why the layout has no such set, as "holds ..."; empty if it has.
    takes_ascii: whether `--ascii` changes these files.
    """

    units: Callable[[Task], tuple[str, ...]]
    write: Callable[[ExportJob], Iterator[Path]]
    refusal: Callable[[Task], str] = holds_every_set
    takes_ascii: bool = False


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A folder of files as a foreign loader wants it.

    name: what `lra-data export --layout` takes.
    summary: the loaders and the files, in one line.
    tasks: the files of each task, by family.
    absent: why the layout has no files for a task, by family, where a reason is known.
    """

    name: str
    summary: str
    tasks: Mapping[str, TaskFiles]
    absent: Mapping[str, str] = field(default_factory=dict)

    def refusal(self, task: Task) -> str:
        """Why the layout has no such set, as "holds ..."; empty if it has."""
        if task.family not in self.tasks:
            reason = self.absent.get(task.family, "")
            return f"has no files for {task.family}" + (f", for {reason}" if reason else "")
        return self.tasks[task.family].refusal(task)
