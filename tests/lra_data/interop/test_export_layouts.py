"""Each layout against the rules of the reader that it is for, restated here and in tests/oracles/fairseq_reader.py."""

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from lra_data import UsageError, get_task
from lra_data.commands.main import cli
from lra_data.interop.export import export
from lra_data.interop.layouts import LAYOUTS
from lra_data.interop.protocol import get_protocol
from lra_data.loading.batch_making.protocol_rows import open_protocol
from lra_data.store.row_access import Rows, VirtualRows
from tests.lra_data.interop.test_protocols import (
    HARD,
    Read,
    check_view,
    cifar_pictures,
    corpus_rows,
    grey_picture,
    lra_2020_retrieval,
    lra_2020_text,
    metadata_lines,
    random_split,
)
from tests.oracles.fairseq_reader import END, TextExample, read_dictionary, read_lra_image, read_lra_text
from tests.support.tiny_corpora import aan_files, imdb_files, write_tar

SPLITS = ("train", "validation", "test")
MEGA_NAMES = {"train": "train", "validation": "valid", "test": "test"}
PICKLE_NAMES = {"train": "train", "validation": "dev", "test": "test"}
PAIR_NAMES = {"train": "train", "validation": "eval", "test": "test"}
BREAKS = b"\t\n\r\0"


def printable(text: bytes) -> bytes:
    return re.sub(rb"[^ -~]", b" ", text)


def unbroken(text: bytes) -> bytes:
    return re.sub(rb"[\t\n\r\0]", b" ", text)


def generated(name: str, train: int = 60, validation: int = 21, test: int = 20) -> Rows:
    rows = VirtualRows(get_task(name), 0)
    rows.sizes = {"train": train, "validation": validation, "test": test}
    return rows


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
def papers(awkward_papers: Path) -> Rows:
    rows = corpus_rows("retrieval/by-pair", awkward_papers)
    rows.sizes = {"train": 110, "validation": 20, "test": 20}
    return rows


@pytest.fixture(scope="module")
def long_reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reviews on both sides of 1,000 and 4,000 bytes, with line breaks and letters that are not ASCII."""
    files = {
        name: data + b"\n\x85caf\xc3\xa9\r\n".replace(b"\x85", b"") + data * (len(data) % 7)
        if name.endswith(".txt") and name.split("/")[-2] in ("neg", "pos")
        else data
        for name, data in imdb_files().items()
    }
    return write_tar(tmp_path_factory.mktemp("imdb") / "aclImdb.tar.gz", files)


def texts_of(rows: Rows, split: str) -> list[tuple[bytes, ...]]:
    names = [name for name in rows.task.schema.names if name.startswith("inputs")]
    return [tuple(bytes(row[name]) for name in names) for batch in rows.batches(split) for row in batch.to_pylist()]


def labels_of(rows: Rows, split: str) -> list[int]:
    return [label for batch in rows.batches(split) for label in batch["label"].to_pylist()]


def families(papers: Rows, long_reviews: Path, corpora: dict[str, Path]) -> dict[str, Rows]:
    return {
        "listops": generated("listops/lra"),
        "pathfinder32-curv_contour_length_14": generated("pathfinder/32-hard"),
        "image": corpus_rows("image/lra", corpora["image"]),
        "text": corpus_rows("text/lra", long_reviews),
        "retrieval": papers,
    }


# Nyströmformer and Skyformer.


def lra_dataset(path: Path) -> list[dict[str, Any]]:
    """LRADataset.create_inst of both code bases: ids, a mask of what is not 0, the label."""
    found = []
    for example in pickle.loads(path.read_bytes()):
        read: dict[str, Any] = {"label": int(example["label"])}
        for place in (0, 1):
            if f"input_ids_{place}" in example:
                ids = np.array(example[f"input_ids_{place}"], dtype=np.int64)
                read |= {f"input_ids_{place}": ids, f"mask_{place}": ids != 0}
        found.append(read)
    return found


@pytest.mark.parametrize(("layout", "prefix"), [("nystromformer", ""), ("skyformer", "lra-")])
def test_pickles_have_the_names_that_each_code_base_opens(
    layout: str, prefix: str, papers: Rows, long_reviews: Path, corpora: dict[str, Path], tmp_path: Path
) -> None:
    """run_tasks.py opens `<task>.<split>.pickle`, main.py `lra-<task>.<split>.pickle`; all in one folder."""
    # lra_config.py and config.py: max_seq_len, which both code bases raise to the next power of two.
    positions = {
        "listops": 2048,
        "image": 1024,
        "pathfinder32-curv_contour_length_14": 1024,
        "retrieval": 4096,
        "text": 4096 if layout == "skyformer" else 1024,
    }
    for task, rows in families(papers, long_reviews, corpora).items():
        export(rows, tmp_path / "datasets", layout=layout)
        for split, name in PICKLE_NAMES.items():
            examples = lra_dataset(tmp_path / "datasets" / f"{prefix}{task}.{name}.pickle")
            assert [example["label"] for example in examples] == labels_of(rows, split)
            assert {example["input_ids_0"].shape for example in examples} == {(positions[task],)}
    names = [f"{prefix}{task}.{split}.pickle" for task in positions for split in ("train", "dev", "test")]
    there = sorted(path.name for path in (tmp_path / "datasets").iterdir())
    assert there == sorted([*names, "INCOMPLETE.txt"])


def ids_of(read: Read, length: int) -> list[list[int]]:
    return [[*side.tolist(), *[0] * (length - len(side))] for side in read.sides]


@pytest.mark.parametrize("layout", ["nystromformer", "skyformer"])
def test_retrievals_pickles_are_what_their_pipeline_makes_of_our_tsv(layout: str, papers: Rows, tmp_path: Path) -> None:
    export(papers, tmp_path / "tsv_data")
    export(papers, tmp_path / "pickles", layout=layout)
    prefix = "lra-" if layout == "skyformer" else ""
    for split, name in PICKLE_NAMES.items():
        read = lra_2020_retrieval(tmp_path / "tsv_data" / f"new_aan_pairs.{PAIR_NAMES[split]}.tsv")
        examples = lra_dataset(tmp_path / "pickles" / f"{prefix}retrieval.{name}.pickle")
        equal = [
            [example["input_ids_0"].tolist(), example["input_ids_1"].tolist()] == ids_of(expected, 4096)
            and example["label"] == expected.label
            for example, expected in zip(examples, read, strict=True)
        ]
        assert len(equal) == papers.sizes[split] > 0
        assert all(equal)
    assert any(byte in text for pair in texts_of(papers, "train") for text in pair for byte in BREAKS)


def test_texts_pickles_are_what_their_pipelines_make_of_the_corpus(long_reviews: Path, tmp_path: Path) -> None:
    """TensorFlow Datasets hands the bytes on as they are, so TAB, LF and CR stay here."""
    rows = corpus_rows("text/lra", long_reviews)
    for layout, prefix, kept, length in (("nystromformer", "", 1000, 1024), ("skyformer", "lra-", 4000, 4096)):
        export(rows, tmp_path, layout=layout)
        for split, name in PICKLE_NAMES.items():
            texts, labels = texts_of(rows, split), labels_of(rows, split)
            examples = lra_dataset(tmp_path / f"{prefix}text.{name}.pickle")
            assert [example["label"] for example in examples] == labels
            for example, (text,) in zip(examples, texts, strict=True):
                ids = [byte + 1 for byte in text[:kept]]
                assert example["input_ids_0"].tolist() == [*ids, *[0] * (length - len(ids))]
        assert max(len(text) for (text,) in texts_of(rows, "train")) > kept
    expected = lra_2020_text(long_reviews)
    first = [ids_of(read, 1024)[0] for read in expected["train"]]
    assert [example["input_ids_0"].tolist() for example in lra_dataset(tmp_path / "text.train.pickle")] == first


# S4 and S5.


def s4_imdb(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """`load_dataset("imdb", cache_dir=…)` in the working directory; their dictionary of splits: train and test."""
    monkeypatch.chdir(folder)
    loaded = datasets.load_dataset("imdb", cache_dir=str(cache))
    return {"train": loaded["train"], "test": loaded["test"]}


def test_s4_reads_our_text_as_imdb(long_reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = corpus_rows("text/lra", long_reviews)
    told: list[str] = []
    written = export(rows, tmp_path / "data", layout="s4", tell=told.append)
    assert [path.relative_to(tmp_path).as_posix() for path in written] == [
        "data/imdb/train.parquet",
        "data/imdb/test.parquet",
    ]
    assert told == [
        f"left out validation, {rows.sizes['test']} rows that are those of test, which S4 and S5 validate on"
    ]
    for split, loaded in s4_imdb(tmp_path / "data", tmp_path / "cache", monkeypatch).items():
        assert sorted(loaded.column_names) == ["label", "text"]
        assert loaded.features["label"].names == ["neg", "pos"]
        assert loaded.features["text"].dtype == "string"
        assert list(loaded["label"]) == labels_of(rows, split)
        assert [text.encode() for text in loaded["text"]] == [text for (text,) in texts_of(rows, split)]


def test_a_validation_split_of_its_own_is_written(long_reviews: Path, tmp_path: Path) -> None:
    rows = corpus_rows("text/holdout", long_reviews)
    told: list[str] = []
    export(rows, tmp_path, layout="s4", tell=told.append)
    table = pq.read_table(tmp_path / "imdb" / "validation.parquet")
    assert [text.encode() for text in table["text"].to_pylist()] == [text for (text,) in texts_of(rows, "validation")]
    assert table.schema.field("text").type == pa.string()
    assert not told


def s4_aan(folder: Path, cache: Path) -> dict[str, list[tuple[float, str, str]]]:
    """AAN.process_dataset of both code bases: the csv reader of `datasets`, with its quoting and missing values."""
    loaded = datasets.load_dataset(
        "csv",
        data_files={
            split: str(folder / f"new_aan_pairs.{name}.tsv")
            for split, name in (("train", "train"), ("val", "eval"), ("test", "test"))
        },
        delimiter="\t",
        column_names=["label", "input1_id", "input2_id", "text1", "text2"],
        keep_in_memory=True,
        cache_dir=str(cache),
    )
    return {
        split: [(int(row["label"]), row["text1"], row["text2"]) for row in loaded[name]]
        for split, name in (("train", "train"), ("validation", "val"), ("test", "test"))
    }


def is_utf8(text: bytes) -> bool:
    return text.decode(errors="replace").encode() == text


def test_rows_that_s4_cannot_read_are_counted(papers: Rows, tmp_path: Path) -> None:
    warned: list[str] = []
    export(papers, tmp_path / "plain", warn=warned.append)
    pairs = [pair for split in SPLITS for pair in texts_of(papers, split)]
    not_utf8 = sum(not all(map(is_utf8, map(unbroken, pair))) for pair in pairs)
    quotes = sum(any(text.startswith(b'"') for text in pair) for pair in pairs)
    words = sum(b"null" in pair for pair in pairs)
    unreadable = sum(
        any(not is_utf8(unbroken(text)) or text.startswith(b'"') or text == b"null" for text in pair) for pair in pairs
    )
    assert min(not_utf8, quotes, words) > 0
    assert warned == [
        f"S4 and S5 cannot read {unreadable:,} of {len(pairs):,} rows: {not_utf8:,} hold bytes that are not UTF-8 "
        f"(--ascii writes them as spaces), {quotes:,} begin a text with a quotation mark, which is CSV's quoting "
        f"(--layout s4 quotes it), {words:,} have a text that pandas takes for a missing value"
    ]
    with pytest.raises(Exception, match=r"utf-8|generating the dataset"):
        s4_aan(tmp_path / "plain", tmp_path / "cache")


def test_ascii_writes_what_s4_and_s5_read(papers: Rows, tmp_path: Path) -> None:
    """In its folders for both; where no text begins with a quotation mark, in LRA's files too."""
    for layout, folder in (("lra-release", tmp_path / "tsv"), ("s4", tmp_path / "data" / "aan")):
        told: list[str] = []
        export(papers, tmp_path / ("tsv" if layout == "lra-release" else "data"), layout=layout, ascii_only=True,
               tell=told.append)  # fmt: skip
        assert all(set(path.read_bytes()) <= {*range(0x20, 0x7F), 9, 10} for path in folder.iterdir())
        pairs = [pair for split in SPLITS for pair in texts_of(papers, split)]
        replaced = sum(not 0x20 <= byte < 0x7F for pair in pairs for text in pair for byte in text)
        breaks = sum(byte in BREAKS for pair in pairs for text in pair for byte in text)
        rows = sum(any(printable(text) != text for text in pair) for pair in pairs)
        assert told == [
            f"--ascii: {replaced:,} bytes in {rows:,} of {len(pairs):,} rows are not printable ASCII and were written "
            f"as spaces; {breaks:,} of them are TAB, LF, CR or NUL, which are spaces without --ascii too"
        ]
    for split, name in PAIR_NAMES.items():
        lines = (tmp_path / "tsv" / f"new_aan_pairs.{name}.tsv").read_bytes().split(b"\n")[:-1]
        assert [tuple(line.split(b"\t")[3:]) for line in lines] == [
            tuple(map(printable, pair)) for pair in texts_of(papers, split)
        ]
    # pandas reads the word null as missing, whatever is done; the export warned of these rows.
    for split, read in s4_aan(tmp_path / "data" / "aan", tmp_path / "cache").items():
        expected = [
            (label, *(None if text == b"null" else printable(text).decode() for text in pair))
            for label, pair in zip(labels_of(papers, split), texts_of(papers, split), strict=True)
        ]
        assert read == expected


def test_s4s_other_files_are_where_its_data_path_has_them(papers: Rows, tmp_path: Path) -> None:
    """$DATA_PATH/{listops,aan,pathfinder/pathfinder32} (src/dataloaders/README.md), the release's files in each."""
    for folder, rows in (("listops", generated("listops/mini")), ("pathfinder", generated("pathfinder/32-hard"))):
        release = tmp_path / f"release-{folder}"
        export(rows, tmp_path / "data", layout="s4")
        export(rows, release)
        paths = [path for path in release.rglob("*") if path.is_file()]
        assert len(paths) >= 3
        for path in paths:
            assert (tmp_path / "data" / folder / path.relative_to(release)).read_bytes() == path.read_bytes()
    export(papers, tmp_path / "data", layout="s4")
    assert sorted(path.name for path in (tmp_path / "data" / "aan").iterdir()) == [
        f"new_aan_pairs.{split}.tsv" for split in ("eval", "test", "train")
    ]
    assert (tmp_path / "data" / "pathfinder" / HARD / "metadata" / "0.npy").is_file()


# Mega.


@pytest.fixture(scope="module")
def mega_image(corpora: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mega") / "cifar10"
    export(corpus_rows("image/rgb", corpora["image"]), folder, layout="mega")
    return folder


def data_process_cifar10(archive: Path) -> dict[str, list[Read]]:
    """data_process.py: torchvision's Grayscale, random_split with seed 42, then `lra-image` with 0.48 and 0.24."""
    torch = pytest.importorskip("torch")
    from PIL import Image

    pictures = cifar_pictures(archive)
    train, valid = random_split([45_000, 5_000])
    expected: dict[str, list[Read]] = {}
    for split, order in (("train", train), ("valid", valid), ("test", list(range(10_000)))):
        there = pictures["test" if split == "test" else "train"]
        expected[split] = []
        for number in order:
            if number in there:
                picture, label = there[number]
                grey = np.asarray(Image.fromarray(picture).convert("L")).reshape(-1)
                pixels = torch.tensor(grey.tolist(), dtype=torch.float32).div(255.0).sub(0.48).div(0.24)
                expected[split].append(Read((pixels.numpy(),), label))
    return expected


def test_mega_reads_image(mega_image: Path, corpora: dict[str, Path]) -> None:
    assert {path.name for path in mega_image.iterdir()} == {"input", "label", "INCOMPLETE.txt"}
    expected = data_process_cifar10(corpora["image"])
    for split, reads in expected.items():
        read = read_lra_image(mega_image, split, (0.48, 0.24))
        assert [label for _, label in read] == [one.label for one in reads]
        for (pixels, _), one in zip(read, reads, strict=True):
            np.testing.assert_array_equal(pixels.numpy(), one.sides[0], strict=True)
    ours = {split: expected[MEGA_NAMES[split]] for split in SPLITS}
    view = open_protocol("mega", corpus_rows("image/rgb", corpora["image"]))
    check_view(view, ours, dtype=np.float32, hides_zeros=False)


def test_mega_reads_pathfinder(tmp_path: Path) -> None:
    """As data_process.py parts the files of the release: metadata by number, line by line, then seed 42."""
    rows = generated("pathfinder/32-hard")
    export(rows, tmp_path / "release")
    export(rows, tmp_path / "mega", layout="mega")
    folder = tmp_path / "release" / HARD
    lines = metadata_lines(folder)
    tenth = int(len(lines) * 0.1)
    parts = random_split([len(lines) - 2 * tenth, tenth, tenth])
    expected: dict[str, list[Read]] = {}
    for split, numbers in zip(SPLITS, parts, strict=True):
        read = read_lra_image(tmp_path / "mega", MEGA_NAMES[split], (0.5, 0.5))
        assert [label for _, label in read] == [int(lines[number][3]) for number in numbers]
        expected[split] = []
        for (pixels, label), number in zip(read, numbers, strict=True):
            grey = grey_picture(folder / lines[number][0] / lines[number][1])
            np.testing.assert_array_equal(np.rint((pixels.numpy() * 0.5 + 0.5) * 255), grey)
            expected[split].append(Read((pixels.numpy(),), label))
    check_view(open_protocol("mega", rows), expected, dtype=np.float32, hides_zeros=False)
    assert not list((tmp_path / "mega").glob("*.pixels"))


@pytest.mark.parametrize("family", ["image", "pathfinder"])
def test_the_protocol_says_that_megas_pictures_are_exact_without_its_shuffle(family: str) -> None:
    reading = get_protocol("mega")[family]
    assert reading.exact
    assert "--no-shuffle" in reading.order


@pytest.mark.parametrize(("mean", "deviation"), [(0.48, 0.24), (0.5, 0.5)])
def test_every_grey_value_becomes_torchs_float(mean: float, deviation: float, tmp_path: Path) -> None:
    from lra_data.loading.batch_making.protocol_rows import _normalised

    (tmp_path / "input").mkdir()
    (tmp_path / "label").mkdir()
    (tmp_path / "input" / "train.src").write_text(" ".join(map(str, range(256))) + "\n")
    (tmp_path / "label" / "train.label").write_text("0\n")
    [(pixels, _)] = read_lra_image(tmp_path, "train", (mean, deviation))
    batch = generated("pathfinder/32-easy", 1, 1, 1).take("train", [0])
    values = np.arange(256, dtype=np.uint8)[None, None]
    np.testing.assert_array_equal(_normalised(batch, values, mean, deviation).inputs[0, 0], pixels.numpy(), strict=True)


def words_of(example: TextExample, words: list[str]) -> list[list[str]]:
    return [[words[number] for number in side] for side in example.sides]


def test_mega_reads_listops(tmp_path: Path) -> None:
    rows = generated("listops/lra")
    export(rows, tmp_path, layout="mega")
    words = read_dictionary(tmp_path / "src-bin" / "dict.txt")
    vocabulary = rows.task.vocabulary
    assert vocabulary is not None
    for split, name in MEGA_NAMES.items():
        examples = read_lra_text(tmp_path, name, 2002)
        assert [example.label for example in examples] == labels_of(rows, split)
        for example, (ids,) in zip(examples, texts_of(rows, split), strict=True):
            assert words_of(example, words) == [[*(vocabulary[number - 1] for number in ids), "</s>"]]


def test_mega_reads_text_byte_for_byte(long_reviews: Path, tmp_path: Path) -> None:
    rows = corpus_rows("text/lra", long_reviews)
    export(rows, tmp_path, layout="mega")
    for split, name in MEGA_NAMES.items():
        examples = read_lra_text(tmp_path, name, 4002)
        assert [example.label for example in examples] == labels_of(rows, split)
        for example, (text,) in zip(examples, texts_of(rows, split), strict=True):
            assert example.sides == ([*(4 + byte for byte in text), END][:4002],)
    assert max(len(text) for (text,) in texts_of(rows, "train")) > 4002


def test_mega_reads_retrieval(papers: Rows, tmp_path: Path) -> None:
    """Two folders with one dictionary; the bytes are those of LRA's files, from which Mega has its pairs."""
    told: list[str] = []
    export(papers, tmp_path, layout="mega", tell=told.append)
    num_cut = num_texts = 0
    for split, name in MEGA_NAMES.items():
        examples, pairs = read_lra_text(tmp_path, name, 4002), texts_of(papers, split)
        assert [example.label for example in examples] == labels_of(papers, split)
        for example, pair in zip(examples, pairs, strict=True):
            assert example.sides == tuple([*(4 + byte for byte in unbroken(text)), END][:4002] for text in pair)
        num_cut += sum(len(text) > 4002 for pair in pairs for text in pair)
        num_texts += 2 * len(pairs)
    assert num_cut > 0
    assert told == [f"cut {num_cut:,} of {num_texts:,} texts after 4,002 bytes, which is all that Mega keeps of a text"]


# What is refused, and what is said.


def sets(corpora: dict[str, Path]) -> dict[str, Rows]:
    names = ("listops/mini", "listops/4k", "pathfinder/32-easy", "path-x")
    found: dict[str, Rows] = {name: generated(name, 2, 1, 1) for name in names}
    for name in ("text/lra", "text/holdout", "image/lra", "image/rgb", "retrieval/by-pair"):
        found[name] = corpus_rows(name, corpora[name.partition("/")[0]])
    return found


def test_a_layout_that_never_held_a_set_lists_what_there_is(corpora: dict[str, Path], tmp_path: Path) -> None:
    held = {
        "listops/mini": {"lra-release", "nystromformer", "skyformer", "s4", "mega"},
        "listops/4k": {"lra-release", "s4", "mega"},
        "pathfinder/32-easy": {"lra-release", "nystromformer", "skyformer", "s4", "mega"},
        "path-x": {"lra-release", "s4", "mega"},
        "text/lra": {"nystromformer", "skyformer", "s4", "mega"},
        "text/holdout": {"nystromformer", "skyformer", "s4", "mega"},
        "image/lra": {"nystromformer", "skyformer"},
        "image/rgb": {"mega"},
        "retrieval/by-pair": {"lra-release", "nystromformer", "skyformer", "s4", "mega"},
    }
    refused = 0
    for name, rows in sets(corpora).items():
        for layout in set(LAYOUTS) - held[name]:
            with pytest.raises(UsageError) as caught:
                export(rows, tmp_path / "out", layout=layout)
            message = str(caught.value)
            assert "\n" not in message
            offered = re.split(r", | or ", message.partition("export --layout ")[2].partition(" (")[0])
            assert set(offered) == held[name]
            refused += 1
    assert refused == 13
    assert not (tmp_path / "out").exists()


def test_sets_that_a_layout_holds_are_written(corpora: dict[str, Path], tmp_path: Path) -> None:
    for name in ("listops/4k", "pathfinder/32-easy", "path-x"):
        rows = generated(name, 2, 1, 1)
        for layout in ("lra-release", "s4", "mega"):
            assert export(rows, tmp_path / name / layout, layout=layout)


@pytest.mark.parametrize(
    ("name", "layout"), [("retrieval/by-pair", "mega"), ("text/lra", "s4"), ("listops/mini", "lra-release")]
)
def test_ascii_is_refused_where_it_means_nothing(
    name: str, layout: str, corpora: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"expected ASCII only for Retrieval .*: leave --ascii out") as caught:
        export(sets(corpora)[name], tmp_path / "out", layout=layout, ascii_only=True)
    assert layout in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_the_command_line_names_every_layout_and_tells_what_happened(awkward_papers: Path, tmp_path: Path) -> None:
    runner: Callable[..., Any] = CliRunner().invoke
    shown = runner(cli, ["export", "--help"]).output
    assert "--ascii" in shown
    assert all(layout in shown for layout in LAYOUTS)
    asked = ["export", "retrieval", "--corpus", str(awkward_papers), "--allow-partial"]
    result = runner(cli, [*asked, "--out", str(tmp_path / "plain")])
    assert result.exit_code == 0
    assert re.search(r"^lra-data: warning: S4 and S5 cannot read [\d,]+ of [\d,]+ rows: ", result.stderr)
    assert "cannot read" not in result.stdout
    result = runner(cli, [*asked, "--ascii", "--layout", "s4", "--out", str(tmp_path / "ascii")])
    assert result.exit_code == 0
    assert result.stdout.startswith("--ascii: ")
    assert f"wrote {tmp_path}/ascii/aan/new_aan_pairs.train.tsv" in result.stdout.splitlines()
