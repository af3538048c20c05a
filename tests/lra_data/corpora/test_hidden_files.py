"""Names that begin with a dot, and macOS's own folder, are skipped wherever files are looked for, and counted."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lra_data import SetError, get_task
from lra_data.corpora.archive import Limits, Source, stamp
from lra_data.corpora.ignored_files import is_hidden
from lra_data.corpus import Corpus
from lra_data.pathfinder.released.audit import audit
from lra_data.pathfinder.released.converted_task import open_release
from lra_data.pathfinder.released.layout import find_release, read_metadata
from lra_data.task import Task
from tests.support.archives import unpack
from tests.support.tiny_corpora import aan_files, cifar_binary_files, cifar_python_files, imdb_files, write_tar

CORPORA = {"text": imdb_files, "image": cifar_python_files, "retrieval": aan_files}


@pytest.mark.parametrize(
    ("path", "hidden"),
    [
        ("a/._b.txt", True),
        (".DS_Store", True),
        ("__MACOSX/a/b.txt", True),
        ("a/.AppleDouble/b.txt", True),
        ("./a/b.txt", False),
        ("a/b.txt", False),
        ("a/b.", False),
        ("a_MACOSX/b", False),
    ],
)
def test_which_names_are_hidden(path: str, hidden: bool) -> None:
    assert is_hidden(path) is hidden


def with_hidden(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """What systems leave beside each of some files: some have the file's own name in a hidden folder."""
    extra: dict[str, bytes] = {}
    for name in sorted(files)[::20]:
        folder, _, file = name.rpartition("/")
        extra |= {
            f"{folder}/._{file}": b"\0\5\26\7",
            f"{folder}/.DS_Store": b"\0",
            f"{folder}/.AppleDouble/{file}": b"other content",
            f"__MACOSX/{folder}/._{file}": b"\0\5\26\7",
            f"__MACOSX/{name}": b"other content",
        }
    return {**extra, **files}


def task_over(family: str, raw: Path) -> Task:
    return get_task(family).over(Corpus(raw, allow_partial=True))


@pytest.mark.parametrize("family", CORPORA)
@pytest.mark.parametrize("as_folder", [False, True])
def test_a_corpus_among_hidden_files_is_the_same_corpus(family: str, as_folder: bool, tmp_path: Path) -> None:
    files = CORPORA[family]()
    plain = write_tar(tmp_path / "plain.tar.gz", files)
    raw = write_tar(tmp_path / "raw.tar.gz", with_hidden(files))
    if as_folder:
        unpack(raw, tmp_path / "folder")
        raw = tmp_path / "folder"
    expected, task = task_over(family, plain), task_over(family, raw)
    count = len(with_hidden(files)) - len(files)
    assert count > 4
    assert task.record()["corpus"]["source"]["passed over"] == {"hidden files": count}
    assert task.identity() == expected.identity()
    assert task.generate("train", 0, 20).equals(expected.generate("train", 0, 20))
    assert f"Passed over in the copy: {count} hidden files." in task.card.notices


def test_the_binary_layout_too(tmp_path: Path) -> None:
    raw = write_tar(tmp_path / "raw.tar.gz", with_hidden(cifar_binary_files()))
    assert task_over("image", raw).sizes["test"] == 60


def test_a_corpus_that_is_hidden_as_a_whole_is_said(tmp_path: Path) -> None:
    raw = write_tar(tmp_path / "raw.tar.gz", {f".trash/{name}": data for name, data in cifar_python_files().items()})
    with pytest.raises(
        SetError, match=r"expected a train batch, got none \(passed over: 6 hidden files\): this is not"
    ):
        task_over("image", raw)


def test_hidden_folders_are_not_entered(tmp_path: Path) -> None:
    """Volumes hold some that nobody may read, and some that change while nothing of the corpus does."""
    (tmp_path / "a.txt").write_bytes(b"1")
    before = stamp(tmp_path)
    (tmp_path / ".Trashes").mkdir(mode=0)
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "a.txt").write_bytes(b"2")
    (tmp_path / "._gone").symlink_to(tmp_path / "nothing")
    source = Source(tmp_path, Limits(largest=10, total=10))
    assert dict(source.members(lambda name: True)) == {"a.txt": b"1"}
    assert source.facts == {"kind": "folder", "passed over": {"hidden files": 2}}
    assert stamp(tmp_path) == before


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """60 pictures of noise in the release's layout."""
    folder = tmp_path / "pathfinder32" / "curv_baseline"
    rng = np.random.default_rng(6)
    (folder / "metadata").mkdir(parents=True)
    for batch in range(2):
        (folder / "imgs" / str(batch)).mkdir(parents=True)
        lines = []
        for sample in range(30):
            name = f"imgs/{batch}/sample_{sample}.png"
            Image.fromarray(rng.integers(0, 256, (32, 32)).astype(np.uint8)).save(folder / name)
            lines.append(f"imgs/{batch} sample_{sample}.png {sample} {sample % 2} 1.0 6 2 2 0.5 1 1\n")
        (folder / f"metadata/{batch}.npy").write_text("".join(lines))
    return folder


def test_a_release_among_hidden_files(release: Path) -> None:
    plain, faults = open_release(Corpus(release, allow_partial=True)), audit(release, traced=0).faults
    before = read_metadata(release)
    (release / "metadata/._0.npy").write_bytes(b"\0\5\26\7\0\2")
    (release / "metadata/.DS_Store").write_bytes(b"\0")
    (release / "imgs/.DS_Store").write_bytes(b"\0")
    (release / "imgs/0/._sample_0.png").write_bytes(b"\0\5\26\7")
    (release / "imgs/.AppleDouble").mkdir()
    (release / "imgs/.AppleDouble/sample_0.png").write_bytes(b"\0\5\26\7")
    shutil.copytree(release, release.parent / "__MACOSX")
    shutil.copytree(release, release.parent / ".Trash")
    assert find_release(release.parent, None, None) == release
    assert read_metadata(release) == before
    found = audit(release, traced=0)
    assert found.faults == faults
    assert found.facts["passed over"] == "5 hidden files"
    task = open_release(Corpus(release, allow_partial=True))
    assert task.identity() == plain.identity()
    assert task.record()["release"]["source"] == {"passed over": {"hidden files": 5}}
    assert task.card.notices == ("Passed over in the copy: 5 hidden files.",)
    assert task.take("train", [0, 1]).equals(plain.take("train", [0, 1]))
    # A file that no line names is still a fault if it is not hidden.
    (release / "imgs/0/Thumbs.db").write_bytes(b"x")
    assert "imgs/0/Thumbs.db: expected a line of metadata, got none" in audit(release, traced=0).faults
    assert os.listdir(release / "imgs/.AppleDouble") == ["sample_0.png"]
