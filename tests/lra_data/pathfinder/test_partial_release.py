"""A copy of the release with every kind of damage: what the audit names is left out and counted; nothing else moves."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lra_data
from lra_data import SetError
from lra_data.building.repair import repair
from lra_data.corpus import Corpus
from lra_data.pathfinder.released.audit import audit
from lra_data.pathfinder.released.converted_task import ReleasedPathfinder, open_release
from lra_data.pathfinder.released.layout import RELEASED, ReleasedPicture, in_splits, read_metadata
from lra_data.store.row_access import BuiltRows
from tests.support.commands import run

BATCHES, A_BATCH = 3, 60
BOM = b"\xef\xbb\xbf"


def line(batch: int, sample: int, label: int, length: int = 6) -> str:
    return f"imgs/{batch} sample_{sample}.png {sample} {label} 1.0 {length} 2 2 0.5 1 1\n"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """180 pictures of noise in the release's layout, written here and not by our own exporter."""
    folder = tmp_path / "pathfinder32" / "curv_baseline"
    rng = np.random.default_rng(5)
    (folder / "metadata").mkdir(parents=True)
    for batch in range(BATCHES):
        (folder / "imgs" / str(batch)).mkdir(parents=True)
        for sample in range(A_BATCH):
            picture = Image.fromarray(rng.integers(0, 256, (32, 32)).astype(np.uint8))
            picture.save(folder / f"imgs/{batch}/sample_{sample}.png")
        lines = [line(batch, sample, int(rng.integers(0, 2))) for sample in range(A_BATCH)]
        (folder / f"metadata/{batch}.npy").write_text("".join(lines))
    return folder


Rows = dict[str, tuple[str, int, bytes]]


def rows_of(task: ReleasedPathfinder) -> Rows:
    """Split, label and pixels by file, in the order of the splits."""
    found = {}
    for split, size in task.sizes.items():
        rows = task.take(split, range(size)).to_pylist()
        assert [row["index"] for row in rows] == list(range(size))
        for row in rows:
            found[f"imgs/{row['batch']}/sample_{row['sample']}.png"] = split, row["label"], bytes(row["inputs"])
    return found


def spoil(mode: str) -> Callable[[Path], None]:
    return lambda path: Image.open(path).convert(mode).save(path)


def scale(path: Path) -> None:
    Image.open(path).resize((16, 32)).save(path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "of another mode than 8-bit grey": spoil("RGB"),
    "of another mode than 8-bit grey ": spoil("P"),
    "of another mode than 8-bit grey  ": spoil("1"),
    "of another mode than 8-bit grey   ": spoil("I;16"),
    "of another mode than 8-bit grey    ": spoil("LA"),
    "of another size": scale,
    "unreadable": cut,
    "unreadable ": lambda path: Image.open(path).save(path, format="JPEG"),
    "unreadable  ": replace_by_folder,
    "empty": lambda path: path.write_bytes(b""),
    "missing": Path.unlink,
    "of one grey value": lambda path: Image.new("L", (32, 32), 7).save(path),
}


@pytest.mark.parametrize("cause", DAMAGE)
def test_each_kind_of_damage_is_named_by_the_audit_and_left_out(cause: str, copy: Path) -> None:
    before = rows_of(open_release(Corpus(copy, allow_partial=True)))
    file = "imgs/1/sample_7.png"
    DAMAGE[cause](copy / file)
    assert [fault for fault in audit(copy, traced=0).faults if fault.startswith(file)]
    task = open_release(Corpus(copy, allow_partial=True))
    assert task.facts["left_out"] == [file]
    assert task.facts["source"] == {"left out": {cause.strip(): 1}}
    assert list(rows_of(task).items()) == [item for item in before.items() if item[0] != file]


def test_metadata_that_does_not_fit_is_left_out(copy: Path) -> None:
    before = rows_of(open_release(Corpus(copy, allow_partial=True)))
    path = copy / "metadata/0.npy"
    lines = path.read_text().splitlines(keepends=True)
    lines[3] = "imgs/0 sample_3.png\n"  # cut off
    lines[4] = lines[4].replace(" 1.0 6 ", " 1.0 9 ")
    lines[5] = line(0, 6, 1)  # so sample_6 has two lines, and sample_5 none
    lines[8] = lines[8].replace("sample_8", "sample_08")
    lines[9] = lines[9].replace("imgs/0", "imgs/99999999999")
    lines[10] = lines[10].replace(" 1 1\n", " 200 1\n")  # a margin that the column cannot hold
    lines[11] = lines[11].replace("imgs/0", "imgs/..")
    path.write_text("".join(lines))
    (copy / "metadata/2.npy").write_bytes(b"\xff\xfe\0\0")
    (copy / "metadata/3.npy").write_bytes(b"")
    with pytest.raises(SetError, match=r"\(7 such faults\): `lra-data audit .*` lists them; --allow-partial leaves"):
        open_release(Corpus(copy))
    named = " ".join(audit(copy, traced=0).faults)
    task = open_release(Corpus(copy, allow_partial=True))
    gone = {f"imgs/0/sample_{sample}.png" for sample in (3, 4, 5, 6, 8, 9, 10, 11)}
    assert all(file in named for file in gone - {"imgs/0/sample_4.png"})
    gone |= {f"imgs/2/sample_{sample}.png" for sample in range(A_BATCH)}
    assert list(rows_of(task).items()) == [item for item in before.items() if item[0] not in gone]
    assert task.facts["left_out"] == ["imgs/0/sample_4.png", "imgs/0/sample_6.png"]
    assert task.facts["source"] == {
        "left out": {"with several lines of metadata": 1, "of another contour length": 1},
        "metadata": {
            "pictures without a line": 6 + A_BATCH,
            "lines that cannot be read": 5,
            "files that cannot be read": 2,
        },
    }
    assert task.facts["lost_lines"] == 5


def test_the_build_says_how_many_are_left_out_and_why(copy: Path, tmp_path: Path) -> None:
    """By the command, from the folder above; the set is verified against the copy, and repaired from it."""
    spoil("RGB")(copy / "imgs/0/sample_1.png")
    spoil("P")(copy / "imgs/0/sample_2.png")
    (copy / "imgs/2/sample_3.png").write_bytes(b"")
    (copy / "imgs/0/._sample_1.png").write_bytes(b"x")
    root = copy.parent.parent
    result = run(
        "build", "pathfinder", "--from-release", str(root), "--res", "32", "--allow-partial", "--out", str(root)
    )
    sentences = [
        "3 files were left out: imgs/0/sample_1.png, imgs/0/sample_2.png, imgs/2/sample_3.png.",
        "Causes: 1 empty, 2 of another mode than 8-bit grey.",
        "Passed over in the copy: 1 hidden file.",
    ]
    built = root / "pathfinder" / "release-32-easy"
    assert result.stdout.splitlines()[:3] == sentences
    assert result.stdout.splitlines()[3].startswith(f"{built}: built, 177 examples")
    card = (built / "README.md").read_text()
    assert f"not the whole release of 200,000 pictures.** {' '.join(sentences)}" in card
    counts = json.loads((built / "manifest.json").read_text())["config"]["release"]["source"]
    assert counts == {
        "left out": {"empty": 1, "of another mode than 8-bit grey": 2},
        "passed over": {"hidden files": 1},
    }
    for raw in (root, copy):
        assert lra_data.verify(built, corpus=raw) == []
    shard = built / "test-00000-of-00001.arrow"
    whole = shard.read_bytes()
    shard.write_bytes(b"")
    assert repair(built, corpus=root) == [shard.name]
    assert shard.read_bytes() == whole
    # The same copy without the hidden file goes on with the same set.
    (copy / "imgs/0/._sample_1.png").unlink()
    task = open_release(Corpus(copy, allow_partial=True))
    lra_data.build(task, root)
    assert task.identity() == BuiltRows(built).task.identity()


def test_a_set_of_an_earlier_release_of_this_package_is_still_read(copy: Path, tmp_path: Path) -> None:
    """Manifests had neither lost lines nor counts."""
    (copy / "imgs/0/sample_1.png").unlink()
    task = open_release(Corpus(copy, allow_partial=True))
    lra_data.build(task, tmp_path)
    path = tmp_path / "pathfinder/release-32-easy/manifest.json"
    path.write_text(path.read_text().replace(', "source": {"left out": {"missing": 1}}', ""))
    assert "source" not in BuiltRows(path.parent).task.record()["release"]
    assert lra_data.verify(path.parent, corpus=copy) == []
    assert lra_data.build(task, tmp_path).description.sizes == task.sizes
    assert BuiltRows(path.parent).task.identity() == task.identity()


def test_a_whole_copy_is_not_read_twice_and_a_strange_picture_ends_with_advice(
    copy: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without --allow-partial only sizes of files are looked at first."""
    monkeypatch.setattr("lra_data.pathfinder.released.converted_task.RELEASED", BATCHES * A_BATCH)
    spoil("P")(copy / "imgs/2/sample_7.png")
    task = open_release(Corpus(copy))
    with pytest.raises(SetError) as caught:
        lra_data.build(task, tmp_path)
    assert (
        "imgs/2/sample_7.png: expected a grey picture of 32 x 32 pixels, got 32 x 32 of mode P: `lra-data audit` lists "
        "every fault, --allow-partial leaves those pictures out"
    ) in str(caught.value)
    lines = (copy / "metadata/0.npy").read_text().splitlines(keepends=True)
    (copy / "metadata/0.npy").write_text("".join([lines[1], *lines[1:]]))
    with pytest.raises(SetError, match=r"imgs/0/sample_1\.png: expected one line of metadata, got more \(1 such"):
        open_release(Corpus(copy))


def test_copies_that_nothing_is_left_of(copy: Path) -> None:
    for path in (copy / "imgs").glob("*/*"):
        spoil("RGB")(path)
    with pytest.raises(SetError, match="expected pictures, all 180 are at fault: 180 of another mode than 8-bit grey"):
        open_release(Corpus(copy, allow_partial=True))
    for path in (copy / "metadata").iterdir():
        path.write_text("nothing\n")
    with pytest.raises(SetError, match=r"expected metadata of pictures, found none: metadata/0\.npy line 1: expected"):
        open_release(Corpus(copy, allow_partial=True))


def test_marks_line_ends_and_blank_lines_of_metadata_change_nothing(copy: Path) -> None:
    before = rows_of(open_release(Corpus(copy, allow_partial=True)))
    paths = [copy / f"metadata/{batch}.npy" for batch in range(BATCHES)]
    paths[0].write_bytes(BOM + paths[0].read_bytes())
    paths[1].write_bytes(BOM + paths[1].read_bytes().replace(b"\n", b"\r\n") + b"\r\n\r\n")
    paths[2].write_bytes(paths[2].read_bytes().rstrip(b"\n"))
    task = open_release(Corpus(copy, allow_partial=True))
    assert list(rows_of(task).items()) == list(before.items())
    assert task.card.notices == ("Passed over in the copy: 2 byte order marks, 2 blank lines.",)
    found = audit(copy, traced=0)
    assert found.faults == [f"metadata: expected {RELEASED:,} pictures as in the release, got 180"]
    assert found.facts["passed over"] == "2 byte order marks, 2 blank lines"
    lines = paths[2].read_text().splitlines(keepends=True)
    paths[2].write_text("".join([*lines[:5], "\n", *lines[5:]]))
    assert read_metadata(copy)[1] == [
        "metadata/2.npy line 6: expected `imgs/<b> sample_<i>.png <n> <0 or 1> …`, got ''"
    ]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array("imgs/0"), "expected an array of two dimensions, got 0"),
        (np.array(["imgs/0", "sample_0.png"]), "expected an array of two dimensions, got 1"),
        (np.array([[None]]), "Object arrays cannot be loaded when allow_pickle=False"),
    ],
)
def test_arrays_that_are_no_metadata_are_faults(array: np.ndarray, message: str, copy: Path) -> None:
    with (copy / "metadata/1.npy").open("wb") as file:
        np.save(file, array, allow_pickle=True)
    pictures, faults = read_metadata(copy)
    assert len(pictures) == 2 * A_BATCH
    assert faults == [f"metadata/1.npy: expected a text file with one line per picture, got: {message}"]


def test_arrays_of_python_2_are_read_like_text(copy: Path) -> None:
    """Python 2 wrote bytes where Python 3 writes text."""
    before = read_metadata(copy)
    path = copy / "metadata/1.npy"
    rows = [row.split(" ") for row in path.read_text().splitlines()]
    with path.open("wb") as file:
        np.save(file, np.array(rows, dtype="S"))
    assert read_metadata(copy) == before


def test_lost_lines_move_the_cuts_of_a_whole_release_by_no_more_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lra_data.pathfinder.released.layout.RELEASED", 20_000)
    pictures = [
        ReleasedPicture(batch=n // 1000, sample=n % 1000, line=n % 1000 + 1, label=0, contour_length=14, margin=1)
        for n in range(20_000)
    ]
    split_of = {entry.file: split for split, rows in in_splits(pictures, "hard").items() for entry in rows}
    kept = [entry for number, entry in enumerate(pictures) if number % 5_000]
    moved = sum(
        split_of[entry.file] != split for split, rows in in_splits(kept, "hard", lost=4).items() for entry in rows
    )
    assert moved <= 4
    assert sum(split_of[entry.file] != split for split, rows in in_splits(kept, "hard").items() for entry in rows) > 4
