"""One more file in the folder of formats is a format: commands, loading and the contract tests find it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.long

MODULE = '''
"""Shards as JSON lines."""

import json

import pyarrow as pa

from lra_data.errors import SetError
from lra_data.store.formats.shard_format import ShardFormat, ShardWriter


class _Writer(ShardWriter):
    def __init__(self, sink):
        self._sink = sink

    def write(self, batch):
        for row in batch.to_pylist():
            self._sink.write(json.dumps(row).encode() + b"\\n")

    def close(self):
        pass


class JsonLines(ShardFormat):
    extension = "jsonl"
    media_type = "application/jsonl"
    datasets_builder = "json"

    def open_writer(self, sink, schema, key_prefix):
        return _Writer(sink)

    def read(self, path, schema):
        try:
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            if not rows or any(set(row) != set(schema.names) for row in rows):
                raise SetError(f"{path}: expected rows of the task, got others")
            yield pa.RecordBatch.from_pylist(rows, schema=schema)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise SetError(f"{path}: expected JSON lines, got: {error}") from error


FORMAT = JsonLines()
'''
LOADING = """
import lra_data, numpy as np
near = lra_data.load("listops/mini", split="train", root="data", format_name="json")
far = lra_data.load("listops/mini", split="train")
assert all(np.array_equal(near[n]["inputs"], far[n]["inputs"]) for n in (0, 17, 39))
seen = [index for batch in near.batches(16, shuffle=True, window=8) for index in batch.indices.tolist()]
assert sorted(seen) == list(range(40))
"""

# Python runs this file at its start, in workers too.
AT_START = """
from pathlib import Path
from lra_data.store import formats
formats.__path__.append(str(Path(__file__).parent / "more_formats"))
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs Python where the folder of formats has one module more."""
    folder = tmp_path_factory.mktemp("path")
    (folder / "more_formats").mkdir()
    (folder / "more_formats" / "json_lines.py").write_text(MODULE)
    (folder / "sitecustomize.py").write_text(AT_START)
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    variables["PYTHONPATH"] = os.pathsep.join([str(folder), str(ROOT)])

    def run_python(*arguments: str, cwd: Path = ROOT) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False)

    return run_python


@pytest.mark.slow
def test_build_verify_repair_and_load(tmp_path: Path, run: Run) -> None:
    build = "-m lra_data build listops --preset mini --train 40 --validation 8 --test 8 --num-shards 2 --out data"
    built = run(*build.split(), "--workers", "2", "--format", "json,arrow", cwd=tmp_path)
    assert built.returncode == 0, built.stderr
    folder = tmp_path / "data" / "listops" / "mini"
    whole = (folder / "train-00001-of-00002.jsonl").read_bytes()
    assert whole.count(b"\n") == 20
    verify = ("-m", "lra_data", "verify", "data/listops/mini")
    assert run(*verify, cwd=tmp_path).returncode == 0
    (folder / "train-00001-of-00002.jsonl").write_bytes(whole.replace(b'"label": ', b'"label":  ', 1))
    assert run(*verify, cwd=tmp_path).returncode == 1
    assert run("-m", "lra_data", "repair", "data/listops/mini", cwd=tmp_path).returncode == 0
    assert (folder / "train-00001-of-00002.jsonl").read_bytes() == whole
    loaded = run("-c", LOADING, cwd=tmp_path)
    assert loaded.returncode == 0, loaded.stderr
    files = json.loads((folder / "croissant.json").read_text())["distribution"]
    assert {file["encodingFormat"] for file in files} == {"application/jsonl", "application/vnd.apache.arrow.stream"}
    assert 'load_dataset("arrow", data_dir=folder' in (folder / "README.md").read_text()
    unknown = run(*build.split(), "--format", "jsn", cwd=tmp_path)
    assert "Did you mean 'json'? Known: arrow, json, parquet, webdataset." in unknown.stderr


@pytest.mark.slow
def test_the_contract_tests_find_it(run: Run) -> None:
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/lra_data/store/test_formats.py", "-k", "json")
    assert done.returncode == 0, done.stdout
    assert "7 passed" in done.stdout


def test_naming_the_formats_imports_none() -> None:
    code = (
        "import sys; from lra_data.store.formats.shard_format import format_names; print(*format_names())\n"
        "print(*sorted(name for name in sys.modules if name.startswith(('lra_data.store.formats.', 'pyarrow.parq'))))"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == ["arrow parquet webdataset", "lra_data.store.formats.shard_format"]
