"""Small builds for tests, in this process or as a child, and an engine that can be stopped between two jobs."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import lra_data
from tests.conftest import ALL_FORMATS, SMALL_SIZES

MINI = "listops/mini"


def build_small(root: Path, **options: Any) -> Path:
    lra_data.build(MINI, root, **{"formats": ALL_FORMATS, "num_shards": 2, "sizes": SMALL_SIZES, **options})
    return root / MINI


def family_options(name: str, corpora: dict[str, Path], **options: Any) -> dict[str, Any]:
    """Options for a small set of a task of any kind: with a few rows, or over the tiny corpus of its family."""
    family = name.partition("/")[0]
    if family in corpora:
        return {**options, "corpus": lra_data.Corpus(corpora[family], allow_partial=True)}
    return {**options, "sizes": {"train": 60, "validation": 6, "test": 6}}


def run_build(root: Path, *flags: str, limit_bytes: int | None = None) -> "subprocess.CompletedProcess[str]":
    def limit() -> None:
        if limit_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    # Python may not notice that the limit cuts off a module that it caches, for all later processes.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"} if limit_bytes is not None else None

    command = [sys.executable, "-m", "lra_data", "build", "listops", "--preset", "mini", "--out", str(root), *flags]
    return subprocess.run(command, env=environment, capture_output=True, text=True, preexec_fn=limit, check=False)


SMALL_FLAGS = ("--train", "1500", "--validation", "60", "--test", "40", "--num-shards", "2")


class Interruption(Exception):  # noqa: N818
    """Stands for a kill in tests that stop a build between two events."""


class OneAtATime:
    """An engine that runs jobs in a given order and may stop after some of them."""

    def __init__(self, order: Callable[[list[Any]], list[Any]], stop_after: int | None = None) -> None:
        self.order, self.stop_after = order, stop_after

    def run(self, function: Callable[[Any], Any], jobs: Sequence[Any]) -> Iterator[Any]:
        for number, job in enumerate(self.order(list(jobs))):
            if number == self.stop_after:
                raise Interruption
            yield function(job)
