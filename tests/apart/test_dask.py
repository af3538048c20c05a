"""Builds on a Dask cluster of two workers: the same bytes, also when one is killed; a lost scheduler is one line."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import lra_data
from lra_data import BuildError
from tests.conftest import file_bytes
from tests.support.cluster_builds import (
    FAMILIES,
    NAME,
    OPTIONS,
    family_build,
    local_build,
    markers,
    start_driver,
    wait_until,
)

pytest.importorskip("distributed", reason="needs Dask: pip install 'lra-data[dask]'", exc_type=ImportError)

pytestmark = pytest.mark.slow

# A job that ended two workers is not given to a third.
FAILURES = "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES"


@dataclass
class Cluster:
    """A scheduler and its workers, each a process."""

    address: str
    scheduler: "subprocess.Popen[bytes]"
    workers: "list[subprocess.Popen[bytes]]"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return local_build(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    found = tmp_path / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": {**os.environ, FAILURES: "1"}}
    start = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(found)]
    scheduler = subprocess.Popen([sys.executable, "-m", "distributed.cli.dask_scheduler", *start], **quiet)  # type: ignore[call-overload]
    wait_until(found.exists)
    time.sleep(0.2)
    address = json.loads(found.read_text())["address"]
    options = ["--no-nanny", "--nthreads", "1", "--no-dashboard", "--local-directory", str(tmp_path / "dask")]
    workers = [
        subprocess.Popen([sys.executable, "-m", "distributed.cli.dask_worker", address, *options], **quiet)  # type: ignore[call-overload]
        for _ in range(2)
    ]
    yield Cluster(address, scheduler, workers)
    for process in (*workers, scheduler):
        process.kill()
        process.wait()


def test_the_same_files(whole: dict[str, bytes], cluster: Cluster, tmp_path: Path) -> None:
    from lra_data.building.engines.dask_cluster import DaskCluster

    lra_data.build(NAME, tmp_path, **OPTIONS, engine=DaskCluster(cluster.address))
    assert file_bytes(tmp_path / NAME) == whole


@pytest.mark.parametrize("family", FAMILIES)
def test_every_kind_of_family(family: str, corpora: dict[str, Path], cluster: Cluster, tmp_path: Path) -> None:
    from lra_data.building.engines.dask_cluster import DaskCluster

    here = family_build(family, corpora["text"], tmp_path / "here")
    assert family_build(family, corpora["text"], tmp_path / "there", engine=DaskCluster(cluster.address)) == here


def test_a_killed_worker(whole: dict[str, bytes], cluster: Cluster, tmp_path: Path) -> None:
    driver = start_driver(tmp_path, "--engine", "dask", DASK_SCHEDULER_ADDRESS=cluster.address)
    wait_until(lambda: markers(tmp_path) >= 2)
    cluster.workers[0].send_signal(signal.SIGKILL)
    _, errors = driver.communicate(timeout=300)
    assert driver.returncode == 0, errors
    assert file_bytes(tmp_path / NAME) == whole


def test_a_killed_scheduler_and_a_second_run(whole: dict[str, bytes], cluster: Cluster, tmp_path: Path) -> None:
    driver = start_driver(tmp_path, "--engine", "dask", DASK_SCHEDULER_ADDRESS=cluster.address)
    wait_until(lambda: markers(tmp_path) >= 2)
    cluster.scheduler.kill()
    _, errors = driver.communicate(timeout=120)
    assert driver.returncode == 1
    assert "is gone; finished shards are kept" in errors.splitlines()[-1], errors
    again = start_driver(tmp_path)
    assert again.wait(timeout=300) == 0
    again.communicate()
    assert file_bytes(tmp_path / NAME) == whole


def test_a_killed_driver_and_a_second_run(whole: dict[str, bytes], cluster: Cluster, tmp_path: Path) -> None:
    driver = start_driver(tmp_path, "--engine", "dask", DASK_SCHEDULER_ADDRESS=cluster.address)
    wait_until(lambda: markers(tmp_path) >= 2)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.communicate()
    again = start_driver(tmp_path, "--engine", "dask", DASK_SCHEDULER_ADDRESS=cluster.address)
    _, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors
    assert file_bytes(tmp_path / NAME) == whole


def test_a_job_that_always_dies(cluster: Cluster) -> None:
    from lra_data.building.engines.dask_cluster import DaskCluster

    with pytest.raises(BuildError, match="a job's Dask worker died several times"):
        list(DaskCluster(cluster.address).run(os._exit, [7]))


def test_a_cluster_without_workers(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    from lra_data.building.engines import dask_cluster

    monkeypatch.setattr(dask_cluster, "NO_WORKERS_S", 2.0)
    for worker in cluster.workers:
        worker.kill()
        worker.wait()
    with pytest.raises(BuildError, match="has no workers; finished shards are kept: start some"):
        list(dask_cluster.DaskCluster(cluster.address).run(abs, [-7]))


def test_a_cluster_that_is_not_there(tmp_path: Path) -> None:
    began = time.monotonic()
    driver = start_driver(tmp_path, "--engine", "dask", DASK_SCHEDULER_ADDRESS="tcp://127.0.0.1:9")
    _, errors = driver.communicate(timeout=60)
    assert driver.returncode == 1
    assert errors.splitlines()[-1].startswith("lra-data: error: expected a Dask scheduler at tcp://127.0.0.1:9, got: ")
    assert time.monotonic() - began < 15
