"""verify finds every damage, repair brings the exact bytes back, and neither touches what is sound."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import lra_data
from lra_data import SetError, verify
from lra_data.building.repair import repair
from lra_data.checking.verify import verify as verify_with_options
from lra_data.store.atomic_files import sha256_of
from lra_data.store.manifest import SHARD_NAME
from lra_data.store.row_access import BuiltRows
from tests.conftest import ALL_FORMATS, SMALL_SIZES, file_bytes


@pytest.fixture
def copied_set(small_set: Path, tmp_path: Path) -> Path:
    """A set that a test may damage."""
    return Path(shutil.copytree(small_set, tmp_path / "root" / "listops" / "mini"))


def test_a_sound_set(small_set: Path) -> None:
    assert verify(small_set) == []
    assert verify_with_options(small_set, quick=True) == []
    assert repair(small_set) == []


@pytest.mark.long
@pytest.mark.parametrize("count", [15, pytest.param(300, marks=pytest.mark.slow)])
def test_single_bit_flips(count: int, copied_set: Path, small_set: Path) -> None:
    """Flips spread over all shards by size; each is found by both kinds of verify, and mended to the byte."""
    random = np.random.default_rng(300)
    shards = [path for path in sorted(copied_set.iterdir()) if SHARD_NAME.fullmatch(path.name)]
    sizes = np.array([path.stat().st_size for path in shards])
    # Half of the flips are dealt out by size, half evenly, so that small files get their share.
    chosen = [
        *random.choice(len(shards), count // 2, p=sizes / sizes.sum()),
        *random.integers(0, len(shards), count // 2),
    ]
    for number in chosen:
        path = shards[number]
        data = bytearray(path.read_bytes())
        bit = int(random.integers(0, 8 * len(data)))
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        faults = verify_with_options(copied_set, quick=True)
        assert [fault.file for fault in faults] == [path.name]
        assert faults[0].message.startswith("expected sha256 ")
        assert repair(copied_set) == [path.name]
        assert path.read_bytes() == (small_set / path.name).read_bytes()
    assert file_bytes(copied_set) == file_bytes(small_set)
    assert verify(copied_set) == []


def test_a_flip_is_found_by_the_full_check_too(copied_set: Path) -> None:
    path = copied_set / "test-00000-of-00001.arrow"
    data = bytearray(path.read_bytes())
    data[-100] ^= 4
    path.write_bytes(data)
    assert [fault.file for fault in verify(copied_set)] == [path.name]


@pytest.mark.parametrize("damage", ["missing", "cut", "longer", "empty", "folder"])
def test_other_damage(copied_set: Path, small_set: Path, damage: str) -> None:
    path = copied_set / "train-00001-of-00002.parquet"
    data = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(data[:-5])
    elif damage == "longer":
        path.write_bytes(data + b"\0")
    elif damage == "empty":
        path.touch()
    elif damage == "folder":
        path.mkdir()
    faults = verify(copied_set)
    assert [fault.file for fault in faults] == [path.name]
    assert "run `lra-data repair`" in faults[0].message
    if damage == "folder":
        with pytest.raises(lra_data.BuildError, match="Is a directory"):
            repair(copied_set)
        return
    assert repair(copied_set) == [path.name]
    assert file_bytes(copied_set) == file_bytes(small_set)


def test_repair_touches_no_sound_shard(copied_set: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in copied_set.iterdir()}
    (copied_set / "test-00000-of-00001.tar").unlink()
    repair(copied_set)
    after = {path.name: path.stat().st_mtime_ns for path in copied_set.iterdir()}
    changed = {name for name in before if before[name] != after.get(name)} - {".lock"}
    assert changed == {"test-00000-of-00001.tar"}


def forge(folder: Path, change: str) -> None:
    """Write a wrong row into the Arrow test shard and make the digests of the manifest fit."""
    path = folder / "test-00000-of-00001.arrow"
    with pa.ipc.open_stream(path.read_bytes()) as stream:
        schema, rows = stream.schema, stream.read_all().to_pylist()
    if change == "label":
        rows[7]["label"] = (rows[7]["label"] + 3) % 10
    elif change == "no label":
        rows[7]["label"] = 10
    elif change == "token":
        rows[7]["inputs"][0] = 5
    elif change == "index":
        rows[7]["index"] = 8
    else:
        rows = rows[:-1]
    with path.open("wb") as file, pa.ipc.new_stream(file, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))
    manifest = json.loads((folder / "manifest.json").read_text())
    (entry,) = (shard for shard in manifest["shards"] if shard["file"] == path.name)
    entry |= {"sha256": sha256_of(path), "bytes": path.stat().st_size}
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("change", "index", "message"),
    [
        ("label", 7, "expected label "),
        ("no label", None, "expected sound rows, got labels from 0 to 10"),
        ("token", 7, "unbalanced brackets"),
        ("index", None, "expected rows 0 to 39"),
        ("count", None, "expected 40 rows, got 39"),
    ],
)
def test_a_wrong_row_is_found_though_digests_fit(
    copied_set: Path, change: str, index: int | None, message: str
) -> None:
    forge(copied_set, change)
    assert verify_with_options(copied_set, quick=True) == []
    faults = verify(copied_set)
    assert faults
    assert faults[0].index == index
    assert message in faults[0].message
    # Whatever the solver says, the rows are no longer those of the logical digest.
    if change not in ("count", "no label"):
        assert any("expected logical digest" in fault.message for fault in faults)


def test_a_stray_shard_is_named(copied_set: Path) -> None:
    shutil.copy(copied_set / "test-00000-of-00001.arrow", copied_set / "train-00002-of-00003.arrow")
    (fault,) = verify(copied_set)
    assert str(fault) == "train-00002-of-00003.arrow: expected only shards in the manifest, got another: remove it"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "expected JSON, got damaged text"),
        ("[]", "expected a JSON object, got another value"),
        ('{"format_version": 3}', "expected format_version 1 or 2, got 3"),
        ('{"format_version": 1, "task": "listops"}', "wrong or missing entry"),
    ],
)
def test_damaged_manifests(copied_set: Path, text: str, message: str) -> None:
    (copied_set / "manifest.json").write_text(text)
    with pytest.raises(SetError, match=message):
        verify(copied_set)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_rows", 100),
        ("batch_offsets", [0]),
        ("label_counts", [1500, *[0] * 9]),
        ("shortest", 1),
        ("longest", 99),
        ("elements", 7),
    ],
)
def test_wrong_figures_are_found_and_never_give_another_row(copied_set: Path, name: str, value: Any) -> None:
    manifest = json.loads((copied_set / "manifest.json").read_text())
    (entry,) = (shard for shard in manifest["shards"] if shard["file"] == "train-00000-of-00002.arrow")
    assert entry[name] != value
    entry[name] = value
    (copied_set / "manifest.json").write_text(json.dumps(manifest))
    rows = BuiltRows(copied_set)
    for index in (0, 500, 749):
        try:
            assert rows.take("train", [index])["index"].to_pylist() == [index]
        except SetError:
            assert name.startswith("batch")
    assert [fault.file for fault in verify(copied_set)] == [entry["file"]]


JSON_VALUES = [None, "x", "", -1, 1.5, True, [], {}, [1], {"a": 1}, 10**30]


@pytest.mark.parametrize("where", ["manifest", "shard"])
def test_any_entry_of_the_wrong_kind_is_one_error(copied_set: Path, where: str) -> None:
    """Each entry replaced by each JSON value, or removed: found as an error or a fault, or harmless; never a crash."""
    path = copied_set / "manifest.json"
    text = path.read_text()
    names = json.loads(text) if where == "manifest" else json.loads(text)["shards"][0]
    refused = 0
    for name in names:
        for value in [*JSON_VALUES, Ellipsis]:
            manifest = json.loads(text)
            entries = manifest if where == "manifest" else manifest["shards"][0]
            if value is Ellipsis:
                del entries[name]
            else:
                entries[name] = value
            path.write_text(json.dumps(manifest))
            try:
                verify_with_options(copied_set, quick=True)
                BuiltRows(copied_set).take("train", [0])
            except lra_data.LraDataError:
                refused += 1
    assert refused > 8 * len(names) // 2


def test_a_manifest_with_a_gap(copied_set: Path) -> None:
    manifest = json.loads((copied_set / "manifest.json").read_text())
    manifest["shards"] = [shard for shard in manifest["shards"] if shard["file"] != "train-00000-of-00002.arrow"]
    (copied_set / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(SetError, match="expected arrow shards of train for rows 0 to 1500, got rows 0 to 0"):
        verify(copied_set)


def test_another_pyarrow_is_said(copied_set: Path) -> None:
    path = copied_set / "manifest.json"
    path.write_text(path.read_text().replace(f'"pyarrow": "{pa.__version__}"', '"pyarrow": "1.0.0"'))
    assert verify(copied_set) == []
    lra_data.build(  # says that the set is finished, whichever pyarrow finished it
        "listops/mini", copied_set.parent.parent, formats=ALL_FORMATS, num_shards=2, sizes=SMALL_SIZES
    )
    (copied_set / "test-00000-of-00001.parquet").unlink()
    with pytest.raises(SetError, match=rf"depend on pyarrow, expected 1.0.0, got {pa.__version__}: install pyarrow=="):
        repair(copied_set)
    (copied_set / "test-00000-of-00001.arrow").unlink()
    with pytest.raises(SetError, match="pyarrow"):
        repair(copied_set)
    assert (copied_set / "test-00000-of-00001.arrow").exists()  # its bytes depend on no version


def test_what_verify_refuses(tmp_path: Path) -> None:
    with pytest.raises(SetError, match=r"expected a built set, found no manifest\.json"):
        verify(tmp_path)
    with pytest.raises(lra_data.UsageError, match="expected the folder of a built set or a task name"):
        verify(tmp_path / "nowhere")


def test_virtual_sets_are_solved_too(monkeypatch: pytest.MonkeyPatch) -> None:
    task = lra_data.get_task("listops/mini")
    monkeypatch.setattr(type(task), "sizes", property(lambda self: SMALL_SIZES))
    assert verify("listops/mini") == []
    good = type(task).take

    def take_with_a_fault(self: object, split: str, indices: list[int], *, seed: int = 0) -> pa.RecordBatch:
        rows = good(task, split, indices, seed=seed).to_pylist()
        rows[0]["label"] = (rows[0]["label"] + 1) % 10
        return pa.RecordBatch.from_pylist(rows, schema=task.schema)

    monkeypatch.setattr(type(task), "take", take_with_a_fault)
    assert [fault.index for fault in verify("listops/mini")] == [0, 1024, 0, 0]
