"""Text: the reviews byte for byte, in TFDS's order, in the splits of each preset; and what a damaged copy says."""

import io
import tarfile
from collections import Counter
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import pytest

import lra_data
from lra_data import SetError, UsageError, get_task
from lra_data.checking.set_statistics import statistics
from lra_data.corpus import Corpus
from lra_data.splits import SPLITS
from lra_data.store.row_access import VirtualRows
from lra_data.text.config import Config
from lra_data.text.near_duplicates import (
    _BANDS,
    _ROWS_A_BAND,
    THRESHOLD,
    find_train_groups,
    groups_of,
    near_duplicates,
    train_groups,
    word_grams,
)
from lra_data.text.task import Text
from tests.support.real_corpora import IMDB, real
from tests.support.tiny_corpora import imdb_files, write_tar


def text_task(archive: Path, preset: str = "lra") -> Text:
    task = get_task(f"text/{preset}").over(Corpus(archive, allow_partial=True))
    assert isinstance(task, Text)
    return task


def members(archive: Path) -> dict[str, bytes]:
    """The reviews, read with nothing of the package."""
    found: dict[str, bytes] = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            parts = member.name.split("/")
            if len(parts) == 4 and parts[2] in ("neg", "pos"):
                content = tar.extractfile(member)
                assert isinstance(content, io.BufferedIOBase)
                found[member.name] = content.read()
    return found


def check_rows(archive: Path, preset: str) -> dict[str, list[str]]:
    """Every row is its source's bytes, label and rating; returns the sources by split."""
    expected, task = members(archive), text_task(archive, preset)
    sources: dict[str, list[str]] = {}
    for split in SPLITS:
        sources[split] = []
        for batch in VirtualRows(task, 0).batches(split):
            assert task.problems(batch, split=split, seed=0) == []
            for row in batch.to_pylist():
                assert bytes(row["inputs"]) == expected[row["source"]]
                _, _, label, name = row["source"].split("/")
                assert row["label"] == ("neg", "pos").index(label)
                assert row["rating"] == int(name[:-4].split("_")[1])
                sources[split].append(row["source"])
        assert task.split_sizes(0)[split] == len(sources[split])
    return sources


@pytest.mark.parametrize("preset", ["lra", "holdout"])
def test_every_row_is_its_source(preset: str, corpora: dict[str, Path]) -> None:
    sources = check_rows(corpora["text"], preset)
    everything = set(members(corpora["text"]))
    assert set(sources["test"]) == {path for path in everything if path.startswith("aclImdb/test/")}
    assert set(sources["train"]) | set(sources["validation"]) | set(sources["test"]) == everything
    if preset == "lra":
        assert sources["validation"] == sources["test"]
    else:
        assert not set(sources["train"]) & set(sources["validation"])
        assert sources["validation"]


@pytest.mark.slow
def test_the_real_corpus_is_whole_and_in_order() -> None:
    sources = check_rows(real(IMDB), "lra")
    assert {split: len(paths) for split, paths in sources.items()} == dict.fromkeys(SPLITS, 25_000)
    assert [path.removeprefix("aclImdb/train/") for path in sources["train"][:5]] == [
        "neg/609_1.txt", "neg/674_3.txt", "neg/184_2.txt", "pos/1597_8.txt", "pos/9578_10.txt",
    ]  # fmt: skip
    task = text_task(real(IMDB))
    assert task.name == "text/lra"
    for split, expected in (("train", 33_132_823), ("test", 32_350_685)):
        assert sum(len(batch["inputs"].flatten()) for batch in VirtualRows(task, 0).batches(split)) == expected
    lengths = [len(task.copy.texts[path]) for path in task.copy.texts]
    assert (min(lengths), max(lengths)) == (32, task.max_length)
    assert sum(length > 4000 for length in lengths) == 1510


@pytest.mark.slow
def test_the_real_holdout() -> None:
    task = text_task(real(IMDB), "holdout")
    assert task.split_sizes(0) == {"train": 22_500, "validation": 2_500, "test": 25_000}
    for seed in (0, 1):
        labels = Counter(path.split("/")[2] for path in task.rows("validation", seed))
        assert labels == {"neg": 1_250, "pos": 1_250}
        names = {path.split("/", 2)[2].partition("_")[0] for path in task.rows("validation", seed)}
        assert names == task.held_out(seed)
        for group in train_groups():
            assert len(set(group) & names) in (0, len(group))
    assert task.held_out(0) != task.held_out(1)


def test_a_reviews_split_does_not_depend_on_what_else_is_there(tmp_path: Path, corpora: dict[str, Path]) -> None:
    half = {path: text for number, (path, text) in enumerate(imdb_files().items()) if number % 2}
    part, whole = (
        text_task(archive, "holdout") for archive in (write_tar(tmp_path / "half.tar.gz", half), corpora["text"])
    )
    for split in SPLITS:
        assert part.rows(split, 0) == [path for path in whole.rows(split, 0) if path in half]


def test_holdouts_are_even_and_small_enough() -> None:
    for wrong in (-2, 3, 25_000, True, 2.0):
        with pytest.raises(UsageError, match=r"text: (holdout must be|expected)"):
            Config(holdout=wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="expected seed 0 for text/lra, in which nothing is drawn, got 3"):
        get_task("text/lra").check_buildable({}, seed=3)


def changed(changes: Mapping[str, bytes | None]) -> dict[str, bytes]:
    """The tiny corpus with some files other, or, for None, left out."""
    files = {path: text for path, text in imdb_files().items() if path not in changes}
    return files | {path: text for path, text in changes.items() if text is not None}


def first_review(folder: str) -> str:
    return next(path for path in imdb_files() if path.startswith(f"aclImdb/{folder}/"))


NEG = first_review("train/neg")
NUMBER = NEG.split("/")[-1].partition("_")[0]
WITHOUT_POS = {path: None for path in imdb_files() if path.startswith("aclImdb/test/pos/")}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (WITHOUT_POS, "expected reviews in test/pos/<id>_<rating>.txt, got none: this is not aclImdb"),
        (
            {"other/train/neg/12499_1.txt": b"x", "aclImdb/train/neg/12499_2.txt": b"y"},
            "expected review 12499 of train/neg once, got other/train/neg/12499_1.txt and "
            "aclImdb/train/neg/12499_2.txt",
        ),
        (
            {"aclImdb/train/neg/12500_1.txt": b"x"},
            "expected review ids from 0 to 12499, got aclImdb/train/neg/12500_1.txt",
        ),
        (
            {"aclImdb/train/neg/007_1.txt": b"x"},
            "expected review ids from 0 to 12499, got aclImdb/train/neg/007_1.txt",
        ),
        (
            {"aclImdb/train/neg/12499_7.txt": b"x"},
            "expected ratings 1 to 4 in train/neg, got aclImdb/train/neg/12499_7.txt",
        ),
        (
            {NEG: b"caf\xe9 au lait"},
            f"expected UTF-8 text in {NEG}, got byte 0xe9 at 3: the copy was changed after it was unpacked",
        ),
        ({NEG: b""}, f"expected a review in {NEG}, got an empty file"),
    ],
)
def test_a_damaged_copy_is_one_line(changes: dict[str, bytes | None], message: str, tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "broken.tar.gz", changed(changes))
    with pytest.raises(SetError) as caught:
        text_task(archive)
    assert str(caught.value) == f"{archive}: {message}"


def test_a_part_is_refused_unless_asked_for_and_then_marked(corpora: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(SetError) as caught:
        lra_data.build("text", tmp_path, corpus=corpora["text"])
    missing = ", ".join(f"40 of 12,500 in {folder}" for folder in ("train/neg", "train/pos", "test/neg", "test/pos"))
    assert str(caught.value) == (
        f"{corpora['text']}: expected the whole of aclImdb, the Large Movie Review Dataset v1.0, got reviews {missing}"
        ": name aclImdb_v1.tar.gz or the unpacked folder with --corpus; the archive is at "
        "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz; or accept an incomplete corpus "
        "with --allow-partial (in Python: corpus=lra_data.Corpus(PATH, allow_partial=True)), which marks the set"
    )
    assert not list(tmp_path.iterdir())
    manifest = lra_data.build("text", tmp_path, corpus=Corpus(corpora["text"], allow_partial=True))
    assert manifest.description.variant == "lra-partial"
    assert manifest.description.config["corpus"]["missing"] == f"got reviews {missing}"
    card = (tmp_path / "text" / "lra-partial" / "README.md").read_text()
    assert f"**This is not the whole of aclImdb, the Large Movie Review Dataset v1.0: got reviews {missing}.**" in card


def test_the_overlap_is_said_loudly(corpora: dict[str, Path], tmp_path: Path) -> None:
    manifest = lra_data.build("text", tmp_path, corpus=Corpus(corpora["text"], allow_partial=True))
    assert manifest.overlaps == {"validation and test": 80}
    card = (tmp_path / "text" / "lra-partial" / "README.md").read_text()
    assert "**Validation and test are the same 25,000 reviews, as in LRA.**" in card
    assert "80 in validation and test.**" in card
    assert "No example stands in two splits" not in card
    lra_data.build("text/holdout", tmp_path, corpus=Corpus(corpora["text"], allow_partial=True))
    assert "No example stands in two splits" in (tmp_path / "text" / "holdout-partial" / "README.md").read_text()


def test_near_duplicates_are_those_of_their_definition() -> None:
    """All pairs of the tiny corpus and of variants of its texts, each measured exactly."""
    texts = [text for path, text in imdb_files().items() if path.endswith(".txt")][:60]
    shortened = b" ".join(texts[3].split()[:-30])
    texts += [
        texts[0],
        texts[1] + b" one more",
        texts[2].replace(b"the", b"a", 1),
        shortened,
        b"few words",
        b"few words",
    ]
    grams = [word_grams(text) for text in texts]
    expected = [
        (i, j)
        for i, j in combinations(range(len(texts)), 2)
        if len(grams[i] & grams[j]) / len(grams[i] | grams[j]) >= 0.8
    ]
    assert len(expected) >= 4
    assert near_duplicates(texts) == expected
    assert groups_of([(0, 1), (2, 3), (1, 4), (5, 6), (3, 6)]) == [[0, 1, 4], [2, 3, 5, 6]]


def test_a_near_duplicate_is_missed_less_than_once_in_ten_thousand() -> None:
    assert (1 - THRESHOLD**_ROWS_A_BAND) ** _BANDS < 1e-4


def test_word_grams() -> None:
    assert word_grams(b"a b<br />c d  e f") == {b"a b c d e", b"b c d e f"}
    assert word_grams(b"a b") == {b"a b"}


def test_the_committed_groups_are_names_of_reviews() -> None:
    names = [name for group in train_groups() for name in group]
    assert len(names) == len(set(names))
    assert all(len(group) > 1 and list(group) == sorted(group) for group in train_groups())
    assert all(name.split("/")[0] in ("neg", "pos") and 0 <= int(name.split("/")[1]) < 12_500 for name in names)


@pytest.mark.slow
def test_the_committed_groups_are_found_again_and_exactly_right() -> None:
    """MinHash's groups, and those of an exact search that shares no code with it: a prefix filter over rare 5-grams."""
    assert [tuple(group) for group in find_train_groups(real(IMDB))] == list(train_groups())
    texts = {path: text for path, text in members(real(IMDB)).items() if path.startswith("aclImdb/train/")}
    grams = {}
    for path, text in sorted(texts.items()):
        words = text.decode().replace("<br />", " ").split()
        grams[path] = {tuple(words[start : start + 5]) for start in range(max(1, len(words) - 4))}
    frequency = Counter(gram for found in grams.values() for gram in found)
    by_gram: dict[tuple[str, ...], list[str]] = {}
    groups: dict[str, set[str]] = {}
    for path, found in grams.items():
        rare = sorted(found, key=lambda gram: (frequency[gram], gram))[: len(found) - -(-4 * len(found) // 5) + 1]
        for other in {other for gram in rare for other in by_gram.get(gram, [])}:
            if 5 * len(found & grams[other]) >= 4 * len(found | grams[other]):
                merged = groups.get(path, {path}) | groups.get(other, {other})
                groups |= dict.fromkeys(merged, merged)
        for gram in rare:
            by_gram.setdefault(gram, []).append(path)
    names = {tuple(sorted(path.split("/", 2)[2].partition("_")[0] for path in group)) for group in groups.values()}
    assert names == set(train_groups())


def test_stats_count_cuts_and_duplicates(corpora: dict[str, Path]) -> None:
    task = text_task(corpora["text"])
    figures = statistics(VirtualRows(task, 0))["figures"]
    texts = members(corpora["text"])
    train = [text for path, text in texts.items() if path.startswith("aclImdb/train/")]
    assert figures["train longer than"]["1,000"] == sum(len(text) > 1000 for text in train)
    assert figures["the same review in"] == {"validation and test": 80}
    assert figures["exact duplicates"] == {}


@pytest.mark.slow
def test_the_real_duplicates() -> None:
    """49,582 distinct texts of 50,000, and the figures that docs/corpora.md gives."""
    texts = Counter(members(real(IMDB)).values())
    assert (len(texts), sum(texts.values())) == (49_582, 50_000)
    figures = statistics(VirtualRows(text_task(real(IMDB), "holdout"), 0))["figures"]
    assert figures["exact duplicates"] == {
        "test": 211, "train": 91, "train and test": 113, "validation": 9, "validation and test": 10,
    }  # fmt: skip
    assert figures["near-duplicates"] == {
        "test": 231, "train": 106, "train and test": 113, "validation": 11, "validation and test": 10,
    }  # fmt: skip
