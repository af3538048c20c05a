"""Exports into a folder that holds others: added, never over them, all or nothing, and beside other exports."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

import lra_data
from lra_data import UsageError, get_task
from lra_data.corpus import Corpus
from lra_data.interop import export_tree as tree_module
from lra_data.interop.export import export
from lra_data.store.row_access import Rows, VirtualRows

pytestmark = pytest.mark.long

SIZES = {"train": 12, "validation": 4, "test": 4}
PICKLES = ["dev", "test", "train"]
# Names that are clearly temporary.
SCRATCH = ".export"


def small(name: str) -> Rows:
    rows = VirtualRows(get_task(name), 0)
    rows.sizes = SIZES
    return rows


def partial(name: str, corpora: dict[str, Path]) -> Rows:
    rows = VirtualRows(get_task(name).over(Corpus(corpora[name.partition("/")[0]], allow_partial=True)), 0)
    rows.sizes = SIZES
    return rows


def contents(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    """Bytes, inode and time of change of every file."""
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_ino, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def plain_bytes(folder: Path) -> dict[str, bytes]:
    return {name: data for name, (data, *_) in contents(folder).items()}


def alone(rows: Rows, folder: Path, layout: str) -> dict[str, bytes]:
    """What the export is where nothing else is."""
    export(rows, folder, layout=layout)
    return plain_bytes(folder)


@pytest.mark.slow
def test_three_difficulties_make_one_release(tmp_path: Path) -> None:
    expected: dict[str, bytes] = {}
    for difficulty in ("easy", "intermediate", "hard"):
        before = contents(tmp_path / "release") if expected else {}
        export(small(f"pathfinder/32-{difficulty}"), tmp_path / "release")
        expected |= alone(small(f"pathfinder/32-{difficulty}"), tmp_path / difficulty, "lra-release")
        after = contents(tmp_path / "release")
        assert {name: after[name] for name in before} == before
        assert {name: data for name, (data, *_) in after.items()} == expected
    assert sorted(path.name for path in (tmp_path / "release" / "pathfinder32").iterdir()) == [
        "curv_baseline",
        "curv_contour_length_14",
        "curv_contour_length_9",
    ]
    assert [path.name for path in (tmp_path / "release").iterdir()] == ["pathfinder32"]


@pytest.mark.parametrize("layout", ["nystromformer", "skyformer"])
def test_five_tasks_pickles_lie_in_one_folder(layout: str, corpora: dict[str, Path], tmp_path: Path) -> None:
    sets = [small("listops/mini"), small("pathfinder/32-hard")]
    sets += [partial(name, corpora) for name in ("text/lra", "image/lra", "retrieval/by-pair")]
    expected: dict[str, bytes] = {}
    for number, rows in enumerate(sets):
        export(rows, tmp_path / "datasets", layout=layout)
        expected |= alone(rows, tmp_path / str(number), layout)
    found = plain_bytes(tmp_path / "datasets")
    shortfalls = [rows.task.card.shortfall for rows in sets if rows.task.card.shortfall]
    assert len(shortfalls) == 3
    assert found.pop("INCOMPLETE.txt").decode().splitlines() == shortfalls
    expected.pop("INCOMPLETE.txt")
    assert found == expected
    assert len(found) == 15


def test_what_a_corpus_lacks_is_told_once(corpora: dict[str, Path], tmp_path: Path) -> None:
    for layout in ("nystromformer", "skyformer"):
        rows = partial("text/lra", corpora)
        export(rows, tmp_path, layout=layout)
    assert (tmp_path / "INCOMPLETE.txt").read_text() == f"{rows.task.card.shortfall}\n"


def test_files_that_are_there_are_named_and_kept(tmp_path: Path) -> None:
    """One of three is enough; a link that leads nowhere counts too, and so does a file where a folder has to be."""
    cases = {
        "nystromformer": ("listops/mini", "listops.dev.pickle"),
        "lra-release": ("pathfinder/32-hard", "pathfinder32/curv_contour_length_14/metadata/7.npy"),
        "mega": ("listops/lra", "label-bin/train"),
        "s4": ("pathfinder/32-hard", "pathfinder"),
    }
    for layout, (name, there) in cases.items():
        folder = tmp_path / layout
        (folder / there).parent.mkdir(parents=True)
        (folder / there).write_text("of somebody else")
        (folder / "notes").write_text("theirs too")
        before = contents(folder)
        with pytest.raises(UsageError) as caught:
            export(small(name), folder, layout=layout)
        assert "\n" not in str(caught.value)
        assert str(caught.value).startswith("expected a new or empty folder, or one without the files of this set, ")
        assert there.split("/")[0] in str(caught.value).partition("move away ")[2]
        assert contents(folder) == before
        assert not (folder / SCRATCH).exists()
    link = tmp_path / "links" / "listops.train.pickle"
    link.parent.mkdir()
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"move away listops\.train\.pickle$"):
        export(small("listops/mini"), link.parent, layout="nystromformer")
    assert os.readlink(link) == str(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_the_same_set_again_is_refused_before_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = small("listops/mini")
    export(rows, tmp_path, layout="nystromformer")
    monkeypatch.setattr(rows, "batches", lambda split: pytest.fail("read rows"))
    with pytest.raises(
        UsageError, match=r"move away listops\.test\.pickle, listops\.dev\.pickle, listops\.train\.pickle$"
    ):
        export(rows, tmp_path, layout="nystromformer")


def test_an_empty_folder_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "pathfinder32" / "curv_contour_length_14").mkdir(parents=True)
    export(small("pathfinder/32-hard"), tmp_path)
    assert (tmp_path / "pathfinder32" / "curv_contour_length_14" / "metadata" / "0.npy").is_file()


def test_a_file_and_a_built_set_are_no_trees(small_set: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match=r"expected a folder, got the file .*file: export to another"):
        export(small("listops/mini"), tmp_path / "file")
    before = sorted(small_set.iterdir())
    with pytest.raises(UsageError, match=r"expected a folder for exported files, .* holds a built set"):
        export(small("listops/mini"), small_set)
    assert sorted(small_set.iterdir()) == before


@pytest.mark.parametrize("moved", [0, 1, 2])
@pytest.mark.parametrize("layout", ["nystromformer", "mega"])
def test_a_move_that_fails_leaves_the_tree_as_it_was(
    layout: str, moved: int, corpora: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files are moved one after the other; those that were moved are taken back, the note of what is missing too."""
    export(small("listops/mini"), tmp_path, layout="skyformer")
    before = contents(tmp_path)
    rename, calls = tree_module._rename_new, iter(range(10))

    def fails(source: Path, target: Path) -> None:
        if target.name != "INCOMPLETE.txt" and next(calls) == moved:
            raise OSError(28, "No space left on device")
        rename(source, target)

    rows = partial("retrieval/by-pair", corpora)
    with monkeypatch.context() as patch:
        patch.setattr(tree_module, "_rename_new", fails)
        with pytest.raises(lra_data.BuildError, match="the disk is full"):
            export(rows, tmp_path, layout=layout)
    assert contents(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(before)
    export(rows, tmp_path, layout=layout)
    assert len(contents(tmp_path)) > len(before)


# A process that is killed at a moment: after it has written K files, or moved K of them.
KILLED = """
import os, signal, sys
from pathlib import Path
from lra_data import get_task
from lra_data.interop import export, export_tree as tree, pickles
from lra_data.store.row_access import VirtualRows

out, moment, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
module, name = (pickles, "write_pickle") if moment == "written" else (tree, "_rename_new")
whole, calls = getattr(module, name), iter(range(10))

def killed(*arguments):
    if next(calls) == count:
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(*arguments)

setattr(module, name, killed)
rows = VirtualRows(get_task("listops/mini"), 0)
rows.sizes = {"train": 12, "validation": 4, "test": 4}
export.export(rows, out, layout="nystromformer")
"""


@pytest.mark.parametrize(("moment", "count"), [("written", 1), ("moved", 0), ("moved", 2)])
def test_a_kill_leaves_nothing_that_looks_whole(moment: str, count: int, tmp_path: Path) -> None:
    """Before all is written: the tree as it was. After that: the next export finishes the moves."""
    tree = tmp_path / "tree"
    export(small("listops/mini"), tree, layout="skyformer")
    before = contents(tree)
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tree), moment, str(count)], check=False)
    assert ended.returncode == -9
    moved = ["listops.test.pickle", "listops.dev.pickle"][: count if moment == "moved" else 0]
    # Without the file that a reader opens first, listops.train.pickle, what was moved is no set.
    assert sorted(path.name for path in tree.iterdir()) == sorted([*before, *moved, SCRATCH])
    assert {name: content for name, content in contents(tree).items() if name in before} == before
    told: list[str] = []
    export(small("pathfinder/32-hard"), tree, layout="nystromformer", tell=told.append)
    whole = [f"listops.{split}.pickle" for split in PICKLES] if moment == "moved" else []
    pictures = [f"pathfinder32-curv_contour_length_14.{split}.pickle" for split in PICKLES]
    assert sorted(contents(tree)) == sorted([*before, *whole, *pictures])
    assert not (tree / SCRATCH).exists()
    expected = alone(small("listops/mini"), tmp_path / "alone", "nystromformer")
    assert {name: plain_bytes(tree)[name] for name in whole} == (expected if whole else {})
    assert [message.partition(":")[0] for message in told] == ["finished an export that was interrupted"] * bool(whole)


def test_names_that_others_took_meanwhile_are_theirs(tmp_path: Path) -> None:
    """A run was killed between its moves, and somebody put a file where it had still to move one."""
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), "moved", "2"], check=False)
    assert ended.returncode == -9
    (tmp_path / "listops.train.pickle").write_text("of somebody else")
    told: list[str] = []
    export(small("pathfinder/32-hard"), tmp_path, layout="nystromformer", tell=told.append)
    assert told[0].startswith("removed an export that was interrupted and cannot be finished: ")
    pictures = [f"pathfinder32-curv_contour_length_14.{split}.pickle" for split in PICKLES]
    assert sorted(contents(tmp_path)) == sorted(["listops.train.pickle", *pictures])
    assert (tmp_path / "listops.train.pickle").read_text() == "of somebody else"


class Waiting(VirtualRows):
    """Rows whose test split waits, so that an export stops when most of it is written."""

    def __init__(self, name: str) -> None:
        super().__init__(get_task(name), 0)
        self.sizes = SIZES
        self.reached, self.go_on = threading.Event(), threading.Event()

    def batches(self, split: str) -> Iterator[pa.RecordBatch]:
        if split == "test":
            self.reached.set()
            assert self.go_on.wait(60)
        yield from super().batches(split)


@pytest.mark.parametrize("layout", ["nystromformer", "lra-release", "s4", "mega"])
@pytest.mark.parametrize("other", ["pathfinder/32-hard", "listops/mini"])
def test_two_exports_at_once(layout: str, other: str, tmp_path: Path) -> None:
    """Of two sets both are there at the end; of the same set the one that is finished first, untouched."""
    rows, failures = Waiting("listops/mini"), []

    def first() -> None:
        try:
            export(rows, tmp_path / "tree", layout=layout)
        except UsageError as error:
            failures.append(str(error))

    thread = threading.Thread(target=first)
    thread.start()
    assert rows.reached.wait(60)
    export(small(other), tmp_path / "tree", layout=layout)
    visible = contents(tmp_path / "tree")
    finished = {name: content for name, content in visible.items() if not name.startswith(SCRATCH)}
    rows.go_on.set()
    thread.join(60)
    expected = alone(small("listops/mini"), tmp_path / "alone", layout)
    if other == "listops/mini":
        assert len(failures) == 1
        assert "move away" in failures[0]
        assert contents(tmp_path / "tree") == finished
    else:
        assert not failures
        expected |= alone(small(other), tmp_path / "other", layout)
    assert plain_bytes(tmp_path / "tree") == expected
    assert not (tmp_path / "tree" / SCRATCH).exists()


@pytest.mark.parametrize(("layout", "there"), [("nystromformer", "listops.train.pickle"), ("mega", "src-bin/dict.txt")])
def test_a_name_taken_at_the_last_moment_is_not_replaced(
    layout: str, there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the move."""
    (tmp_path / there).parent.mkdir(exist_ok=True)
    (tmp_path / there).write_text("of somebody else")
    before = contents(tmp_path)
    monkeypatch.setattr(tree_module.Addition, "refuse_what_is_there", lambda *_: None)
    with pytest.raises(UsageError, match=rf"move away {there.split('/', maxsplit=1)[0]}"):
        export(small("listops/mini"), tmp_path, layout=layout)
    assert contents(tmp_path) == before
    assert not (tmp_path / SCRATCH).exists()


def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    expected = alone(small("listops/mini"), tmp_path / "alone", "nystromformer")
    assert sorted(expected) == [f"listops.{split}.pickle" for split in PICKLES]
    with pytest.raises(UsageError, match="move away"):
        export(small("listops/mini"), tmp_path / "alone", layout="nystromformer")
    assert plain_bytes(tmp_path / "alone") == expected
