"""What objects say of themselves: one line of `repr`, a table in a notebook, and the public names alone in `dir`."""

from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lra_data
import reference_models
from lra_data.loading.batch_making.collate import Batch
from lra_data.shown import Shown
from lra_data.words import counted


class Cells(HTMLParser):
    """The texts of a table's cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.found.append(data)


def test_dir_is_the_public_face() -> None:
    for package in (lra_data, reference_models):
        assert dir(package) == sorted(package.__all__)


def test_objects_say_what_they_are(small_set: Path) -> None:
    task = lra_data.get_task("listops/mini")
    virtual = lra_data.load("listops/mini", split="train[:10%]", seed=3)
    built = lra_data.load(str(small_set), split="test")
    batches = virtual.batches(4, rank=1, world_size=2)
    shown = {
        repr(task): ["ListOps(task listops/mini, ", "train 96,000", "max_length 127"],
        repr(virtual): ["Dataset(task listops/mini, split train, rows 9,600 of 96,000, [0:9600], seed 3, "],
        repr(built): ["Dataset(task listops/mini, split test, ", f"from {small_set})"],
        repr(batches): ["Batches(task listops/mini, split train, batch_size 4, epoch 0, rank 1 of 2 from "],
        repr(built.rows.manifest): ["Manifest(task listops/mini, ", "seed 0, train 1,500, "],  # type: ignore[attr-defined]
        repr(next(iter(batches))): ["Batch(inputs int32 (4, 1, ", "lengths int32 (4, 1), labels int64 (4,), indices "],
        repr(lra_data.load_as("s4", "listops/mini", split="train")): ["ProtocolDataset(protocol s4, task listops/mini"],
    }
    for text, parts in shown.items():
        assert "\n" not in text
        assert [part for part in parts if part not in text] == []


@pytest.mark.framework
def test_loaders_and_tensors_say_what_they_are() -> None:
    pytest.importorskip("torch")
    from lra_data.loading.frameworks.torch_batches import TorchBatches, TorchExamples, TorchLoader

    dataset = lra_data.load("listops/mini", split="test")
    loader = TorchLoader(dataset.batches(2))
    assert repr(loader).startswith("TorchLoader(task listops/mini, split test, batch_size 2, epoch 0, ")
    assert repr(loader).endswith("num_workers 0)")
    assert repr(TorchBatches(dataset.batches(2))).startswith("TorchBatches(task listops/mini, split test, ")
    assert repr(next(iter(loader))).startswith("TorchBatch(inputs int32 (2, 1, ")
    assert "lengths int32 (1,), labels int64 ()" in repr(TorchExamples(dataset)[0])


def test_a_notebook_shows_the_same_facts() -> None:
    dataset = lra_data.load("listops/mini", split="test")
    batch = next(iter(dataset.batches(2)))
    for shown, cells in ((dataset, ["task", "listops/mini", "rows", "2,000"]), (batch, ["labels", "int64 (2,)"])):
        found = Cells(shown._repr_html_())
        assert [cell for cell in cells if cell not in found.found] == []
        assert found.tags == {"table", "caption", "b", "tr", "th", "td"}


def test_a_notebook_shows_texts_as_texts() -> None:
    class Odd(Shown):
        def shown_facts(self) -> Mapping[str, Any]:
            return {"from": "<script>alert(1)</script>\n& more", "<b>": 1}

    found = Cells(Odd()._repr_html_())
    assert "script" not in found.tags
    assert found.found == ["Odd", "from", "<script>alert(1)</script> & more", "<b>", "1"]
    assert repr(Odd()) == "Odd(from <script>alert(1)</script> & more, <b> 1)"


def test_arrays_without_dtype_are_named_by_their_type() -> None:
    some = Batch([1, 2], np.zeros((1, 1), np.int32), np.zeros(1, np.int64), np.zeros(1, np.int64))  # type: ignore[arg-type]
    assert repr(some).startswith("Batch(inputs list, lengths int32 (1, 1), ")


def test_plurals() -> None:
    assert [counted(number, "row") for number in (0, 1, 2000)] == ["0 rows", "1 row", "2,000 rows"]
