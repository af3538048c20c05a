"""`lra-data` in a process of its own, without the second that a new interpreter takes to import what commands use."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from functools import cache
from multiprocessing.context import ForkServerContext
from pathlib import Path


def run(*arguments: str, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """What the command wrote and its exit code. The process is forked from one that has only imported the package.

    It has this process's environment and folder, but imports are not its own: what a command loads is seen by
    tests/test_architecture.py alone, in real interpreters.
    """
    with tempfile.TemporaryDirectory() as folder:
        written = [Path(folder) / name for name in ("stdout", "stderr")]
        process = _server().Process(target=_command, args=(arguments, cwd or Path.cwd(), dict(os.environ), written))
        process.start()
        process.join()
        code = process.exitcode
        process.close()
        assert code is not None
        stdout, stderr = (path.read_text(encoding="utf-8") for path in written)
    return subprocess.CompletedProcess(["lra-data", *arguments], code, stdout, stderr)


@cache
def _server() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["numba", "pyarrow.parquet", "PIL.Image", "lra_data.commands.main"])
    return context


def _command(arguments: tuple[str, ...], folder: Path, environment: dict[str, str], written: list[Path]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, path in enumerate(written, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))  # noqa: SIM115
    sys.argv = ["lra-data", *arguments]
    from lra_data.commands.main import main

    main()
