"""Retrieval's pairs against the oracle written from docs/retrieval_draws.md, and what the page promises of them."""

import random
import re
import tarfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import lra_data
from tests.oracles import retrieval_oracle as oracle
from tests.support import real_corpora
from tests.support.tiny_corpora import aan_files, write_tar

SPLITTINGS = ("by-pair", "by-paper")
SEEDS = (0, 7)
SPLITS = ("train", "validation", "test")
DRAWS = [(splitting, seed) for splitting in SPLITTINGS for seed in SEEDS]
TEXT = re.compile(r"papers_text/([A-Z][0-9]{2}-[0-9]{4})\.txt$")
LINKS = re.compile(r"release/([0-9]{4})/acl\.txt$")

Rows = dict[str, list[tuple[int, str, str]]]


@dataclass
class Papers:
    """What a draw needs of an archive: the non-empty texts by paper, and the newest acl.txt's raw links."""

    archive: Path
    texts: dict[str, bytes] = field(default_factory=dict)
    links: list[tuple[str, str]] = field(default_factory=list)

    @property
    def linked(self) -> set[frozenset[str]]:
        return {frozenset(link) for link in self.links if link[0] != link[1]}


@cache
def read(archive: Path) -> Papers:
    corpus = Papers(archive)
    links: dict[str, bytes] = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            text, listed = TEXT.search(member.name), LINKS.search(member.name)
            if not member.isfile() or not (text or listed):
                continue
            stream = tar.extractfile(member)
            assert stream is not None
            data = stream.read()
            if text and data:
                corpus.texts[text[1]] = data
            elif listed:
                links[listed[1]] = data
    for line in links[max(links)].decode("latin-1").splitlines():
        if line.strip():
            citing, cited = line.split("==>")
            corpus.links.append((citing.strip(), cited.strip()))
    return corpus


def task_of(corpus: Papers, splitting: str) -> Any:
    return lra_data.get_task(f"retrieval/{splitting}").over(lra_data.Corpus(corpus.archive, allow_partial=True))


@cache
def package_rows(archive: Path, splitting: str, seed: int) -> Rows:
    task = task_of(read(archive), splitting)
    rows = {split: [(int(row.label), row.first, row.second) for row in task.rows(split, seed)] for split in SPLITS}
    assert {split: len(rows[split]) for split in SPLITS} == dict(task.split_sizes(seed))
    return rows


@cache
def oracle_rows(archive: Path, splitting: str, seed: int) -> Rows:
    corpus = read(archive)
    return oracle.draw(corpus.texts, corpus.links, splitting, seed)


def assert_same(actual: Rows, expected: Rows) -> None:
    """Row by row, so that a failure names the first that differs."""
    assert list(expected) == list(SPLITS)
    for split in SPLITS:
        for index, (row, due) in enumerate(zip(actual[split], expected[split], strict=False)):
            assert row == due, f"row {index} of {split}"
        assert len(actual[split]) == len(expected[split]), split


def assert_taken(corpus: Papers, splitting: str, seed: int, rows: Rows, most: int) -> None:
    """`take` gives the labels of these rows and their papers' ids and texts."""
    task = task_of(corpus, splitting)
    for split in SPLITS:
        due = rows[split][:most]
        batch = task.take(split, range(len(due)), seed=seed)
        assert batch.column("label").to_pylist() == [label for label, _, _ in due]
        for place in (1, 2):
            papers = batch.column(f"source_{place}").to_pylist()
            assert papers == [row[place] for row in due]
            inputs = batch.column(f"inputs_{place}").to_pylist()
            assert [bytes(values) for values in inputs] == [corpus.texts[paper] for paper in papers]


@pytest.fixture(scope="module")
def tiny(corpora: dict[str, Path]) -> Papers:
    return read(corpora["retrieval"])


@pytest.fixture(scope="module")
def real() -> Papers:
    return read(real_corpora.real(real_corpora.AAN))


def test_tiny_corpus_is_read_as_it_was_written(tiny: Papers) -> None:
    files = aan_files()
    papers = {match[1]: data for name, data in files.items() if (match := TEXT.search(name)) and data}
    assert tiny.texts == papers
    assert len(tiny.links) == files["aan/release/2010/acl.txt"].count(b"\n")
    assert any(citing == cited for citing, cited in tiny.links)
    assert len(set(tiny.links)) < len(tiny.links)


@pytest.mark.parametrize(("splitting", "seed"), DRAWS)
def test_tiny_corpus_is_drawn_as_by_the_oracle(tiny: Papers, splitting: str, seed: int) -> None:
    rows = package_rows(tiny.archive, splitting, seed)
    assert_same(rows, oracle_rows(tiny.archive, splitting, seed))
    assert_taken(tiny, splitting, seed, rows, 10_000)


@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=[] if seed < 4 else [pytest.mark.slow]) for seed in range(12)]
)
@pytest.mark.parametrize("splitting", SPLITTINGS)
def test_crowded_corpora_are_drawn_as_by_the_oracle(tmp_path: Path, splitting: str, seed: int) -> None:
    """So many links among so few papers that slots are left without a negative; all centuries, links both ways."""
    rng = random.Random(seed)
    papers = [f"{rng.choice('JP')}{rng.choice(('59', '60', '98', '99', '00', '01'))}-{1000 + n}" for n in range(30)]
    lines = [f"{rng.choice(papers)} ==> {rng.choice(papers)}\n" for _ in range(400)]
    files = {f"aan/papers_text/{paper}.txt": paper.encode() for paper in papers[:26]}
    records = [f"id = {{{paper}}}\nauthor = {{A}}\ntitle = {{T}}\nyear = {{2000}}\n" for paper in papers]
    files["aan/release/2010/acl.txt"] = "".join(lines).encode()
    files["aan/release/2010/acl-metadata.txt"] = "\n".join(records).encode()
    corpus = read(write_tar(tmp_path / "aanrelease.tar.gz", files))
    expected = oracle.draw(corpus.texts, corpus.links, splitting, seed)
    slots = oracle.positives(corpus.texts, corpus.links, splitting, seed)
    assert sum(map(len, expected.values())) < 2 * sum(map(len, slots.values()))
    assert_same(package_rows(corpus.archive, splitting, seed), expected)


@pytest.mark.long
@pytest.mark.parametrize(
    ("splitting", "seed"),
    [pytest.param(*draw, marks=[] if draw == DRAWS[0] else [pytest.mark.slow]) for draw in DRAWS],
)
def test_real_corpus_is_drawn_as_by_the_oracle(real: Papers, splitting: str, seed: int) -> None:
    rows = package_rows(real.archive, splitting, seed)
    assert_same(rows, oracle_rows(real.archive, splitting, seed))
    assert_taken(real, splitting, seed, rows, 50)


@pytest.mark.parametrize("splitting", SPLITTINGS)
def test_seeds_differ(real: Papers, splitting: str) -> None:
    one, other = (package_rows(real.archive, splitting, seed) for seed in SEEDS)
    assert all(set(one[split]) != set(other[split]) for split in SPLITS)


@pytest.mark.parametrize(("splitting", "seed"), DRAWS)
def test_labels_are_balanced(real: Papers, splitting: str, seed: int) -> None:
    for rows in package_rows(real.archive, splitting, seed).values():
        counts = Counter(label for label, _, _ in rows)
        assert counts[0] == counts[1] > 0


@pytest.mark.parametrize(("splitting", "seed"), DRAWS)
def test_no_paper_is_paired_with_itself_and_no_pair_comes_twice(real: Papers, splitting: str, seed: int) -> None:
    pairs = [
        frozenset((first, second))
        for rows in package_rows(real.archive, splitting, seed).values()
        for _, first, second in rows
    ]
    assert all(len(pair) == 2 for pair in pairs)
    assert len(set(pairs)) == len(pairs)


@pytest.mark.parametrize(("splitting", "seed"), DRAWS)
@pytest.mark.parametrize("side", [1, 2])
def test_each_paper_is_as_often_in_positives_as_in_negatives(
    real: Papers, splitting: str, seed: int, side: int
) -> None:
    for split, rows in package_rows(real.archive, splitting, seed).items():
        positive, negative = (Counter(row[side] for row in rows if row[0] == label) for label in (1, 0))
        assert positive == negative, split


@pytest.mark.parametrize("seed", SEEDS)
def test_no_paper_is_in_two_splits_by_paper(real: Papers, seed: int) -> None:
    rows = package_rows(real.archive, "by-paper", seed)
    papers = [{paper for _, *pair in rows[split] for paper in pair} for split in SPLITS]
    assert sum(map(len, papers)) == len(set.union(*papers))


@pytest.mark.parametrize(("splitting", "seed"), DRAWS)
def test_positives_are_links_and_negatives_are_not(real: Papers, splitting: str, seed: int) -> None:
    links, linked = set(real.links), real.linked
    for rows in package_rows(real.archive, splitting, seed).values():
        for label, first, second in rows:
            if label:
                assert (first, second) in links
            else:
                assert frozenset((first, second)) not in linked
            assert {first, second} <= real.texts.keys()


@pytest.mark.parametrize("seed", [SEEDS[0], pytest.param(SEEDS[1], marks=pytest.mark.slow)])
def test_the_real_part_gives_ten_thousand_positives_by_pair(real: Papers, seed: int) -> None:
    rows = package_rows(real.archive, "by-pair", seed)
    assert sum(label for split in SPLITS for label, _, _ in rows[split]) >= 10_000


@pytest.mark.parametrize(("splitting", "seed"), DRAWS)
def test_splits_of_positives_do_not_depend_on_other_texts(real: Papers, splitting: str, seed: int) -> None:
    whole = split_by_positive(package_rows(real.archive, splitting, seed))
    half = sorted(real.texts)[::2]
    part = split_by_positive(oracle.draw(half, real.links, splitting, seed))
    both = part.keys() & whole.keys()
    assert len(both) > 100
    assert {pair: part[pair] for pair in both} == {pair: whole[pair] for pair in both}


def split_by_positive(rows: Rows) -> dict[Sequence[str], str]:
    return {(first, second): split for split in SPLITS for label, first, second in rows[split] if label}
