"""Builds that run on a cluster in tests: the set, the driver as a process of its own, and how far it is."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lra_data
from tests.conftest import file_bytes
from tests.support.small_builds import family_options

NAME = "listops/lra"
# One set of each kind of family: drawn, drawn with compiled tables, and converted from a corpus that every node sees.
FAMILIES = ("listops", "pathfinder", "text")
OPTIONS: dict[str, Any] = {
    "num_shards": 12,
    "sizes": {"train": 6000, "validation": 400, "test": 400},
    "formats": ["parquet"],
}
FLAGS = ["--train", "6000", "--validation", "400", "--test", "400", "--num-shards", "12", "--format", "parquet"]
RANGES = 14


def local_build(root: Path) -> dict[str, bytes]:
    """The files that one process writes."""
    lra_data.build(NAME, root, **OPTIONS)
    return file_bytes(root / NAME)


def family_build(family: str, corpus: Path, root: Path, **options: Any) -> dict[str, bytes]:
    """The files of a small set of one of FAMILIES."""
    name = {"listops": "listops/mini", "pathfinder": "pathfinder/32-easy", "text": "text/lra"}[family]
    given = family_options(name, {"text": corpus}, num_shards=6, formats=["parquet", "webdataset"], **options)
    lra_data.build(name, root, **given)
    (found,) = (root / family).iterdir()
    return file_bytes(found)


def family_flags(family: str, corpus: Path) -> list[str]:
    """What `lra-data build` takes for the set of `family_build`, with its task."""
    shared = ["--num-shards", "6", "--format", "parquet,webdataset"]
    if family == "text":
        return [family, "--corpus", str(corpus), "--allow-partial", *shared]
    preset = "mini" if family == "listops" else "32-easy"
    return [family, "--preset", preset, "--train", "60", "--validation", "6", "--test", "6", *shared]


def start_driver(root: Path | str, *flags: str, **environment: str) -> "subprocess.Popen[str]":
    """`lra-data build … --engine …` in a process of its own, which leads a group."""
    command = [
        sys.executable,
        "-m",
        "lra_data",
        "build",
        "listops",
        "--preset",
        "lra",
        "--out",
        str(root),
        *FLAGS,
        *flags,
    ]
    return subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def markers(root: Path) -> int:
    """How many row ranges are finished."""
    return len(list((root / NAME / ".build").glob("*.parquet.json")))


def wait_until(true: Callable[[], bool], seconds: float = 120.0) -> None:
    """Wait; raises AssertionError when the time is over."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)
