"""Retrieval: texts byte for byte, id lists followed exactly, faults of either named, and the released layout."""

import io
import tarfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import lra_data
from lra_data import SetError, UsageError, get_task
from lra_data.arrow_columns import column, numbers
from lra_data.corpus import Corpus
from lra_data.interop.export import export
from lra_data.retrieval.config import LRA_SIZES, Config
from lra_data.retrieval.draw import draw_pairs
from lra_data.retrieval.network import PAPER, Network, read_network, what_is_missing, year_of
from lra_data.splits import SPLITS
from lra_data.store.row_access import VirtualRows
from lra_data.stream_key import stream_bytes
from lra_data.task import Task
from tests.support.commands import run
from tests.support.real_corpora import AAN, real
from tests.support.tiny_corpora import aan_files, write_tar

ACL = "aan/release/2010/acl.txt"
TEXTS = sorted(
    name.split("/")[-1].removesuffix(".txt")
    for name, data in aan_files().items()
    if "papers_text" in name and name.endswith(".txt") and data
)


def retrieval_task(archive: Path, preset: str = "by-pair", **options: Any) -> Task:
    return get_task(f"retrieval/{preset}").over(Corpus(archive, **{"allow_partial": True, **options}))


def texts_in(archive: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            if "/papers_text/" in member.name and member.name.endswith(".txt") and member.size:
                content = tar.extractfile(member)
                assert isinstance(content, io.BufferedIOBase)
                found[member.name.split("/")[-1][:-4]] = content.read()
    return found


def check_texts(task: Task, texts: Mapping[str, bytes], most: int) -> int:
    """Every stored text of up to `most` rows a split equals its source file; returns the rows looked at."""
    seen = 0
    for split in SPLITS:
        for start in range(0, min(most, task.sizes[split]), 200):
            batch = task.generate(split, start, min(start + 200, most, task.sizes[split]))
            assert task.problems(batch, split=split, seed=0) == []
            for number in (1, 2):
                names = batch[f"source_{number}"].to_pylist()
                for paper, text in zip(names, batch[f"inputs_{number}"], strict=True):
                    assert text.values.to_numpy().tobytes() == texts[paper]
            seen += len(batch)
    return seen


@pytest.mark.parametrize("preset", ["by-pair", "by-paper"])
def test_every_text_is_its_source(preset: str, corpora: dict[str, Path]) -> None:
    task = retrieval_task(corpora["retrieval"], preset)
    assert check_texts(task, texts_in(corpora["retrieval"]), 10_000) == sum(task.sizes.values()) > 100


@pytest.mark.long
def test_the_real_subset() -> None:
    network = read_network(real(AAN))
    counts = {name: value for name, value in network.facts.items() if isinstance(value, int)}
    assert counts == {
        "release": 2012, "empty texts": 0, "other files": 0, "records": 18_041, "texts without a record": 181,
        "records of another year than the id": 1, "links": 94_973, "links with both texts": 10_367, "self links": 42,
        "repeated links": 0, "papers": 16_589, "ids of another form": 17, "texts": 1_667, "longest": 154_227,
        "texts with NUL, TAB or CR": 76, "texts that are not UTF-8": 85,
    }  # fmt: skip
    task = retrieval_task(real(AAN))
    assert task.name == "retrieval/by-pair-partial"
    assert sum(task.sizes.values()) == 20_638  # 10,319 positives
    assert check_texts(task, texts_in(real(AAN)), 1_000) == 3_000


def test_the_counts_are_kept_in_the_set(corpora: dict[str, Path]) -> None:
    facts = read_network(corpora["retrieval"]).facts
    assert facts["release"] == 2010
    assert (facts["texts"], facts["empty texts"], facts["other files"]) == (100, 1, 2)
    assert (facts["self links"], facts["repeated links"], facts["records"]) == (1, 1, 120)
    assert facts["texts without a record"] == facts["records of another year than the id"] == 0
    assert facts["missing"] == f"got {facts['links']:,} links (the release of 2010: at least 80,000)"


def test_years() -> None:
    assert [year_of(paper) for paper in ("P02-1040", "J93-2004", "C65-1001", "W59-0001", "D12-1001")] == [
        2002, 1993, 1965, 2059, 2012,
    ]  # fmt: skip


def test_the_whole_of_a_corpus_needs_no_permission() -> None:
    """Nine of ten links with both texts are what upstream has; fewer are a part."""
    assert what_is_missing(2013, 110_930, 107_873) == ""
    assert what_is_missing(2014, 120_000, 108_000) == ""
    assert what_is_missing(2014, 120_000, 107_999) == (
        "got both texts of 107,999 of 120,000 links (the release of 2013: 107,873 of 110,930)"
    )
    assert what_is_missing(2012, 94_972, 94_972) == "got 94,972 links (the release of 2012: 94,973)"
    assert what_is_missing(2011, 1_500, 1_500) == "got 1,500 links (the release of 2011: at least 80,000)"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("splitting", "sizes"),
    [
        ("by-pair", {"train": 147_086, "validation": 18_090, "test": 17_436}),
        ("by-paper", {"train": 66_144, "validation": 7_992, "test": 7_960}),
    ],
)
def test_a_whole_network_gives_lras_counts(splitting: str, sizes: dict[str, int]) -> None:
    """The real 94,973 links, as if every paper had a text: by-pair fills LRA's splits, by-paper what is left."""
    links = read_network(real(AAN)).listed
    papers = {paper for link in links for paper in link if PAPER.fullmatch(paper)}
    network = Network(dict.fromkeys(papers, b"text"), links, {"release": 2012})
    assert network.facts["missing"] == ""
    drawn = draw_pairs(network, splitting, stream_bytes("retrieval", 1, {"splitting": splitting}, 0, ""))
    assert {split: len(pairs) for split, pairs in drawn.items()} == sizes
    for pairs in drawn.values():
        for side in ("first", "second"):
            ones, zeros = (Counter(getattr(pair, side) for pair in pairs if pair.label == label) for label in (1, 0))
            assert ones == zeros


def changed(tmp_path: Path, changes: Mapping[str, bytes | None]) -> Path:
    files = {name: data for name, data in aan_files().items() if name not in changes}
    return write_tar(
        tmp_path / "aan.tar.gz", files | {name: data for name, data in changes.items() if data is not None}
    )


def without(part: str) -> dict[str, bytes | None]:
    return {name: None for name in aan_files() if part in name}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (without("acl.txt"), ": expected release/<year>/acl.txt, got none: this is not the AAN release"),
        (without("papers_text"), ": expected texts in papers_text/, got none: this is not the AAN release"),
        (
            {ACL: b"P01-1000 ==> P00-1000\nP02-1000 P00-1000\n"},
            f": {ACL} line 2: expected `citing ==> cited`, got 'P02-1000 P00-1000'",
        ),
        ({ACL: b"P01-1000 ==> \n"}, f": {ACL} line 1: expected `citing ==> cited`, got 'P01-1000 ==> '"),
        ({ACL: b"P01-1000 ==> P\xe900\n"}, f": {ACL}: expected ASCII, got byte 0xe9 at 14"),
        (
            {ACL: b"P01-1000 ==> P00-1000\nP01-1000 ==> P00-10"},
            f": {ACL} line 2: expected a whole line, got 'P01-1000 ==> P00-10' at the end: it is cut off",
        ),
        ({ACL: b"\n\n"}, f": {ACL}: expected one link per line, got no links"),
        (
            {"copy/papers_text/" + TEXTS[0] + ".txt": b"another"},
            f": expected one file for {TEXTS[0]}, got another as copy/papers_text/{TEXTS[0]}.txt: name the release's "
            "own folder",
        ),
    ],
)
def test_a_damaged_copy_is_one_line(changes: dict[str, bytes | None], message: str, tmp_path: Path) -> None:
    archive = changed(tmp_path, changes)
    with pytest.raises(SetError) as caught:
        retrieval_task(archive)
    assert str(caught.value) == f"{archive}{message}"


def write_lists(folder: Path, lists: Mapping[str, str], name: str = "new_aan_pairs.{}.tsv") -> Path:
    folder.mkdir(exist_ok=True)
    for split, text in lists.items():
        (folder / name.format(split)).write_text(text)
    return folder


A, B, C = TEXTS[:3]
LISTS = {
    "train": f"1.0\t{A}\t{B}\ttext one\ttext two\n0.0\t{B}\t{C}\tx\ty\n1.0\t{A}\t{B}\tagain\tx\n",
    "eval": f"0 {C} {A}\n",
    "test": f"1\t{A}\t{A}\n",
}


@pytest.mark.parametrize("name", ["new_aan_pairs.{}.tsv", "{}.txt", "aan.{}.tsv"])
def test_id_lists_are_followed_exactly(name: str, corpora: dict[str, Path], tmp_path: Path) -> None:
    """Both forms of line, in their order, a pair twice and a paper with itself included."""
    pairs = write_lists(tmp_path / "lists", LISTS, name)
    manifest = lra_data.build("retrieval", tmp_path / "data", corpus=Corpus(corpora["retrieval"], pairs=pairs))
    variant = manifest.description.variant
    assert variant.startswith("pairs-")
    folder = tmp_path / "data" / "retrieval" / variant
    texts = texts_in(corpora["retrieval"])
    rows = {
        split: [
            (row["label"], row["source_1"], row["source_2"], bytes(row["inputs_1"]), bytes(row["inputs_2"]))
            for row in lra_data.load(folder, split=split)
        ]
        for split in SPLITS
    }
    assert rows == {
        "train": [(1, A, B, texts[A], texts[B]), (0, B, C, texts[B], texts[C]), (1, A, B, texts[A], texts[B])],
        "validation": [(0, C, A, texts[C], texts[A])],
        "test": [(1, A, A, texts[A], texts[A])],
    }
    assert lra_data.verify(folder, corpus=Corpus(corpora["retrieval"], pairs=pairs)) == []
    other = write_lists(tmp_path / "other", LISTS | {"eval": f"1 {C} {A}\n"}, name)
    with pytest.raises(
        SetError, match=r"expected id lists with digest .*, got .*: name the lists that the set was built from"
    ):
        lra_data.verify(folder, corpus=Corpus(corpora["retrieval"], pairs=other))
    with pytest.raises(SetError, match="expected the id lists of the build, got none: name their folder with --pairs"):
        lra_data.verify(folder, corpus=corpora["retrieval"])


def test_lists_with_lras_counts_have_lras_name(corpora: dict[str, Path], tmp_path: Path) -> None:
    lists = {split: f"1 {A} {B}\n" * size for split, size in LRA_SIZES.items()}
    task = retrieval_task(corpora["retrieval"], pairs=write_lists(tmp_path / "lists", lists))
    assert task.name == "retrieval/lra-pairs"
    assert task.sizes == LRA_SIZES


def test_absent_papers_are_named_and_can_be_left_out(corpora: dict[str, Path], tmp_path: Path) -> None:
    lists = LISTS | {"train": f"1 {A} X99-0001\n0 {B} {C}\n1 X99-0002 X99-0001\n"}
    pairs = write_lists(tmp_path / "lists", lists)
    result = run(
        "build", "retrieval", "--corpus", str(corpora["retrieval"]), "--pairs", str(pairs), "--out", str(tmp_path)
    )
    assert result.returncode == 1
    assert result.stderr == (
        f"lra-data: error: {pairs}: expected pairs of papers with a text, got 2 pairs with papers that have no "
        f"text in {corpora['retrieval']}, X99-0001, X99-0002: --allow-partial "
        "(in Python: corpus=lra_data.Corpus(PATH, allow_partial=True)) leaves them out and marks the set\n"
    )
    task = retrieval_task(corpora["retrieval"], pairs=pairs)
    assert task.name.endswith("-partial")
    assert task.sizes == {"train": 1, "validation": 1, "test": 1}
    assert task.record()["corpus"]["pairs"]["papers without text"] == ["X99-0001", "X99-0002"]
    assert "2 pairs of the id lists are left out" in task.card.remark


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"train": f"2 {A} {B}\n"}, r"train\.tsv line 1: expected `label id1 id2` with label 0 or 1, got '2 .*'"),
        (
            {"train": f"1 {A} {B}\n1 {A}\n"},
            r"train\.tsv line 2: expected `label id1 id2` with label 0 or 1, got '1 .*'",
        ),
        ({"train": ""}, r"train\.tsv: expected one pair per line, got no pairs"),
    ],
)
def test_damaged_lists_are_one_line(
    lists: dict[str, str], message: str, corpora: dict[str, Path], tmp_path: Path
) -> None:
    pairs = write_lists(tmp_path / "lists", LISTS | lists)
    with pytest.raises(SetError, match=message):
        retrieval_task(corpora["retrieval"], pairs=pairs)


def test_lists_that_change_are_read_again(corpora: dict[str, Path], tmp_path: Path) -> None:
    pairs = write_lists(tmp_path / "lists", LISTS)
    first = retrieval_task(corpora["retrieval"], pairs=pairs)
    assert first.sizes["test"] == 1
    write_lists(pairs, {"test": f"1 {A} {B}\n0 {B} {C}\n"})
    assert retrieval_task(corpora["retrieval"], pairs=pairs).sizes["test"] == 2


def test_lists_that_are_not_there(corpora: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected a folder with id lists, got .*, which is not a folder"):
        retrieval_task(corpora["retrieval"], pairs=tmp_path / "nowhere")
    partial = write_lists(tmp_path / "lists", {"train": LISTS["train"]})
    with pytest.raises(
        UsageError, match=r"expected id lists new_aan_pairs\.\{train,eval,test\}\.tsv, got .*train\.tsv"
    ):
        retrieval_task(corpora["retrieval"], pairs=partial)
    (partial / "val.tsv").write_text("x")
    (partial / "eval.tsv").write_text("x")
    with pytest.raises(UsageError, match=r"expected one list for validation, got eval\.tsv and val\.tsv"):
        retrieval_task(corpora["retrieval"], pairs=partial)
    with pytest.raises(UsageError, match="expected either --pairs or a preset other than by-pair, got both"):
        retrieval_task(corpora["retrieval"], "by-paper", pairs=write_lists(tmp_path / "whole", LISTS))
    with pytest.raises(UsageError, match="retrieval: splitting must be by-pair or by-paper, got 'random'"):
        Config(splitting="random")


def test_the_released_layout_and_back(corpora: dict[str, Path], tmp_path: Path) -> None:
    """What is exported can be given as id lists, and makes the same rows; TAB, CR and NUL are spaces there."""
    task = retrieval_task(corpora["retrieval"])
    written = export(VirtualRows(task, 0), tmp_path / "tsv")
    assert [path.name for path in written] == [f"new_aan_pairs.{split}.tsv" for split in ("train", "eval", "test")]
    texts = texts_in(corpora["retrieval"])
    for split, path in zip(SPLITS, written, strict=True):
        lines = path.read_bytes().split(b"\n")
        assert lines.pop() == b""
        assert len(lines) == task.sizes[split]
        for line, pair in zip(lines, task.rows(split, 0), strict=True):  # type: ignore[attr-defined]
            fields = line.split(b"\t")
            assert fields[:3] == [b"%d.0" % pair.label, pair.first.encode(), pair.second.encode()]
            for field, paper in zip(fields[3:], (pair.first, pair.second), strict=True):
                cleaned = texts[paper]
                for byte in (b"\t", b"\r", b"\n", b"\0"):
                    cleaned = cleaned.replace(byte, b" ")
                assert field == cleaned
    again = retrieval_task(corpora["retrieval"], pairs=tmp_path / "tsv")
    for split in SPLITS:
        assert again.rows(split, 0) == list(task.rows(split, 0))  # type: ignore[attr-defined]


def test_labels_are_held_against_the_links(corpora: dict[str, Path]) -> None:
    task = retrieval_task(corpora["retrieval"])
    batch = task.generate("train", 0, 4)
    labels = batch["label"].to_pylist()
    turned = batch.set_column(2, batch.schema.field(2), column(1 - numbers(batch["label"])))
    found = task.problems(turned, split="train", seed=0)
    first = batch.to_pylist()[0]
    truth = "a link" if labels[0] else "no link"
    assert len(found) == 4
    assert found[0] == (
        0, f"expected label {labels[0]}, acl.txt has {truth} of {first['source_1']} and {first['source_2']}",
    )  # fmt: skip


def test_too_many_bytes_at_once_are_refused(corpora: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lra_data.retrieval.task._MOST_BYTES", 10_000)
    with pytest.raises(UsageError, match=r"expected rows of at most 2 GiB at a time, got [\d,]+ bytes: ask for fewer"):
        retrieval_task(corpora["retrieval"]).generate("train", 0, 50)
