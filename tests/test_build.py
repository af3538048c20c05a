"""Builds: same bytes whatever the workers and interruptions, nothing that looks whole too early, clear refusals."""

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest

import lra_data
from benchmarks.crash_drill.drill import run_drill
from lra_data import BuildError, SetError, UsageError
from lra_data.building.duplicates import count_duplicates
from lra_data.building.plan import make_plan, shard_counts
from lra_data.building.run_build import locked
from lra_data.catalogue import task_from_record
from lra_data.listops.config import Config
from lra_data.store.manifest import read_manifest
from lra_data.store.rows import BuiltRows
from tests.conftest import ALL_FORMATS, SMALL_SIZES, file_bytes

MINI = "listops/mini"


def build_small(root: Path, **options: Any) -> Path:
    lra_data.build(MINI, root, **{"formats": ALL_FORMATS, "num_shards": 2, "sizes": SMALL_SIZES, **options})
    return root / MINI


def run_build(root: Path, *flags: str, limit_bytes: int | None = None) -> "subprocess.CompletedProcess[str]":
    def limit() -> None:
        if limit_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    command = [sys.executable, "-m", "lra_data", "build", "listops", "--preset", "mini", "--out", str(root), *flags]
    return subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, check=False)


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


def test_bytes_do_not_depend_on_workers_or_engine(small_set: Path, tmp_path: Path) -> None:
    expected = file_bytes(small_set)
    assert len(expected) == 4 * 3 + 3
    assert file_bytes(build_small(tmp_path / "two", workers=2)) == expected
    assert file_bytes(build_small(tmp_path / "backwards", engine=OneAtATime(lambda jobs: jobs[::-1]))) == expected


@pytest.mark.parametrize("finished", [0, 1, 2, 3])
def test_a_stopped_build_goes_on(small_set: Path, tmp_path: Path, finished: int) -> None:
    with pytest.raises(Interruption):
        build_small(tmp_path, engine=OneAtATime(lambda jobs: jobs, stop_after=finished))
    folder = tmp_path / MINI
    assert not (folder / "manifest.json").exists()
    assert (folder / ".build" / "plan.json").exists()
    assert len(list((folder / ".build").glob("*.tar.json"))) == finished
    with pytest.raises(SetError, match="the build is not finished: run the same `lra-data build` again"):
        lra_data.verify(folder)
    steps: list[Any] = []
    build_small(tmp_path, progress=steps.append)
    assert [step.kept for step in steps] == [True] * finished + [False] * (4 - finished)
    assert file_bytes(folder) == file_bytes(small_set)
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


@pytest.mark.parametrize("damage", ["flip", "padding", "shorten", "remove", "marker", "foreign marker"])
def test_a_shard_damaged_between_runs_is_made_again(small_set: Path, tmp_path: Path, damage: str) -> None:
    with pytest.raises(Interruption):
        build_small(tmp_path, engine=OneAtATime(lambda jobs: jobs, stop_after=2))
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
    else:
        marker.write_text(marker.read_text().replace("train", "test", 1))
    steps: list[Any] = []
    assert file_bytes(build_small(tmp_path, progress=steps.append)) == file_bytes(small_set)
    assert [step.kept for step in steps] == [False, True, False, False]


@pytest.mark.parametrize(("workers", "kill_group"), [(1, False), (2, True)])
def test_killed_at_random_moments(tmp_path: Path, workers: int, kill_group: bool) -> None:
    """Five kills each, small; `python -m benchmarks.crash_drill` is the drill at full size."""
    flags = ["--preset", "mini", "--train", "20000", "--validation", "200", "--test", "200", "--num-shards", "8"]
    report = run_drill(
        workers=workers,
        kills=5,
        seed=1,
        build_arguments=flags,
        folder=tmp_path,
        kill_group=kill_group,
        check_load=False,
    )
    assert len(report.kills) == 5
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
            workers = [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
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
    command = [sys.executable, "-m", "lra_data", "build", "listops", "--preset", "16k", "--out", str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.rglob("*.tmp")):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == (
        "lra-data: interrupted; finished shards are kept: run the same command again to go on"
    )
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_finished_build_says_so_at_once(small_root: Path, tmp_path: Path) -> None:
    shutil.copytree(small_root, tmp_path, dirs_exist_ok=True)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / MINI).iterdir()}
    result = run_build(tmp_path, *SMALL_FLAGS, "--format", "arrow,parquet", "--format", "webdataset")
    assert result.returncode == 0
    assert result.stdout.startswith(f"{tmp_path / MINI}: already complete, 1,600 examples in 12 files")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / MINI).iterdir() if path.name != ".lock"} == {
        path: time_ for path, time_ in before.items() if path.name != ".lock"
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 1}, r"a finished set with seed 0, asked for 1"),
        ({"sizes": {**SMALL_SIZES, "train": 1600}}, r"a finished set with sizes .*1500.*, asked for .*1600"),
        ({"num_shards": 3}, r"a finished set with other row ranges"),
        ({"formats": ["arrow"]}, r"a finished set with formats"),
    ],
)
def test_another_plan_is_refused(small_root: Path, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    shutil.copytree(small_root, tmp_path / "finished")
    with pytest.raises(SetError, match=message + r".*: ask for the same, choose another --out, or add --overwrite"):
        build_small(tmp_path / "finished", **options)
    with pytest.raises(Interruption):
        build_small(tmp_path / "unfinished", engine=OneAtATime(lambda jobs: jobs, stop_after=1))
    with pytest.raises(SetError, match=message.replace("a finished set", "an unfinished build")):
        build_small(tmp_path / "unfinished", **options)
    folder = build_small(tmp_path / "unfinished", **options, overwrite=True)
    assert lra_data.verify(folder) == []
    fresh = build_small(tmp_path / "fresh", **options)
    assert file_bytes(folder) == file_bytes(fresh)


def test_shards_of_no_known_build_are_refused(small_set: Path, tmp_path: Path) -> None:
    folder = tmp_path / MINI
    folder.mkdir(parents=True)
    shutil.copy(small_set / "train-00000-of-00002.arrow", folder)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(SetError, match=r"holds 1 shards of no known build, such as train-00000-of-00002.arrow"):
        build_small(tmp_path)
    build_small(tmp_path, overwrite=True)
    assert (folder / "notes.txt").read_text() == "mine"


def test_two_builds_in_one_folder(tmp_path: Path) -> None:
    with locked(tmp_path / MINI):
        result = run_build(tmp_path, *SMALL_FLAGS)
    assert result.returncode == 1
    assert result.stderr == (
        f"lra-data: error: another process is building in {tmp_path / MINI}: wait for it, or choose another --out\n"
    )
    assert run_build(tmp_path, *SMALL_FLAGS).returncode == 0


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


def test_an_unwritable_folder_ends_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run_build(tmp_path / "file")
    assert result.returncode == 1
    assert result.stderr.startswith(f"lra-data: error: cannot write {tmp_path / 'file'}")
    assert result.stderr.count("\n") == 1
    if os.geteuid() != 0:  # root may write anywhere
        (tmp_path / "closed").mkdir(mode=0o500)
        result = run_build(tmp_path / "closed")
        assert (result.returncode, result.stderr.count("\n")) == (1, 1)
        assert "no permission to write there: choose another folder" in result.stderr


def test_a_duplicate_ends_the_build_with_both_places() -> None:
    rows = {split: np.arange(80, dtype=np.uint8).reshape(5, 16) + 80 * number for number, split in enumerate("abc")}
    assert count_duplicates(rows) == {"a": 0, "b": 0, "c": 0}
    rows["a"][4] = rows["a"][1]
    assert count_duplicates(rows) == {"a": 1, "b": 0, "c": 0}
    rows["c"][3] = rows["a"][2]
    message = r"in two splits, as a 2 and c 3 \(of 1 such pairs\): build with another --seed"
    with pytest.raises(BuildError, match=message):
        count_duplicates(rows)


def test_a_real_duplicate_ends_a_real_build(tmp_path: Path) -> None:
    """2,000 possible expressions and 1,100 pairs of rows: some seeds have a duplicate, some have none."""
    config = Config(max_depth=3, max_args=2, min_length=6, max_length=8, operators=("MIN",))
    outcomes = {}
    for seed in range(8):
        try:
            lra_data.build(config, tmp_path / str(seed), sizes={"train": 50, "validation": 10, "test": 10}, seed=seed)
            outcomes[seed] = "built"
        except BuildError as error:
            outcomes[seed] = str(error)
            (folder,) = (tmp_path / str(seed) / "listops").iterdir()
            assert not (folder / "manifest.json").exists()
    refused = [text for text in outcomes.values() if text != "built"]
    assert 0 < len(refused) < 8
    assert all("build with another --seed" in text for text in refused)


def test_shard_bounds_follow_from_sizes_alone() -> None:
    sizes = {"train": 96_000, "validation": 2_000, "test": 2_000}
    assert shard_counts(sizes, 1999, None) == {"train": 6, "validation": 1, "test": 1}
    assert shard_counts(sizes, 15_999, None) == {"train": 46, "validation": 1, "test": 1}
    assert shard_counts(sizes, 1999, 96) == {"train": 96, "validation": 2, "test": 2}
    assert shard_counts(sizes, 1999, 5) == {"train": 5, "validation": 1, "test": 1}
    uneven = {"train": 100, "validation": 1, "test": 50}
    assert shard_counts(uneven, 10, 100) == uneven
    plan = make_plan(lra_data.get_task(MINI), formats=["arrow"], num_shards=7, seed=0, sizes={"val": 10})
    reached = dict.fromkeys(sizes, 0)
    for rows in plan.ranges:
        assert rows.start == reached[rows.split] < rows.stop
        reached[rows.split] = rows.stop
    assert reached == {"train": 96_000, "validation": 10, "test": 2_000}
    assert json.loads(json.dumps(asdict(plan.description)))["sizes"]["validation"] == 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_shards": 0}, "number of shards from 1 to 1500 for 1500 training examples, got 0"),
        ({"num_shards": 1501}, "number of shards from 1 to 1500"),
        ({"sizes": {"train": 0}}, "at least 1 example in train, got 0"),
        ({"sizes": {"training": 5}}, "unknown split 'training'"),
        ({"formats": ["zip"]}, "unknown format 'zip'"),
        ({"formats": []}, "at least one format"),
        ({"seed": -1}, "a seed from 0"),
        ({"workers": 0}, "at least 1 worker, got 0"),
    ],
)
def test_impossible_requests(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_small(tmp_path, **options)
    assert not (tmp_path / "listops").exists()


def test_sizes_formats_and_shards_leave_rows_where_they_are(small_set: Path, tmp_path: Path) -> None:
    """Nothing but the keyed configuration, seed and split decides a row."""
    first = lra_data.take(MINI, "train", [0]).to_pylist()
    changes: list[dict[str, Any]] = [
        {"sizes": {"train": 77, "validation": 5, "test": 5}, "num_shards": 5},
        {"formats": ["parquet"], "num_shards": None},
        {"workers": 2},
    ]
    for number, change in enumerate(changes):
        folder = build_small(tmp_path / str(number), **change)
        assert BuiltRows(folder).take("train", [0]).to_pylist() == first


def test_the_manifest_is_enough_to_make_every_row_again(small_set: Path) -> None:
    description = read_manifest(small_set).description
    assert description.libraries.keys() == {"pyarrow"}
    task = task_from_record(description.task, description.version, description.config)
    for split, size in description.sizes.items():
        made = task.generate(split, 0, size, seed=description.seed)
        assert made.to_pylist() == [row for batch in BuiltRows(small_set).batches(split) for row in batch.to_pylist()]
