"""Sets of converted corpora: same bytes for any workers and after kills, verified and repaired against the corpus."""

import os
import shutil
from pathlib import Path
from typing import Any

import datasets
import pytest
import webdataset

import lra_data
from lra_data import LraDataError, SetError, UsageError, get_task
from lra_data.arrow_columns import text_column
from lra_data.building.repair import repair
from lra_data.checking.verify import verify
from lra_data.corpus import Corpus
from lra_data.interop.export import export
from lra_data.store.row_access import VirtualRows
from tests.conftest import ALL_FORMATS, file_bytes
from tests.support.archives import unpack
from tests.support.commands import run
from tests.support.real_corpora import IMDB, real
from tests.support.small_builds import Interruption, OneAtATime
from tests.support.tiny_corpora import imdb_files, write_tar

pytestmark = pytest.mark.long

PRESETS = [
    *("text/lra", "image/rgb"),
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("text/holdout", "image/lra", "retrieval/by-pair", "retrieval/by-paper")
    ),
]


def build(name: str, corpora: dict[str, Path], root: Path, **options: Any) -> Path:
    task = get_task(name)
    given = {
        "corpus": Corpus(corpora[task.family], allow_partial=True),
        "formats": ALL_FORMATS,
        "num_shards": 3,
        **options,
    }
    manifest = lra_data.build(name, root, **given)
    return root / task.family / manifest.description.variant


@pytest.mark.parametrize("name", PRESETS)
def test_workers_stops_and_folders_make_no_difference(name: str, corpora: dict[str, Path], tmp_path: Path) -> None:
    """Two workers, a stopped build and the unpacked folder give the bytes that one process gives from the archive."""
    once = build(name, corpora, tmp_path / "once")
    twice = build(name, corpora, tmp_path / "two", workers=2)
    assert file_bytes(once) == file_bytes(twice)
    with pytest.raises(Interruption):
        build(name, corpora, tmp_path / "stopped", engine=OneAtATime(lambda jobs: jobs, stop_after=2))
    assert file_bytes(build(name, corpora, tmp_path / "stopped")) == file_bytes(once)

    family = name.partition("/")[0]
    unpack(corpora[family], tmp_path / "unpacked")
    unpacked = build(name, {family: tmp_path / "unpacked"}, tmp_path / "folder")
    shards = {file: data for file, data in file_bytes(unpacked).items() if file.startswith(("train", "val", "test"))}
    assert shards == {file: data for file, data in file_bytes(once).items() if file in shards}
    assert len(shards) == 3 * sum(file.endswith(".arrow") for file in shards)


@pytest.mark.parametrize("name", PRESETS)
def test_verify_and_repair_against_the_corpus(name: str, corpora: dict[str, Path], tmp_path: Path) -> None:
    folder = build(name, corpora, tmp_path)
    raw = corpora[name.partition("/")[0]]
    assert lra_data.verify(folder) == lra_data.verify(folder, corpus=raw) == []
    before = file_bytes(folder)
    shard = folder / "train-00001-of-00003.arrow"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    assert [fault.file for fault in lra_data.verify(folder, corpus=raw)] == [shard.name]
    (folder / "test-00000-of-00001.tar").unlink(missing_ok=True)
    with pytest.raises(SetError, match="with --corpus"):
        repair(folder)
    repair(folder, corpus=raw)
    assert file_bytes(folder) == before


def test_another_copy_is_not_taken_for_the_corpus(corpora: dict[str, Path], tmp_path: Path) -> None:
    folder = build("text/lra", corpora, tmp_path)
    files = imdb_files()
    changed = next(path for path in files if path.startswith("aclImdb/train/neg/"))
    other = write_tar(tmp_path / "other.tar.gz", files | {changed: b"something else"})
    message = (
        r"other\.tar\.gz: expected a corpus with content \w{64}, got \w{64}: name the copy that the set was built from"
    )
    with pytest.raises(SetError, match=message):
        lra_data.verify(folder, corpus=other)
    with pytest.raises(UsageError, match="expected either a quick check or a corpus to compare with, got both"):
        verify(folder, quick=True, corpus=other)
    with pytest.raises(UsageError, match=r"listops/mini is generated and takes no corpus, got the corpus '.*x'"):
        lra_data.build("listops/mini", tmp_path, corpus="x")
    with pytest.raises(UsageError, match="expected no pairs for text/lra"):
        lra_data.build("text", tmp_path, corpus=Corpus(other, pairs=tmp_path))


def test_verify_finds_a_row_that_is_not_the_corpuss(corpora: dict[str, Path], tmp_path: Path) -> None:
    """A set built from a corpus with one other byte, its digests put right: only the corpus tells."""
    files = imdb_files()
    changed = next(path for path in files if path.startswith("aclImdb/test/neg/"))
    other = write_tar(tmp_path / "other.tar.gz", files | {changed: files[changed] + b"!"})
    good = build("text/lra", corpora, tmp_path / "good", formats=("arrow",))
    bad = build("text/lra", {"text": other}, tmp_path / "bad", formats=("arrow",))
    contents = [
        get_task("text").over(Corpus(raw, allow_partial=True)).record()["corpus"] for raw in (corpora["text"], other)
    ]
    text = (bad / "manifest.json").read_text()
    for name in ("content", "sha256"):
        pair = [facts["source"][name] if name == "sha256" else facts[name] for facts in contents]
        text = text.replace(pair[1], pair[0])
    text = text.replace(f'"bytes": {contents[1]["source"]["bytes"]}', f'"bytes": {contents[0]["source"]["bytes"]}')
    (bad / "manifest.json").write_text(text)
    assert lra_data.verify(bad) == []
    faults = [str(fault) for fault in lra_data.verify(bad, corpus=corpora["text"])]
    assert len(faults) == 2  # validation is test
    assert all(
        "expected the corpus's row, got another value in inputs: build the set again" in fault for fault in faults
    )
    assert lra_data.verify(good, corpus=corpora["text"]) == []
    result = run("verify", str(bad), "--corpus", str(corpora["text"]))
    assert (result.returncode, result.stdout.count("\n")) == (1, 3)
    result = run("verify", str(good), "--corpus", str(corpora["text"]))
    assert result.stdout == f"{good}: digests, and every row compared with the corpus, as they should be\n"


# The libraries leave their files to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ["text/lra", "image/rgb", "retrieval/by-pair"])
def test_libraries_read_the_sets(name: str, corpora: dict[str, Path], tmp_path: Path) -> None:
    folder = build(name, corpora, tmp_path, num_shards=1)
    expected = lra_data.load(folder, split="test")[3]
    row = datasets.load_dataset(str(folder), split="test", cache_dir=str(tmp_path / "cache"))[3]
    assert {key: list(value) if isinstance(value, list) else value for key, value in row.items()} == {
        key: value.tolist() if hasattr(value, "tolist") else value for key, value in expected.items()
    }
    stream = webdataset.WebDataset(str(folder / "test-00000-of-00001.tar"), shardshuffle=False).decode("rgb8")
    example = list(stream)[3]
    assert int(example["cls"]) == expected["label"]
    names = {"retrieval/by-pair": ("1.npy", "inputs_1"), "text/lra": ("npy", "inputs"), "image/rgb": ("png", "inputs")}
    member, column = names[name]
    assert example[member].ravel().tolist() == expected[column].tolist()
    data = datasets.load_dataset(
        "webdataset", data_files={"test": str(folder / "test-*.tar")}, cache_dir=str(tmp_path / "cache"), split="test"
    )
    assert data[3]["cls"] == expected["label"]


@pytest.mark.parametrize(
    ("name", "column", "message"),
    [
        ("text/lra", "source", "expected the path of a review as source, got 'nonsense'"),
        ("retrieval/by-pair", "source_2", "expected ids of the ACL Anthology, got 'nonsense'"),
    ],
)
def test_names_that_are_none_are_faults(name: str, column: str, message: str, corpora: dict[str, Path]) -> None:
    task = get_task(name).over(Corpus(corpora[name.partition("/")[0]], allow_partial=True))
    batch = task.generate("train", 0, 3)
    place = batch.schema.get_field_index(column)
    words = text_column(["nonsense", *batch[column].to_pylist()[1:]])
    found = task.problems(batch.set_column(place, batch.schema.field(place), words), split="train", seed=0)
    assert (0, message) in found


def test_a_task_name_is_virtual_whatever_lies_in_this_folder(small_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small_root)
    assert len(lra_data.load("listops/mini", split="validation", seed=3)) == 2_000
    assert len(lra_data.load(Path("listops/mini"), split="validation")) == 60


def test_a_full_disk_leaves_nothing_that_looks_whole(corpora: dict[str, Path], tmp_path: Path) -> None:
    """A file size limit stands for the full disk: the kernel refuses the write in the same way."""
    import resource
    import subprocess
    import sys

    command = [sys.executable, "-m", "lra_data", "build", "text", "--corpus", str(corpora["text"]), "--allow-partial"]
    result = subprocess.run(
        [*command, "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},  # it would be cut off
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000)),
    )
    assert result.returncode == 1
    folder = tmp_path / "text" / "lra-partial"
    assert result.stderr == (
        f"lra-data: error: cannot write {folder}/train-00000-of-00001.arrow: File too large; the file size limit is "
        "reached: raise it (ulimit -f), or ask for more shards, then run the same command again (0 of 3 row ranges "
        "finished and kept)\n"
    )
    assert not (folder / "manifest.json").exists()
    assert not list(folder.glob("*.arrow"))
    with pytest.raises(SetError, match="the build is not finished"):
        lra_data.verify(folder)


def test_sets_that_no_layout_holds(corpora: dict[str, Path], tmp_path: Path) -> None:
    def rows(name: str) -> VirtualRows:
        return VirtualRows(get_task(name).over(Corpus(corpora[name.partition("/")[0]], allow_partial=True)), 0)

    for name, others in (("text/lra", "mega, nystromformer, s4 or"), ("image/lra", "nystromformer or")):
        with pytest.raises(UsageError, match=rf"lra-release has no files for \w+: export --layout {others} skyformer$"):
            export(rows(name), tmp_path / "out")
    with pytest.raises(UsageError, match=r"nystromformer holds image/lra, in grey: export --layout mega$"):
        export(rows("image/rgb"), tmp_path / "out", layout="nystromformer")
    for generated in ("path-x", "listops/4k"):
        with pytest.raises(UsageError, match=r"nystromformer holds .*: export --layout lra-release, mega or s4$"):
            export(VirtualRows(get_task(generated), 0), tmp_path / "out", layout="nystromformer")
    assert not (tmp_path / "out").exists()


def test_an_export_appears_when_it_is_finished_and_says_what_is_missing(
    corpora: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = get_task("text").over(Corpus(corpora["text"], allow_partial=True))
    with monkeypatch.context() as patch:
        patch.setattr("lra_data.interop.export_tree.shutil.rmtree", lambda *_, **__: None)  # as after a kill
        patch.setattr("lra_data.interop.pickles.write_pickle", lambda *_: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception):
            export(VirtualRows(task, 0), tmp_path / "out", layout="nystromformer")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".export"]
    (tmp_path / "out" / ".export" / "text.train.pickle").write_bytes(b"half")
    export(VirtualRows(task, 0), tmp_path / "out", layout="nystromformer")
    names = ["INCOMPLETE.txt", *(f"text.{split}.pickle" for split in ("dev", "test", "train"))]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    assert (tmp_path / "out" / "INCOMPLETE.txt").read_text() == f"{task.card.shortfall}\n"
    with pytest.raises(UsageError, match=r"expected a new or empty folder, .*: export to another"):
        export(VirtualRows(task, 0), tmp_path / "out", layout="nystromformer")


def test_the_same_corpus_in_another_form_goes_on_with_the_set(corpora: dict[str, Path], tmp_path: Path) -> None:
    folder = build("text/lra", corpora, tmp_path / "data")
    unpack(corpora["text"], tmp_path / "unpacked")
    before = file_bytes(folder)
    assert build("text/lra", {"text": tmp_path / "unpacked"}, tmp_path / "data") == folder
    assert file_bytes(folder) == before
    files = imdb_files()
    other = write_tar(tmp_path / "other.tar.gz", files | {next(iter(files)): b"x", "aclImdb/test/pos/0_9.txt": b"more"})
    with pytest.raises(SetError, match=r"a finished set with config: corpus: content \"\w{64}\", asked for \"\w{64}\""):
        build("text/lra", {"text": other}, tmp_path / "data")
    with pytest.raises(SetError, match="name the copy that the set was built from"):
        lra_data.load("text/lra", split="train", root=tmp_path / "data", corpus=Corpus(other, allow_partial=True))
    loaded = lra_data.load(
        "text/lra", split="train", root=tmp_path / "data", corpus=Corpus(corpora["text"], allow_partial=True)
    )
    assert len(loaded) == 80
    with pytest.raises(SetError, match=r"text/lra: expected a built set, found only a set of a partial corpus: load '"):
        lra_data.load("text/lra", split="train", root=tmp_path / "data")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "text", "--corpus", ""], "expected a path, got '': name a file or folder, or leave the option out"),
        (["verify", "SET", "--corpus", "RAW", "--pairs", "x"], "expected no pairs for text/lra-partial, got '"),
        (
            ["verify", "text/lra", "--corpus", "RAW"],
            "expected the folder of a built set to compare with a corpus, got text/lra",
        ),
        (
            ["show", "SET", "--seed", "7"],
            "SET is a built set and takes no --corpus, --pairs, --allow-partial or --seed: leave them out",
        ),
        (
            ["show", "listops", "--allow-partial"],
            "listops/lra is generated and takes no corpus, got allow_partial=True: leave it out",
        ),
        (
            ["show", "text", "--corpus", "RAW", "--allow-partial", "--seed", "3"],
            "expected seed 0 for text/lra, in which nothing is drawn",
        ),
        (
            ["build", "text", "--corpus", "a\nb"],
            "a\\nb: expected an archive or a folder, found nothing: name another --corpus",
        ),
        (["info", "SET", "--diff", "s4"], "expected a SET, or --protocol NAME with or without --diff NAME"),
        (
            ["build", "text", "--corpus", "RAW", "--out", "\udcff"],
            "expected a folder whose name is UTF-8, got '\\udcff'",
        ),
    ],
)
def test_wrong_use_is_one_line(arguments: list[str], message: str, corpora: dict[str, Path], tmp_path: Path) -> None:
    folder = build("text/lra", corpora, tmp_path, formats=("arrow",))
    names = {"SET": str(folder), "RAW": str(corpora["text"])}
    extra = ["--allow-partial"] if "--out" in arguments else []
    result = run(*(names.get(argument, argument) for argument in arguments), *extra)
    assert (result.returncode in (1, 2), result.stderr.count("\n")) == (True, 1)
    assert message.replace("SET", str(folder)) in result.stderr if "--seed" in arguments else message in result.stderr


def test_smaller_sizes_are_the_first_rows_and_larger_ones_refused(corpora: dict[str, Path], tmp_path: Path) -> None:
    folder = build("image/lra", corpora, tmp_path, sizes={"train": 20}, formats=("arrow",))
    task = get_task("image").over(Corpus(corpora["image"], allow_partial=True))
    assert lra_data.load(folder, split="train")[:].equals(task.generate("train", 0, 20))
    with pytest.raises(UsageError, match=r"image/lra-partial: expected at most \d+ examples in test, got 61"):
        build("image/lra", corpora, tmp_path / "more", sizes={"test": 61})


def test_info_says_where_a_corpus_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "2000")
    lines = run("info", "image").stdout
    assert "cifar-10-python.tar.gz https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz or " in lines
    assert "170,498,071 bytes, md5:c58f30108f718f92721af3b95e74349a" in lines
    assert "aanrelease2014.tar.gz" in run("info", "retrieval/by-paper").stdout
    assert "archives" not in run("info", "listops").stdout


def test_a_corpus_in_the_cache_is_found(
    corpora: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LRA_DATA_CACHE", str(tmp_path))
    with pytest.raises(SetError, match=r"text/lra: expected aclImdb, .*, got none: name aclImdb_v1\.tar\.gz or the"):
        lra_data.take("text", "train", [0])
    shutil.copy(corpora["text"], tmp_path / "aclImdb_v1.tar.gz")
    with pytest.raises(LraDataError, match="expected the whole of aclImdb"):
        lra_data.take("text", "train", [0])
    assert lra_data.take("text", "train", [0], corpus=Corpus(corpora["text"], allow_partial=True))[
        "index"
    ].to_pylist() == [0]


@pytest.mark.slow
def test_the_real_text_builds_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRA_DATA_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "aclImdb_v1.tar.gz").symlink_to(real(IMDB))
    result = run("build", "text", "--preset", "holdout", "--out", str(tmp_path))
    assert (result.returncode, result.stdout.splitlines()[-1]) == (
        0, f"{tmp_path}/text/holdout: built, 50,000 examples in 4 files, 68,148,448 bytes",
    )  # fmt: skip
    assert lra_data.load("text/holdout", split="test", root=tmp_path)[0]["source"].startswith("aclImdb/test/")
    again = run("build", "text", "--preset", "holdout", "--out", str(tmp_path))
    assert "already complete" in again.stdout
