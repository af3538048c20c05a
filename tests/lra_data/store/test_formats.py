"""One contract for all shard formats, and the real libraries that people read them with."""

import gc
import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import datasets
import numpy as np
import polars
import pyarrow as pa
import pytest
import webdataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lra_data
from lra_data import SetError, UsageError, get_task
from lra_data.arrow_columns import class_label, make_schema
from lra_data.store.digests import LogicalDigest, row_digests
from lra_data.store.formats.shard_format import format_names, get_format
from lra_data.store.formats.webdataset_tar import _from_npy, _npy_bytes
from tests.conftest import ALL_FORMATS, SMALL_SIZES, file_bytes

SCHEMA = make_schema(
    [
        pa.field("inputs", pa.list_(pa.uint8())),
        class_label("label", ("no", "yes")),
        pa.field("index", pa.int64()),
        pa.field("depth", pa.int8()),
    ]
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "inputs": st.lists(st.integers(0, 255), max_size=40),
            "label": st.integers(0, 1),
            "depth": st.integers(-128, 127),
        }
    ),
    min_size=1,
    max_size=30,
)


def shard_bytes(format_name: str, batches: list[pa.RecordBatch], schema: pa.Schema) -> bytes:
    sink = io.BytesIO()
    sink.close = lambda: None  # type: ignore[method-assign]
    writer = get_format(format_name).open_writer(sink, schema, "listops-test-train")
    for batch in batches:
        writer.write(batch)
    writer.close()
    return sink.getvalue()


def digest(batches: list[pa.RecordBatch], schema: pa.Schema) -> str:
    total = LogicalDigest(schema)
    for batch in batches:
        total.update(batch, row_digests(batch))
    return total.hexdigest()


@pytest.mark.parametrize("format_name", format_names())
class TestEveryFormat:
    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(rows=ROWS, cut=st.integers(0, 30))
    def test_round_trip(self, format_name: str, tmp_path: Path, rows: list[dict[str, object]], cut: int) -> None:
        numbered = [{**row, "index": 7 + number} for number, row in enumerate(rows)]
        table = pa.RecordBatch.from_pylist(numbered, schema=SCHEMA)
        batches = [part for part in (table.slice(0, cut), table.slice(cut)) if len(part)]
        path = tmp_path / f"shard.{get_format(format_name).extension}"
        path.write_bytes(shard_bytes(format_name, batches, SCHEMA))
        back = list(get_format(format_name).read(path, SCHEMA))
        assert [row for batch in back for row in batch.to_pylist()] == numbered
        assert all(batch.schema.equals(SCHEMA, check_metadata=True) for batch in back)
        assert digest(back, SCHEMA) == digest(batches, SCHEMA) == digest([table], SCHEMA)

    def test_same_rows_same_bytes(self, format_name: str) -> None:
        task = get_task("listops/mini")
        one, two = (
            shard_bytes(format_name, [task.generate("train", 0, 50), task.generate("train", 50, 80)], task.schema)
            for _ in range(2)
        )
        assert one == two

    def test_damage_is_a_set_error(self, format_name: str, tmp_path: Path) -> None:
        task = get_task("listops/mini")
        whole = shard_bytes(format_name, [task.generate("train", 0, 50)], task.schema)
        path = tmp_path / f"shard.{get_format(format_name).extension}"
        for damaged in (b"", b"no such format" * 100, whole[: len(whole) // 2]):
            path.write_bytes(damaged)
            with pytest.raises(SetError, match=r"expected .* got"):
                list(get_format(format_name).read(path, task.schema))

    def test_another_schema_is_refused(self, format_name: str, tmp_path: Path) -> None:
        task = get_task("listops/mini")
        path = tmp_path / f"shard.{get_format(format_name).extension}"
        path.write_bytes(shard_bytes(format_name, [task.generate("train", 0, 5)], task.schema))
        other = pa.schema([pa.field("inputs_1", pa.list_(pa.uint8())), pa.field("index", pa.int64())])
        with pytest.raises(SetError, match="expected"):
            list(get_format(format_name).read(path, other))

    def test_builds_are_byte_identical(self, format_name: str, tmp_path: Path) -> None:
        folders = []
        for name in ("one", "two"):
            lra_data.build("listops/mini", tmp_path / name, formats=[format_name], sizes=SMALL_SIZES)
            folders.append(file_bytes(tmp_path / name / "listops" / "mini"))
        assert folders[0] == folders[1]

    def test_logical_digests_are_those_of_arrow(self, format_name: str, tmp_path: Path) -> None:
        manifest = lra_data.build("listops/mini", tmp_path, formats=["arrow", format_name], sizes=SMALL_SIZES)
        of_format = [shard.logical for shard in manifest.shards if shard.format == format_name]
        assert of_format == [shard.logical for shard in manifest.shards if shard.format == "arrow"]

    def test_hugging_face_reads_a_set_of_it(self, format_name: str, tmp_path: Path) -> None:
        """A plain load_dataset(FOLDER): splits, sizes, label names."""
        lra_data.build("listops/mini", tmp_path, formats=[format_name], sizes=SMALL_SIZES)
        with quiet_datasets():
            loaded = datasets.load_dataset(str(tmp_path / "listops" / "mini"), cache_dir=str(tmp_path / "cache"))
        assert {split: len(rows) for split, rows in loaded.items()} == SMALL_SIZES
        expected = lra_data.generate("listops/mini", "test", 0, SMALL_SIZES["test"]).to_pylist()
        features = get_format(format_name).features(lra_data.get_task("listops/mini").schema)
        inputs, label = ("inputs", "label") if "inputs" in features else ("npy", "cls")
        assert list(loaded["test"][inputs]) == [row["inputs"] for row in expected]
        assert list(loaded["test"][label]) == [row["label"] for row in expected]
        assert loaded["train"].features[label].names == [str(digit) for digit in range(10)]


@contextmanager
def quiet_datasets() -> Iterator[None]:
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def test_unknown_format() -> None:
    with pytest.raises(
        UsageError, match=r"unknown format 'arow'. Did you mean 'arrow'\? Known: arrow, parquet, webdataset."
    ):
        get_format("arow")


# The library leaves its files to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_webdataset_library_reads_the_tars(small_set: Path) -> None:
    urls = str(small_set / "train-{00000..00001}-of-00002.tar")
    examples = list(webdataset.WebDataset(urls, shardshuffle=False).decode())
    expected = lra_data.generate("listops/mini", "train", 0, SMALL_SIZES["train"]).to_pylist()
    assert len(examples) == len(expected)
    for number, (example, row) in enumerate(zip(examples, expected, strict=True)):
        assert example["__key__"] == f"listops-mini-train-{number:08d}"
        assert example["npy"].dtype == np.uint8
        assert example["npy"].tolist() == row["inputs"]
        assert example["cls"] == row["label"]
        assert example["json"] == {name: row[name] for name in ("depth", "index", "length", "root_operator")}
    gc.collect()


def test_polars_reads_the_parquet_files(small_set: Path) -> None:
    frame = polars.read_parquet(small_set / "train-*.parquet")
    expected = lra_data.generate("listops/mini", "train", 0, SMALL_SIZES["train"])
    assert frame.to_dicts() == expected.to_pylist()


def test_pyarrow_reads_the_arrow_files(small_set: Path) -> None:
    tables = []
    for name in ("train-00000-of-00002.arrow", "train-00001-of-00002.arrow"):
        with pa.ipc.open_stream(small_set / name) as stream:
            tables.append(stream.read_all())
    whole = pa.concat_tables(tables)
    assert whole.equals(pa.Table.from_batches([lra_data.generate("listops/mini", "train", 0, SMALL_SIZES["train"])]))


def test_hugging_face_maps_an_arrow_file(small_set: Path) -> None:
    rows = datasets.Dataset.from_file(str(small_set / "train-00000-of-00002.arrow"))
    assert rows.features["label"].names == [str(digit) for digit in range(10)]
    assert rows[3]["inputs"] == lra_data.take("listops/mini", "train", [3])["inputs"].to_pylist()[0]


def test_tar_headers_hold_nothing_of_the_machine(small_set: Path) -> None:
    with tarfile.open(small_set / "test-00000-of-00001.tar") as tar:
        members = tar.getmembers()
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in members} == {
        (0, 0, 0, "lra-data", "lra-data", 0o444)
    }
    assert all(member.name.count(".") == 1 for member in members)
    assert format_names() == ALL_FORMATS


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "i8"])
@pytest.mark.parametrize("count", [0, 1, 300])
def test_npy_members_are_read_as_numpy_reads_them(dtype: str, count: int) -> None:
    values = np.arange(count).astype(dtype)
    found = _from_npy(_npy_bytes(values))
    assert found.dtype == values.dtype
    assert np.array_equal(found, np.load(io.BytesIO(_npy_bytes(values))))


def test_other_npy_members_are_refused() -> None:
    whole = _npy_bytes(np.arange(5, dtype=np.uint8))
    for data in (b"", whole[:20], whole[1:], _npy_bytes(np.zeros((2, 2), np.uint8)), _npy_bytes(np.zeros(3))):
        with pytest.raises(ValueError, match="member that is not a one-dimensional array of integers"):
            _from_npy(data)
    for data in (whole[:-1], whole + b"0"):
        with pytest.raises(ValueError, match=r"an .npy member with (4|6) bytes of 5 uint8 values"):
            _from_npy(data)
