"""Shows the progress of a build and of downloads on stderr: a bar on a terminal, plain lines elsewhere.

`lra_data/phases.py` shows the phases of the other commands.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

from lra_data.notices import listen_rows
from lra_data.phases import Tell, shown

if TYPE_CHECKING:
    from lra_data.building.build_set import Progress


@contextmanager
def shown_progress() -> Iterator["Callable[[Progress], None]"]:
    """A function for `build(progress=...)`. Rows count while their shard is being made, also in worker processes."""
    with shown() as tell:
        heard = _BuildProgress(tell)
        listen_rows(heard.add, heard.plan)
        try:
            yield heard.tell
        finally:
            listen_rows(None)


class _BuildProgress:
    """Adds the rows of kept ranges, and those that are being made. Threads share it, one for each worker."""

    def __init__(self, tell: Tell) -> None:
        self._tell, self._lock = tell, Lock()
        self._made = self._kept = self._finished = 0
        self._total: int | None = None
        tell("building", 0, None)

    def plan(self, rows: int) -> None:
        """The build has this many rows."""
        with self._lock:
            self._total = rows
            self._show()

    def add(self, rows: int) -> None:
        """Rows were made."""
        with self._lock:
            self._made += rows
            self._show()

    def tell(self, step: "Progress") -> None:
        """A range is done; in an engine without workers here, its rows were not heard of before."""
        with self._lock:
            self._kept += step.rows_done - self._finished if step.kept else 0
            self._finished, self._total = step.rows_done, step.rows
            if not sys.stderr.isatty():
                _print_line(step)
            self._show()
            if step.ranges_done == step.ranges:
                self._tell("finding duplicates", 0, None)

    def _show(self) -> None:
        done = max(self._finished, self._kept + self._made)
        self._tell("building", done if self._total is None else min(done, self._total), self._total, free=self._kept)


@contextmanager
def shown_transfer() -> Iterator[Callable[[str, int, int], None]]:
    """A function that shows the progress of a download: (name, bytes so far, bytes in total)."""
    if not sys.stderr.isatty():
        yield _TransferLines().tell
        return
    from rich import progress as rich_progress
    from rich.console import Console

    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.DownloadColumn(),
        rich_progress.TransferSpeedColumn(),
        rich_progress.TimeRemainingColumn(),
    )
    with rich_progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        lines: dict[str, rich_progress.TaskID] = {}

        def tell(name: str, there: int, total: int) -> None:
            if name not in lines:
                lines[name] = bar.add_task(name, total=total)
            bar.update(lines[name], completed=there, total=total)

        yield tell


class _TransferLines:
    """Prints a line for each tenth of a download."""

    def __init__(self) -> None:
        self._told = -1

    def tell(self, name: str, there: int, total: int) -> None:
        tenths = 10 * there // max(total, 1)
        if tenths != self._told:
            self._told = tenths
            print(f"downloading {name}: {there:,} of {total:,} bytes", file=sys.stderr, flush=True)


def _print_line(step: "Progress") -> None:
    rate = step.rows_done / max(step.seconds, 1e-9)
    verb = "kept" if step.kept else "made"
    print(
        f"{verb} {step.file} ({step.ranges_done}/{step.ranges}): {step.rows_done:,} of {step.rows:,} examples, "
        f"{rate:,.0f} examples/s, {(step.rows - step.rows_done) / rate:,.0f} s left",
        file=sys.stderr,
        flush=True,
    )
