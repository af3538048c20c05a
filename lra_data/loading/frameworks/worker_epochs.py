"""How the workers of the user's own PyTorch DataLoader agree on the epoch of a pass.

The process that iterates runs none of our code when such a loader begins a pass: its workers, new or kept, only ask our
dataset for an iterator. So worker 0 decides where the pass begins, and writes it to a small file in the temporary
folder for the other workers. The process that iterates also writes files there: for `set_epoch`, and for the first
batch that it received, because a pass without a drawn batch uses up no epoch.

A set of files belongs to one dataset object in one iterating process, which removes the files when it ends.
`TorchLoader` does not need these files.
"""

import json
import multiprocessing
import os
import re
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4
from weakref import finalize

from lra_data.errors import LraDataError
from lra_data.loading.batches import Batches
from lra_data.loading.passes.position import Position

# Number of remembered passes: workers are at most one pass apart.
_KEPT = 4
_PATIENCE = 300.0
_LOOK = 0.005
_SILENT = f"expected a message from a loader's other workers, got no message in {_PATIENCE:.0f} s: use TorchLoader"


class Notes:
    """The files of one dataset object, for the process that iterates or for its workers."""

    def __init__(self, name: str, process: int) -> None:
        self._base = Path(tempfile.gettempdir()) / f"lra-data-{os.getuid()}-{name}-{process}"

    def _path(self, what: str) -> Path:
        return self._base.with_name(f"{self._base.name}.{what}")

    def _read(self, what: str) -> Any:
        try:
            return json.loads(self._path(what).read_text())
        except FileNotFoundError:
            return None

    def _write(self, what: str, value: Any) -> None:
        path = self._path(what)
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        temporary.write_text(json.dumps(value))
        temporary.replace(path)

    def write_choice(self, choice: Mapping[str, Any]) -> None:
        """Write the chosen start of the next pass; called by the process that iterates."""
        self._write("choice", choice)

    def choice(self) -> dict[str, Any] | None:
        """The last choice, or None."""
        found: dict[str, Any] | None = self._read("choice")
        return found

    def write_drawn(self, token: str) -> None:
        """Record that a batch of this pass was received; called by the process that iterates."""
        self._write("drawn", [*self._drawn(), token][-2 * _KEPT :])

    def _drawn(self) -> list[str]:
        return self._read("drawn") or []

    def is_unused(self, record: Mapping[str, Any]) -> bool:
        """Whether certainly no batch of a pass has reached the process that iterates."""
        return record["sure"] and record["token"] not in self._drawn()

    def write_pass(self, record: Mapping[str, Any]) -> None:
        """Write where a pass begins; called by worker 0."""
        others = [one for one in self.passes() if one["token"] != record["token"]]
        self._write("passes", [*others, record][-_KEPT:])

    def passes(self) -> list[dict[str, Any]]:
        """The last passes, the newest last."""
        return self._read("passes") or []

    def wait_for_pass(self, token: str) -> dict[str, Any]:
        """Where this pass begins, as worker 0 wrote; called by other workers."""
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            for record in self.passes():
                if record["token"] == token:
                    return record
            time.sleep(_LOOK)
        raise LraDataError(_SILENT)

    def write_left(self, token: str, worker: int, left: bool) -> None:
        """Write whether this pass has a batch left for a worker; called by a worker that has loaded a state."""
        self._write(f"left-{token}-{worker}", left)

    def wait_for_left(self, token: str, workers: int) -> bool:
        """Whether a batch is left for any worker."""
        return any(self._wait(f"left-{token}-{worker}") for worker in range(workers))

    def _wait(self, what: str) -> Any:
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            if (found := self._read(what)) is not None:
                return found
            time.sleep(_LOOK)
        raise LraDataError(_SILENT)

    def remove(self) -> None:
        """Remove all files."""
        for path in self._base.parent.glob(f"{self._base.name}.*"):
            path.unlink(missing_ok=True)


def _parent_process() -> int:
    """The id of the process that started this worker."""
    parent = multiprocessing.parent_process()
    return os.getppid() if parent is None or parent.pid is None else parent.pid


def _pass_token(worker: int, count: int) -> str:
    """A name for a pass, which all its workers derive independently. count: the passes that this worker has begun.

    A loader starts its workers one after another, and multiprocessing numbers the children of a process. So the number
    of a worker's process minus the worker's number is the same in all workers of one loader, and differs between
    loaders.
    """
    number = re.search(r"(\d+)$", multiprocessing.current_process().name)
    return f"{int(number[1]) - worker if number else _parent_process()}-{count}"


class WorkerPasses:
    """The passes of one dataset object. The process that iterates and each worker have a copy."""

    def __init__(self, batches: Batches) -> None:
        self.batches, self._name = batches, uuid4().hex
        self._start_up()

    def _start_up(self) -> None:
        self._count = 0  # passes that this process has begun as a worker
        self.batches.when_chosen(self._tell_workers, self._has_begun)
        finalize(self, _remove_notes, self._name)

    def __getstate__(self) -> dict[str, Any]:
        return {"batches": self.batches, "_name": self._name}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start_up()

    def _tell_workers(self, choice: Mapping[str, int]) -> None:
        """Write the chosen start for workers that are kept, which have their own copy of `batches`."""
        if multiprocessing.active_children():
            Notes(self._name, os.getpid()).write_choice(choice)

    def _has_begun(self) -> bool:
        """Whether workers of this process have begun a pass with the last choice, and a batch of it was drawn."""
        notes, changes = Notes(self._name, os.getpid()), self.batches.choice()["changes"]
        return any(one["changes"] == changes and not notes.is_unused(one) for one in notes.passes())

    def begin(self, worker: int, *, sure: bool) -> "WorkerPass":
        """The pass that begins now, the same for all workers; called by a worker. sure: see `WorkerPass.note`."""
        self._count += 1
        return WorkerPass(self.batches, self._name, worker, self._count, sure)


def _remove_notes(name: str) -> None:
    Notes(name, os.getpid()).remove()


class WorkerPass:
    """One pass in one worker. mark: identifies dataset object and pass, for `Notes.write_drawn`."""

    def __init__(self, batches: Batches, name: str, worker: int, count: int, sure: bool) -> None:
        self.batches, self.mark = batches, (name, _pass_token(worker, count))
        self._worker, self._sure, self._notes = worker, sure, Notes(name, _parent_process())
        if worker == 0:
            self._choose()
        batches.choose(self._notes.wait_for_pass(self.mark[1]))
        self.position = batches.next_pass()

    def _choose(self) -> None:
        """Decide where the pass begins; called by worker 0."""
        own, told = self.batches.choice(), self._notes.choice()
        choice = told if told is not None and told["changes"] > own["changes"] else own
        last = self._notes.passes()[-1:]
        if last and last[0]["changes"] == choice["changes"]:
            unused = self._notes.is_unused(last[0])
            choice = last[0] if unused else {**last[0], "epoch": last[0]["after"], "taken": 0}
        self.batches.choose(choice)
        self.note(self.batches.next_pass())

    def note(self, position: Position) -> None:
        """Write where this pass begins. `sure`: whether the process that iterates will report its first drawn batch;
        otherwise the pass counts as begun now.
        """
        start = {"epoch": position.epoch, "taken": position.taken, "after": position.after}
        self._notes.write_pass({**self.batches.choice(), **start, "token": self.mark[1], "sure": self._sure})

    def load(self, state: Mapping[str, Any], step: int, workers: int) -> int | None:
        """Resume this pass from a state, with this worker's batch at `step`.

        If no worker has a batch left, this pass is the next epoch. The method then returns the worker that must make
        its first batch, since the loader continues to take turns.
        """
        changes = self.batches.choice()["changes"]
        self.batches.load_state_dict(state)
        self.batches.choose({**self.batches.choice(), "changes": changes})
        self.position = self.batches.next_pass()
        left, first = self.position.place(step) is not None, None
        self._notes.write_left(self.mark[1], self._worker, left)
        if not left and not self._notes.wait_for_left(self.mark[1], workers):
            first = self.position.remaining % workers
            self.batches.choose({**self.batches.choice(), "epoch": self.position.after, "taken": 0})
            self.position = self.batches.next_pass()
        if self._worker == 0:
            self.note(self.position)
        return first
