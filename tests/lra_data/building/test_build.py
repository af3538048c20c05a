"""Builds: the same bytes whatever the workers, engine and sizes, and clear refusals."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

import lra_data
from lra_data import BuildError, SetError, UsageError
from lra_data.building.plan import SHARD_BYTES, make_plan, shard_counts
from lra_data.catalogue import task_from_record
from lra_data.listops.config import Config
from lra_data.store.manifest import read_manifest
from lra_data.store.outputs.folder import FolderOutput
from lra_data.store.row_access import BuiltRows
from tests.conftest import SMALL_SIZES, file_bytes
from tests.support.small_builds import MINI, SMALL_FLAGS, Interruption, OneAtATime, build_small, run_build

pytestmark = pytest.mark.long


def test_bytes_do_not_depend_on_workers_or_engine(small_set: Path, tmp_path: Path) -> None:
    expected = file_bytes(small_set)
    assert len(expected) == 4 * 3 + 3
    assert file_bytes(build_small(tmp_path / "two", workers=2)) == expected
    assert file_bytes(build_small(tmp_path / "backwards", engine=OneAtATime(lambda jobs: jobs[::-1]))) == expected


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
        ({"sizes": {**SMALL_SIZES, "train": 1600}}, r"a finished set with sizes: train 1500, asked for 1600"),
        pytest.param({"num_shards": 3}, r"a finished set with other row ranges", marks=pytest.mark.slow),
        pytest.param({"formats": ["arrow"]}, r"a finished set with formats", marks=pytest.mark.slow),
    ],
)
def test_another_plan_is_refused(small_root: Path, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    shutil.copytree(small_root, tmp_path / "finished")
    with pytest.raises(SetError, match=message + r".*: request the same set, choose another --out, or add --overwrite"):
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
    with pytest.raises(SetError, match=r"holds 1 shard of an unknown build, such as train-00000-of-00002.arrow"):
        build_small(tmp_path)
    assert not (folder / ".build").exists()
    build_small(tmp_path, overwrite=True)
    assert (folder / "notes.txt").read_text() == "mine"


def test_two_builds_in_one_folder(tmp_path: Path) -> None:
    with FolderOutput(tmp_path / MINI).exclusive():
        result = run_build(tmp_path, *SMALL_FLAGS)
    assert result.returncode == 1
    assert result.stderr == (
        f"lra-data: error: another process is building in {tmp_path / MINI}: wait for it, or choose another --out\n"
    )
    assert run_build(tmp_path, *SMALL_FLAGS).returncode == 0


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
    # No format of a set has more than 10,000 files, unless asked for: shards become larger.
    most = 9_998 * SHARD_BYTES // 1999
    assert shard_counts({"train": most, "validation": 1, "test": 1}, 1999, None)["train"] == 9_998
    for size in (most + 20_000, 3 * 10**9, 10**12):
        counts = shard_counts({"train": size, "validation": size // 3, "test": 1}, 1999, None)
        assert 9_900 < sum(counts.values()) <= 10_000
    assert shard_counts({"train": 3 * 10**9, "validation": 1, "test": 1}, 1999, 99_999)["train"] == 99_999
    uneven = {"train": 100, "validation": 1, "test": 50}
    assert shard_counts(uneven, 10, 100) == uneven
    plan = make_plan(lra_data.get_task(MINI), formats=["arrow"], num_shards=7, seed=0, sizes={"val": 10})
    reached = dict.fromkeys(sizes, 0)
    for rows in plan.ranges:
        assert rows.start == reached[rows.split] < rows.stop
        reached[rows.split] = rows.stop
    assert reached == {"train": 96_000, "validation": 10, "test": 2_000}
    assert json.loads(json.dumps(structs.asdict(plan.description)))["sizes"]["validation"] == 10


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
