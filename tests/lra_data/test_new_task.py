"""A new task is one folder: a package on the path gets one, and list, build, verify, load and the contract see it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lra_data
from lra_data import catalogue
from tests.lra_data.test_task_contract import TestEveryTask as Contract

CONFIG = '''
"""Parity: is the number of ones in a string of bits odd?"""

from dataclasses import dataclass, field

from lra_data.family import Family
from lra_data.task import Preset


@dataclass(frozen=True, kw_only=True)
class Config:
    """How long a string is."""

    bits: int = field(default=24, metadata={"help": "bits of an example"})


PRESETS = {
    "short": Preset(config=Config(), sizes={"train": 40, "validation": 10, "test": 10}, summary="24 bits"),
}
FAMILY = Family(config=Config, presets=PRESETS)
'''

TASK = '''
"""The task: Arrow rows from SHA-256."""

import hashlib

import numpy as np
import pyarrow as pa

from lra_data.arrow_columns import class_label, column, list_column, make_schema, numbers
from lra_data.family import Makers
from lra_data.parity.config import PRESETS
from lra_data.stream_key import stream_bytes
from lra_data.task import Task, check_request
from lra_data.task_parts import Statistics, TaskCard, Viewer

CARD = TaskCard(
    title="Parity",
    description="Strings of bits.",
    label_meaning="1 if the number of ones is odd.",
    label_names=("even", "odd"),
    source="Drawn by a test.",
    citation="none",
    license="apache-2.0",
    published="2026-11-28",
    columns={"inputs": "1 for a zero, 2 for a one", "label": "whether the ones are odd", "index": "number"},
    history={1: "first release"},
)


class ParityViewer(Viewer):
    def show(self, row):
        return "".join("-01"[token] for token in row["inputs"])

    def explain(self, row):
        return f"{self.show(row)}: {CARD.label_names[row['label']]}"


class ParityStatistics(Statistics):
    def measures(self, batch):
        return {"ones": (numbers(batch["inputs"].values).reshape(len(batch), -1) == 2).sum(axis=1).astype(np.int64)}

    def shortcuts(self, batch):
        return {"first bit": numbers(batch["inputs"].values).reshape(len(batch), -1)[:, 0].astype(np.int64)}


class Parity(Task):
    family, version, presets = "parity", 1, PRESETS
    vocabulary, vocab_size, num_classes = ("0", "1"), 3, 2
    card, viewer, statistics = CARD, ParityViewer(), ParityStatistics()
    schema = make_schema(
        [
            pa.field("inputs", pa.list_(pa.uint8())),
            class_label("label", CARD.label_names),
            pa.field("index", pa.int64()),
        ]
    )

    @property
    def max_length(self):
        return self.config.bits

    def take(self, split, indices, *, seed=0):
        key = stream_bytes(self.family, self.version, self.keyed_config(), seed, check_request(split, indices, seed))
        drawn = b"".join(hashlib.shake_128(key + int(i).to_bytes(8, "big")).digest(self.config.bits) for i in indices)
        bits = np.frombuffer(drawn, dtype=np.uint8).reshape(-1, self.config.bits) & 1
        offsets = np.arange(len(bits) + 1, dtype=np.int32) * self.config.bits
        label = bits.sum(axis=1, dtype=np.int64) % 2
        index = np.fromiter(indices, dtype=np.int64, count=len(bits))
        columns = [list_column(offsets, (bits + 1).ravel()), column(label), column(index)]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def check_buildable(self, sizes, *, seed=0):
        pass

    def problems(self, batch, *, split, seed):
        found = []
        for row in batch.to_pylist():
            if row["inputs"].count(2) % 2 != row["label"]:
                found.append((row["index"], f"expected label {1 - row['label']}, counted from the bits"))
        return found


MAKERS = Makers(from_config=Parity)
'''

# What a package that adds tasks does when it is imported.
COMMAND = """
import sys
import lra_data
lra_data.__path__.append(sys.argv.pop(1))
from lra_data.commands.main import main
main()
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that holds the task, and is searched for tasks in this process."""
    folder = tmp_path / "package"
    (folder / "parity").mkdir(parents=True)
    for name, text in (("__init__", '"""Parity."""\n'), ("config", CONFIG), ("task", TASK)):
        (folder / "parity" / f"{name}.py").write_text(text)
    monkeypatch.setattr(lra_data, "__path__", [*lra_data.__path__, str(folder)])
    yield folder
    for name in [name for name in sys.modules if name.startswith("lra_data.parity")]:
        del sys.modules[name]


def test_the_contract_holds_for_it(package: Path, tmp_path: Path) -> None:
    assert "parity/short" in catalogue.task_names()
    contract, corpora = Contract(), dict[str, Path]()
    contract.test_is_described("parity/short", corpora)
    contract.test_rows("parity/short", corpora)
    contract.test_splits_and_seeds_differ("parity/short", corpora)
    contract.test_can_be_built_at_its_own_sizes("parity/short", corpora)
    contract.test_builds_and_verifies_in_every_format("parity/short", corpora, tmp_path)


def run(package: Path, line: str) -> str:
    found = subprocess.run(
        [sys.executable, "-c", COMMAND, package, *line.split()],
        cwd=package.parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


def test_the_command_has_it(package: Path) -> None:
    assert "parity/short" in run(package, "list")
    assert "--bits" in run(package, "build parity --help")
    assert run(package, "build parity --bits 30 --out data").startswith("data/parity/custom-")
    (built,) = (package.parent / "data" / "parity").iterdir()
    assert "as they should be" in run(package, f"verify {built}")
    assert "first bit" in run(package, f"stats {built}")
    assert run(package, f"explain {built} test 3").split(": ")[1] in ("even\n", "odd\n")
