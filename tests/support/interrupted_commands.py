"""Runs commands that are interrupted while compiled code does not return, each in a fork of this process.

    interrupted_commands.py CASES       CASES is JSON: a list of [program, arguments, module, attribute]

The function or method `attribute` of a module raises SIGINT at its first call and then sleeps for a minute in C, where
no handler of Python is run. Prints as JSON what each command ended with: exit code, seconds since the signal, stderr.
"""

import ctypes
import importlib
import json
import os
import signal
import sys
import tempfile
import threading
import time
from typing import Any, NoReturn

_LIBRARY = ctypes.CDLL(None)


def stick(*words: Any, **more: Any) -> NoReturn:
    def interrupt() -> None:
        print(f"{time.monotonic()}", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Timer(0.2, interrupt).start()
    # Another thread takes the signal then, which would end the sleep of this one.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    _LIBRARY.sleep(60)
    raise AssertionError("not reached within a minute")


def run(program: str, arguments: list[str], module: str, attribute: str) -> NoReturn:
    """In a child: the command with its function replaced."""
    owner: Any = importlib.import_module(module)
    *outer, last = attribute.split(".")
    for name in outer:
        owner = getattr(owner, name)
    setattr(owner, last, stick)
    sys.argv = [program, *arguments]
    package = {"lra-data": "lra_data", "lra-zoo": "reference_models"}[program]
    importlib.import_module(f"{package}.commands.main").main()
    os._exit(99)


def main() -> None:
    importlib.import_module("lra_data.commands.main")
    importlib.import_module("lra_data.store.row_access")
    started = []
    for case in json.loads(sys.argv[1]):
        errors = tempfile.TemporaryFile()  # noqa: SIM115
        child = os.fork()
        if child == 0:
            os.dup2(errors.fileno(), 2)
            sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
            run(*case)
        started.append((child, errors))
    ended: dict[int, tuple[int, float]] = {}
    for _ in started:
        child, status = os.wait()
        ended[child] = os.waitstatus_to_exitcode(status), time.monotonic()
    found = []
    for child, errors in started:
        errors.seek(0)
        lines = errors.read().decode().splitlines()
        came = next((float(line) for line in lines if line[:1].isdigit()), 0.0)
        found.append({"code": ended[child][0], "seconds": ended[child][1] - came, "errors": lines})
    print(json.dumps(found))


if __name__ == "__main__":
    main()
