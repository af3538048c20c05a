"""What each framework's module does beyond the golden stream: epochs, states, devices, columns, and what is refused."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lra_data
from lra_data import UsageError
from lra_data.loading.batch_making.collate import ProtocolBatch
from lra_data.loading.batches import Batches
from lra_data.loading.dataset import Dataset
from lra_data.optional_import import installing
from tests.conftest import SMALL_SIZES

SIZE = SMALL_SIZES["validation"]


@pytest.fixture
def small(small_root: Path) -> Dataset:
    return lra_data.load("listops/mini", split="validation", root=small_root)


def loader_of(framework: str, batches: Batches) -> Any:
    if framework == "torch":
        from lra_data.loading.frameworks.torch_batches import TorchLoader

        return TorchLoader(batches)
    if framework == "jax":
        from lra_data.loading.frameworks.jax_batches import JaxLoader

        return JaxLoader(batches)
    from lra_data.loading.frameworks.tf_batches import TensorFlowLoader

    return TensorFlowLoader(batches)


def indices(batches: Any) -> list[list[int]]:
    return [np.asarray(batch.indices).tolist() for batch in batches]


@pytest.mark.parametrize("framework", ["torch", "jax", "tensorflow"])
def test_epochs_and_states_go_from_one_framework_to_another(framework: str, small: Dataset) -> None:
    epochs = [indices(small.batches(7, shuffle=True, epoch=epoch)) for epoch in range(3)]
    loader = loader_of(framework, small.batches(7, shuffle=True))
    assert (len(loader), indices(loader)) == (9, epochs[0])
    assert indices(loader) == epochs[1]

    seen = []
    for batch in loader:  # the third pass, left after four batches
        seen.append(np.asarray(batch.indices).tolist())
        if len(seen) == 4:
            break
    state = json.loads(json.dumps(loader.state_dict()))
    assert (state["epoch"], state["taken"]) == (2, 28)
    for other in ("torch", "jax", "tensorflow"):
        goes_on = loader_of(other, small.batches(7, shuffle=True))
        goes_on.load_state_dict(state)
        assert (len(goes_on), goes_on.remaining) == (9, 5)
        assert seen + indices(goes_on) == epochs[2]


@pytest.mark.parametrize("framework", ["torch", "jax", "tensorflow"])
def test_protocols_reach_every_framework(framework: str, small_root: Path) -> None:
    read = lra_data.load_as("lra-2020", "listops/mini", split="test", root=small_root)
    (expected,) = read.batches(len(read))
    assert isinstance(expected, ProtocolBatch)
    (found,) = loader_of(framework, read.batches(len(read)))
    for one, two in zip(found, expected, strict=True):
        assert np.array_equal(np.asarray(one), np.asarray(two))
    assert expected.keep.dtype == bool
    assert expected.keep.shape == expected.inputs.shape == (SMALL_SIZES["test"], 1, 2000)


@pytest.mark.parametrize("name", ["listops/mini", "text/lra", "retrieval/by-pair", "image/lra"])
def test_bytes_travel_as_they_are_and_are_widened_on_the_device(name: str, corpora: dict[str, Path]) -> None:
    from lra_data.loading.frameworks.jax_batches import to_jax
    from lra_data.loading.frameworks.torch_batches import to_device, to_torch

    family = name.partition("/")[0]
    given: dict[str, Any] = (
        {"corpus": lra_data.Corpus(corpora[family], allow_partial=True)} if family in corpora else {}
    )
    data = lra_data.load(name, split="test[:6]", **given)
    (wide,) = data.batches(6, pad_to_multiple_of=16)
    batches = data.batches(6, pad_to_multiple_of=16, dtype="uint8")
    (small_batch,) = batches
    assert small_batch.inputs.dtype == np.uint8
    assert batches.offset == (1 if family in ("text", "retrieval") else 0)
    for found in (
        to_device(to_torch(small_batch), "cpu", offset=batches.offset),  # type: ignore[arg-type]
        to_jax(small_batch, offset=batches.offset),
    ):
        assert str(found.inputs.dtype).endswith("int32")
        for one, two in zip(found, wide, strict=False):
            assert np.array_equal(np.asarray(one), np.asarray(two))


def test_jax_arrays_go_where_they_are_told(small: Dataset) -> None:
    import jax

    from lra_data.loading.frameworks.jax_batches import JaxLoader

    device = jax.devices()[0]
    mesh = jax.sharding.Mesh(np.array([device]), ("data",))
    spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))  # type: ignore[no-untyped-call]
    for where in (None, device, spread):
        batch = next(iter(JaxLoader(small.batches(8), device=where)))
        assert batch.inputs.devices() == {device}
        assert [str(part.dtype) for part in batch[:4]] == ["int32"] * 4
    assert jax.jit(lambda batch: batch.inputs.sum())(batch) == small.batches(8).__next__().inputs.sum()


def test_tensorflow_of_an_endless_run(small: Dataset) -> None:
    import tensorflow as tf

    from lra_data.loading.frameworks.tf_batches import TensorFlowLoader

    loader = TensorFlowLoader(small.batches(16, shuffle=True, epochs=None))
    assert loader.dataset().cardinality() == tf.data.INFINITE_CARDINALITY
    taken = [batch.indices.numpy().tolist() for batch in loader.dataset().take(10)]
    expected = small.batches(16, shuffle=True, epochs=None)
    assert taken == [next(expected).indices.tolist() for _ in range(10)]


def test_hugging_face_has_the_files_themselves(small_root: Path, small: Dataset) -> None:
    from lra_data.loading.frameworks.hf_datasets import stream_hf, to_hf

    whole = to_hf(small)
    assert len(whole) == SIZE
    assert whole.features["label"].names == [str(digit) for digit in range(10)]
    assert whole.cache_files[0]["filename"].startswith(str(small_root))
    sliced = lra_data.load("listops/mini", split="train[700:1000]", root=small_root)  # over two files
    rows = to_hf(sliced).with_format("numpy")
    assert rows["index"][:].tolist() == list(range(700, 1000))
    assert np.array_equal(rows[57]["inputs"], sliced[57]["inputs"])
    with pytest.raises(UsageError, match="in the format arrow, got another format: stream_hf takes any"):
        to_hf(lra_data.load("listops/mini", split="validation"))
    stream = stream_hf(small.batches(7, shuffle=True))
    assert stream.features["label"].names == [str(digit) for digit in range(10)]
    resumed = stream_hf(small.batches(7, shuffle=True))
    order = [row["index"] for row in stream]
    stream.set_epoch(0)  # each pass is an epoch of its own
    first = iter(stream)
    begun = [next(first)["index"] for _ in range(10)]
    resumed.load_state_dict(stream.state_dict())
    assert begun + [row["index"] for row in resumed] == order


# webdataset 1.0.2 does not close the files of a pipeline that is at its end.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <_io.FileIO:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ["listops/mini", "retrieval/by-pair", "image/rgb", "pathfinder/32-easy"])
def test_webdataset_reads_our_tars_with_its_own_pipeline(name: str, corpora: dict[str, Path], tmp_path: Path) -> None:
    from lra_data.loading.frameworks.webdataset_pipeline import webdataset_pipeline

    family = name.partition("/")[0]
    given: dict[str, Any] = (
        {"corpus": lra_data.Corpus(corpora[family], allow_partial=True)} if family in corpora else {}
    )
    sizes = None if family in corpora else {"train": 30, "validation": 3, "test": 3}
    lra_data.build(name, tmp_path, formats=["webdataset"], sizes=sizes, **given)
    (folder,) = (tmp_path / family).iterdir()
    data = lra_data.load(folder, split="train")
    found = list(webdataset_pipeline(data))
    for one, two in zip(found, data, strict=True):
        assert one.keys() == {*two, "__key__"}
        assert all(np.array_equal(one[column], two[column]) for column in two)
    shuffled = webdataset_pipeline(data, options={"shardshuffle": 10, "seed": 1, "detshuffle": True}).shuffle(100)
    assert sorted(row["index"] for row in shuffled) == list(range(len(data)))
    with pytest.raises(UsageError, match="expected a whole split, as webdataset reads whole files, got range"):
        webdataset_pipeline(lra_data.load(folder, split="train[:2]"))
    with pytest.raises(UsageError, match="expected a set in the format webdataset, got another format"):
        webdataset_pipeline(lra_data.load("listops/mini", split="train"))


@pytest.mark.parametrize(
    ("module", "library", "extra"),
    [
        ("torch_batches", "torch", "torch"),
        ("jax_batches", "jax", "jax"),
        ("grain_source", "grain", "jax"),
        ("tf_batches", "tensorflow", "tensorflow"),
        ("hf_datasets", "datasets", "hf"),
        ("webdataset_pipeline", "webdataset", "webdataset"),
    ],
)
def test_a_missing_library_is_answered_with_the_line_that_installs_it(
    module: str, library: str, extra: str, small_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib

    data = lra_data.load("listops/mini", split="validation", root=small_root)
    tars = lra_data.load("listops/mini", split="validation", root=small_root, format_name="webdataset")
    name = f"lra_data.loading.frameworks.{module}"
    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, library, None)  # as if it were not installed

    def use() -> None:
        loaded = importlib.import_module(name)  # torch is missed here already
        uses = {
            "jax_batches": lambda: loaded.JaxLoader(data.batches(2)),
            "grain_source": lambda: loaded.OrderSampler(data.batches(2)),
            "tf_batches": lambda: loaded.TensorFlowLoader(data.batches(2)),
            "hf_datasets": lambda: loaded.to_hf(data),
            "webdataset_pipeline": lambda: loaded.webdataset_pipeline(tars),
        }
        uses[module]()

    with pytest.raises(UsageError) as caught:
        use()
    assert str(caught.value) == f"expected the library {library}, found none: {installing(extra)}"
    monkeypatch.delitem(sys.modules, name, raising=False)


def test_polars_and_duckdb_read_the_parquet_files(small_root: Path) -> None:
    import duckdb
    import polars

    data = lra_data.load("listops/mini", split="train", root=small_root, format_name="parquet")
    files = [str(path) for path in data.files()]
    frame = polars.scan_parquet(files).collect()
    assert frame["index"].to_list() == list(range(SMALL_SIZES["train"]))
    assert frame["inputs"][3].to_list() == data[3]["inputs"].tolist()
    ((count, total),) = duckdb.read_parquet(files).aggregate("count(*), sum(len(inputs))").fetchall()
    assert count == SMALL_SIZES["train"]
    assert total == sum(int(batch.lengths.sum()) for batch in data.batches(100))
    with pytest.raises(UsageError, match="expected a built set, got listops/mini, which is virtual and has no files"):
        lra_data.load("listops/mini", split="train").files()
