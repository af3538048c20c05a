"""load(): the virtual set and the built one read alike."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import lra_data
from lra_data import SetError, UsageError
from lra_data.checking.set_statistics import statistics
from lra_data.loading.dataset import Dataset
from lra_data.store.row_access import BuiltRows
from tests.conftest import SMALL_SIZES


def equal(one: dict[str, object], two: dict[str, object]) -> bool:
    return one.keys() == two.keys() and all(np.array_equal(one[name], two[name]) for name in one)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("formats", "batch_rows"),
    [
        (["arrow"], 1024),
        (["parquet"], 100),
        (["webdataset"], 100),
        pytest.param(["arrow"], 100, marks=pytest.mark.slow),
        pytest.param(["parquet"], 1024, marks=pytest.mark.slow),
        pytest.param(["webdataset"], 1024, marks=pytest.mark.slow),
    ],
)
def test_virtual_is_built(tmp_path: Path, formats: list[str], batch_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lra_data.building.shard_job.BATCH_ROWS", batch_rows)  # wide rows come in smaller batches
    lra_data.build("listops/mini", tmp_path, formats=formats, num_shards=3, sizes={**SMALL_SIZES, "train": 4000})
    on_disk = lra_data.load("listops/mini", split="train", root=tmp_path)
    virtual = lra_data.load("listops/mini", split="train[:4000]")
    assert len(on_disk) == len(virtual) == 4000
    for place in (0, 1, 1023, 1024, 1332, 1333, 3999, -1):
        assert equal(on_disk[place], virtual[place]), place
    assert on_disk[1300:1400].equals(virtual[1300:1400])
    assert on_disk[1300:1400].equals(lra_data.generate("listops/mini", "train", 1300, 1400))
    assert len(on_disk[5:5]) == 0


def test_iteration_covers_the_slice(small_root: Path) -> None:
    dataset = lra_data.load("listops/mini", split="train[1000:1100]", root=small_root)
    assert [row["index"] for row in dataset] == list(range(1000, 1100))
    assert isinstance(dataset, Dataset)
    assert dataset.task.name == "listops/mini"
    assert dataset[0]["inputs"].dtype == np.uint8
    with pytest.raises(IndexError):
        dataset[100]


def test_flipped_bits_never_crash_a_reader(tmp_path: Path) -> None:
    """200 flips in an Arrow shard: an error of one line, or rows that can be worked with; `verify` finds them all."""
    lra_data.build("listops/mini", tmp_path, sizes=SMALL_SIZES)
    folder = tmp_path / "listops" / "mini"
    path = folder / "test-00000-of-00001.arrow"
    whole = path.read_bytes()
    random = np.random.default_rng(7)
    refused = 0
    for bit in random.integers(0, 8 * len(whole), 200):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        rows = BuiltRows(folder, check_digests=False)  # or none would be read
        try:
            Dataset(rows, "test", range(40)).batches(40).__next__()
            for batch in rows.batches("test"):
                for row in batch.to_pylist():
                    rows.task.viewer.show(row)
            rows.take("test", [3])
        except SetError:
            refused += 1
    assert 0 < refused < 200


@pytest.mark.parametrize("format_name", ["arrow", "parquet", "webdataset"])
def test_damage_is_one_line(tmp_path: Path, format_name: str) -> None:
    lra_data.build("listops/mini", tmp_path, formats=[format_name], sizes=SMALL_SIZES)
    dataset = lra_data.load("listops/mini", split="test", root=tmp_path)
    (path,) = (tmp_path / "listops" / "mini").glob("test-*")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(SetError, match=path.name):
        dataset[3]
    path.unlink()
    with pytest.raises(SetError, match=path.name):
        next(iter(dataset))


def test_what_load_refuses(small_root: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected a set of seed 1, got seed 0 in .*: pass seed=0"):
        lra_data.load("listops/mini", split="train", root=small_root, seed=1)
    with pytest.raises(SetError, match=r"expected a built set, found no manifest.json"):
        lra_data.load("listops/mini", split="train", root=tmp_path)
    with pytest.raises(UsageError, match=r"unknown split 'trian'.*Did you mean 'train'"):
        lra_data.load("listops/mini", split="trian", root=small_root)


def test_a_compressed_batch_is_refused_not_read_by_address(tmp_path: Path) -> None:
    """Its rows would be copies whose memory is gone before they are read."""
    lra_data.build("listops/mini", tmp_path, sizes=SMALL_SIZES)
    (path,) = (tmp_path / "listops" / "mini").glob("test-*")
    with pa.ipc.open_stream(path.read_bytes()) as stream:
        table = stream.read_all()
    with pa.ipc.new_stream(path, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    dataset = lra_data.load("listops/mini", split="test", root=tmp_path, check_digests=False)
    with pytest.raises(SetError, match=r"expected uncompressed record batches, got compressed ones"):
        next(dataset.batches(4))


def test_digest_is_of_what_rows_hold(tmp_path: Path) -> None:
    formats = ["arrow", "parquet", "webdataset"]
    lra_data.build("listops/mini", tmp_path, formats=formats, num_shards=3, sizes={**SMALL_SIZES, "train": 2500})
    virtual = lra_data.load("listops/mini", split="train[:2500]")
    found = {lra_data.load("listops/mini", split="train", root=tmp_path, format_name=name).digest() for name in formats}
    assert found == {virtual.digest()}
    # Blocks do not matter, places do.
    assert virtual.digest(100, 1700) == lra_data.load("listops/mini", split="train[100:1700]").digest()
    assert virtual.digest(0, 1000) != virtual.digest(1, 1001)
    assert virtual.digest() != lra_data.load("listops/mini", split="train[:2500]", seed=1).digest()


def test_digest_changes_with_a_label(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = lra_data.load("listops/mini", split="test[:50]")
    before = dataset.digest()
    rows = dataset[:]
    column = rows.schema.get_field_index("label")
    labels = rows["label"].to_pylist()
    labels[49] = (labels[49] + 1) % 10
    changed = rows.set_column(
        column, rows.schema.field("label"), pa.array(labels, type=rows.schema.field("label").type)
    )
    monkeypatch.setattr(dataset.rows, "take", lambda split, indices: changed)
    assert dataset.digest() != before


def test_trivial_predictors_are_those_of_the_statistics() -> None:
    dataset = lra_data.load("listops/mini", split="train[:10]")
    found = lra_data.trivial_predictors(dataset)
    assert found == statistics(dataset.rows)["trivial_predictors"]
    assert found["majority class"]["examples"] == 4000  # validation and test, whatever slice was given
    assert 0.10 < found["majority class"]["accuracy"] < 0.14
    assert 0.24 < found["root operator"]["accuracy"] < 0.28
