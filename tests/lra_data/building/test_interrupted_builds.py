"""Builds that are stopped, killed, damaged or out of disk: nothing looks whole too early, and the end is the same."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest

import lra_data
from benchmarks.crash_drill.drill import run_drill
from lra_data import SetError
from tests.conftest import file_bytes
from tests.support.small_builds import MINI, SMALL_FLAGS, Interruption, OneAtATime, build_small, run_build

pytestmark = pytest.mark.long

# As many shards as the small set has, of fewer rows.
FEW: dict[str, Any] = {"sizes": {"train": 40, "validation": 6, "test": 4}}


@pytest.fixture(scope="module")
def few_rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a build that nothing stopped."""
    return file_bytes(build_small(tmp_path_factory.mktemp("few"), **FEW))


@pytest.mark.parametrize("finished", [0, 1, 2, 3])
def test_a_stopped_build_goes_on(few_rows: dict[str, bytes], tmp_path: Path, finished: int) -> None:
    with pytest.raises(Interruption):
        build_small(tmp_path, **FEW, engine=OneAtATime(lambda jobs: jobs, stop_after=finished))
    folder = tmp_path / MINI
    assert not (folder / "manifest.json").exists()
    assert (folder / ".build" / "plan.json").exists()
    assert len(list((folder / ".build").glob("*.tar.json"))) == finished
    with pytest.raises(SetError, match="the build is not finished: run the same `lra-data build` again"):
        lra_data.verify(folder)
    steps: list[Any] = []
    build_small(tmp_path, **FEW, progress=steps.append)
    assert [step.kept for step in steps] == [True] * finished + [False] * (4 - finished)
    assert file_bytes(folder) == few_rows
    assert not (folder / ".build").exists()


class Death:
    """Lets `alive` renames and removals through, then fails every one, as a process does that has been killed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, alive: int) -> None:
        self.alive, self.happened = alive, False
        for name in ("replace", "unlink", "rmdir"):
            monkeypatch.setattr(os, name, self._mortal(getattr(os, name)))

    def _mortal(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if self.alive == 0:
                self.happened = True
                raise Interruption
            self.alive -= 1
            return function(*arguments, **options)

        return call


@pytest.mark.parametrize("overwrite", [False, True])
def test_death_between_any_two_events(tmp_path: Path, overwrite: bool) -> None:
    """Whichever rename or removal is the last: nothing looks whole that is not, and the end is the same bytes."""
    options: dict[str, Any] = {"formats": ["arrow"], "num_shards": 2, "sizes": {"train": 8, "validation": 4, "test": 4}}
    expected = file_bytes(build_small(tmp_path / "expected", **options, seed=1))
    old = file_bytes(build_small(tmp_path / "old", **options))
    deaths = 0
    while True:
        root = tmp_path / str(deaths)
        if overwrite:
            shutil.copytree(tmp_path / "old", root)
        with pytest.MonkeyPatch.context() as monkeypatch:
            death = Death(monkeypatch, alive=deaths)
            with contextlib.suppress(Interruption):
                build_small(root, **options, seed=1, overwrite=overwrite)
        folder = root / MINI
        if (folder / "manifest.json").exists():
            assert lra_data.verify(folder) == []
        elif list(folder.glob("*.arrow")) and not all_shards(folder, expected) and not all_shards(folder, old):
            assert "This set is unfinished" in (folder / "README.md").read_text()
        unknown = not (folder / ".build" / "plan.json").exists() and not (folder / "manifest.json").exists()
        finished = build_small(root, **options, seed=1, overwrite=overwrite and (unknown or deaths == 0))
        assert file_bytes(finished) == expected, deaths
        if not death.happened:
            break
        deaths += 1
    assert deaths > 10


def all_shards(folder: Path, expected: dict[str, bytes]) -> bool:
    """Whether every shard of a set is there, and only its manifest is missing."""
    present = file_bytes(folder)
    return all(present.get(name) == data for name, data in expected.items() if name.endswith(".arrow"))


def test_hugging_face_refuses_an_unfinished_set(tmp_path: Path) -> None:
    with pytest.raises(Interruption):
        build_small(tmp_path, engine=OneAtATime(lambda jobs: jobs, stop_after=3))
    with pytest.raises(FileNotFoundError, match="unfinished--run-the-same-lra-data-build-again"):
        datasets.load_dataset(str(tmp_path / MINI), cache_dir=str(tmp_path / "cache"))


@pytest.mark.parametrize("damage", ["flip", "padding", "shorten", "remove", "marker", "foreign marker", "figures"])
def test_a_shard_damaged_between_runs_is_made_again(few_rows: dict[str, bytes], tmp_path: Path, damage: str) -> None:
    with pytest.raises(Interruption):
        build_small(tmp_path, **FEW, engine=OneAtATime(lambda jobs: jobs, stop_after=2))
    shard = tmp_path / MINI / "train-00000-of-00002.parquet"
    marker = tmp_path / MINI / ".build" / f"{shard.name}.json"
    data = bytearray(shard.read_bytes())
    if damage == "padding":
        # The last byte of a tar member's block says nothing: only the digest of the file can tell.
        shard = shard.with_suffix(".tar")
        data = bytearray(shard.read_bytes())
        data[1023] ^= 1
        shard.write_bytes(data)
    elif damage == "flip":
        data[len(data) // 2] ^= 1
        shard.write_bytes(data)
    elif damage == "shorten":
        shard.write_bytes(data[:-1])
    elif damage == "remove":
        shard.unlink()
    elif damage == "marker":
        marker.write_text('{"file": ')
    elif damage == "figures":
        text = marker.read_text()
        marker.write_text(text.replace('"elements":', '"elements":1'))
        assert marker.read_text() != text
    else:
        marker.write_text(marker.read_text().replace("train", "test", 1))
    steps: list[Any] = []
    assert file_bytes(build_small(tmp_path, **FEW, progress=steps.append)) == few_rows
    assert [step.kept for step in steps] == [False, True, False, False]


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "kill_group", "kills"), [(1, False, 5), (2, True, 5)])
def test_killed_at_random_moments(tmp_path: Path, workers: int, kill_group: bool, kills: int) -> None:
    """Few kills, small; `python -m benchmarks.crash_drill` is the drill at full size."""
    flags = ["--preset", "mini", "--train", "20000", "--validation", "200", "--test", "200", "--num-shards", "8"]
    report = run_drill(
        workers=workers,
        kills=kills,
        seed=1,
        build_arguments=["listops", *flags],
        folder=tmp_path,
        kill_group=kill_group,
        check_load=False,
    )
    assert len(report.kills) == kills
    assert report.violations == ()
    assert report.builds_finished >= 1


def test_killed_workers_and_parents(tmp_path: Path) -> None:
    """A killed worker ends the build in one line; a killed parent takes its workers along."""
    # 4k rows are slow enough to be caught at work.
    command = [sys.executable, "-m", "lra_data", "build", "listops", "--preset", "4k", "--workers", "2"]

    def started(root: Path) -> "tuple[subprocess.Popen[str], list[int]]":
        process = subprocess.Popen([*command, "--out", str(root)], stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            workers = [int(pid) for pid in children if b"worker_process" in Path(f"/proc/{pid}/cmdline").read_bytes()]
            if len(workers) == 2 and list(root.rglob("*.tmp")):
                return process, workers
            time.sleep(0.05)
        raise AssertionError("the workers did not start")

    process, workers = started(tmp_path / "worker")
    os.kill(workers[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.splitlines()[-1].startswith("lra-data: error: a worker process died (killed, or out of memory)")
    assert "Traceback" not in errors

    process, workers = started(tmp_path / "parent")
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while any(map(_running, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    left = [pid for pid in workers if _running(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    assert not left, "workers outlived their parent"


def _running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_ctrl_c_ends_with_130(tmp_path: Path) -> None:
    lra_data.generate("listops/16k", "train", 0, 1)  # a compilation may outlast the grace, and a kill removes nothing
    command = [sys.executable, "-m", "lra_data", "build", "listops", "--preset", "16k", "--out", str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.rglob("*.tmp")):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == (
        "lra-data: interrupted; finished shards are kept: run the same command again to continue"
    )
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_full_disk_ends_in_one_line_and_keeps_what_was_finished(small_set: Path, tmp_path: Path) -> None:
    """A limit on file size fails as a full disk does: in the middle of a write. The tar files are the largest."""
    sizes = {path.suffix: path.stat().st_size for path in small_set.glob("train-00000*")}
    assert sizes[".tar"] > 1_000_000 > sizes[".arrow"] > sizes[".parquet"]
    flags = (*SMALL_FLAGS, "--format", "arrow,parquet,webdataset")
    result = run_build(tmp_path, *flags, limit_bytes=700_000)
    assert result.returncode == 1
    line = result.stderr.splitlines()[-1]
    assert "train-00000-of-00002.tar: File too large; the file size limit is reached" in line
    assert line.endswith("then run the same command again (0 of 4 row ranges finished and kept)")
    assert "Traceback" not in result.stderr
    assert not list((tmp_path / MINI).glob("*.tar"))
    assert not list((tmp_path / MINI / ".build").glob("*.tmp"))
    assert not (tmp_path / MINI / "manifest.json").exists()
    assert run_build(tmp_path, *flags).returncode == 0
    assert file_bytes(tmp_path / MINI) == file_bytes(small_set)
