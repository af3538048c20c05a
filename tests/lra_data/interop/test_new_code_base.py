"""A new code base is one file: here one is put on the package's path, and every place finds it unasked."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import lra_data
from lra_data import UsageError, interop
from lra_data.commands.main import cli
from lra_data.interop.code_bases import code_bases, get_reading

SOURCE = '''
"""A code base that reads ListOps from its end, each id 100 higher, and loads a file of labels a split."""

from lra_data.interop.encoders import padded, sequences_of
from lra_data.interop.layouts import Layout, TaskFiles
from lra_data.interop.protocol import CodeBase, Reading, View


def encode(batch, most):
    return padded(batch, [[ids.astype("int32") + most for ids in row] for row in sequences_of(batch)], None)


def learn(rows):
    return 100


def from_the_end(rows):
    return {split: [(split, size - 1 - place) for place in range(size)] for split, size in rows.sizes.items()}


def units(task):
    return ("test.labels", "validation.labels", "train.labels")


def write(job):
    for split in job.rows.sizes:
        path = job.folder / f"{split}.labels"
        labels = [label for batch in job.rows.batches(split) for label in batch["label"].to_pylist()]
        path.write_text("".join(f"{label}\\n" for label in labels))
        yield path


CODE_BASE = CodeBase(
    name="sketch",
    readings={
        "listops": Reading(
            reader="sketch.py", ids="ours + 100", vocab_size=116, max_length=2000, cut="nothing", padding="0",
            mask="padding", splits="ours", order="from the end",
            view=View(encode=encode, learn=learn, order=from_the_end),
        )
    },
    layouts=(
        Layout(
            name="sketch-labels",
            summary="a label a line",
            tasks={"listops": TaskFiles(units=units, write=write)},
        ),
    ),
)
'''


@pytest.fixture
def sketch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The code base `sketch`, found by nothing but its file in a folder of the package."""
    (tmp_path / "found").mkdir()
    (tmp_path / "found" / "sketch.py").write_text(SOURCE)
    monkeypatch.setattr(interop, "__path__", [*interop.__path__, str(tmp_path / "found")])
    yield
    sys.modules.pop("lra_data.interop.sketch", None)
    vars(interop).pop("sketch", None)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


def test_without_its_file_nobody_knows_it() -> None:
    assert "sketch" not in [code_base.name for code_base in code_bases()]
    for found in (
        run("info", "--protocol", "sketch"),
        run("export", "listops/mini", "--layout", "sketch-labels", "--out", "x"),
    ):
        assert isinstance(found.exception, UsageError)


@pytest.mark.usefixtures("sketch")
def test_info_shows_it_and_where_it_differs() -> None:
    assert json.loads(run("info", "--protocol", "sketch", "--json").output)["listops"]["order"] == "from the end"
    found = json.loads(run("info", "--protocol", "sketch", "--diff", "lra-2020", "--json").output)
    assert list(found) == ["listops"]  # what both read
    assert found["listops"]["ids"][0] == "ours + 100"
    assert "exact" not in found["listops"]
    assert list(json.loads(run("info", "listops/mini", "--protocol", "sketch", "--json").output)) == ["listops"]


@pytest.mark.usefixtures("sketch")
def test_load_reads_as_it_does(small_root: Path) -> None:
    ours = lra_data.load("listops/mini", split="test", root=small_root)
    read = lra_data.load_as("sketch", "listops/mini", split="test", root=small_root)
    assert len(read) == len(ours)
    first = next(iter(read.batches(3)))
    for row, place in enumerate((-1, -2, -3)):
        expected = ours[len(ours) + place]
        length = first.lengths[row, 0]
        np.testing.assert_array_equal(first.inputs[row, 0, :length], expected["inputs"].astype(np.int32) + 100)
        assert first.labels[row] == expected["label"]


@pytest.mark.usefixtures("sketch")
def test_export_lists_and_writes_its_layout(small_set: Path, tmp_path: Path) -> None:
    assert "sketch-labels  a label a line" in run("export", "--layouts").output.splitlines()
    found = run("export", str(small_set), "--layout", "sketch-labels", "--out", str(tmp_path / "out"))
    assert found.exit_code == 0, found.output
    labels = [row["label"] for row in lra_data.generate("listops/mini", "test", 0, 40).to_pylist()]
    assert (tmp_path / "out" / "test.labels").read_text().split() == [str(label) for label in labels]


@pytest.mark.usefixtures("sketch")
def test_a_task_that_it_does_not_read_is_one_line(corpora: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected a task that the protocol sketch reads, got text: it reads listops"):
        get_reading("sketch", "text")
    found = run("info", "path-x", "--protocol", "lra-2020", "--diff", "sketch")
    assert "got pathfinder: it reads listops" in str(found.exception)
    found = run("export", "path-x", "--layout", "sketch-labels", "--out", str(tmp_path / "out"))
    assert "sketch-labels has no files for pathfinder: export --layout lra-release, " in str(found.exception)
