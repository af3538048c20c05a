"""The released layout: written for loaders made for it, read back, and audited."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lra_data
from lra_data import SetError, UsageError, get_task
from lra_data.building.repair import repair
from lra_data.checking.verify import verify
from lra_data.corpus import Corpus
from lra_data.interop.export import export
from lra_data.pathfinder.released.audit import audit
from lra_data.pathfinder.released.converted_task import open_release
from lra_data.pathfinder.released.layout import RELEASED, ReleasedPicture, in_splits, read_metadata
from lra_data.picture_files import png_bytes, read_png
from lra_data.store.row_access import BuiltRows, VirtualRows
from tests.support.commands import run
from tests.support.reference_pathfinder import original_pictures, unpacked

pytestmark = pytest.mark.long

SIZES = {"train": 1030, "validation": 20, "test": 30}


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of an exported 32-easy. Tests must not change it."""
    rows = VirtualRows(get_task("pathfinder/32-easy"), 0)
    rows.sizes = SIZES
    root = tmp_path_factory.mktemp("release") / "out"
    export(rows, root)
    return root


@pytest.fixture
def copy(exported: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage: the folder with imgs and metadata."""
    shutil.copytree(exported, tmp_path / "copy")
    return tmp_path / "copy" / "pathfinder32" / "curv_baseline"


def read_as_loaders_do(folder: Path) -> list[tuple[str, int, Any]]:
    """Metadata and pictures as the public loaders read them: text split at line ends and spaces, label in field 3."""
    rows = []
    for path in sorted((folder / "metadata").iterdir(), key=lambda path: int(path.stem)):
        for line in path.read_text().split("\n")[:-1]:
            fields = line.split(" ")
            assert len(fields) == 11
            with Image.open(folder / fields[0] / fields[1]) as image:
                assert image.mode == "L"
                rows.append((f"{fields[0]}/{fields[1]}", int(fields[3]), np.asarray(image)))
    return rows


def test_loaders_made_for_the_release_read_an_export(exported: Path) -> None:
    rows = read_as_loaders_do(exported / "pathfinder32" / "curv_baseline")
    expected = [
        row
        for split, size in SIZES.items()
        for row in lra_data.generate("pathfinder/32-easy", split, 0, size).to_pylist()
    ]
    assert [(label, picture.ravel().tolist()) for _, label, picture in rows] == [
        (row["label"], row["inputs"]) for row in expected
    ]
    names = [name for name, _, _ in rows]
    assert names[:2] == ["imgs/0/sample_0.png", "imgs/0/sample_1.png"]
    assert names[1000] == "imgs/1/sample_0.png"  # batches of a thousand, begun anew for each split
    assert names[-1] == "imgs/3/sample_29.png"


def test_metadata_lines_are_those_of_the_release(exported: Path) -> None:
    lines = (exported / "pathfinder32" / "curv_baseline" / "metadata" / "0.npy").read_text().splitlines()
    label = lra_data.take("pathfinder/32-easy", "train", [0])["label"][0].as_py()
    assert lines[0] == f"imgs/0 sample_0.png 0 {label} 1.0 6 2 2 0.5 1 1"


def test_folders_are_those_of_the_release(tmp_path: Path) -> None:
    rows = VirtualRows(get_task("path-x"), 0)
    rows.sizes = {"train": 2, "validation": 1, "test": 1}
    written = {path.relative_to(tmp_path).as_posix() for path in export(rows, tmp_path)}
    assert "pathfinder128/curv_contour_length_14/imgs/0/sample_1.png" in written
    assert "pathfinder128/curv_contour_length_14/metadata/2.npy" in written
    assert len(written) == 7


def test_a_release_is_converted_in_lras_order_and_splits(exported: Path, tmp_path: Path) -> None:
    task = open_release(Corpus(exported, allow_partial=True))
    assert task.name == "pathfinder/release-32-easy"
    assert task.corpus is not None
    lra_data.build(task, tmp_path, formats=["arrow", "parquet", "webdataset"], num_shards=2, workers=2)
    built = tmp_path / "pathfinder" / "release-32-easy"
    assert verify(built) == []
    assert "every row (labels cannot be derived) as they should be" in run("verify", str(built)).stdout
    released = {name: (label, picture) for name, label, picture in read_as_loaders_do(task.corpus.known_path)}
    order = []
    for split in SIZES:
        for row in BuiltRows(built).take(split, range(task.sizes[split])).to_pylist():
            name = f"imgs/{row['batch']}/sample_{row['sample']}.png"
            label, picture = released[name]
            assert (row["label"], row["inputs"]) == (label, picture.ravel().tolist())
            order.append(
                hashlib.md5(f"easyimgs/{row['batch']}_sample_{row['sample']}.png_{row['sample'] + 1}".encode())
            )
    assert len(order) == sum(SIZES.values())
    digests = [digest.digest() for digest in order]
    assert digests == sorted(digests)
    # A part of the release is cut by the digests' values, so near 80 and 90 %.
    assert abs(task.sizes["train"] / len(order) - 0.8) < 0.05
    card = (built / "README.md").read_text()
    assert "This is not the whole release of 200,000 pictures" in card
    assert BuiltRows(built).task.record()["release"]["partial"] is True


def test_a_whole_release_is_cut_at_the_exact_places() -> None:
    pictures = [
        ReleasedPicture(batch=n // 1000, sample=n % 1000, line=n % 1000 + 1, label=0, contour_length=14, margin=1)
        for n in range(RELEASED)
    ]
    splits = in_splits(pictures, "hard")
    assert [len(rows) for rows in splits.values()] == [160_000, 20_000, 20_000]
    part = in_splits(pictures[:50_000], "hard")
    split_of = {picture.file: split for split, rows in splits.items() for picture in rows}
    moved = sum(split_of[picture.file] != split for split, rows in part.items() for picture in rows)
    assert moved < 250  # only next to the cuts


def test_damaged_files_are_refused_or_left_out_and_named(copy: Path, tmp_path: Path) -> None:
    (copy / "imgs/0/sample_172.png").write_bytes(b"")
    (copy / "imgs/0/sample_5.png").unlink()
    whole = (copy / "imgs/1/sample_3.png").read_bytes()
    (copy / "imgs/1/sample_3.png").write_bytes(whole[:80])
    with pytest.raises(
        SetError, match=r"expected the 200,000 pictures of the release, got 1,080, 2 missing or empty, such"
    ):
        open_release(Corpus(copy))
    task = open_release(Corpus(copy, allow_partial=True))
    assert task.facts["left_out"] == ["imgs/0/sample_172.png", "imgs/0/sample_5.png", "imgs/1/sample_3.png"]
    assert sum(task.sizes.values()) == 1077
    lra_data.build(task, tmp_path / "sets")
    assert (
        "3 files were left out: imgs/0/sample_172.png"
        in (tmp_path / "sets/pathfinder/release-32-easy/README.md").read_text()
    )


def test_a_converted_shard_is_repaired_from_the_copy(copy: Path, tmp_path: Path) -> None:
    task = open_release(Corpus(copy, allow_partial=True))
    lra_data.build(task, tmp_path)
    built = tmp_path / "pathfinder" / "release-32-easy"
    shard = built / "test-00000-of-00001.arrow"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1])
    with pytest.raises(SetError, match="name it with --corpus"):
        repair(built)
    assert repair(built, corpus=copy) == [shard.name]
    assert shard.read_bytes() == whole
    (copy / "metadata/0.npy").write_text("imgs/0 sample_0.png 0 0 1.0 6 2 2 0.5 1 1\n")
    shard.unlink()
    with pytest.raises(SetError, match="expected metadata with digest"):
        repair(built, corpus=copy)


def test_a_picture_in_two_splits_is_counted(copy: Path, tmp_path: Path) -> None:
    """A corpus is what it is: generated sets refuse this, a converted one says it."""
    pictures, _ = read_metadata(copy)
    splits = in_splits(pictures, "easy")
    shutil.copy(copy / splits["train"][0].file, copy / splits["test"][0].file)
    manifest = lra_data.build(open_release(Corpus(copy, allow_partial=True)), tmp_path)
    assert manifest.overlaps == {"train and test": 1}
    card = (tmp_path / "pathfinder" / "release-32-easy" / "README.md").read_text()
    assert (
        "**Examples that stand in two splits, as the build found by the digests of all rows: 1 in train and test.**"
        in card
    )


def test_what_is_asked_must_be_there(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected one folder pathfinder64/\* with imgs and metadata"):
        open_release(Corpus(exported, allow_partial=True), res=64)
    with pytest.raises(SetError, match="expected contours of hard paddles"):
        open_release(Corpus(exported / "pathfinder32" / "curv_baseline", allow_partial=True), difficulty="hard")
    with pytest.raises(SetError, match="expected pictures of 64 pixels, got 32"):
        open_release(Corpus(exported / "pathfinder32" / "curv_baseline", allow_partial=True), res=64)
    (tmp_path / "metadata").mkdir()
    with pytest.raises(SetError, match="expected metadata of pictures, found none"):
        open_release(Corpus(tmp_path, allow_partial=True))


def test_arrays_of_the_original_generator_are_read_like_text(copy: Path) -> None:
    text = copy / "metadata/1.npy"
    fields = [line.split(" ") for line in text.read_text().splitlines()]
    before, _ = read_metadata(copy)
    with text.open("wb") as file:
        np.save(file, np.array(fields))
    assert read_metadata(copy) == (before, [])


def test_the_originals_own_pictures_are_converted(tmp_path: Path) -> None:
    folder = unpacked(tmp_path)
    task = open_release(Corpus(folder, allow_partial=True), res=128)
    pictures, labels = original_pictures("128-easy")
    assert sum(task.sizes.values()) == len(labels)
    rows = [row for split, size in task.sizes.items() for row in task.take(split, range(size)).to_pylist()]
    assert sorted((row["label"], bytes(row["inputs"])) for row in rows) == sorted(
        (int(label), picture.tobytes()) for label, picture in zip(labels, pictures, strict=True)
    )


class TestAudit:
    @pytest.mark.slow
    def test_our_own_export_has_nothing_but_its_size_against_it(self, exported: Path) -> None:
        found = audit(exported, traced=300)
        assert found.faults == [f"metadata: expected {RELEASED:,} pictures as in the release, got 1,080"]
        assert found.facts["resolution"] == 32
        assert found.facts["difficulty"] == "easy"

    def test_every_planted_fault_is_listed(self, copy: Path) -> None:
        images = copy / "imgs"
        (images / "0/sample_1.png").write_bytes(b"")
        (images / "0/sample_2.png").write_bytes((images / "0/sample_2.png").read_bytes()[:60])
        (images / "0/sample_3.png").unlink()
        (images / "0/sample_5.png").write_bytes((images / "0/sample_4.png").read_bytes())
        (images / "0/sample_6.png").write_bytes(png_bytes(np.zeros((32, 32), dtype=np.uint8)))
        (images / "0/sample_7.png").write_bytes(png_bytes(np.eye(16, dtype=np.uint8)))
        (images / "0/extra.png").write_bytes(b"x")
        lines = (copy / "metadata/0.npy").read_text().splitlines()
        lines[8] = lines[8].replace("sample_8.png", "sample_9.png")
        lines[10] = "imgs/0 sample_10.png"
        lines[11] = lines[11].replace(" 1.0 6 ", " 1.0 9 ")
        (copy / "metadata/0.npy").write_text("\n".join(lines) + "\n")
        (copy / "metadata/7.npy").write_text("")
        (copy / "metadata/8.npy").write_bytes(b"\xff\xfe")
        result = run("audit", str(copy), "--traced", "0", "--json")
        assert result.returncode == 1
        faults = json.loads(result.stdout)["faults"]
        for part in (
            "metadata/0.npy line 11: expected `imgs/<b> sample_<i>.png <n> <0 or 1> …`, got 'imgs/0 sample_10.png'",
            "metadata/7.npy: expected one line per picture, got an empty file",
            "metadata/8.npy: expected a text file",
            "metadata: expected 200,000 pictures as in the release, got 1,079",
            "imgs/0/sample_9.png: expected one line of metadata, got 2",
            "imgs/0/extra.png: expected a line of metadata, got none",
            "imgs/0/sample_8.png: expected a line of metadata, got none",
            "imgs/0/sample_10.png: expected a line of metadata, got none",
            "metadata: expected contours of one length, 6, 9 or 14, got {6: 1078, 9: 1}",
            "imgs/0/sample_1.png: expected a PNG picture, got an empty file",
            "imgs/0/sample_2.png: expected a PNG picture, got",
            "imgs/0/sample_3.png: expected a picture, as its metadata says, got: No such file",
            "imgs/0/sample_6.png: expected a picture, got one grey value",
            "imgs/0/sample_7.png: expected 32 x 32 grey pixels, got 16 x 16",
            "imgs/0/sample_5.png: expected a picture other than imgs/0/sample_4.png, got the same (",
        ):
            assert sum(fault.startswith(part) for fault in faults) == 1, part
        assert len(faults) == 15

    @pytest.mark.slow
    def test_labels_that_do_not_belong_to_the_pictures_are_found(self, tmp_path: Path) -> None:
        """The case of the released 128-pixel images, as one report has it: sound pictures with the labels of others."""
        rows = VirtualRows(get_task("pathfinder/128-easy"), 0)
        rows.sizes = {"train": 300, "validation": 20, "test": 20}
        export(rows, tmp_path / "out")
        folder = tmp_path / "out" / "pathfinder128" / "curv_baseline"
        assert len(audit(folder).faults) == 1
        lines = (folder / "metadata/0.npy").read_text().splitlines()
        labels = [line.split(" ")[3] for line in lines]
        moved = [
            " ".join([*line.split(" ")[:3], label, *line.split(" ")[4:]])
            for line, label in zip(lines, labels[::-1], strict=True)
        ]
        (folder / "metadata/0.npy").write_text("\n".join(moved) + "\n")
        [_, fault] = audit(folder).faults
        assert fault.startswith("labels: expected the tracer to agree with")
        assert "labels and pictures do not belong together" in fault

    def test_pictures_across_splits_are_told_apart(self, copy: Path) -> None:
        task = open_release(Corpus(copy, allow_partial=True))
        first = {split: task.take(split, [0]).to_pylist()[0] for split in ("train", "test")}
        files = {split: copy / f"imgs/{row['batch']}/sample_{row['sample']}.png" for split, row in first.items()}
        files["test"].write_bytes(files["train"].read_bytes())
        faults = audit(copy, traced=0).faults
        assert len(faults) == 2
        assert "(across train and test)" in faults[1] or "(across test and train)" in faults[1]
        assert read_png(files["test"].read_bytes()).shape == (32, 32)
