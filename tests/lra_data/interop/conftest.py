"""Sets and corpora that foreign readers are compared on. Tests must not change them."""

import pickle
from pathlib import Path

import pytest

from lra_data.store.row_access import Rows
from tests.support.foreign_sets import (
    HARD,
    LISTOPS_SIZES,
    PATHFINDER_SIZES,
    Exported,
    build_and_export,
    corpus_rows,
    lay_out_release,
)
from tests.support.real_corpora import CIFAR_PYTHON, real
from tests.support.tiny_corpora import aan_files, cifar_arrays, imdb_files, write_tar


@pytest.fixture(scope="session")
def listops(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return build_and_export("listops/lra", tmp_path_factory.mktemp("listops"), LISTOPS_SIZES)


@pytest.fixture(scope="session")
def long_listops(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Expressions that both readers cut."""
    sizes = {"train": 12, "validation": 4, "test": 4}
    return build_and_export("listops/4k", tmp_path_factory.mktemp("listops-4k"), sizes)


@pytest.fixture(scope="session")
def pathfinder(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return build_and_export("pathfinder/32-hard", tmp_path_factory.mktemp("pathfinder"), PATHFINDER_SIZES)


@pytest.fixture(scope="session")
def released_pathfinder(pathfinder: Exported, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return lay_out_release(pathfinder.files / HARD, tmp_path_factory.mktemp("release"), reverse_lines=False)


@pytest.fixture(scope="session")
def reversed_release(pathfinder: Exported, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Lines of a batch are not in the order of its files' numbers."""
    return lay_out_release(pathfinder.files / HARD, tmp_path_factory.mktemp("reversed"), reverse_lines=True)


@pytest.fixture(scope="session")
def long_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reviews, some of which are longer than the cut."""
    files = {name: data * (1 + len(data) % 3) if "/0" not in name else data for name, data in imdb_files().items()}
    return write_tar(tmp_path_factory.mktemp("imdb") / "aclImdb.tar.gz", files)


@pytest.fixture(scope="session")
def long_papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Papers on both sides of 4,000 and of 10,000 bytes."""
    files = {
        name: data * (1 + 3 * (len(data) % 6)) if "papers_text" in name else data for name, data in aan_files().items()
    }
    return write_tar(tmp_path_factory.mktemp("aan") / "aanrelease.tar.gz", files)


@pytest.fixture(scope="session")
def dark_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures in the Python layout whose first rows are black."""
    files = {}
    for name, (labels, values) in cifar_arrays().items():
        values.reshape(-1, 3, 1024)[:, :, :40] = 0
        content = {b"batch_label": name.encode(), b"labels": labels.tolist(), b"data": values, b"filenames": []}
        files[f"cifar-10-batches-py/{name}"] = pickle.dumps(content, protocol=2)
    return write_tar(tmp_path_factory.mktemp("cifar") / "cifar-10-python.tar.gz", files)


@pytest.fixture(params=["tiny", "real"])
def cifar(request: pytest.FixtureRequest, dark_pictures: Path) -> Path:
    """The archive in the Python layout, written here or cut from the real one."""
    return dark_pictures if request.param == "tiny" else real(CIFAR_PYTHON)


@pytest.fixture(scope="session")
def awkward_papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Papers with line breaks and every byte, some longer than all cuts, some that CSV readers misread."""
    files = {}
    for number, (name, data) in enumerate(sorted(aan_files().items())):
        text = data
        if "papers_text" in name and data:
            text = [
                data.replace(b"\xe9", b"e") * 3,
                b"caf\xe9 \xff\xfe" + bytes(range(256)) + data * 9,
                b'"Quoted" at its ' + b"beginning, " * 40,
                b"A plain paper\r\nof two lines\tand a tab. " * 300,
                b"na\xc3\xafve and utf-8, " * 30,
            ][number % 5]
        files[name] = text
    files["aan/papers_text/" + sorted(name for name in files if "papers_text/P0" in name)[7].rpartition("/")[2]] = (
        b"null"
    )
    return write_tar(tmp_path_factory.mktemp("aan") / "aanrelease.tar.gz", files)


@pytest.fixture(scope="session")
def papers(awkward_papers: Path) -> Rows:
    rows = corpus_rows("retrieval/by-pair", awkward_papers)
    rows.sizes = {"train": 110, "validation": 20, "test": 20}
    return rows


@pytest.fixture(scope="session")
def long_reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reviews on both sides of 1,000 and 4,000 bytes, with line breaks and letters that are not ASCII."""
    files = {
        name: data + b"\n\x85caf\xc3\xa9\r\n".replace(b"\x85", b"") + data * (len(data) % 7)
        if name.endswith(".txt") and name.split("/")[-2] in ("neg", "pos")
        else data
        for name, data in imdb_files().items()
    }
    return write_tar(tmp_path_factory.mktemp("imdb") / "aclImdb.tar.gz", files)
