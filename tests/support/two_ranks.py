"""A second process for tests of what two ranks compute together."""

import datetime
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import distributed

from tests.conftest import ROOT

_SECOND = """
import importlib
import sys
from torch import distributed

place, module, function = sys.argv[1:]
distributed.init_process_group("gloo", init_method=place, rank=1, world_size=2)
getattr(importlib.import_module(module), function)(1)
distributed.destroy_process_group()
"""


@contextmanager
def two_ranks(folder: Path, module: str, function: str) -> Iterator[None]:
    """A block that is rank 0 of two; another process calls the module's function with 1, its rank."""
    place = f"file://{folder}/meet"
    second = subprocess.Popen([sys.executable, "-c", _SECOND, place, module, function], cwd=ROOT)
    distributed.init_process_group(
        "gloo", init_method=place, rank=0, world_size=2, timeout=datetime.timedelta(seconds=60)
    )
    try:
        yield
    finally:
        distributed.destroy_process_group()
    assert second.wait(timeout=60) == 0
