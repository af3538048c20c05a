"""LRA's id lists under all the names they have, with what editors leave in lists, and what is said where none is."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

import lra_data
from lra_data import SetError, UsageError, get_task
from lra_data.corpus import Corpus
from lra_data.retrieval.network import read_network
from lra_data.retrieval.pairs import read_id_lists
from lra_data.splits import SPLITS
from lra_data.task import Task
from tests.support.commands import run
from tests.support.tiny_corpora import aan_files, write_tar

TEXTS = sorted(
    name.split("/")[-1].removesuffix(".txt")
    for name, data in aan_files().items()
    if "papers_text" in name and name.endswith(".txt") and data
)
A, B, C = TEXTS[:3]
LISTS = {
    "train": f"1.0\t{A}\t{B}\n0.0\t{B}\t{C}\n1.0\t{A}\t{B}\n".encode(),
    "eval": f"0.0\t{C}\t{A}\n".encode(),
    "test": f"1.0\t{A}\t{A}\n".encode(),
}
ROWS = {"train": [(1, A, B), (0, B, C), (1, A, B)], "validation": [(0, C, A)], "test": [(1, A, A)]}
BOM = b"\xef\xbb\xbf"


def write(folder: Path, lists: Mapping[str, bytes], name: str = "new_aan_pairs.{}.only_ids.tsv") -> Path:
    folder.mkdir(exist_ok=True)
    for split, data in lists.items():
        (folder / name.format(split)).write_bytes(data)
    return folder


def pairs_of(folder: Path) -> dict[str, list[tuple[int, str, str]]]:
    lists = read_id_lists(folder)
    return {split: [(pair.label, pair.first, pair.second) for pair in lists.pairs[split]] for split in SPLITS}


def task_over(corpora: Mapping[str, Path], pairs: Path) -> Task:
    return get_task("retrieval").over(Corpus(corpora["retrieval"], pairs=pairs))


@pytest.mark.parametrize(
    "name",
    [
        "new_aan_pairs.{}.only_ids.tsv",
        "new_aan_pairs.{}.tsv",
        "new_aan_pairs_{}_only_ids.txt",
        "new_aan_pairs.{}.ids.tsv",
        "NEW_AAN_PAIRS.{}.ONLY_IDS.TSV",
        "{}.txt",
    ],
)
def test_the_published_names_are_known(name: str, tmp_path: Path) -> None:
    assert pairs_of(write(tmp_path / "lists", LISTS, name)) == ROWS


def test_a_set_from_lists_with_the_published_names(corpora: dict[str, Path], tmp_path: Path) -> None:
    """The same set as from lists under other names, built and verified by the command."""
    pairs = write(tmp_path / "lists", LISTS)
    result = run(
        "build", "retrieval", "--corpus", str(corpora["retrieval"]), "--pairs", str(pairs), "--out", str(tmp_path)
    )
    assert (result.returncode, result.stdout.count("\n")) == (0, 1)
    folder = next((tmp_path / "retrieval").iterdir())
    assert folder.name == f"pairs-{read_id_lists(write(tmp_path / 'other', LISTS, '{}.tsv')).digest[:8]}"
    assert lra_data.verify(folder, corpus=Corpus(corpora["retrieval"], pairs=pairs)) == []


def test_both_forms_in_one_folder_must_agree(tmp_path: Path) -> None:
    folder = write(tmp_path / "lists", LISTS)
    write(
        folder, {split: data.replace(b"\n", b"\ttext one\ttext two\n") for split, data in LISTS.items()}, "all.{}.tsv"
    )
    assert pairs_of(folder) == ROWS
    write(folder, {"test": f"0.0\t{A}\t{A}\tx\ty\n".encode()}, "all.{}.tsv")
    with pytest.raises(UsageError) as caught:
        read_id_lists(folder)
    assert str(caught.value) == (
        f"{folder}: expected one set of id lists, got two that differ, with all.train.tsv and "
        "new_aan_pairs.train.only_ids.tsv: remove one"
    )


def test_marks_line_ends_and_blank_lines_change_no_pair(corpora: dict[str, Path], tmp_path: Path) -> None:
    plain = task_over(corpora, write(tmp_path / "plain", LISTS))
    dressed = {
        "train": BOM + LISTS["train"].replace(b"\n", b"\r\n") + b"\r\n\r\n",
        "eval": BOM + LISTS["eval"] + b" \t \n",
        "test": LISTS["test"].rstrip(b"\n"),
    }
    folder = write(tmp_path / "dressed", dressed)
    write(folder, {"train": b"\0\5\26\7", "test": b"\0"}, "._new_aan_pairs.{}.only_ids.tsv")
    (folder / ".DS_Store").write_bytes(b"\0")
    assert pairs_of(folder) == ROWS
    task = task_over(corpora, folder)
    counts = {"hidden files": 3, "byte order marks": 2, "blank lines": 3}
    assert task.record()["corpus"]["source"]["passed over"] == counts
    assert task.card.remark.endswith("Passed over in the copy: 3 hidden files, 2 byte order marks, 3 blank lines.")
    # What was passed over describes the copy, and is no part of what identifies the set.
    assert task.identity() == plain.identity()
    assert "passed over" not in plain.record()["corpus"]["source"]
    assert plain.card.notices == ()


def test_the_build_says_what_was_passed_over(corpora: dict[str, Path], tmp_path: Path) -> None:
    folder = write(tmp_path / "lists", LISTS | {"train": BOM + LISTS["train"] + b"\n"})
    command = (
        "build",
        "retrieval",
        "--corpus",
        str(corpora["retrieval"]),
        "--pairs",
        str(folder),
        "--out",
        str(tmp_path),
    )
    sentence = "Passed over in the copy: 1 byte order mark, 1 blank line."
    assert run(*command).stdout.splitlines()[0] == sentence
    assert json.loads(run(*command, "--json").stdout)["notices"] == [sentence]
    built = next((tmp_path / "retrieval").iterdir())
    assert sentence in (built / "README.md").read_text()
    # Lists with and without a mark continue the same set.
    write(folder, LISTS)
    assert "already complete" in run(*command).stdout
    assert lra_data.verify(built, corpus=Corpus(corpora["retrieval"], pairs=folder)) == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"1\tA\tB\n\n1\tA\tB\n", "line 2: expected `label id1 id2` with label 0 or 1, got ''"),
        (BOM + b"\n\n", ": expected one pair per line, got no pairs"),
        (b"\xff\xfe1\0\t\0A\0", ": expected UTF-8 or ASCII, got UTF-16: save the file as UTF-8"),
        (b"1\tA\tB\n" + BOM + b"1\tA\tB\n", "line 2: expected `label id1 id2` with label 0 or 1, got "),
    ],
    ids=range(4),
)
def test_what_is_not_at_an_end_stays_a_fault(data: bytes, message: str, tmp_path: Path) -> None:
    """A blank line between two others may be a pair that was lost."""
    folder = write(tmp_path / "lists", LISTS | {"eval": data})
    with pytest.raises(SetError) as caught:
        read_id_lists(folder)
    text = str(caught.value)
    assert text.startswith(f"{folder}/new_aan_pairs.eval.only_ids.tsv")
    assert message in text
    assert "\n" not in text


def fault(folder: Path) -> str:
    with pytest.raises(UsageError) as caught:
        read_id_lists(folder)
    return str(caught.value).removeprefix(f"{folder}: expected id lists new_aan_pairs.{{train,eval,test}}.tsv, got ")


def test_where_nothing_fits_the_error_lists_what_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "lists"
    folder.mkdir()
    assert fault(folder) == "an empty folder: name the folder with the lists"
    (folder / "tsv_data").mkdir()
    advice = "name the folder that holds them, or rename them; new_aan_pairs.train.only_ids.tsv, train.tsv and"
    assert fault(folder).startswith(f"none among 1 entry, tsv_data/: {advice}")
    for number in range(7):
        (folder / f"pairs_{number}.tsv.gz").write_bytes(b"x")
    (folder / ".DS_Store").write_bytes(b"x")
    assert fault(folder).startswith(
        "none among 8 entries, pairs_0.tsv.gz, pairs_1.tsv.gz, pairs_2.tsv.gz, pairs_3.tsv.gz, pairs_4.tsv.gz and 3 "
        f"more: {advice}"
    )
    write(folder, {"train": LISTS["train"], "eval": LISTS["eval"]})
    assert fault(folder) == (
        "new_aan_pairs.eval.only_ids.tsv, new_aan_pairs.train.only_ids.tsv and none for test: put all three into the "
        "folder"
    )


def test_the_corpuss_own_lists_may_have_a_mark_and_blank_lines(corpora: dict[str, Path], tmp_path: Path) -> None:
    files = aan_files()
    links, records = "aan/release/2010/acl.txt", "aan/release/2010/acl-metadata.txt"
    dressed = files | {
        links: BOM + files[links].replace(b"\n", b"\r\n") + b"\r\n \r\n",
        records: BOM + files[records].replace(b"\n", b"\r\n"),
    }
    archive = write_tar(tmp_path / "aan.tar.gz", dressed)
    plain, found = read_network(corpora["retrieval"]).facts, read_network(archive).facts
    assert found["source"]["passed over"] == {"byte order marks": 2, "blank lines": 2}
    assert {name: value for name, value in found.items() if name != "source"} == {
        name: value for name, value in plain.items() if name != "source"
    }
    wide = write_tar(tmp_path / "wide.tar.gz", files | {links: files[links].decode().encode("utf-16")})
    with pytest.raises(SetError, match=r"acl\.txt: expected UTF-8 or ASCII, got UTF-16: save the file as UTF-8"):
        read_network(wide)
