"""Shows the progress of a command: a bar on a terminal, plain lines elsewhere. Both go to stderr."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from lra_data import phases
from reference_models.commands.ranks import speaks

# Updates a bar. Its keywords: `advance` is an increment, `completed` a position, `total` the end, `latest` a text that
# is shown next to the bar.
Move = Callable[..., None]


@contextmanager
def progress_bar(title: str) -> Iterator[Move | None]:
    """A bar on stderr, which stays; None without a terminal, and in all processes of torchrun but the first."""
    if not (sys.stderr.isatty() and speaks()):
        yield None
        return
    from rich import progress as rich_progress
    from rich.console import Console

    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TextColumn("{task.fields[latest]}"),
        rich_progress.TimeElapsedColumn(),
        rich_progress.TimeRemainingColumn(),
    )
    with rich_progress.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=None, latest="")

        yield partial(bar.update, task)


@contextmanager
def shown_count(title: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """A function to call with the number of examples done since its last call. `lra_data/phases.py` shows it."""
    with phases.shown(silent=not speaks()) as tell:
        yield phases.counter(tell, title, total)


@contextmanager
def shown_training(
    title: str, hear: Callable[[Mapping[str, Any]], None] | None = None
) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A function to call with each event of a training. Where there is no bar, it prints a line for each evaluation.

    hear: called with each event first.
    """
    latest: dict[str, str] = {}
    with progress_bar(title) as move:

        def show(event: Mapping[str, Any]) -> None:
            if hear is not None:
                hear(event)
            if "loss" in event:
                latest["loss"] = f"loss {event['loss']:.4f}"
            if "validation" in event:
                latest["validation"] = f"validation {event['validation']['accuracy']:.2%}"
            words = ", ".join(latest.values())
            if "phase" in event:
                if move is not None:
                    move(latest=", ".join([*latest.values(), event["phase"]]))
                else:
                    print_line(f"{title}: {event['phase']}")
            elif move is not None:
                place = {"total": event["steps"]} if "steps" in event else {"completed": event["step"]}
                move(latest=words, **place)
            elif "validation" in event:
                print_line(f"{title}: step {event['step']:,}, {words}, {event['seconds']:.0f} s")

        yield show


def print_line(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)
