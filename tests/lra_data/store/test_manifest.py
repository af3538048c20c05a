"""manifest.json, plan.json and shard markers: the same bytes as ever, and one line for each entry that is wrong."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lra_data
from lra_data import SetError
from lra_data.building.build_set import Progress, build
from lra_data.building.plan import make_plan, plan_text, read_plan
from lra_data.store.manifest import manifest_text, parse_manifest, read_manifest
from tests.conftest import file_bytes

# Written by the commit ef67265 of this project.
GOLDEN = Path(__file__).parent / "written_at_ef67265"
SIZES = {"train": 40, "validation": 8, "test": 8}
MARKER = "train-00000-of-00002.arrow.json"


@pytest.mark.parametrize("name", ["listops", "pathfinder", "text", "all_formats"])
def test_old_manifests_are_read_and_written_to_the_byte(name: str) -> None:
    text = (GOLDEN / f"{name}_manifest.json").read_bytes()
    assert manifest_text(parse_manifest(text, name)).encode() == text


@pytest.mark.parametrize(
    ("task", "name", "options"),
    [
        ("listops/mini", "listops", {"sizes": SIZES, "num_shards": 2}),
        ("pathfinder/32-easy", "pathfinder", {"sizes": {"train": 3, "validation": 2, "test": 2}}),
    ],
)
def test_old_sets_verify_and_are_built_alike(task: str, name: str, options: dict[str, Any], tmp_path: Path) -> None:
    lra_data.build(task, tmp_path, **options)
    folder = tmp_path / task
    golden = (GOLDEN / f"{name}_manifest.json").read_bytes()
    assert (folder / "manifest.json").read_bytes() == golden
    (folder / "manifest.json").write_bytes(golden)
    assert lra_data.verify(folder) == []


def test_an_old_build_goes_on(tmp_path: Path) -> None:
    lra_data.build("listops/mini", tmp_path / "whole", sizes=SIZES, num_shards=2)
    whole, half = (tmp_path / name / "listops" / "mini" for name in ("whole", "half"))
    (half / ".build").mkdir(parents=True)
    shutil.copy(GOLDEN / "listops_plan.json", half / ".build" / "plan.json")
    shutil.copy(GOLDEN / MARKER, half / ".build")
    shutil.copy(whole / MARKER.removesuffix(".json"), half)
    steps: list[Progress] = []
    build("listops/mini", tmp_path / "half", sizes=SIZES, num_shards=2, progress=steps.append)
    assert [step.file for step in steps if step.kept] == [MARKER.removesuffix(".json")]
    assert file_bytes(half) == file_bytes(whole)


def test_plan_and_marker_to_the_byte(tmp_path: Path) -> None:
    plan = make_plan(lra_data.get_task("listops/mini"), formats=["arrow"], num_shards=2, seed=0, sizes=SIZES)
    golden = GOLDEN / "listops_plan.json"
    assert plan_text(plan).encode() == golden.read_bytes()
    assert read_plan(golden) == plan

    def stop(step: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build("listops/mini", tmp_path, sizes=SIZES, num_shards=2, progress=stop)
    assert (tmp_path / "listops" / "mini" / ".build" / MARKER).read_bytes() == (GOLDEN / MARKER).read_bytes()


def without(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda entries: entries.pop(name)


def with_entry(name: str, value: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda entries: entries.update({name: value})


WRONG_DESCRIPTION = [
    (without("task"), "missing entry task"),
    (with_entry("note", 1), "unknown entry note"),
    (with_entry("task", 3), "task: expected str, got int"),
    (with_entry("seed", True), "seed: expected int, got bool"),
    (with_entry("seed", -1), "seed: expected int >= 0"),
    (with_entry("seed", 0.5), "seed: expected int, got float"),
    (with_entry("version", None), "version: expected int, got null"),
    (with_entry("config", []), "config: expected object, got array"),
    (with_entry("formats", []), "formats: expected array of length >= 1"),
    (with_entry("formats", "arrow"), "formats: expected array, got str"),
    (with_entry("libraries", {"pyarrow": 3}), "libraries[...]: expected str, got int"),
    (with_entry("sizes", {"train": 1}), "expected sizes of train, validation, test, got sizes of train"),
    (with_entry("sizes", {"train": 1, "validation": 0, "test": 1}), "sizes[...]: expected int >= 1"),
]
WRONG_SHARD = [
    (without("sha256"), "shards[1]: missing entry sha256"),
    (with_entry("note", 1), "shards[1]: unknown entry note"),
    (with_entry("start", "0"), "shards[1].start: expected int, got str"),
    (with_entry("batch_rows", 0), "shards[1].batch_rows: expected int >= 1"),
    (with_entry("batch_offsets", [1, -1]), "shards[1].batch_offsets[1]: expected int >= 0"),
    (with_entry("label_counts", {}), "shards[1].label_counts: expected array, got object"),
    (with_entry("file", "../../outside.arrow"), "shards[1].file: expected str matching regex"),
    (with_entry("file", "train-00000-of-00001.arrow\n"), "shards[1].file: expected str matching regex"),
]


@pytest.mark.parametrize(("change", "fault"), WRONG_DESCRIPTION)
@pytest.mark.parametrize("name", ["manifest", "plan"])
def test_a_wrong_entry_is_one_line(
    name: str, change: Callable[[dict[str, Any]], Any], fault: str, tmp_path: Path
) -> None:
    data = json.loads((GOLDEN / f"listops_{name}.json").read_text())
    change(data)
    line = refused(name, data, tmp_path)
    advice = "build the set again with --overwrite" if name == "manifest" else "add --overwrite"
    path = tmp_path / f"{name}.json"
    assert line == f"{path}: expected a {name}, got one with a wrong or missing entry ({fault}): {advice}"


@pytest.mark.parametrize(("change", "fault"), WRONG_SHARD)
def test_a_wrong_entry_of_a_shard_is_one_line(
    change: Callable[[dict[str, Any]], Any], fault: str, tmp_path: Path
) -> None:
    data = json.loads((GOLDEN / "listops_manifest.json").read_text())
    change(data["shards"][1])
    line = refused("manifest", data, tmp_path)
    path = tmp_path / "manifest.json"
    assert line.startswith(f"{path}: expected a manifest, got one with a wrong or missing entry ({fault}")
    assert "\n" not in line


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (with_entry("count", 0), "shards[0].count: expected int >= 1"),
        (without("stop"), "shards[0]: missing entry stop"),
        (with_entry("file", "x"), "shards[0]: unknown entry file"),
    ],
)
def test_a_wrong_range_of_a_plan_is_one_line(
    change: Callable[[dict[str, Any]], Any], fault: str, tmp_path: Path
) -> None:
    data = json.loads((GOLDEN / "listops_plan.json").read_text())
    change(data["shards"][0])
    assert f"expected a plan, got one with a wrong or missing entry ({fault})" in refused("plan", data, tmp_path)


def refused(name: str, data: Any, folder: Path) -> str:
    """The error of a manifest or plan with these entries."""
    (folder / f"{name}.json").write_text(json.dumps(data))
    with pytest.raises(SetError) as caught:
        read_manifest(folder) if name == "manifest" else read_plan(folder / "plan.json")
    return str(caught.value)


@pytest.mark.parametrize("text", [b"", b"{", b'{"config": {"a": NaN}}', b"\xff\xfe", b'{"task": "\xff"}'])
def test_damaged_text_is_one_line(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(text)
    with pytest.raises(
        SetError, match=r"plan\.json: expected JSON, got damaged text \(.*\): add --overwrite$"
    ) as caught:
        read_plan(path)
    assert "\n" not in str(caught.value)


def test_another_value_and_another_version() -> None:
    for text in (b"[]", b"3", b'"manifest"', b"null"):
        with pytest.raises(SetError, match="where: expected a JSON object, got another value: build the set again"):
            parse_manifest(text, "where")
    for version in ("2", "null", '"1"'):
        with pytest.raises(SetError, match="where: expected format_version 1, got"):
            parse_manifest(f'{{"format_version": {version}}}'.encode(), "where")


@pytest.mark.parametrize("change", [with_entry("note", 1), without("stop"), with_entry("sha256", 5)])
def test_a_wrong_marker_makes_its_shard_again(change: Callable[[dict[str, Any]], Any], tmp_path: Path) -> None:
    def stop(step: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build("listops/mini", tmp_path, sizes=SIZES, num_shards=2, progress=stop)
    marker = tmp_path / "listops" / "mini" / ".build" / MARKER
    data = json.loads(marker.read_text())
    change(data)
    marker.write_text(json.dumps(data))
    steps: list[Progress] = []
    build("listops/mini", tmp_path, sizes=SIZES, num_shards=2, progress=steps.append)
    assert not any(step.kept for step in steps)
