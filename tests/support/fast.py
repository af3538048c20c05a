"""A pytest plugin of `scripts/test --fast`, the inner loop: run only tests that need no PyTorch, JAX or TensorFlow.

A test file is left out if it imports a framework or the models, directly or through another file of `tests` or a
framework's module of lra_data. Tests marked `framework`, `long` or `slow` are left out too. The folder `refused` comes
first on the path, also in child processes: a test that loads a framework fails as if it were not installed.
"""

import ast
import os
import sys
from functools import cache
from pathlib import Path

from tests.conftest import ROOT

FRAMEWORKS = ("torch", "jax", "tensorflow")
REFUSED = str(Path(__file__).parent / "refused")
NOT_HERE = {*FRAMEWORKS, "accelerate", "grain", "lightning", "transformers", "torchdata", "reference_models"}
FOLLOWED = ("tests.", "lra_data.loading.frameworks.")

if REFUSED not in sys.path:
    sys.path.insert(0, REFUSED)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (REFUSED, os.environ.get("PYTHONPATH"))))


def file_of(module: str) -> Path | None:
    """The file of a module that is followed, or of the module that a followed name is in."""
    for name in (module, module.rpartition(".")[0]):
        path = ROOT / (name.replace(".", "/") + ".py")
        if path.is_file():
            return path
    return None


@cache
def needs_a_framework(path: Path) -> bool:
    """Whether a file imports one, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    if {name.partition(".")[0] for name in names} & NOT_HERE:
        return True
    files = {file_of(name) for name in names if name.startswith(FOLLOWED)}
    return any(needs_a_framework(file) for file in files if file is not None and file != path)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out files that need a framework; None leaves the decision to others."""
    if collection_path == ROOT / "tests" / "reference_models":
        return True
    chosen = collection_path.suffix == ".py" and collection_path.name.startswith("test_")
    return True if chosen and needs_a_framework(collection_path) else None
