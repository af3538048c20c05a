"""Runs `cell.py` in its own process, with a time limit, and returns what it printed and how it ended.

With the settings in `MALLOC`, glibc keeps freed memory in these processes; other systems ignore them.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from reference_models.efficiency.cell import Request
from reference_models.efficiency.row import Outcome

# The command; a JSON request is added as its last argument.
PROCESS = (sys.executable, "-m", "reference_models.efficiency.cell")
# By default glibc gets every tensor above 32 MiB from the system and gives it back. This takes up to half of a step,
# and makes a model's time jump at the length where its tensors exceed 32 MiB. Kept memory is used again, as on CUDA.
MALLOC = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000"}
_SIGKILL = -9


@dataclass(frozen=True)
class Finding:
    """The result of a process.

    events: what it printed until it ended or was killed.
    outcome: how it ended.
    error: its last line of output if it did not end well.
    """

    events: list[dict[str, Any]]
    outcome: Outcome
    error: str | None = None


def run_process(request: Request, cap_seconds: float) -> Finding:
    """Run a request in a process, which is killed after `cap_seconds`."""
    threads = str(request.threads)
    environment = {**os.environ, **MALLOC, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    # The child must find this package, also where this process finds it by a path that a child does not inherit.
    places = (str(Path(__file__).parents[2]), environment.get("PYTHONPATH", ""))
    environment["PYTHONPATH"] = os.pathsep.join(place for place in places if place)
    command = [*PROCESS, json.dumps(asdict(request))]
    # Files instead of pipes: they need no reader while the process runs, and keep the output of a killed process.
    with tempfile.TemporaryFile("w+") as printed, tempfile.TemporaryFile("w+") as complaints:
        with subprocess.Popen(command, stdout=printed, stderr=complaints, env=environment) as child:
            try:
                status: int | None = child.wait(timeout=cap_seconds)
            except subprocess.TimeoutExpired:
                status = None
            finally:
                child.kill()  # needed when we are interrupted; does nothing to a process that has ended
        printed.seek(0)
        complaints.seek(0)
        return _finding(status, printed.read(), complaints.read())


def _finding(status: int | None, printed: str, complaints: str) -> Finding:
    """status: exit status; None for a process that was killed at its time limit."""
    events = [json.loads(line) for line in printed.split("\n")[:-1]]  # a last line without a newline is incomplete
    *_, last = complaints.strip().split("\n")
    if status is None:
        return Finding(events, "time cap")
    if events and "outcome" in events[-1]:
        *figures, end = events
        return Finding(figures, end["outcome"], end["error"])
    if status == _SIGKILL:
        return Finding(events, "out of memory", last or "killed, as the system does when memory is short")
    if status != 0:
        return Finding(events, "failed", last or f"exit status {status}")
    return Finding(events, "ok")
