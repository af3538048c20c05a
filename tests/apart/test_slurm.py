"""The printed job array on two Slurm nodes: the same bytes, also when a node is killed and the array runs again."""

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lra_data
from tests.conftest import file_bytes
from tests.support.cluster_builds import (
    FAMILIES,
    FLAGS,
    NAME,
    family_build,
    family_flags,
    local_build,
    markers,
    wait_until,
)
from tests.support.slurm_cluster import SlurmCluster, missing

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=f"needs Slurm: {missing()}")]

PARTS = 4


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return local_build(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    made = SlurmCluster(tmp_path_factory.mktemp("slurm"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


def scripts(root: Path, *build: str) -> tuple[Path, str]:
    """The file of the array that `lra-data script` prints, and the command that it says for the end."""
    command = [sys.executable, "-m", "lra_data", "script", "slurm", *build, "--parts", str(PARTS), "--out", str(root)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    path = root.with_name("array.sh")
    path.write_text(printed)
    (submit,) = [line for line in printed.splitlines() if "--dependency" in line]
    (finish,) = shlex.split(submit.partition("--wrap=")[2])
    return path, finish


@pytest.mark.parametrize("family", FAMILIES)
def test_the_array_and_the_finish(family: str, corpora: dict[str, Path], cluster: SlurmCluster, tmp_path: Path) -> None:
    array, finish = scripts(tmp_path / "sets", *family_flags(family, corpora["text"]))
    job = cluster.submit(str(array), cwd=tmp_path)
    end = cluster.submit(f"--dependency=afterany:{job}", "--output=end.log", f"--wrap={finish}", cwd=tmp_path)
    cluster.wait_for(end)
    assert ": built, " in (tmp_path / "end.log").read_text()
    (found,) = (tmp_path / "sets" / family).iterdir()
    assert file_bytes(found) == family_build(family, corpora["text"], tmp_path / "here")
    assert len(list(tmp_path.glob("lra-data-*.log"))) == PARTS


def test_a_killed_node_and_the_array_again(whole: dict[str, bytes], cluster: SlurmCluster, tmp_path: Path) -> None:
    root = tmp_path / "sets"
    array, finish = scripts(root, "listops", "--preset", "lra", *FLAGS)
    job = cluster.submit(str(array), cwd=tmp_path)
    wait_until(lambda: (root / NAME / ".build").exists() and markers(root) >= 2)
    cluster.kill_node("n2")
    cluster.command("scancel", job)
    cluster.wait_for(job)
    end = cluster.submit("--nodelist=n1", "--output=early.log", f"--wrap={finish}", cwd=tmp_path)
    cluster.wait_for(end)
    assert "row ranges, " in (tmp_path / "early.log").read_text()
    assert not (root / NAME / "manifest.json").exists()
    missing_parts = lra_data.build_status(root / NAME).missing_parts
    assert missing_parts
    cluster.start_node("n2")
    again = cluster.submit(f"--array={missing_parts}", str(array), cwd=tmp_path)
    cluster.wait_for(again)
    end = cluster.submit("--output=end.log", f"--wrap={finish}", cwd=tmp_path)
    cluster.wait_for(end)
    assert "built, 6,800 examples in 14 files" in (tmp_path / "end.log").read_text()
    assert file_bytes(root / NAME) == whole
