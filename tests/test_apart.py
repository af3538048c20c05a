"""Runs the files of tests/apart in processes of their own: JAX and TensorFlow start threads, and other tests fork."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

APART = Path(__file__).parent / "apart"
# One process, so that each framework is imported once. The first two fork, before JAX and TensorFlow are imported.
TOGETHER = ["test_epochs_in_streams.py", "test_golden_stream.py", "test_frameworks.py", "test_epochs_in_frameworks.py"]
ALONE = [path.name for path in sorted(APART.glob("test_*.py")) if path.name not in TOGETHER]


def group(names: list[str]) -> ParameterSet:
    slow = all(re.search(r"^pytestmark = \[?pytest.mark.slow", (APART / name).read_text(), re.M) for name in names)
    return pytest.param(names, marks=[pytest.mark.slow] if slow else [], id=names[0])


@pytest.mark.framework
@pytest.mark.parametrize("names", [group(TOGETHER), *(group([name]) for name in ALONE)])
def test_files_in_a_process_of_their_own(names: list[str], pytestconfig: pytest.Config) -> None:
    chosen = ["-m", pytestconfig.getoption("markexpr")]  # what is slow there is left out with what is slow here
    files = [str(APART / name) for name in names]
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "-p", "no:xdist", *chosen, *files],
        cwd=APART.parent.parent,
        env={**os.environ, "LRA_DATA_TESTS_APART": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    passed = found.returncode in (0, pytest.ExitCode.NO_TESTS_COLLECTED)
    assert passed, found.stdout[-8000:] + found.stderr[-2000:]
    if " passed" not in found.stdout:
        reasons = [line.partition(": ")[2] for line in found.stdout.splitlines() if line.startswith("SKIPPED")]
        assert reasons, found.stdout
        pytest.skip("; ".join(reasons))
