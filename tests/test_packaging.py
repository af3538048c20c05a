"""The built wheel, alone in an empty environment, is a working package."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
def test_the_wheel_works_in_an_empty_environment(tmp_path: Path, corpora: dict[str, Path]) -> None:
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("lra_data-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"lra_data/py.typed", "reference_models/py.typed"} <= set(names)
    assert {f"lra_data/pathfinder/generator/tables/{size}.npz" for size in (32, 64, 128, 256)} <= set(names)
    assert "lra_data/pathfinder/checks/tracer_weights.json" in names
    for folder in ("templates", "uplot"):
        parts = {path.relative_to(ROOT).as_posix() for path in (ROOT / "lra_data" / "report" / folder).iterdir()}
        assert len(parts) >= 3
        assert parts <= set(names)
    bundled = {path.relative_to(ROOT).as_posix() for path in (ROOT / "reference_models/checkpoints").rglob("*.*")}
    assert len(bundled) >= 3 * 26  # weights, card and log of each model
    assert bundled <= set(names)
    assert not [name for name in names if name.startswith("tests/")]
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = environment / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", str(wheel)], check=True)
    installed = subprocess.run([python, "-m", "pip", "list"], check=True, capture_output=True, text=True).stdout.lower()
    for framework in ("torch", "tensorflow", "jax", "datasets", "webdataset", "pandas", "scipy"):
        assert f"\n{framework} " not in installed
    command = environment / "bin" / "lra-data"
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "NUMBA_CACHE_DIR")}
    for arguments in (
        ["build", "listops", "--preset", "mini", "--train", "500", "--validation", "50", "--test", "50"],
        ["verify", "data/listops/mini"],
        ["build", "path-x", "--train", "6", "--validation", "2", "--test", "2"],
        ["verify", "data/pathfinder/128-hard"],
        ["build", "text", "--preset", "holdout", "--corpus", str(corpora["text"]), "--allow-partial"],
        ["verify", "data/text/holdout-partial", "--corpus", str(corpora["text"])],
    ):
        subprocess.run([command, *arguments], check=True, cwd=tmp_path, env=variables)
    assert (tmp_path / "data" / "listops" / "mini" / "manifest.json").exists()
    without_torch = subprocess.run(
        [environment / "bin" / "lra-zoo", "table"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=variables,
        check=False,
    )
    assert without_torch.returncode == 2
    assert (
        without_torch.stderr
        == "lra-zoo: error: expected the library torch, found none: pip install 'lra-data[torch]', or '.[torch]' in a "
        "checkout\n"
    )
