"""What `lra-zoo train` and `sweep` say when a signal ends them."""

import shlex
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lra_data import interrupts
from reference_models.commands.ranks import speaks, torchrun


class Ending:
    """Says what is saved, and which command continues the training.

    This is read from the files, since a signal may come while the training's objects change.
    """

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.steps = 0
        interrupts.answer_also(signal.SIGTERM)
        interrupts.say_when_interrupted(self.words)

    def hear(self, event: Mapping[str, Any]) -> None:
        """Note the folder and the number of steps of the training that begins."""
        if "folder" in event:
            self.folder, self.steps = Path(event["folder"]), event["steps"]

    def words(self) -> str | None:
        """What is saved, and how to continue; None in all processes of torchrun but the first."""
        if not speaks():
            return None
        command = f"{torchrun()}lra-zoo {shlex.join(sys.argv[1:])}"
        if self.folder is None:
            return f"nothing was trained yet: start again with: {command}"
        from reference_models.model.checkpoint import CARD, STATE
        from reference_models.training.state import saved_step

        step = saved_step(self.folder / STATE)
        if (self.folder / CARD).exists():
            return f"the weights in {self.folder} are final: continue with: {command}"
        if step is None:
            return f"no step of {self.folder} was finished: start again with: {command}"
        return f"step {step:,} of {self.steps:,} is saved in {self.folder}: continue with: {command}"
