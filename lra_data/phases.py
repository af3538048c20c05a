"""Named phases of a command on stderr: on a terminal a bar for each, elsewhere one line every few seconds.

    with shown() as tell:
        for done in range(total): ...; tell("verifying", done, total)

The remaining time follows from the speed since the phase began, without the time that kernels took to compile: that is
a phase of its own. Nothing is printed on stdout, and nothing stays on a terminal. A command that ends within a few
seconds prints no line.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from lra_data import notices
from lra_data.errors import UsageError

# Seconds between two lines where there is no terminal, and the variable that sets them; 0 prints none.
EVERY_S = 5.0
VARIABLE = "LRA_DATA_PROGRESS_S"


class Tell(Protocol):
    """Says how far a phase is: its name, what is done, and of how many (None if that is unknown).

    free: how much of `done` cost no time, such as shards that were kept.
    """

    def __call__(self, name: str, done: int, total: int | None, *, free: int = 0) -> None:
        """Enter the phase, or advance in it."""


@dataclass
class Phase:
    """One phase. seconds: time in it up to `since`, when it was entered or went forward last."""

    name: str
    done: int = 0
    total: int | None = None
    free: int = 0
    seconds: float = 0.0
    since: float = field(default_factory=time.monotonic)

    def advance(self, done: int, total: int | None, free: int, now: float) -> None:
        """Move to a new position. A position before the last one begins the phase again."""
        if done < self.done:
            self.seconds = 0.0
        else:
            self.seconds += now - self.since
        self.done, self.total, self.free, self.since = done, total, free, now

    def left(self, now: float) -> float | None:
        """The seconds that remain, or None if they are unknown."""
        made = self.done - self.free
        if self.total is None or made <= 0 or self.seconds <= 0:
            return None
        return max(0.0, (self.total - self.done) * self.seconds / made - (now - self.since))

    def count(self) -> str:
        """`1,200 of 4,000`; empty where nothing is counted."""
        if self.total is None:
            return f"{self.done:,}" if self.done else ""
        return f"{self.done:,} of {self.total:,}"

    def line(self, now: float) -> str:
        """The phase in words."""
        left = self.left(now)
        so_far = f"{self.seconds + now - self.since:,.0f} s so far"
        parts = [self.count(), so_far if left is None else f"{shown_time(left)} left"]
        return f"{self.name}: {', '.join(part for part in parts if part)}"


def shown_time(seconds: float) -> str:
    """`12 s`, `3 min 20 s` or `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class Phases:
    """The phases of a command so far. Threads may share it."""

    def __init__(self) -> None:
        self.all: dict[str, Phase] = {}
        self.current: Phase | None = None
        self._waiting: Phase | None = None  # compilation, within the current phase
        self._lock = threading.Lock()

    def tell(self, name: str, done: int, total: int | None, *, free: int = 0) -> None:
        """See Tell."""
        with self._lock:
            now = time.monotonic()
            phase = self.all.setdefault(name, Phase(name, since=now))
            if phase is not self.current:
                phase.since = now
            self.current = phase
            phase.advance(done, total, free, now)

    def wait(self, name: str | None) -> None:
        """The current phase waits for another, such as compilation; None: it continues."""
        with self._lock:
            now = time.monotonic()
            if name is not None:
                self._waiting = self.all.setdefault(name, Phase(name, since=now))
                self._waiting.since = now
                if self.current is not None:
                    self.current.seconds += now - self.current.since
                    self.current.since = now
            elif self._waiting is not None:
                self._waiting.seconds += now - self._waiting.since
                self._waiting = None
                if self.current is not None:
                    self.current.since = now

    def at_work(self) -> Phase | None:
        """What is being done now."""
        return self._waiting or self.current


def counter(tell: Tell | None, name: str, total: int | None) -> Callable[[int], None]:
    """Enter a phase; the function is called with what was done since its last call."""
    done = 0

    def add(more: int) -> None:
        nonlocal done
        done += more
        if tell is not None:
            tell(name, done, total)

    add(0)
    return add


def of_rows(tell: Tell, verb: str) -> Callable[[str, int, int], None]:
    """A function for `Rows.watch`: each pass over a split is a phase, such as `reading train`."""
    return lambda split, done, rows: tell(f"{verb} {split}", done, rows)


@contextmanager
def shown(*, silent: bool = False) -> Iterator[Tell]:
    """Show the phases that are told, until the block ends.

    silent: show nothing, as in the further processes of torchrun.
    """
    phases, every = Phases(), _seconds_between_lines()
    before = notices.listen(phases.wait)
    try:
        if silent:
            yield phases.tell
        elif sys.stderr is not None and sys.stderr.isatty():
            with _bars(phases):
                yield phases.tell
        else:
            with _lines(phases, every):
                yield phases.tell
    finally:
        notices.listen(before)


def _seconds_between_lines() -> float:
    text = os.environ.get(VARIABLE, "")
    try:
        seconds = float(text or EVERY_S)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise UsageError(f"{VARIABLE} must be a number of seconds, or 0 for no lines, got {text!r}")
    return seconds


@contextmanager
def _lines(phases: Phases, every: float) -> Iterator[None]:
    if every == 0:
        yield
        return
    ended = threading.Event()

    def print_lines() -> None:
        while not ended.wait(every):
            phase = phases.at_work()
            if phase is not None:
                print(phase.line(time.monotonic()), file=sys.stderr, flush=True)

    thread = threading.Thread(target=print_lines, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def _bars(phases: Phases) -> Iterator[None]:
    from rich.console import Console
    from rich.live import Live
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    def bars() -> Table:
        now, at_work = time.monotonic(), phases.at_work()
        table = Table.grid(padding=(0, 1))
        for phase in list(phases.all.values()):
            left = phase.left(now)
            active = phase is at_work
            so_far = phase.seconds + (now - phase.since if active else 0)
            bar: Any = ProgressBar(total=phase.total, completed=phase.done, width=24, pulse=active and not phase.total)
            when = f"{shown_time(left)} left" if left is not None and active else shown_time(so_far)
            table.add_row(phase.name, bar, phase.count(), when)
        return table

    # stdout is not redirected: what a command prints there is never part of the bars.
    with Live(
        get_renderable=bars,
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,
        refresh_per_second=8,
    ):
        yield
