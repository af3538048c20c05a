"""What a user should know once, though the work goes on: a line on the log `lra_data`, which shows it on stderr."""

import logging

_said: set[str] = set()


def say_once(text: str) -> None:
    """Log a warning of one line, once a process."""
    if text not in _said:
        _said.add(text)
        # Without a handler of the user's, logging writes the bare line to stderr.
        logging.getLogger("lra_data").warning("lra-data: %s", text)
