"""A build in parts: the same bytes whatever the parts and their order, and clear words when one is missing."""

import json
import shutil
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest
from msgspec import structs

import lra_data
from lra_data import BuildError, SetError, UsageError
from lra_data.building import begin as begin_module
from lra_data.building import build_set, part_builds, shard_job
from lra_data.building.begin import begin
from lra_data.building.build_set import jobs_of
from lra_data.building.parts import Part, compact, parse_part
from lra_data.building.plan import make_plan
from lra_data.building.shard_job import make_shards
from lra_data.store.outputs.choice import output_at
from lra_data.store.outputs.folder import FolderOutput
from lra_data.store.outputs.output import FinishedMeanwhileError
from tests.conftest import ALL_FORMATS, file_bytes
from tests.support.commands import run
from tests.support.small_builds import MINI, family_options, run_build

pytestmark = pytest.mark.long

OPTIONS: dict[str, Any] = {
    "formats": ALL_FORMATS,
    "num_shards": 5,
    "sizes": {"train": 50, "validation": 10, "test": 6},
}
RANGES = 7


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a build by one process."""
    root = tmp_path_factory.mktemp("whole")
    lra_data.build(MINI, root, **OPTIONS)
    return file_bytes(root / MINI)


@pytest.mark.parametrize(
    "parts", [["0/1"], ["1/3", "0/3", "2/3"], ["6/7", "2/7", "2/7", "0/7", "1/7", "5/7", "4/7", "3/7"]]
)
def test_parts_in_any_order_and_twice(whole: dict[str, bytes], tmp_path: Path, parts: list[str]) -> None:
    made = [lra_data.build_part(MINI, tmp_path, part, **OPTIONS).made for part in parts]
    assert sum(made) == RANGES
    assert not (tmp_path / MINI / "manifest.json").exists()
    lra_data.finish_build(MINI, tmp_path, **OPTIONS)
    assert file_bytes(tmp_path / MINI) == whole
    assert not (tmp_path / MINI / ".build").exists()
    assert lra_data.build_part(MINI, tmp_path, parts[0], **OPTIONS).complete
    assert file_bytes(tmp_path / MINI) == whole


@pytest.mark.slow
@pytest.mark.parametrize("parts", [1, 3, 7])
@pytest.mark.parametrize("name", ["pathfinder/32-easy", "text/lra"])
def test_parts_of_other_families(name: str, parts: int, corpora: dict[str, Path], tmp_path: Path) -> None:
    family = name.partition("/")[0]
    options = family_options(name, corpora, formats=ALL_FORMATS, num_shards=5)
    lra_data.build(name, tmp_path / "one", **options)
    lra_data.build(name, tmp_path / "two", **options, workers=2)
    for index in range(parts):
        lra_data.build_part(name, tmp_path / "parts", f"{index}/{parts}", **options)
    lra_data.finish_build(name, tmp_path / "parts", **options)
    (one,), (two,), (found,) = (list((tmp_path / root / family).iterdir()) for root in ("one", "two", "parts"))
    assert file_bytes(found) == file_bytes(one) == file_bytes(two)


def test_parts_of_different_numbers_and_a_build(whole: dict[str, bytes], tmp_path: Path) -> None:
    lra_data.build_part(MINI, tmp_path, "0/2", **OPTIONS)
    again = lra_data.build_part(MINI, tmp_path, "1/3", **OPTIONS)
    assert (again.ranges, again.made) == (2, 1)  # ranges 1 and 4
    lra_data.build(MINI, tmp_path, **OPTIONS)
    assert file_bytes(tmp_path / MINI) == whole


@pytest.mark.slow
def test_parts_at_the_same_time(whole: dict[str, bytes], tmp_path: Path) -> None:
    """Three processes, two of them with the same part; none removes what another is writing."""
    flags = [
        "--train",
        "50",
        "--validation",
        "10",
        "--test",
        "6",
        "--num-shards",
        "5",
        "--format",
        ",".join(ALL_FORMATS),
    ]
    command = [sys.executable, "-m", "lra_data", "build", "listops", "--preset", "mini", "--out", str(tmp_path), *flags]
    started = [
        subprocess.Popen([*command, "--part", part], stdout=subprocess.PIPE, text=True)
        for part in ("0/2", "1/2", "1/2")
    ]
    outputs = [process.communicate(timeout=120)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0]
    assert outputs[0] == f"{tmp_path / MINI}: part 0 of 2 built, 4 row ranges, 4 of them new\n"
    done = subprocess.run([*command, "--finish"], check=True, capture_output=True, text=True)
    assert "built, 66 examples in 21 files" in done.stdout
    assert file_bytes(tmp_path / MINI) == whole


def test_what_is_missing_is_named(whole: dict[str, bytes], tmp_path: Path) -> None:
    with pytest.raises(SetError, match="expected a build to finish, found none: build its parts first, with --part"):
        lra_data.finish_build(MINI, tmp_path, **OPTIONS)
    lra_data.build_part(MINI, tmp_path, "1/6", **OPTIONS)
    status = lra_data.build_status(tmp_path / MINI)
    assert (status.complete, status.ranges, status.parts, status.missing_parts) == (False, RANGES, 6, "0,2-5")
    with pytest.raises(BuildError, match=r"expected all 7 row ranges, 6 are missing, of parts 0,2-5 of 6: run these.*"):
        lra_data.finish_build(MINI, tmp_path, **OPTIONS)
    assert not (tmp_path / MINI / "manifest.json").exists()
    lra_data.finish_build(MINI, tmp_path, **OPTIONS, workers=1)
    assert file_bytes(tmp_path / MINI) == whole
    assert lra_data.build_status(tmp_path / MINI).complete


@pytest.mark.parametrize(
    "damage", ["no marker", "a changed marker", "a short shard", "no shard", "no digests", "digests"]
)
def test_what_was_damaged_is_missing(whole: dict[str, bytes], tmp_path: Path, damage: str) -> None:
    lra_data.build_part(MINI, tmp_path, "0/1", **OPTIONS)
    build_folder = tmp_path / MINI / ".build"
    shard = tmp_path / MINI / "train-00003-of-00005.arrow"
    marker = build_folder / f"{shard.name}.json"
    rows = build_folder / "train-00003-of-00005.rows"
    if damage == "no marker":
        marker.unlink()
    elif damage == "a changed marker":
        marker.write_text(marker.read_text().replace('"elements":', '"elements":1'))
    elif damage == "a short shard":
        shard.write_bytes(shard.read_bytes()[:-1])
    elif damage == "no shard":
        shard.unlink()
    elif damage == "no digests":
        rows.unlink()
    else:
        data = rows.read_bytes()
        rows.write_bytes(data[:5] + bytes([data[5] ^ 1]) + data[6:])
    with pytest.raises(BuildError, match="1 is missing, of parts 0 of 1"):
        lra_data.finish_build(MINI, tmp_path, **OPTIONS)
    assert lra_data.build_part(MINI, tmp_path, "3/7", **OPTIONS).made == 1
    lra_data.finish_build(MINI, tmp_path, **OPTIONS)
    assert file_bytes(tmp_path / MINI) == whole


@pytest.mark.slow
def test_a_full_disk_on_one_part(whole: dict[str, bytes], tmp_path: Path) -> None:
    """A limit on file size fails as a full disk does. The other part is finished, and nothing looks whole."""
    flags = [
        "--train",
        "50",
        "--validation",
        "10",
        "--test",
        "6",
        "--num-shards",
        "5",
        "--format",
        ",".join(ALL_FORMATS),
    ]
    full = run_build(tmp_path, *flags, "--part", "1/2", limit_bytes=20_000)
    assert full.returncode == 1
    assert "File too large; the file size limit is reached" in full.stderr.splitlines()[-1]
    assert run_build(tmp_path, *flags, "--part", "0/2").returncode == 0
    assert lra_data.build_status(tmp_path / MINI).missing_parts == "1"
    assert not list((tmp_path / MINI).rglob("*.tmp"))
    assert run_build(tmp_path, *flags, "--part", "1/2").returncode == 0
    lra_data.finish_build(MINI, tmp_path, **OPTIONS)
    assert file_bytes(tmp_path / MINI) == whole


def test_another_plan_is_refused(tmp_path: Path) -> None:
    lra_data.build_part(MINI, tmp_path, "0/2", **OPTIONS)
    for build in (lra_data.build_part, lra_data.finish_build):
        with pytest.raises(SetError, match="an unfinished build with seed 0, asked for 1"):
            build(MINI, tmp_path, *(["1/2"] if build is lra_data.build_part else []), **OPTIONS, seed=1)


def test_a_part_that_comes_after_the_end(whole: dict[str, bytes], tmp_path: Path) -> None:
    """A job that its engine took for dead says nothing of the disk, and leaves nothing behind."""
    task = lra_data.get_task(MINI)
    plan = make_plan(task, **OPTIONS)
    output = FolderOutput(tmp_path / MINI)
    with output.run() as run:
        jobs = jobs_of(run, begin(run, plan, alone=False), task, plan, plan.ranges)
        lra_data.build(MINI, tmp_path, **OPTIONS)
        with pytest.raises(FinishedMeanwhileError):
            make_shards(jobs[0])
    assert lra_data.build_part(MINI, tmp_path, "0/1", **OPTIONS).complete
    assert file_bytes(tmp_path / MINI) == whole
    assert not (tmp_path / MINI / ".build").exists()


def test_a_set_that_is_finished_in_the_middle_of_a_part(
    whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = shard_job.write_shards

    def late(*arguments: Any) -> Any:
        monkeypatch.setattr(shard_job, "write_shards", original)
        lra_data.build(MINI, tmp_path, **OPTIONS)
        return original(*arguments)

    monkeypatch.setattr(shard_job, "write_shards", late)
    assert lra_data.build_part(MINI, tmp_path, "2/7", **OPTIONS).complete
    assert file_bytes(tmp_path / MINI) == whole
    assert not (tmp_path / MINI / ".build").exists()


@pytest.mark.parametrize("root", ["folder", "memory"])
@pytest.mark.parametrize("late", ["part", "build", "finish"])
def test_a_run_that_begins_as_another_ends(
    whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str, late: str
) -> None:
    """It has seen no manifest, and then finds a set that is finished: it changes nothing, and is content."""
    where: Any = tmp_path if root == "folder" else f"memory://{tmp_path.name}"
    lra_data.build_part(MINI, where, "0/1", **OPTIONS)
    module = build_set if late == "build" else part_builds
    original = begin_module.finished_set
    seen: list[Any] = []

    def blind(output: Any, plan: Any) -> Any:
        """The first looks were before the end of the other run."""
        seen.append(output)
        return None if len(seen) <= (2 if late == "build" else 1) else original(output, plan)

    def ended_meanwhile(output: Any, plan: Any, *, alone: bool) -> str:
        monkeypatch.undo()
        lra_data.finish_build(MINI, where, **OPTIONS)
        return begin(output, plan, alone=alone)

    monkeypatch.setattr(module, "finished_set", blind)
    monkeypatch.setattr(module, "begin", ended_meanwhile)
    if root == "folder":
        monkeypatch.setattr(FolderOutput, "exclusive", lambda _: nullcontext(False))  # as where there are no locks
    if late == "part":
        assert lra_data.build_part(MINI, where, "0/1", **OPTIONS).complete
    elif late == "build":
        assert lra_data.build(MINI, where, **OPTIONS).description.seed == 0
    else:
        assert lra_data.finish_build(MINI, where, **OPTIONS).description.seed == 0
    if root == "folder":
        assert file_bytes(tmp_path / MINI) == whole
        assert not (tmp_path / MINI / ".build").exists()
    else:
        filesystem, path = fsspec.url_to_fs(f"{where}/{MINI}")
        assert {name.removeprefix(f"{path}/"): filesystem.cat_file(name) for name in filesystem.find(path)} == whole


def test_a_job_on_a_store_that_comes_after_the_end(
    whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store has no scratch folder that would be gone: the job takes away what it wrote for a build that has ended."""
    task, root = lra_data.get_task(MINI), f"memory://{tmp_path.name}"
    plan = make_plan(task, **OPTIONS)
    output = output_at(f"{root}/{MINI}")
    job = jobs_of(output, begin(output, plan, alone=False), task, plan, plan.ranges)[0]
    original = shard_job.write_shards

    def late(*arguments: Any) -> Any:
        monkeypatch.undo()
        lra_data.build(MINI, root, **OPTIONS)
        return original(*arguments)

    monkeypatch.setattr(shard_job, "write_shards", late)
    with pytest.raises(FinishedMeanwhileError):
        make_shards(job)
    filesystem, path = fsspec.url_to_fs(f"{root}/{MINI}")
    assert {name.removeprefix(f"{path}/"): filesystem.cat_file(name) for name in filesystem.find(path)} == whole


def test_a_job_of_another_build(tmp_path: Path) -> None:
    task = lra_data.get_task(MINI)
    plan = make_plan(task, **OPTIONS)
    with FolderOutput(tmp_path / MINI).run() as run:
        job = jobs_of(run, begin(run, plan, alone=False), task, plan, plan.ranges)[0]
        with pytest.raises(BuildError, match="expected the build that this job belongs to, found another one"):
            make_shards(replace(job, plan="0"))
    shutil.rmtree(tmp_path / MINI)
    with pytest.raises(BuildError, match="found none: it was started again, or its folder is not shared"):
        make_shards(job)


def test_versions_are_those_of_the_plan(tmp_path: Path) -> None:
    task = lra_data.get_task(MINI)
    plan = make_plan(task, **OPTIONS)
    with FolderOutput(tmp_path / MINI).run() as run:
        job = jobs_of(run, begin(run, plan, alone=False), task, plan, plan.ranges)[0]
        other = structs.replace(job.description, libraries={**job.description.libraries, "pyarrow": "99.0"})
        with pytest.raises(
            BuildError, match=r"expected pyarrow 99\.0, as planned, got .*: install pyarrow==99\.0 there"
        ):
            make_shards(replace(job, description=other))
        with pytest.raises(BuildError, match=r"expected lra-data 9\.9, as planned"):
            make_shards(replace(job, package="9.9"))
    assert not list((tmp_path / MINI).glob("*.arrow"))


def test_scratch_folders_of_killed_runs_go_and_others_stay(tmp_path: Path) -> None:
    output = FolderOutput(tmp_path)
    with output.run() as first, first.scratch() as at_work:
        (at_work / "half.tmp").write_text("")
        dead = at_work.with_name(f"{at_work.name[:-4]}dead")
        shutil.copytree(at_work, dead)
        elsewhere = at_work.with_name("run-another-machine-1")
        shutil.copytree(at_work, elsewhere)
        with output.run():
            assert (at_work / "half.tmp").exists()
            assert not dead.exists()
            assert elsewhere.exists()
    assert not at_work.exists()
    output.end_build()
    assert list(tmp_path.iterdir()) == []


def slurm(index: int, first: int, last: int, count: int) -> dict[str, str]:
    """The variables of a job of an array."""
    names = {"ID": index, "MIN": first, "MAX": last, "COUNT": count}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in names.items()}


@pytest.mark.parametrize(
    ("text", "variables", "part"),
    [
        ("3/64", {}, (3, 64)),
        ("auto", slurm(7, 0, 9, 10), (7, 10)),
        ("auto", slurm(7, 1, 9, 9), (6, 9)),
        ("auto/64", slurm(40, 5, 40, 3), (40, 64)),
        ("auto/8", {"JOB_COMPLETION_INDEX": "7"}, (7, 8)),
        ("auto", {"SGE_TASK_ID": "3", "SGE_TASK_FIRST": "1", "SGE_TASK_LAST": "4"}, (2, 4)),
        ("auto", {"LSB_JOBINDEX": "1", "LSB_JOBINDEX_END": "4"}, (0, 4)),
        ("auto", {"SLURM_PROCID": "2", "SLURM_STEP_NUM_TASKS": "3"}, (2, 3)),
        ("auto", {"RANK": "0", "WORLD_SIZE": "2"}, (0, 2)),
    ],
)
def test_parts_in_words(text: str, variables: dict[str, str], part: tuple[int, int]) -> None:
    found = parse_part(text, variables)
    assert (found.index, found.count) == part


@pytest.mark.parametrize(
    ("text", "variables", "message"),
    [
        ("64/64", {}, r"expected a part from 0/64 to 63/64, got 64/64: .*such as with --array=0-63"),
        ("0/0", {}, "got 0/0"),
        ("-1/4", {}, "expected a part such as 3/64, auto or auto/64, got '-1/4'"),
        ("third", {}, "expected a part such as 3/64"),
        ("auto", {}, "expected one of the variables SLURM_ARRAY_TASK_ID, .* got none: give it as 3/64"),
        ("auto", {"JOB_COMPLETION_INDEX": "7"}, "expected the number of parts with a Kubernetes Indexed Job"),
        ("auto/7", {"JOB_COMPLETION_INDEX": "7"}, "got 7/7 from a Kubernetes Indexed Job: parts are counted from 0"),
        ("auto", slurm(5, 5, 40, 3), "without gaps with --part auto, got 3 jobs from 5 to 40"),
        ("auto", {"RANK": "x", "WORLD_SIZE": "2"}, "expected a whole number in RANK with --part auto, got 'x'"),
    ],
)
def test_wrong_parts(text: str, variables: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_part(text, variables)


def test_every_range_is_in_one_part() -> None:
    ranges = make_plan(lra_data.get_task(MINI), num_shards=21).ranges
    for count in (1, 3, 7, 23, 30):
        parts = [Part(index=index, count=count).of(ranges) for index in range(count)]
        assert sorted((rows.split, rows.start) for part in parts for rows in part) == sorted(
            (rows.split, rows.start) for rows in ranges
        )


def test_compact_lists() -> None:
    assert compact([41, 5, 40, 17, 42, 43, 5]) == "5,17,40-43"
    assert compact([]) == ""


def test_the_command_line(whole: dict[str, bytes], tmp_path: Path) -> None:
    size = [
        "--train",
        "50",
        "--validation",
        "10",
        "--test",
        "6",
        "--num-shards",
        "5",
        "--format",
        ",".join(ALL_FORMATS),
    ]
    build = ["build", "listops", "--preset", "mini", "--out", "sets", *size]
    missing = run(*build, "--finish", cwd=tmp_path)
    assert (missing.returncode, missing.stderr.count("\n")) == (1, 1)
    assert run(*build, "--part", "1/3", cwd=tmp_path).stdout.endswith(
        ": part 1 of 3 built, 2 row ranges, 2 of them new\n"
    )
    status = run("status", "sets/listops/mini", cwd=tmp_path)
    assert status.returncode == 1
    assert status.stdout.splitlines()[1] == "missing parts of 3: --array=0,2"
    facts = json.loads(run("status", "sets/listops/mini", "--json", cwd=tmp_path).stdout)
    assert facts == {"complete": False, "row_ranges": 7, "done": 2, "parts": 3, "missing_parts": "0,2"}
    failed = run(*build, "--finish", cwd=tmp_path)
    assert failed.returncode == 1
    assert failed.stderr == (
        f"lra-data: error: {tmp_path}/sets/listops/mini: expected all 7 row ranges, 5 are missing, of parts 0,2 of 3: "
        "run these parts again, such as with sbatch --array=0,2, or add --workers to make them here\n"
    )
    for flags in (["--part", "3/3"], ["--part", "0/3", "--finish"], ["--part", "0/3", "--overwrite"]):
        wrong = run(*build, *flags, cwd=tmp_path)
        assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1), flags
    assert run(*build, "--finish", "--workers", "2", cwd=tmp_path).returncode == 0
    assert file_bytes(tmp_path / "sets" / MINI) == whole
    assert run("status", "sets/listops/mini", cwd=tmp_path).returncode == 0
