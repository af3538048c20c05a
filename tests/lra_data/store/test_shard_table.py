"""Manifests of many shards: a file of columns that reads like the list, costs little, and has a digest."""

import hashlib
import json
import pickle
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

import lra_data
from lra_data import SetError
from lra_data.building.begin import finished_set
from lra_data.building.plan import make_plan
from lra_data.store import manifest as manifests
from lra_data.store.location.remote import RemoteFolder
from lra_data.store.manifest import Manifest, manifest_files, read_manifest
from lra_data.store.outputs.folder import FolderOutput
from lra_data.store.shard_entry import Shard
from lra_data.store.shard_table import ShardTable, numbers_of, table_bytes
from tests.conftest import ALL_FORMATS, file_bytes
from tests.support.remote_servers import HOST, FileServer
from tests.support.small_builds import MINI

OPTIONS = {"formats": ALL_FORMATS, "num_shards": 3, "sizes": {"train": 30, "validation": 6, "test": 4}}


@pytest.fixture
def columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """As few shards as a test has are many."""
    monkeypatch.setattr(manifests, "COLUMNS_FROM", 10)


@pytest.fixture
def folder(columns: None, tmp_path: Path) -> Path:
    lra_data.build(MINI, tmp_path / "data", **OPTIONS)  # type: ignore[arg-type]
    return tmp_path / "data" / MINI


def test_a_set_with_a_table_reads_like_one_without(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifests, "COLUMNS_FROM", 10_000)
    plain = lra_data.build(MINI, tmp_path / "plain", **OPTIONS)  # type: ignore[arg-type]
    large = read_manifest(folder)
    assert isinstance(large.shards, ShardTable)
    assert json.loads((folder / "manifest.json").read_text())["format_version"] == 2
    assert list(large.shards) == list(plain.shards)
    assert large.description == plain.description
    assert large.shards == plain.shards
    assert large.shards[1:-1] == list(plain.shards[1:-1])
    assert large.shards[-1] == plain.shards[-1]
    for format_name in ALL_FORMATS:
        for split in plain.description.sizes:
            expected: Sequence[Shard] = plain.shards_of(split, format_name)
            found = large.shards_of(split, format_name)
            assert list(found) == list(expected)
            assert numbers_of(found, "start").tolist() == [shard.start for shard in expected]
            assert list(pickle.loads(pickle.dumps(found))) == list(expected)
    same = {name: data for name, data in file_bytes(folder).items() if name not in {"manifest.json", "shards.arrow"}}
    others = file_bytes(tmp_path / "plain" / MINI)
    assert same == {name: data for name, data in others.items() if name != "manifest.json"}


def test_it_verifies_loads_and_is_finished(folder: Path, columns: None, tmp_path: Path) -> None:
    assert lra_data.verify(folder) == []
    train = lra_data.load(MINI, split="train", root=tmp_path / "data")
    assert train[:].equals(lra_data.generate(MINI, "train", 0, 30))
    assert [batch.indices.tolist() for batch in train.batches(16)] == [list(range(16)), list(range(16, 30))]
    plan = make_plan(lra_data.get_task(MINI), **OPTIONS)  # type: ignore[arg-type]
    assert finished_set(FolderOutput(folder), plan) == read_manifest(folder)
    before = file_bytes(folder)
    lra_data.build(MINI, tmp_path / "data", **OPTIONS, overwrite=True)  # type: ignore[arg-type]
    assert file_bytes(folder) == before


def test_it_is_fetched_with_the_set(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRA_DATA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", HOST)
    with FileServer(folder) as server:
        assert RemoteFolder(server.url).manifest() == read_manifest(folder)
        assert RemoteFolder(server.url).manifest() == read_manifest(folder)
        assert len(server.asked_for("shards.arrow")) == 1


@pytest.mark.parametrize("damage", ["missing", "flipped", "no table", "swapped"])
def test_a_damaged_table_is_one_line(folder: Path, damage: str) -> None:
    path = folder / "shards.arrow"
    data = path.read_bytes()
    expected = f"{path}: expected"
    if damage == "missing":
        path.unlink()
    elif damage == "flipped":
        path.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    else:
        shards = list(read_manifest(folder).shards)
        other = b"no table" if damage == "no table" else table_bytes([*shards[::2], *shards[1::2]])
        path.write_bytes(other)
        text = (folder / "manifest.json").read_text()
        digest = hashlib.sha256(data).hexdigest()
        (folder / "manifest.json").write_text(text.replace(digest, hashlib.sha256(other).hexdigest()))
        expected = "shards.arrow: expected the arrow shards" if damage == "swapped" else expected
    with pytest.raises(SetError) as caught:
        read_manifest(folder)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


_OPEN = """
import resource, sys, time
from pathlib import Path
import pyarrow, numpy
from lra_data.store.manifest import read_manifest
import lra_data.store.record_batches, lra_data.catalogue
lra_data.catalogue.get_task("listops/mini")
def memory():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
read_manifest(Path(sys.argv[1]))
before, began = memory(), time.process_time()
manifest = read_manifest(Path(sys.argv[2]))
rows = manifest.shards_of("train")[50_000].start
print(time.process_time() - began, memory() - before, len(manifest.shards), rows)
"""


def test_opening_100_000_shards_costs_little(small_set: Path, tmp_path: Path) -> None:
    """Goals: 0.3 s and 60 MB a process; as JSON it took 4.2 s and 254 MB. Twice the time for a busy machine."""
    manifest = read_manifest(small_set)
    one = manifest.shards_of("train", "arrow")[0]
    many = 100_000
    shards = [
        Shard(
            **{
                **{name: getattr(one, name) for name in Shard.__struct_fields__},
                "file": f"{split}-{number:05d}-of-99998.arrow",
                "split": split,
                "start": number * 1000,
                "stop": number * 1000 + 1000,
                "sha256": hashlib.sha256(str(number).encode()).hexdigest(),
            }
        )
        for split, count in (("train", many - 2), ("validation", 1), ("test", 1))
        for number in range(count)
    ]
    sizes = {"train": (many - 2) * 1000, "validation": 1000, "test": 1000}
    description = type(manifest.description)(
        **{
            **{name: getattr(manifest.description, name) for name in type(manifest.description).__struct_fields__},
            "sizes": sizes,
            "formats": ("arrow",),
        }
    )
    large = replace(manifest, description=description, shards=shards)
    assert isinstance(large, Manifest)
    for name, data in manifest_files(large).items():
        (tmp_path / name).write_bytes(data)
    found = subprocess.run(
        [sys.executable, "-c", _OPEN, str(small_set), str(tmp_path)], capture_output=True, text=True, check=True
    )
    seconds, memory, count, first = (float(text) for text in found.stdout.split())
    assert (count, first) == (many, 50_000_000)
    assert seconds < 0.6
    assert memory < 60e6
