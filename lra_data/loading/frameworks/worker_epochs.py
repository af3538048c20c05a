"""How the workers of a PyTorch DataLoader of the user's own agree with one another on the epoch of a pass.

The process that iterates runs none of our code when such a loader begins a pass: workers that are started for it, or
kept for it, ask our dataset for an iterator, and that is all. So worker 0 decides where the pass begins and leaves word
for the others in a small file of the temporary folder; the process that iterates leaves word there of `set_epoch` and
of the first batch that reached it, for a pass of which no batch was drawn uses up no epoch.

A set of files belongs to one dataset object in one process that iterates, which removes it at its end. `TorchLoader`
needs none of this.
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

# Passes that are remembered: a worker is at most one behind another.
_KEPT = 4
_PATIENCE = 300.0
_LOOK = 0.005
_SILENT = f"expected word of a loader's other workers, got none in {_PATIENCE:.0f} s: use TorchLoader"


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
        """Of the process that iterates: the start that it has chosen for the next pass."""
        self._write("choice", choice)

    def choice(self) -> dict[str, Any] | None:
        """The last choice, if there was one."""
        found: dict[str, Any] | None = self._read("choice")
        return found

    def write_drawn(self, token: str) -> None:
        """Of the process that iterates: a batch of this pass reached it."""
        self._write("drawn", [*self._drawn(), token][-2 * _KEPT :])

    def _drawn(self) -> list[str]:
        return self._read("drawn") or []

    def is_unused(self, record: Mapping[str, Any]) -> bool:
        """Whether it is sure that no batch of a pass reached the process that iterates."""
        return record["sure"] and record["token"] not in self._drawn()

    def write_pass(self, record: Mapping[str, Any]) -> None:
        """Of worker 0: where a pass begins."""
        others = [one for one in self.passes() if one["token"] != record["token"]]
        self._write("passes", [*others, record][-_KEPT:])

    def passes(self) -> list[dict[str, Any]]:
        """The last passes, the newest at the end."""
        return self._read("passes") or []

    def wait_for_pass(self, token: str) -> dict[str, Any]:
        """Of another worker: where worker 0 says that this pass begins."""
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            for record in self.passes():
                if record["token"] == token:
                    return record
            time.sleep(_LOOK)
        raise LraDataError(_SILENT)

    def write_left(self, token: str, worker: int, left: bool) -> None:
        """Of a worker that has loaded a state: whether anything is left for it in this pass."""
        self._write(f"left-{token}-{worker}", left)

    def wait_for_left(self, token: str, workers: int) -> bool:
        """Whether anything is left for any of the workers."""
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
    """The number of the process that started this worker."""
    parent = multiprocessing.parent_process()
    return os.getppid() if parent is None or parent.pid is None else parent.pid


def _pass_token(worker: int, count: int) -> str:
    """A name for a pass that all its workers find alone. count: the passes that this worker has begun.

    A loader starts its workers one after another, and multiprocessing numbers a process's children: so the number of a
    worker's process less that of the worker is the same in all of them, and another one in every other set of workers.
    """
    number = re.search(r"(\d+)$", multiprocessing.current_process().name)
    return f"{int(number[1]) - worker if number else _parent_process()}-{count}"


class WorkerPasses:
    """The passes of one dataset object, of which each process has a copy: the one that iterates and its workers."""

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
        """Leave word of the start that was chosen: workers that are kept have a copy of `batches` of their own."""
        if multiprocessing.active_children():
            Notes(self._name, os.getpid()).write_choice(choice)

    def _has_begun(self) -> bool:
        """Whether workers of this process have begun a pass with the last choice, of which a batch was drawn."""
        notes, changes = Notes(self._name, os.getpid()), self.batches.choice()["changes"]
        return any(one["changes"] == changes and not notes.is_unused(one) for one in notes.passes())

    def begin(self, worker: int, *, sure: bool) -> "WorkerPass":
        """Of a worker: the pass that begins now, the same for all workers. sure: see `WorkerPass.note`."""
        self._count += 1
        return WorkerPass(self.batches, self._name, worker, self._count, sure)


def _remove_notes(name: str) -> None:
    Notes(name, os.getpid()).remove()


class WorkerPass:
    """One pass in one worker. mark: names dataset object and pass; `Notes.write_drawn` takes it."""

    def __init__(self, batches: Batches, name: str, worker: int, count: int, sure: bool) -> None:
        self.batches, self.mark = batches, (name, _pass_token(worker, count))
        self._worker, self._sure, self._notes = worker, sure, Notes(name, _parent_process())
        if worker == 0:
            self._choose()
        batches.choose(self._notes.wait_for_pass(self.mark[1]))
        self.position = batches.next_pass()

    def _choose(self) -> None:
        """Of worker 0: decide where the pass begins."""
        own, told = self.batches.choice(), self._notes.choice()
        choice = told if told is not None and told["changes"] > own["changes"] else own
        last = self._notes.passes()[-1:]
        if last and last[0]["changes"] == choice["changes"]:
            unused = self._notes.is_unused(last[0])
            choice = last[0] if unused else {**last[0], "epoch": last[0]["after"], "taken": 0}
        self.batches.choose(choice)
        self.note(self.batches.next_pass())

    def note(self, position: Position) -> None:
        """Leave word of where this pass begins. `sure`: whether the process that iterates will say that it has drawn a
        batch; otherwise the pass counts as begun now.
        """
        start = {"epoch": position.epoch, "taken": position.taken, "after": position.after}
        self._notes.write_pass({**self.batches.choice(), **start, "token": self.mark[1], "sure": self._sure})

    def load(self, state: Mapping[str, Any], step: int, workers: int) -> int | None:
        """Go on in this pass where a state says, with this worker's batch at `step` of it.

        Where nothing is left for any worker, this pass is the next epoch; then the worker that is due to make its first
        batch is returned, for the loader takes turns on.
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
