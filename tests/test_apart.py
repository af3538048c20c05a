"""Runs each file of tests/apart in a process of its own: JAX and TensorFlow start threads, and other tests fork."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

APART = Path(__file__).parent / "apart"


def file(path: Path) -> ParameterSet:
    slow = "pytestmark = pytest.mark.slow" in path.read_text()
    return pytest.param(path.name, marks=[pytest.mark.slow] if slow else [])


@pytest.mark.framework
@pytest.mark.parametrize("name", [file(path) for path in sorted(APART.glob("test_*.py"))])
def test_a_file_in_its_own_process(name: str, pytestconfig: pytest.Config) -> None:
    chosen = ["-m", pytestconfig.getoption("markexpr")]  # what is slow there is left out with what is slow here
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *chosen, str(APART / name)],
        cwd=APART.parent.parent,
        env={**os.environ, "LRA_DATA_TESTS_APART": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert found.returncode == 0, found.stdout[-8000:] + found.stderr[-2000:]
