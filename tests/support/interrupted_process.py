"""Trainings that end by real signals, each in a fork of this process, so that imports are paid once.

    interrupted_process.py FOLDER MODEL:PLACE...    prints as JSON, by these words, how each interrupted training ended

A place is where the signal comes: in the forward pass of step 7 (`forward`: SIGTERM, else SIGINT), in its backward
pass, in the optimiser's step, in the look at validation of step 10, in the test; `stuck` and `stuck-validation` are
calls that then do not return; `ranks` is a signal to one of two processes that train together. Each training then goes
on undisturbed in the same folder, FOLDER/MODEL/PLACE; FOLDER/MODEL/whole and whole-ranks are never disturbed.
"""

import json
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import nn

from lra_data import interrupts
from reference_models.devices import leave
from reference_models.model.checkpoint import STATE
from reference_models.model.classifier import Classifier
from reference_models.training.loop import Training
from reference_models.training.state import saved_step
from tests.support.training_process import small_splits, small_training

STEP = 7
# Further than any state that the steps themselves write.
FAR = 1000


def kill_self(number: int = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


def stick(number: int) -> None:
    kill_self(number)
    time.sleep(60)


def once(work: Callable[[], None]) -> Callable[[], None]:
    """Does the work at its first call only."""
    left = [work]
    return lambda: left.pop()() if left else None


def interrupt_at(place: str, number: int) -> None:
    """Change this process so that the signal comes at a place."""
    act = once(lambda: kill_self(number))
    if place.startswith("stuck"):
        # Python takes up a sleep again that a signal has ended, unless its handler raises.
        act = once(lambda: stick(number))
    one_step, forward, score = Training._one_step, Classifier.forward, Training._score
    step = [0]

    def stepping(self: Training, model: nn.Module, batch: Any) -> None:
        step[0] = self.step
        if place == "optimizer" and self.step == STEP:
            optimizer_step = self.optimizer.step

            def moving(*words: Any, **more: Any) -> Any:
                act()
                return optimizer_step(*words, **more)

            self.optimizer.step = moving  # type: ignore[method-assign]
        if place == "backward" and self.step == STEP:
            next(iter(model.parameters())).register_hook(lambda _: act())  # type: ignore[no-untyped-call]
        one_step(self, model, batch)

    def running(self: Classifier, *words: Any) -> Any:
        found = forward(self, *words)  # what a forward pass changes has changed
        if place in ("forward", "stuck", "ranks") and step[0] == STEP and self.training:
            act()
        return found

    def scoring(self: Training, dataset: Any) -> Any:
        # The steps 5 and 10 have a look at validation.
        at = "test" if dataset is self.splits.test else "validation"
        if place in (at, f"stuck-{at}") and (at == "test" or self.step == 10):
            act()
        return score(self, dataset)

    Training._one_step = stepping  # type: ignore[method-assign]
    Classifier.forward = running  # type: ignore[method-assign, assignment]
    Training._score = scoring  # type: ignore[method-assign]


def train_and_end(run: Path, name: str, place: str | None) -> NoReturn:
    """In a child: train until the end, or until a signal at a place has ended it."""
    try:
        torch.set_num_threads(1)
        interrupts.answer_interrupts("test")
        interrupts.answer_also(signal.SIGTERM)
        if place is not None:
            interrupt_at(place, signal.SIGTERM if place == "forward" else signal.SIGINT)
        small_training(name, run, save_every=FAR)
        leave()
    except KeyboardInterrupt:
        interrupts.end_interrupted()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def code_of(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def alone(run: Path, name: str, place: str | None) -> list[int]:
    """Train in one child; its exit code."""
    child = os.fork()
    if child == 0:
        train_and_end(run, name, place)
    return [code_of(child)]


def together(run: Path, name: str, place: str | None) -> list[int]:
    """Train in two children, of which the second gets the signal; their exit codes."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    children = []
    for rank in (0, 1):
        child = os.fork()
        if child == 0:
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2"}
            train_and_end(run, name, place if rank == 1 else None)
        children.append(child)
    return [code_of(child) for child in children]


def main() -> None:
    torch.set_num_threads(1)
    # What a first training imports and compiles; no gradient, since autograd's threads do not live through a fork.
    torch.optim.AdamW([torch.zeros(1)])
    next(iter(small_splits().train.batches(8, shuffle=True)))
    folder, found = Path(sys.argv[1]), {}
    for word in sys.argv[2:]:
        name, _, place = word.partition(":")
        run_it = together if place == "ranks" else alone
        whole = folder / name / ("whole-ranks" if place == "ranks" else "whole")
        if not whole.exists():
            assert set(run_it(whole, name, None)) == {0}
        run, began = folder / name / place, time.monotonic()
        codes = run_it(run, name, place)
        found[word] = {"codes": codes, "seconds": time.monotonic() - began, "step": saved_step(run / STATE)}
        found[word]["then"] = run_it(run, name, None)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
