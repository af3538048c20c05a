"""Shows how a build goes: a bar on a terminal, plain lines elsewhere. Both go to stderr."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lra_data.building.run_build import Progress


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


def _print_line(step: "Progress") -> None:
    rate = step.rows_done / max(step.seconds, 1e-9)
    verb = "kept" if step.kept else "made"
    print(
        f"{verb} {step.file} ({step.ranges_done}/{step.ranges}): {step.rows_done:,} of {step.rows:,} examples, "
        f"{rate:,.0f} examples/s, {(step.rows - step.rows_done) / rate:,.0f} s left",
        file=sys.stderr,
        flush=True,
    )
