"""A check of one copy of a corpus by models that learned from another: the rows that both have are compared."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from msgspec import structs

import lra_data
from lra_data import Corpus, UsageError
from reference_models.commands.main import cli
from reference_models.drift import shared_rows
from reference_models.model.card import RecordedAnswers
from reference_models.model.checkpoint import read_card, write_card
from reference_models.training.runs import Experiment, Source, run
from tests.support.faults_of_tasks import faulty_rows, of_columns
from tests.support.tiny_corpora import aan_files, cifar_arrays, write_tar

# Of the tiny corpus's 60 pictures of each batch, the models learn from the first 40.
PART, ALL = 40, 60


def archive(folder: Path, pictures: int) -> Path:
    """A copy of CIFAR-10 in the binary layout with the first pictures of each batch."""
    files = {
        f"cifar-10-batches-bin/{name}.bin": np.column_stack([labels, values])[:pictures].tobytes()
        for name, (labels, values) in cifar_arrays().items()
    }
    return write_tar(folder / f"{pictures}.tar.gz", files)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two models that took two steps on the smaller copy."""
    folder = tmp_path_factory.mktemp("learned")
    corpus = Corpus(archive(folder, PART), allow_partial=True)
    for name in ("linear", "no_attention"):
        changes = {"steps": 2, "batch_size": 8, "warmup": 0}
        run(Experiment(source=Source(target="image/lra", corpus=corpus), attention=name, changes=changes), folder)
    return folder


def checked(learned: Path, copy: Path, *more: str) -> tuple[int, list[dict[str, str]], list[str]]:
    """The exit code, the findings and the lines of a check of a copy."""
    words = ["check", "image/lra", "--corpus", str(copy), "--allow-partial", "--checkpoints", str(learned), "--json"]
    result = CliRunner().invoke(cli, [*words, *more])
    found = json.loads(result.stdout)
    return result.exit_code, found["findings"], found["compared"]


def reversed_rows(columns: dict[str, Any]) -> dict[str, Any]:
    """The rows that are made together, the other way round."""
    return {name: values if name == "index" else values[::-1] for name, values in columns.items()}


@pytest.mark.parametrize("words", [(), ("--thorough",)])
def test_rows_that_both_have_are_compared_and_counted(learned: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    code, findings, lines = checked(learned, archive(tmp_path, ALL), *words)
    assert (code, findings) == (0, [])
    card = read_card(next(learned.rglob("linear")))
    held = {split: min(getattr(card.data.examples, split), 2000) for split in ("train", "test")}
    assert held["test"] == PART
    expected = [
        f"{split}: another copy of the corpus has {held[split]:,} of {held[split]:,} recorded rows" for split in held
    ]
    assert lines == expected


def test_a_smaller_copy_has_some_of_them(learned: Path, tmp_path: Path) -> None:
    code, findings, lines = checked(learned, archive(tmp_path, 10))
    assert (code, findings) == (0, [])
    assert lines[1] == f"test: another copy of the corpus has 10 of {PART} recorded rows"


def test_the_same_copy_is_compared_in_blocks(learned: Path, tmp_path: Path) -> None:
    code, findings, lines = checked(learned, archive(tmp_path, PART))
    assert (code, findings) == (0, [])
    assert lines[0].startswith("train: rows of")


def one_label_of_ten(columns: dict[str, Any]) -> dict[str, Any]:
    labels = zip(columns["label"], columns["number"], strict=True)
    return {"label": [(label + (number % 10 == 0)) % 10 for label, number in labels]}


def test_what_the_rows_hold_is_compared(learned: Path, tmp_path: Path) -> None:
    with faulty_rows("image", of_columns(one_label_of_ten)):
        code, findings, _ = checked(learned, archive(tmp_path, ALL))
    assert code == 1
    assert findings[-1]["cause"] == "data changed"
    assert findings[-1]["text"] == "test: expected 40 rows that both copies have to hold the same, got 4 that differ"


def test_their_order_is_compared(learned: Path, tmp_path: Path) -> None:
    with faulty_rows("image", of_columns(reversed_rows)):
        code, findings, _ = checked(learned, archive(tmp_path, ALL))
    assert code == 1
    assert [finding["text"] for finding in findings] == [
        f"{split}: expected the rows that both copies have in the recorded order, got another one"
        for split in ("train", "test")
    ]


def own_card(learned: Path, own: Path, **changes: Any) -> Path:
    """A copy of the linear model whose card has other entries."""
    folder = next(learned.rglob("linear"))
    own.mkdir()
    for path in folder.iterdir():
        (own / path.name).write_bytes(path.read_bytes())
    write_card(own, structs.replace(read_card(folder), **changes))
    return own


def recorded_by(learned: Path) -> dict[Any, RecordedAnswers]:
    found = read_card(next(learned.rglob("linear"))).recorded
    assert found is not None
    return found


def test_answers_that_changed_are_found(learned: Path, tmp_path: Path) -> None:
    wrong = {
        split: structs.replace(entry, predictions=["".join(str(9 - int(digit)) for digit in entry.predictions[0])])
        for split, entry in recorded_by(learned).items()
    }
    code, findings, _ = checked(own_card(learned, tmp_path / "linear", recorded=wrong), archive(tmp_path, ALL))
    assert code == 1
    assert [finding["cause"] for finding in findings] == ["models drifted"]


def test_a_model_of_the_whole_corpus_checks_a_part(learned: Path, tmp_path: Path) -> None:
    code, findings, lines = checked(own_card(learned, tmp_path / "linear", task="image/lra"), archive(tmp_path, ALL))
    assert (code, findings) == (0, [])
    assert f"another copy of the corpus has {PART} of {PART} recorded rows" in lines[1]


def test_a_card_that_does_not_tell_rows_apart_cannot(learned: Path, tmp_path: Path) -> None:
    """Its blocks would all be called changed."""
    without = {split: structs.replace(entry, keys=None) for split, entry in recorded_by(learned).items()}
    own = own_card(learned, tmp_path / "linear", task="image/lra", recorded=without)
    words = ["--corpus", str(archive(tmp_path, ALL)), "--allow-partial", "--checkpoints", str(own)]
    result = CliRunner().invoke(cli, ["check", "image/lra", *words])
    assert result.exit_code == 2 or isinstance(result.exception, UsageError)
    assert "expected models that were trained on image/lra-partial" in f"{result.output}{result.exception}"


def test_pairs_of_papers_have_two_names_and_no_order(tmp_path: Path) -> None:
    """The other copy lacks some papers, so other pairs are drawn; those that both have hold the same."""
    files = aan_files()
    texts = sorted(name for name in files if name.endswith(".txt") and "/papers_text/" in name)
    fewer = {name: data for name, data in files.items() if name not in texts[:3]}
    copies = [write_tar(tmp_path / f"{number}.tar.gz", each) for number, each in enumerate((files, fewer))]
    corpora = [Corpus(copy, allow_partial=True) for copy in copies]
    splits = [lra_data.load("retrieval/by-pair", split="train", corpus=corpus) for corpus in corpora]
    names = [shared_rows.names_of(split[:], "retrieval", "train") for split in splits]
    assert len({*names[0]}) == len(names[0])
    both = {*names[0]} & {*names[1]}
    assert 0 < len(both) < len(names[0])
    changes = {"steps": 1, "batch_size": 8, "warmup": 0}
    source = Source(target="retrieval/by-pair", corpus=corpora[0])
    run(Experiment(source=source, attention="no_attention", changes=changes), tmp_path / "runs")
    words = ["check", "retrieval/by-pair", "--corpus", str(copies[1]), "--allow-partial"]
    result = CliRunner().invoke(cli, [*words, "--checkpoints", str(tmp_path / "runs"), "--json"])
    found = json.loads(result.stdout)
    assert (result.exit_code, found["findings"]) == (0, [])
    assert found["compared"][0] == (
        f"train: another copy of the corpus has {len(both):,} of {len(names[0]):,} recorded rows"
    )
