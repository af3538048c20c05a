"""Shows the progress of a build on stderr: a bar on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lra_data.building.build_set import Progress


@contextmanager
def shown_progress() -> Iterator["Callable[[Progress], None]"]:
    """A function for `build(progress=...)`."""
    if not sys.stderr.isatty():
        yield _print_line
        return
    from rich import progress as rich_progress
    from rich.console import Console

    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TextColumn("{task.fields[rate]}"),
        rich_progress.TimeRemainingColumn(),
    )
    with rich_progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        line = bar.add_task("building", total=None, rate="")

        def advance(step: "Progress") -> None:
            bar.update(
                line,
                total=step.rows,
                completed=step.rows_done,
                description=step.file,
                rate=f"{step.rows_done / max(step.seconds, 1e-9):,.0f} examples/s",
            )

        yield advance


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
