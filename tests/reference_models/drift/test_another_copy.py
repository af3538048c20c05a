"""A check of one copy of a corpus by models that learned from another: the rows that both have are compared."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from msgspec import structs

from lra_data import Corpus
from lra_data.image.task import Image
from reference_models.commands.main import cli
from reference_models.model.checkpoint import read_card, write_card
from reference_models.training.runs import Experiment, Source, run
from tests.support.tiny_corpora import cifar_arrays, write_tar

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


def with_rows(monkeypatch: pytest.MonkeyPatch, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Let the converter make other rows."""
    take = Image.take

    def changed(self: Image, *words: Any, **more: Any) -> pa.RecordBatch:
        batch = take(self, *words, **more)
        columns = change({name: batch[name].to_pylist() for name in batch.schema.names})
        return pa.RecordBatch.from_pydict(columns, schema=batch.schema)

    monkeypatch.setattr(Image, "take", changed)


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


def test_what_the_rows_hold_is_compared(learned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One label in each ten."""

    def wrong(columns: dict[str, Any]) -> dict[str, Any]:
        labels = [
            (label + (number % 10 == 0)) % 10 for label, number in zip(columns["label"], columns["number"], strict=True)
        ]
        return {**columns, "label": labels}

    with_rows(monkeypatch, wrong)
    code, findings, _ = checked(learned, archive(tmp_path, ALL))
    assert code == 1
    assert findings[-1]["cause"] == "data changed"
    assert findings[-1]["text"] == "test: expected 40 rows that both copies have to hold the same, got 4 that differ"


def test_their_order_is_compared(learned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_rows(monkeypatch, reversed_rows)
    code, findings, _ = checked(learned, archive(tmp_path, ALL))
    assert code == 1
    assert [finding["text"] for finding in findings] == [
        f"{split}: expected the rows that both copies have in the recorded order, got another one"
        for split in ("train", "test")
    ]


def test_answers_that_changed_are_found(learned: Path, tmp_path: Path) -> None:
    folder = next(learned.rglob("linear"))
    card = read_card(folder)
    assert card.recorded is not None
    wrong = {
        split: structs.replace(entry, predictions=["".join(str(9 - int(digit)) for digit in entry.predictions[0])])
        for split, entry in card.recorded.items()
    }
    own = tmp_path / "linear"
    own.mkdir()
    for path in folder.iterdir():
        (own / path.name).write_bytes(path.read_bytes())
    write_card(own, structs.replace(card, recorded=wrong))
    code, findings, _ = checked(own, archive(tmp_path, ALL))
    assert code == 1
    assert [finding["cause"] for finding in findings] == ["models drifted"]
