"""Builds on a Ray cluster of two nodes: the same bytes, also when workers, nodes and the driver are killed.

It ends only processes that it started: `ray stop`, and Ray's AutoscalingCluster, which calls it, end others by name.
"""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lra_data
from lra_data import BuildError
from tests.conftest import file_bytes
from tests.support.cluster_builds import (
    FAMILIES,
    NAME,
    OPTIONS,
    RANGES,
    family_build,
    local_build,
    markers,
    start_driver,
    wait_until,
)

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'lra-data[ray]'", exc_type=ImportError)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return local_build(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without CPUs, and two nodes of one CPU."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    made.first, made.second = made.add_node(num_cpus=1), made.add_node(num_cpus=1)
    yield made
    if ray.is_initialized():
        ray.shutdown()
    made.shutdown()


def workers_of(node: Any) -> list[int]:
    """The processes that run a job on a node now. The end of another process of a node may end the node."""
    raylet = node.all_processes["raylet"][0].process.pid
    found: list[str] = []
    for task in Path(f"/proc/{raylet}/task").glob("*/children"):
        found += task.read_text().split()
    return [int(pid) for pid in found if b"ray::_call" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_the_same_files(whole: dict[str, bytes], cluster: Any, tmp_path: Path) -> None:
    from lra_data.building.engines.ray_tasks import RayTasks

    lra_data.build(NAME, tmp_path, **OPTIONS, engine=RayTasks(cluster.address))
    assert file_bytes(tmp_path / NAME) == whole
    assert not ray.is_initialized()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_kind_of_family(family: str, corpora: dict[str, Path], cluster: Any, tmp_path: Path) -> None:
    from lra_data.building.engines.ray_tasks import RayTasks

    here = family_build(family, corpora["text"], tmp_path / "here")
    assert family_build(family, corpora["text"], tmp_path / "there", engine=RayTasks(cluster.address)) == here


def test_killed_workers(whole: dict[str, bytes], cluster: Any, tmp_path: Path) -> None:
    driver = start_driver(tmp_path, "--engine", "ray", RAY_ADDRESS=cluster.address)
    killed = 0
    while driver.poll() is None and killed < 3:
        for worker in workers_of(cluster.first)[:1]:
            os.kill(worker, signal.SIGKILL)
            killed += 1
        time.sleep(0.4)
    assert killed == 3
    output, errors = driver.communicate(timeout=300)
    assert driver.returncode == 0, errors
    assert "built, 6,800 examples" in output
    assert file_bytes(tmp_path / NAME) == whole


def test_a_killed_driver_and_a_second_run(whole: dict[str, bytes], cluster: Any, tmp_path: Path) -> None:
    driver = start_driver(tmp_path, "--engine", "ray", RAY_ADDRESS=cluster.address)
    wait_until(lambda: markers(tmp_path) >= 3)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.communicate()
    assert not (tmp_path / NAME / "manifest.json").exists()
    again = start_driver(tmp_path, "--engine", "ray", RAY_ADDRESS=cluster.address)
    _, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors
    assert errors.count("kept ") >= 3
    assert file_bytes(tmp_path / NAME) == whole


def test_a_job_that_always_dies(cluster: Any) -> None:
    from lra_data.building.engines.ray_tasks import RayTasks

    with pytest.raises(BuildError, match="a job's Ray worker died several times"):
        list(RayTasks(cluster.address, retries=1).run(os._exit, [7]))


def test_an_error_of_a_job_is_one_line(cluster: Any, tmp_path: Path) -> None:
    driver = start_driver(tmp_path, "--engine", "ray", RAY_ADDRESS=cluster.address)
    wait_until(lambda: markers(tmp_path) >= 1)
    plan = tmp_path / NAME / ".build" / "plan.json"
    plan.write_text(plan.read_text() + "\n")
    _, errors = driver.communicate(timeout=120)
    assert driver.returncode == 1
    assert "expected the build that this job belongs to, found another one" in errors.splitlines()[-1]
    assert "Traceback" not in errors
    assert "\x1b" not in errors


def test_a_cluster_that_is_not_there(tmp_path: Path) -> None:
    began = time.monotonic()
    driver = start_driver(tmp_path, "--engine", "ray", RAY_ADDRESS="127.0.0.1:9")
    _, errors = driver.communicate(timeout=60)
    assert driver.returncode == 1
    assert errors.splitlines()[-1].startswith("lra-data: error: expected a Ray cluster at 127.0.0.1:9, got: ")
    assert time.monotonic() - began < 15


def test_a_killed_node(whole: dict[str, bytes], cluster: Any, tmp_path: Path) -> None:
    """The last test, since the node stays away. Its worker goes on for a while: two write one shard."""
    driver = start_driver(tmp_path, "--engine", "ray", RAY_ADDRESS=cluster.address)
    wait_until(lambda: markers(tmp_path) >= 2)
    cluster.remove_node(cluster.second, allow_graceful=False)
    _, errors = driver.communicate(timeout=300)
    assert driver.returncode == 0, errors
    assert file_bytes(tmp_path / NAME) == whole
    assert len(list((tmp_path / NAME).glob("*.parquet"))) == RANGES
