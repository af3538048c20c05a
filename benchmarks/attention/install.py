"""Installs one port, and what it needs, into a folder of its own."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

_SECONDS = 1800


def default_folder() -> Path:
    """Where ports are kept between runs; a folder for each version of PyTorch, as one of them is compiled."""
    import torch
    from platformdirs import user_cache_path

    return user_cache_path("lra-data") / f"ports-torch-{torch.__version__}"


def install(package: str, folder: Path, flags: tuple[str, ...] = ()) -> str:
    """Install `name==version` without its dependencies. Returns "", or the error in one line."""
    name, _, version = package.partition("==")
    there = {(_plain(found.name), found.version) for found in distributions(path=[str(folder)])}
    if (_plain(name), version) in there:
        return ""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", *flags, "--target", str(folder), package]
    try:
        done = subprocess.run(
            command, env=_environment(), capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"did not install within {_SECONDS} s"
    if done.returncode == 0:
        return ""
    lines = [line.strip() for line in done.stderr.splitlines() if "error" in line.lower()]
    return f"does not install: {lines[-1] if lines else done.stderr.strip()[-200:]}"


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


def _environment() -> dict[str, str]:
    """Without `nvcc` on the path where there is no GPU: pytorch-fast-transformers would compile kernels for one."""
    import torch

    folders = os.environ.get("PATH", "").split(os.pathsep)
    if not torch.cuda.is_available():
        folders = [folder for folder in folders if not shutil.which("nvcc", path=folder)]
    return {**os.environ, "PATH": os.pathsep.join(folders), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
