"""Builds the same set with local processes, parts and engines, in turns, and compares the time and the files."""

import hashlib
import importlib.util
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

_WORKERS = 2


def compare_engines(images: int, rounds: int) -> Iterator[dict[str, Any]]:
    """One line a way to build: the median seconds, and the ratio to two local workers. A cluster has two workers and is
    running before its build begins.
    """
    with ExitStack() as stack:
        ways: dict[str, Callable[[Path], None]] = {
            "local, 2 workers": lambda root: _run(root, images, "--workers", str(_WORKERS)),
            "2 parts at a time, then finish": lambda root: _in_parts(root, images),
        }
        if importlib.util.find_spec("ray"):
            ray = stack.enter_context(_ray_cluster())
            ways["ray, 2 nodes of 1 CPU"] = lambda root: _run(root, images, "--engine", "ray", RAY_ADDRESS=ray)
        if importlib.util.find_spec("distributed"):
            dask = stack.enter_context(_dask_cluster())
            ways["dask, 2 workers"] = lambda root: _run(root, images, "--engine", "dask", DASK_SCHEDULER_ADDRESS=dask)
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        digests = set()
        for _ in range(rounds):
            for name, build in ways.items():
                with tempfile.TemporaryDirectory(prefix="lra-data-engines-") as folder:
                    began = time.perf_counter()
                    build(Path(folder))
                    seconds[name].append(time.perf_counter() - began)
                    digests.add(_digest(Path(folder)))
        base = statistics.median(seconds["local, 2 workers"])
        for name, taken in seconds.items():
            median = statistics.median(taken)
            yield {
                "build": name,
                "images": images,
                "seconds": round(median, 1),
                "all": [round(second, 1) for second in taken],
                "ratio": round(median / base, 2),
            }
        yield {"files are the same": len(digests) == 1}


def _command(root: Path, images: int, *flags: str) -> list[str]:
    sizes = ["--train", str(images), "--validation", "20", "--test", "20", "--num-shards", "10"]
    return [sys.executable, "-m", "lra_data", "build", "path-x", "--out", str(root), *sizes, *flags]


def _run(root: Path, images: int, *flags: str, **environment: str) -> None:
    subprocess.run(
        _command(root, images, *flags), env={**os.environ, **environment}, check=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _in_parts(root: Path, images: int) -> None:
    running = [
        subprocess.Popen(
            _command(root, images, "--part", f"{part}/2"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for part in range(2)
    ]
    for process in running:
        if process.wait():
            raise RuntimeError("a part failed")
    _run(root, images, "--finish")


def _digest(root: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(path for path in root.rglob("*") if path.is_file() and path.name != ".lock"):
        found.update(f"{path.relative_to(root)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return found.hexdigest()


@contextmanager
def _ray_cluster() -> Iterator[str]:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        yield cluster.address
    finally:
        cluster.shutdown()


@contextmanager
def _dask_cluster() -> Iterator[str]:
    from distributed import LocalCluster

    with LocalCluster(n_workers=_WORKERS, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster.scheduler_address
        shutil.rmtree("dask-scratch-space", ignore_errors=True)
