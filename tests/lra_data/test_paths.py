"""Paths as users write them: `~`, relative ones after os.chdir, addresses where a folder is due, odd characters."""

import glob
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import lra_data
from lra_data import UsageError
from lra_data.commands.main import cli
from lra_data.corpus import Corpus
from lra_data.downloads.cache_folder import cache_folder
from lra_data.paths import is_address, local_path
from tests.conftest import file_bytes

SIZES = {"train": 12, "validation": 4, "test": 4}
ODD = [
    "with space",
    "100%20",
    "a#b",
    "what?",
    "s*r",
    "[abc]",
    "{a,b}",
    "Größe-数据",
    "new\nline",
    "a::b",
    "-",
    "%7Bx%7D",
    "a&b=c;$HOME",
]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return home


def test_what_a_path_is(home: Path) -> None:
    assert local_path("~/x", "a folder") == home / "x"
    assert local_path(Path("~"), "a folder") == home
    assert local_path("data", "a folder") == Path("data")
    assert local_path("C:/data", "a folder") == Path("C:/data")
    given: Any
    for given in ("", "  ", "a\0b", None, 3, b"data"):
        with pytest.raises(UsageError, match="expected a folder, got "):
            local_path(given, "a folder")
    for address in ("s3://bucket/x", "https://user:secret@host/x?signature=secret", "memory://x", "zip::s3://b/f.zip"):
        for given in (address, Path(address)):
            with pytest.raises(UsageError, match="expected a folder on this machine, got the address ") as caught:
                local_path(given, "a folder")
            assert "\n" not in str(caught.value)
    with pytest.raises(UsageError) as caught:
        local_path("https://user:secret@host/x?signature=secret", "a folder")
    assert "secret" not in str(caught.value)
    assert not is_address("a::b")
    with pytest.raises(UsageError, match="whose home folder is unknown"):
        local_path("~no-such-user/x", "a folder")
    Path("s3:").mkdir()
    assert local_path(Path("s3:/x"), "a folder") == Path("s3:/x")  # a folder of this name is there


def test_the_home_is_understood_everywhere(
    home: Path, small_set: Path, corpora: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    lra_data.build("listops/mini", "~/data", sizes=SIZES)
    assert (home / "data" / "listops" / "mini" / "manifest.json").exists()
    assert len(lra_data.load("listops/mini", split="train", root="~/data")) == 12
    assert len(lra_data.load("~/data/listops/mini", split="train")) == 12
    assert len(lra_data.load(Path("~/data/listops/mini"), split="train")) == 12
    assert lra_data.verify("~/data/listops/mini") == []
    shutil.copy(corpora["text"], home / "text.tar.gz")
    assert len(lra_data.take("text", "test", [0], corpus=Corpus("~/text.tar.gz", allow_partial=True))) == 1
    for arguments in (
        ["verify", "~/data/listops/mini"],
        ["info", "~/data/listops/mini"],
        ["repair", "~/data/listops/mini"],
        ["export", "~/data/listops/mini", "--out", "~/tsv"],
        ["show", "path-x", "--num", "1", "--out", "~/sheet.png"],
        ["show", "text", "--corpus", "~/text.tar.gz", "--allow-partial", "--num", "1"],
        ["build", "text", "--corpus", "~/text.tar.gz", "--allow-partial", "--out", "~/data"],
    ):
        result = CliRunner().invoke(cli, arguments)
        assert result.exit_code == 0, (arguments, result.output, result.exception)
    assert (home / "tsv").is_dir()
    assert (home / "sheet.png").is_file()
    assert list(Path().iterdir()) == []  # no folder called ~
    monkeypatch.setenv("LRA_DATA_CACHE", "~/cache")
    assert cache_folder() == home / "cache"


def test_addresses_in_the_cache_variable(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRA_DATA_CACHE", "s3://bucket/cache")
    with pytest.raises(UsageError, match=r"expected a folder in LRA_DATA_CACHE on this machine, got the address s3://"):
        lra_data.load("text", split="train")[0]


def test_a_cache_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LRA_DATA_CACHE")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as for a user that no one knows
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    with pytest.raises(UsageError, match="expected a home folder for the cache, found none: set LRA_DATA_CACHE"):
        cache_folder()


COMMANDS = [
    ["build", "text", "--corpus", "https://host/aclImdb_v1.tar.gz", "--out", "out"],
    ["build", "retrieval", "--corpus", "aan", "--pairs", "s3://bucket/pairs", "--out", "out"],
    ["build", "pathfinder", "--from-release", "https://host/lra_release", "--out", "out"],
    ["show", "path-x", "--num", "1", "--out", "s3://bucket/sheet.png"],
    ["explain", "path-x", "test", "0", "--out", "memory://sheet.png"],
    ["export", "listops/mini", "--out", "s3://bucket/tsv"],
    ["audit", "s3://bucket/release"],
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: " ".join(arguments[:2]))
def test_addresses_where_a_folder_is_due(home: Path, arguments: list[str]) -> None:
    result = CliRunner().invoke(cli, arguments)
    assert isinstance(result.exception, UsageError), result.output
    assert "on this machine, got the address " in str(result.exception)
    assert "\n" not in str(result.exception)
    assert list(Path().iterdir()) == []


ZOO = [
    ["train", "listops/mini", "local", "--steps", "1", "--out", "s3://bucket/runs"],
    ["table", "s3://bucket/runs"],
    ["table", "--out", "https://host/table.md"],
    ["efficiency", "--quick", "--out", "s3://bucket/rows.jsonl"],
    ["draw", "--out", "memory://images"],
    ["check", "listops/mini", "--checkpoints", "s3://bucket/runs"],
    ["evaluate", "s3://bucket/runs/listops/mini/local", "listops/mini"],
    ["span", "s3://bucket/runs/listops/mini/local", "listops/mini"],
]


@pytest.mark.parametrize("arguments", ZOO, ids=lambda arguments: " ".join(arguments[:2]))
def test_addresses_in_the_zoo(home: Path, arguments: list[str]) -> None:
    pytest.importorskip("torch")
    from reference_models.commands.main import cli as zoo

    result = CliRunner().invoke(zoo, arguments)
    assert isinstance(result.exception, UsageError), (result.output, result.exception)
    assert "on this machine, got the address " in str(result.exception)
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    "call",
    [
        lambda address: lra_data.load("text", split="test", corpus=address),
        lambda address: lra_data.load("retrieval", split="test", corpus=Corpus(pairs=address)),
        lambda address: lra_data.take("text", "test", [0], corpus=address),
    ],
)
def test_addresses_from_python(home: Path, call: Callable[[Any], Any]) -> None:
    for address in ("s3://bucket/x", Path("s3://bucket/x")):
        with pytest.raises(UsageError, match="on this machine, got the address s3://bucket/x"):
            call(address)
    assert list(Path().iterdir()) == []


@pytest.fixture
def moved(tmp_path: Path, small_root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The current folder has the set as `data`; a call changes to another one, which is empty."""
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    (tmp_path / "here" / "data").symlink_to(small_root)
    monkeypatch.chdir(tmp_path / "here")
    return lambda: os.chdir(tmp_path / "there")


@pytest.mark.parametrize("format_name", ["arrow", "parquet", "webdataset"])
def test_a_relative_root_after_chdir(moved: Callable[[], None], format_name: str) -> None:
    train = lra_data.load("listops/mini", split="train", root="data", format_name=format_name)
    by_folder = lra_data.load("data/listops/mini", split="train", format_name=format_name)
    batches = train.batches(64)
    moved()
    first = next(batches)
    assert first.indices.tolist() == list(range(64))
    assert by_folder[70]["index"] == 70
    assert next(iter(train))["index"] == 0
    assert all(path.is_absolute() and path.exists() for path in train.files())


def test_a_relative_root_in_the_workers_of_a_loader(moved: Callable[[], None]) -> None:
    pytest.importorskip("torch")
    from lra_data.loading.frameworks.torch_batches import TorchLoader

    loader = TorchLoader(lra_data.load("listops/mini", split="train", root="data").batches(500), num_workers=1)
    moved()
    assert [len(batch.labels) for batch in loader] == [500, 500, 500]


def test_a_relative_corpus_after_chdir(
    tmp_path: Path, corpora: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    shutil.copy(corpora["text"], tmp_path / "text.tar.gz")
    monkeypatch.chdir(tmp_path)
    dataset = lra_data.load("text", split="test", corpus=Corpus("text.tar.gz", allow_partial=True))
    expected = lra_data.take("text", "test", [1], corpus=Corpus(corpora["text"], allow_partial=True))
    monkeypatch.chdir("there")
    from lra_data.text import reviews

    for name in dir(reviews):
        if hasattr(cached := getattr(reviews, name), "cache_clear"):
            cached.cache_clear()  # it must be read again, from the same place
    assert np.array_equal(dataset[1]["inputs"], expected["inputs"][0].values.to_numpy())


def test_a_build_whose_caller_changes_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    lra_data.build("listops/mini", "data", sizes=SIZES, progress=lambda _: os.chdir(tmp_path / "there"))
    assert lra_data.verify(tmp_path / "data" / "listops" / "mini") == []
    assert list((tmp_path / "there").iterdir()) == []


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tiny")
    lra_data.build("listops/mini", root, formats=("arrow", "parquet", "webdataset"), sizes=SIZES)
    return root


@pytest.mark.parametrize("name", ODD)
def test_odd_characters_in_our_readers(tmp_path: Path, tiny: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lra_data.build("listops/mini", name, formats=("arrow", "parquet", "webdataset"), sizes=SIZES)
    assert file_bytes(tmp_path / name / "listops" / "mini") == file_bytes(tiny / "listops" / "mini")
    assert lra_data.verify(f"{name}/listops/mini") == []
    expected = lra_data.generate("listops/mini", "train", 0, 12)
    for format_name in ("arrow", "parquet", "webdataset"):
        train = lra_data.load("listops/mini", split="train", root=name, format_name=format_name)
        assert train[:].equals(expected)
        assert next(train.batches(12)).indices.tolist() == list(range(12))
    result = CliRunner().invoke(cli, ["verify", str(tmp_path / name / "listops" / "mini")])
    assert result.exit_code == 0, result.output
    result = CliRunner().invoke(cli, ["export", f"./{name}/listops/mini", "--out", f"./{name}/tsv"])
    assert result.exit_code == 0, result.exception
    assert (tmp_path / name / "tsv" / "basic_train.tsv").read_bytes().count(b"\n") == 1 + SIZES["train"]


# webdataset leaves its files open.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ODD)
def test_odd_characters_in_other_libraries(
    tmp_path: Path, tiny: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets
    import duckdb
    import polars

    from lra_data.loading.frameworks.hf_datasets import to_hf
    from lra_data.loading.frameworks.webdataset_pipeline import webdataset_pipeline

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    shutil.copytree(tiny, tmp_path / name / "data")
    root = tmp_path / name / "data"
    train = lra_data.load("listops/mini", split="train", root=root)
    mapped = to_hf(train).map(lambda row: {"twice": 2 * row["label"]})
    assert mapped["twice"][:] == [2 * label for label in train[:]["label"].to_pylist()]
    tar = lra_data.load("listops/mini", split="train", root=root, format_name="webdataset")
    assert [row["index"] for row in webdataset_pipeline(tar)] == list(range(12))
    parquet = lra_data.load("listops/mini", split="train", root=root, format_name="parquet")
    files = [str(path) for path in parquet.files()]
    assert polars.scan_parquet(files, glob=False).select("index").collect()["index"].to_list() == list(range(12))
    escaped = [glob.escape(file) for file in files]
    assert duckdb.read_parquet(escaped).aggregate("count(*)").fetchall() == [(12,)]


@pytest.mark.parametrize("name", [name for name in ODD if name != "a::b"])
def test_odd_characters_in_an_address(tmp_path: Path, tiny: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRA_DATA_CACHE", str(tmp_path / name / "cache"))
    shutil.copytree(tiny, tmp_path / name / "data")
    train = lra_data.load("listops/mini", split="train", root=f"file://{tmp_path}/{name}/data")
    assert train[:].equals(lra_data.generate("listops/mini", "train", 0, 12))
    assert next(train.batches(12, shuffle=True)).labels.shape == (12,)
