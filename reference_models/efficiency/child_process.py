"""Runs `cell.py` in a process of its own, with a time cap, and says what it printed and how it ended.

glibc keeps freed memory in these processes (`MALLOC`); other systems do not heed the setting.
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

# The command; a JSON request is its last word.
PROCESS = (sys.executable, "-m", "reference_models.efficiency.cell")
# By default glibc takes every tensor above 32 MiB from the system anew, and gives it back: up to half of a step, and a
# jump in a model's time at the length where its tensors grow past that. Kept memory is used again, as CUDA's is.
MALLOC = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000"}
_SIGKILL = -9


@dataclass(frozen=True)
class Finding:
    """What a process printed until it ended or was killed, how it ended, and its last word if that was bad."""

    events: list[dict[str, Any]]
    outcome: Outcome
    error: str | None = None


def run_process(request: Request, cap_seconds: float) -> Finding:
    """What a process found; it is killed after `cap_seconds`."""
    threads = str(request.threads)
    environment = {**os.environ, **MALLOC, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    # This package, also where it is found by a path that a child would not have.
    places = (str(Path(__file__).parents[2]), environment.get("PYTHONPATH", ""))
    environment["PYTHONPATH"] = os.pathsep.join(place for place in places if place)
    command = [*PROCESS, json.dumps(asdict(request))]
    # Files and not pipes: they need no reader while the process runs, and keep what a killed one had written.
    with tempfile.TemporaryFile("w+") as printed, tempfile.TemporaryFile("w+") as complaints:
        with subprocess.Popen(command, stdout=printed, stderr=complaints, env=environment) as child:
            try:
                status: int | None = child.wait(timeout=cap_seconds)
            except subprocess.TimeoutExpired:
                status = None
            finally:
                child.kill()  # also when we are interrupted; nothing happens to one that has ended
        printed.seek(0)
        complaints.seek(0)
        return _finding(status, printed.read(), complaints.read())


def _finding(status: int | None, printed: str, complaints: str) -> Finding:
    """status: of the exit, or None for a process that was killed at its cap."""
    events = [json.loads(line) for line in printed.split("\n")[:-1]]  # a last line without its end was cut off
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
