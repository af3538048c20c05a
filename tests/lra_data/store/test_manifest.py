"""manifest.json has the same bytes as ever; in it, in plan.json and in markers each wrong entry is one line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lra_data
from lra_data import SetError
from lra_data.building.build_set import Progress, build
from lra_data.building.plan import Plan, make_plan, parse_plan, plan_text
from lra_data.store.manifest import ShardsFile, manifest_files, parse_manifest, read_manifest
from lra_data.store.shard_table import ShardTable

# Written by the commit ef67265 of this project.
GOLDEN = Path(__file__).parent / "written_at_ef67265"
SIZES = {"train": 40, "validation": 8, "test": 8}
MARKER = "train-00000-of-00002.arrow.json"


def no_other_file(entry: ShardsFile) -> ShardTable:
    raise AssertionError("a small manifest is one file")


@pytest.mark.parametrize("name", ["listops", "pathfinder", "text", "all_formats"])
def test_old_manifests_are_read_and_written_to_the_byte(name: str) -> None:
    text = (GOLDEN / f"{name}_manifest.json").read_bytes()
    assert manifest_files(parse_manifest(text, name, no_other_file)) == {"manifest.json": text}


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


def the_plan() -> Plan:
    return make_plan(lra_data.get_task("listops/mini"), num_shards=2, sizes=SIZES)


def test_a_plan_is_read_as_it_was_written() -> None:
    assert parse_plan(plan_text(the_plan()).encode(), "where") == the_plan()
    assert [(rows.split, rows.start, rows.stop) for rows in the_plan().ranges] == [
        ("train", 0, 20),
        ("train", 20, 40),
        ("validation", 0, 8),
        ("test", 0, 8),
    ]


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
    text = plan_text(the_plan()) if name == "plan" else (GOLDEN / "listops_manifest.json").read_text()
    data = json.loads(text)
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
        (with_entry("train", 0), "shards[...]: expected int >= 1"),
        (with_entry("train", "2"), "shards[...]: expected int, got str"),
    ],
)
def test_a_wrong_number_of_ranges_is_one_line(
    change: Callable[[dict[str, Any]], Any], fault: str, tmp_path: Path
) -> None:
    data = json.loads(plan_text(the_plan()))
    change(data["shards"])
    assert f"expected a plan, got one with a wrong or missing entry ({fault})" in refused("plan", data, tmp_path)
    del data["shards"]["train"]
    assert "expected shards of train, validation, test, got validation, test" in refused("plan", data, tmp_path)


def refused(name: str, data: Any, folder: Path) -> str:
    """The error of a manifest or plan with these entries."""
    path = folder / f"{name}.json"
    path.write_text(json.dumps(data))
    with pytest.raises(SetError) as caught:
        read_manifest(folder) if name == "manifest" else parse_plan(path.read_bytes(), str(path))
    return str(caught.value)


@pytest.mark.parametrize("text", [b"", b"{", b'{"config": {"a": NaN}}', b"\xff\xfe", b'{"task": "\xff"}'])
def test_damaged_text_is_one_line(text: bytes) -> None:
    with pytest.raises(
        SetError, match=r"plan\.json: expected JSON, got damaged text \(.*\): add --overwrite$"
    ) as caught:
        parse_plan(text, "plan.json")
    assert "\n" not in str(caught.value)


def test_another_value_and_another_version() -> None:
    for text in (b"[]", b"3", b'"manifest"', b"null"):
        with pytest.raises(SetError, match="where: expected a JSON object, got another value: build the set again"):
            parse_manifest(text, "where", no_other_file)
    for version in ("3", "null", '"1"'):
        with pytest.raises(SetError, match="where: expected format_version 1 or 2, got"):
            parse_manifest(f'{{"format_version": {version}}}'.encode(), "where", no_other_file)


@pytest.mark.parametrize(
    "change", [with_entry("note", 1), without("shard"), with_entry("check", 5), with_entry("seal", "x")]
)
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
