"""Notices that a user should see once while the work continues: lines of the logger `lra_data`, shown on stderr."""

import logging
import sys

_said: set[str] = set()


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


def show_once(text: str) -> None:
    """Print a line on stderr, once per process, if stderr is a terminal, for a user who is waiting."""
    heard = logging.getLogger("lra_data").isEnabledFor(logging.WARNING)
    if heard and text not in _said and sys.stderr is not None and sys.stderr.isatty():
        _said.add(text)
        print(f"lra-data: {text}", file=sys.stderr, flush=True)
