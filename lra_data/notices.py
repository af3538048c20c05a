"""What a user should know while the work continues: notices, which are lines of the logger `lra_data` on stderr, and
what a command's progress listens to (`phases.py`): waits, and rows that were made.
"""

import logging
import sys
from collections.abc import Callable

Listener = Callable[[str | None], None]

_said: set[str] = set()


class _Waits:
    """Who hears of waits and rows. There is one instance, since a terminal belongs to the process."""

    listener: Listener | None = None
    rows_listener: Callable[[int], None] | None = None
    plan_listener: Callable[[int], None] | None = None


_waits = _Waits()


def said() -> frozenset[str]:
    """The notices already given in this process."""
    return frozenset(_said)


def take_over(said_elsewhere: frozenset[str] | None) -> None:
    """Do not repeat the notices of another process; None leaves all notices to other processes."""
    if said_elsewhere is None:
        logging.getLogger("lra_data").setLevel(logging.ERROR)
    else:
        _said.update(said_elsewhere)


def say_once(text: str, *, about: str | None = None) -> None:
    """Log a warning of one line, once per process and per `about`, which is by default the text itself."""
    if (about or text) not in _said:
        _said.add(about or text)
        # Without a user's handler, logging writes the bare line to stderr.
        logging.getLogger("lra_data").warning("lra-data: %s", text)


def listen(listener: Listener | None) -> Listener | None:
    """Let a function hear of waits instead of `begin_wait`'s line; returns the one that heard before.

    listener: receives the text when a wait begins, and None when it ends.
    """
    before, _waits.listener = _waits.listener, listener
    return before


def listen_rows(listener: Callable[[int], None] | None, planned: Callable[[int], None] | None = None) -> None:
    """Let a function hear how many rows a build has made since its last call, also in worker processes.

    planned: hears first how many rows there will be.
    """
    _waits.rows_listener, _waits.plan_listener = listener, planned


def rows_planned(count: int) -> None:
    """A build begins, of this many rows."""
    if _waits.plan_listener is not None:
        _waits.plan_listener(count)


def rows_made(count: int) -> None:
    """A build has made this many rows."""
    if _waits.rows_listener is not None:
        _waits.rows_listener(count)


def end_wait() -> None:
    """The wait is over."""
    if _waits.listener is not None:
        _waits.listener(None)


def begin_wait(text: str) -> None:
    """Tell the listener that a user has to wait. Without one, print a line on stderr, once per process, if stderr is a
    terminal.
    """
    if _waits.listener is not None:
        _waits.listener(text)
        return
    heard = logging.getLogger("lra_data").isEnabledFor(logging.WARNING)
    if heard and text not in _said and sys.stderr is not None and sys.stderr.isatty():
        _said.add(text)
        print(f"lra-data: {text}", file=sys.stderr, flush=True)
