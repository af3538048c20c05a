"""What a user should know once, though the work goes on: a line on the log `lra_data`, which shows it on stderr."""

import logging
import sys

_said: set[str] = set()


def said() -> frozenset[str]:
    """What has been said in this process."""
    return frozenset(_said)


def take_over(said_elsewhere: frozenset[str] | None) -> None:
    """Take as said what another process has said; None: leave all to others."""
    if said_elsewhere is None:
        logging.getLogger("lra_data").setLevel(logging.ERROR)
    else:
        _said.update(said_elsewhere)


def say_once(text: str, *, about: str | None = None) -> None:
    """Log a warning of one line, once a process. about: what it is said once of, by default the text itself."""
    if (about or text) not in _said:
        _said.add(about or text)
        # Without a handler of the user's, logging writes the bare line to stderr.
        logging.getLogger("lra_data").warning("lra-data: %s", text)


def show_once(text: str) -> None:
    """Print a line on stderr, once a process, if stderr is a terminal: what someone who waits there wants to know."""
    heard = logging.getLogger("lra_data").isEnabledFor(logging.WARNING)
    if heard and text not in _said and sys.stderr is not None and sys.stderr.isatty():
        _said.add(text)
        print(f"lra-data: {text}", file=sys.stderr, flush=True)
