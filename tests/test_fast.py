"""`scripts/test --fast` loads no framework: what its plugin leaves out, and that a framework cannot be loaded there."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

FRAMEWORKS = ("torch", "jax", "tensorflow")


def in_a_child(code: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run code where the plugin is loaded; loaded here, it would change this process."""
    lines = f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom tests.support import fast\n{code}"
    return subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=False, cwd=folder)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_framework_cannot_be_loaded(framework: str, tmp_path: Path) -> None:
    found = in_a_child(f"import {framework}", tmp_path)
    assert found.returncode == 1
    assert found.stderr.splitlines()[-1].startswith("ModuleNotFoundError: left out by scripts/test --fast")
    grandchild = f"import subprocess; subprocess.run([sys.executable, '-c', 'import {framework}'], check=True)"
    found = in_a_child(grandchild, tmp_path)
    assert "ModuleNotFoundError: left out by scripts/test --fast" in found.stderr


@pytest.mark.parametrize(
    ("file", "needed"),
    [
        ("lra_data/store/test_formats.py", False),
        ("lra_data/listops/test_listops_draws.py", False),
        ("lra_data/loading/test_batches.py", False),
        ("lra_data/loading/test_epochs.py", True),  # by way of tests/support/epoch_loaders.py
        ("lra_data/interop/test_mega.py", True),  # by way of tests/oracles/fairseq_reader.py
        ("apart/test_golden_stream.py", True),
        ("reference_models/attention/test_full.py", True),
    ],
)
def test_files_that_need_a_framework(file: str, needed: bool, tmp_path: Path) -> None:
    assert (ROOT / "tests" / file).exists()
    code = f"from pathlib import Path; print(fast.needs_a_framework(Path({str(ROOT / 'tests' / file)!r})))"
    assert in_a_child(code, tmp_path).stdout == f"{needed}\n"
