"""`log.jsonl` of a training: a line for each loss and each evaluation.

When a training continues from a state, the lines of later steps are removed.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from reference_models.model.card import CheckpointError
from reference_models.model.checkpoint import write_whole

LOG = "log.jsonl"

# A function that is called with each event of the log, and with {"phase": what a training does now}.
Report = Callable[[Mapping[str, Any]], None]


class RunLog:
    """The log of a training in the folder `run`. report: called with each event, and by the training itself."""

    def __init__(self, run: Path, report: Report | None) -> None:
        self.path = run / LOG
        self.report = report or (lambda event: None)

    def add(self, event: Mapping[str, Any]) -> None:
        """Append an event, wait until it is on the disk, and report it."""
        line = json.dumps(event) + "\n"
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise CheckpointError(
                f"{self.path}: expected to write {len(line)} bytes, got {error.strerror}: make room, or choose "
                "another folder"
            ) from error
        self.report(event)

    def cut(self, done: int) -> None:
        """Remove the lines of steps after `done`, which will be taken again."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        kept = [line for line in lines if _step_of(line) <= done]
        write_whole(self.path, "".join(f"{line}\n" for line in kept).encode())


def read_log(path: Path) -> list[dict[str, Any]]:
    """The events of a log, in order. An incomplete last line, which a training may be writing, is left out.

    Raises CheckpointError for a log that is missing, and for a line that is not an event.
    """
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except OSError as error:
        raise CheckpointError(f"{path}: expected the log of a training, got: {error.strerror}") from error
    events = []
    for number, line in enumerate(lines, start=1):
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if not isinstance(event, dict) or not isinstance(event.get("step"), int):
            raise CheckpointError(f"{path}: line {number} must be an event with a step: train again")
        events.append(event)
    return events


def _step_of(line: str) -> int:
    """The step of a line of the log; for an incomplete line, a step later than any."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return 2**63
