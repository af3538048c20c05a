"""Views and files of S4, which S5 shares, against their readers."""

from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lra_data.interop.export import export
from lra_data.loading.batch_making.protocol_rows import open_protocol
from lra_data.store.row_access import Rows
from tests.oracles.foreign_readers import (
    Bytes,
    Read,
    cifar_pictures,
    csv_rows,
    grey_picture,
    listops_words,
    metadata_lines,
    random_split,
    read_ids,
    to_tensor,
)
from tests.support.foreign_sets import (
    BREAKS,
    HARD,
    PAIR_NAMES,
    SPLITS,
    TSV_NAMES,
    build_and_export,
    check_view,
    corpus_rows,
    generated,
    labels_of,
    printable,
    texts_of,
    unbroken,
)
from tests.support.real_corpora import CIFAR_BINARY, CIFAR_PYTHON, real


def s4_listops(folder: Path) -> dict[str, list[Read]]:
    """torchtext's build_vocab_from_iterator over the cut training words, specials first, unseen words 1."""
    tables = {split: csv_rows(folder / name) for split, name in TSV_NAMES.items()}
    cut = {split: [listops_words(row["Source"])[:2047] for row in rows] for split, rows in tables.items()}
    counts = Counter(word for words in cut["train"] for word in words)
    ordered = [word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    ids = {word: number for number, word in enumerate(["<pad>", "<unk>", "<eos>", *ordered])}
    return {
        split: [
            read_ids(int(row["Target"]), [ids.get(word, 1) for word in [*words, "<eos>"]])
            for words, row in zip(cut[split], rows, strict=True)
        ]
        for split, rows in tables.items()
    }


@pytest.mark.parametrize("fixture", ["listops", "long_listops"])
def test_s4_listops(fixture: str, request: pytest.FixtureRequest) -> None:
    exported = request.getfixturevalue(fixture)
    expected = s4_listops(exported.files)
    assert any(len(read.sides[0]) == 2048 for read in expected["train"]) == (fixture == "long_listops")
    assert max(number for read in expected["train"] for number in read.sides[0]) == 17
    check_view(open_protocol("s4", exported.rows), expected, hides_zeros=False)


def test_s4_listops_numbers_words_that_train_lacks_1(tmp_path: Path) -> None:
    exported = build_and_export("listops/mini", tmp_path, {"train": 1, "validation": 30, "test": 10}, seed=5)
    expected = s4_listops(exported.files)
    assert any(1 in read.sides[0] for read in expected["validation"])
    check_view(open_protocol("s4", exported.rows), expected, hides_zeros=False)


def s4_image(archive: Path) -> dict[str, list[Read]]:
    torch = pytest.importorskip("torch")
    mean, std = (torch.as_tensor(value / 255.0, dtype=torch.float32) for value in (122.6, 61.0))

    def read(picture: Bytes, label: int) -> Read:
        grey = np.asarray(Image.fromarray(picture).convert("L")).reshape(-1)
        return Read((to_tensor(grey).sub_(mean).div_(std).numpy(),), label)

    pictures = cifar_pictures(archive)
    train, validation = random_split([int(50_000 * (1.0 - 0.1)), 5_000])
    orders = {"train": train, "validation": validation, "test": list(range(10_000))}
    expected = {}
    for split, order in orders.items():
        there = pictures["test" if split == "test" else "train"]
        expected[split] = [read(*there[number]) for number in order if number in there]
    return expected


def test_s4_image(cifar: Path) -> None:
    view = open_protocol("s4", corpus_rows("image/rgb", cifar))
    check_view(view, s4_image(cifar), dtype=np.float32, hides_zeros=False)


def test_s4_image_of_the_binary_layout_is_the_same() -> None:
    expected = s4_image(real(CIFAR_PYTHON))
    view = open_protocol("s4", corpus_rows("image/rgb", real(CIFAR_BINARY)))
    check_view(view, expected, dtype=np.float32, hides_zeros=False)


@pytest.mark.parametrize("fixture", ["pathfinder", "released_pathfinder", "reversed_release"])
def test_s4_pathfinder(fixture: str, request: pytest.FixtureRequest) -> None:
    exported = request.getfixturevalue(fixture)
    folder = exported.files / HARD
    lines = metadata_lines(folder)
    part = int(0.1 * len(lines))
    train, validation, test = random_split([len(lines) - 2 * part, part, part])
    expected = {}
    for split, numbers in (("train", train), ("validation", validation), ("test", test)):
        chosen = [lines[number] for number in numbers]
        expected[split] = [
            Read((to_tensor(grey_picture(folder / line[0] / line[1])).numpy(),), int(line[3])) for line in chosen
        ]
    check_view(open_protocol("s4", exported.rows), expected, dtype=np.float32, hides_zeros=False)


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
    assert told == [f"left out validation, {rows.sizes['test']} rows equal to test, which S4 and S5 use for validation"]
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
