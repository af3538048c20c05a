"""Pages of documentation whose code the tests run, as it is on the page.

A python block that begins with `# NAME.py` is a file of that name; sh blocks are commands, which run in their order in
one folder. What follows a `<!-- not run: … -->` is left out.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT

TUTORIALS = ROOT / "docs" / "tutorials"
_BLOCK = re.compile(r"(<!-- not run.*?-->\n)?```(python|sh)\n(.*?)```", re.DOTALL)
_NAME = re.compile(r"# (\w+\.py)\n")


def blocks(text: str, language: str) -> list[str]:
    """The blocks of a language that are run, in their order."""
    return [code for skipped, tongue, code in _BLOCK.findall(text) if tongue == language and not skipped]


@dataclass(frozen=True)
class Page:
    """files: programs by name. commands: blocks for bash."""

    files: dict[str, str]
    commands: list[str]


def page(path: Path) -> Page:
    """A page all of whose python blocks are files."""
    text = path.read_text(encoding="utf-8")
    files = {}
    for code in blocks(text, "python"):
        named = _NAME.match(code)
        assert named is not None, f"{path.name}: expected a block that begins with `# NAME.py`, got\n{code[:200]}"
        files[named[1]] = code
    return Page(files, blocks(text, "sh"))


def run_page(
    found: Page,
    folder: Path,
    *,
    changed: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 500,
) -> list[str]:
    """Run a page's commands in a folder, and return what each block printed.

    changed: texts of the commands, and what is put in their place to make them small. Each must be on the page.
    """
    for name, code in found.files.items():
        (folder / name).write_text(code, encoding="utf-8")
    commands = "\0".join(found.commands)
    for old, new in (changed or {}).items():
        assert old in commands, f"{old!r} is not among the page's commands"
        commands = commands.replace(old, new)
    variables = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
        **(environment or {}),
    }
    return [_run(block, folder, variables, timeout_s) for block in commands.split("\0")]


def _run(block: str, folder: Path, variables: dict[str, str], timeout_s: float) -> str:
    process = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=folder,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, said = process.communicate(timeout=timeout_s)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # a server that the block started and did not end
        process.wait()
    if process.returncode != 0:
        pytest.fail(f"{block}\n{out[-4000:]}\n{said[-4000:]}")
    return out
