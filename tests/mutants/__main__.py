"""Puts each fault into a copy of the project and sees whether a test finds it: `python -m tests.mutants [MODEL …]`.

Prints, for each mutant, the test that caught it. Exit status 1 if one survives, or if a fault's text is not there.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

from tests.mutants.mutant import Mutant

ROOT = Path(__file__).parents[2]
_WORKERS = 2
# Compiling takes longer than all other tests, and finds no fault that they do not.
_SELECTED = "{} and not compiles"


def mutants_of(model: str) -> list[Mutant]:
    """The faults that are listed for a model."""
    found: list[Mutant] = import_module(f"tests.mutants.{model}").MUTANTS
    return found


def models() -> list[str]:
    """Every model with a list of faults."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in _NOT_MODELS)


_NOT_MODELS = {"__init__", "__main__", "mutant"}


def source_of(model: str, mutant: Mutant) -> str:
    """Path of the file that a fault is put into, from the project's root."""
    return mutant.file or f"reference_models/attention/{model}.py"


def test_of(model: str) -> str:
    """Path of the model's own tests, from the project's root."""
    (path,) = (ROOT / "tests" / "reference_models").rglob(f"test_{model}.py")
    return str(path.relative_to(ROOT))


def caught_by(model: str, mutant: Mutant | None) -> str:
    """The first test that fails with the fault (without any for None), or "" if all pass."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as name:
        folder = Path(name)
        for part in ("reference_models", "tests"):
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        for part in ("lra_data", "pyproject.toml"):
            (folder / part).symlink_to(ROOT / part)
        if mutant is not None:
            path = folder / source_of(model, mutant)
            text = path.read_text()
            if text.count(mutant.old) != 1:
                raise SystemExit(
                    f"{model}, {mutant.name}: expected its text once, found {text.count(mutant.old)} times"
                )
            path.write_text(text.replace(mutant.old, mutant.new))
        tests = [test_of(model), "tests/reference_models/attention/test_contract.py"]
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
            "-k",
            _SELECTED.format(model),
        ]
        found = subprocess.run(
            [*command, *tests],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        if found.returncode == 0:
            return ""
        lines = [line for line in found.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        if not lines:
            raise SystemExit(
                f"{model}: pytest ended with {found.returncode}: {found.stdout[-2000:]}{found.stderr[-2000:]}"
            )
        return lines[0].partition(" - ")[0].rpartition("::")[2]


def results(names: list[str]) -> Iterator[tuple[str, str, str]]:
    """Model, fault, and the test that found it or ""."""
    jobs = [(model, mutant) for model in names for mutant in (None, *mutants_of(model))]
    with ThreadPoolExecutor(_WORKERS) as pool:
        for (model, mutant), found in zip(jobs, pool.map(lambda job: caught_by(*job), jobs), strict=True):
            if mutant is not None:
                yield model, mutant.name, found
            elif found:
                raise SystemExit(f"{model}: {found} fails without any fault")


def main() -> None:
    """Run the mutants of the named models, or all."""
    names = sys.argv[1:] or models()
    survivors = 0
    for model, name, found in results(names):
        print(f"{model:<18} {name:<45} {found or 'SURVIVED'}", flush=True)
        survivors += not found
    print(f"{survivors} survived")
    sys.exit(survivors > 0)


if __name__ == "__main__":
    main()
