"""Writes a set in the layouts of other code bases, for their loaders."""

from collections.abc import Callable
from pathlib import Path

from lra_data.errors import UsageError
from lra_data.interop.code_bases import get_layout, layouts
from lra_data.interop.export_tree import addition
from lra_data.interop.layouts import ExportJob, Layout, TaskFiles
from lra_data.paths import local_path, write_failure
from lra_data.store.row_access import Rows
from lra_data.task import Task


def _ignore(message: str) -> None:
    """Nobody listens."""


def export(
    rows: Rows,
    out: Path | str,
    *,
    layout: str = "lra-release",
    ascii_only: bool = False,
    tell: Callable[[str], None] = _ignore,
    warn: Callable[[str], None] = _ignore,
) -> list[Path]:
    """Write a set into `out`, a folder that may hold other sets, and return the files. They appear when all are
    written.

    A killed run leaves the folder unchanged except for a folder `.export`, which the next run removes. Raises
    UsageError for a set that the layout does not support, and for existing files.

    ascii_only: write each byte of Retrieval's TSV files that is not printable ASCII as a space.
    tell: receives a line about values that were left out, cut or replaced.
    warn: receives a line about rows that the layout's loaders cannot read.
    """
    task = rows.task
    files = _files_of(task, get_layout(layout))
    if ascii_only and not files.takes_ascii:
        raise UsageError(f"{_ascii_expected()}, got {task.name} in {layout}: leave --ascii out")
    units = files.units(task)
    folder = local_path(out, "a folder, which may hold other sets").absolute()
    try:
        with addition(folder, tell) as added:
            added.refuse_what_is_there(units)
            job = ExportJob(rows=rows, folder=added.files, ascii_only=ascii_only, tell=tell, warn=warn)
            written = list(files.write(job))
            added.publish(units, remark=task.card.shortfall)
            return [folder / path.relative_to(added.files) for path in written]
    except OSError as error:
        raise write_failure(folder, error) from error


def _files_of(task: Task, layout: Layout) -> TaskFiles:
    """The layout's files for the set; raises UsageError, naming suitable layouts, if the layout has no such set."""
    refusal = layout.refusal(task)
    if not refusal:
        return layout.tasks[task.family]
    holding = [name for name, other in layouts().items() if not other.refusal(task)]
    advice = f"export --layout {_either(holding)}" if holding else "build it with --format parquet or webdataset"
    raise UsageError(
        f"expected a set that the layout {layout.name} holds, got {task.name}; {layout.name} {refusal}: {advice}"
    )


def _ascii_expected() -> str:
    taking = [
        (family, name)
        for name, layout in layouts().items()
        for family, files in layout.tasks.items()
        if files.takes_ascii
    ]
    families, names = (list(dict.fromkeys(column)) for column in zip(*taking, strict=True))
    return f"expected --ascii only for {_either(families)} in the layout {_either(names)}"


def _either(names: list[str]) -> str:
    """Names as a choice: `a`, `a or b`, `a, b or c`."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last
