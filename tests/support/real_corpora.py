"""Real archives for tests: from `../shared/data` or the folder named by LRA_DATA_RAW; a test without one says so."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMDB = "aclImdb_labelled.tar.gz"
CIFAR_BINARY = "cifar10_partial_lossless_bin.tar.gz"
CIFAR_PYTHON = "cifar10_partial_lossless_py.tar.gz"
AAN = "aan_real_subset.tar.gz"


def real(name: str) -> Path:
    """The archive of this name; skips the test if it is not there."""
    folder = Path(os.environ.get("LRA_DATA_RAW", ROOT.parent / "shared" / "data"))
    if not (folder / name).exists():
        pytest.skip(f"no {name} in {folder}: set LRA_DATA_RAW to the folder that holds it")
    return folder / name
