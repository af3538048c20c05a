"""Sets of pictures: the same bytes however they are built, as PNG members too, and read by the libraries people use."""

import dataclasses
import gc
import io
import json
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import datasets
import numpy as np
import polars
import pytest
import webdataset
import yaml
from PIL import Image

import lra_data
from lra_data import SetError, get_task
from lra_data.arrow_columns import picture_shapes, rows_of
from lra_data.checking.verify import verify
from lra_data.pathfinder.config import PRESETS
from lra_data.picture_files import png_bytes
from lra_data.store.formats import webdataset_tar
from lra_data.store.manifest import read_manifest
from tests.conftest import ALL_FORMATS, file_bytes

pytestmark = pytest.mark.long

NAME = "pathfinder/128-easy"
SIZES = {"train": 300, "validation": 20, "test": 21}
FLAGS = ("--train", "300", "--validation", "20", "--test", "21", "--num-shards", "3")


@pytest.fixture(scope="session")
def picture_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of pictures in all formats, three train shards. Tests must not change it."""
    root = tmp_path_factory.mktemp("pictures")
    lra_data.build(NAME, root, formats=ALL_FORMATS, num_shards=3, sizes=SIZES)
    return root / NAME


def test_two_workers_write_the_same_bytes(picture_set: Path, tmp_path: Path) -> None:
    lra_data.build(NAME, tmp_path, formats=ALL_FORMATS, num_shards=3, sizes=SIZES, workers=2)
    assert file_bytes(tmp_path / NAME) == file_bytes(picture_set)


def test_rows_of_the_set_are_those_made_alone(picture_set: Path) -> None:
    for split, size in SIZES.items():
        built = lra_data.load(NAME, split=split, root=picture_set.parent.parent)
        virtual = lra_data.load(NAME, split=split)
        for index in (0, size - 1, size // 2):
            one, other = built[index], virtual[index]
            assert one.keys() == other.keys()
            for name, value in one.items():
                assert np.array_equal(value, other[name]), (split, index, name)


@pytest.mark.slow
def test_a_killed_build_goes_on_to_the_same_bytes(picture_set: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lra_data", "build", "pathfinder", "--res", "128", "--difficulty", "easy"]
    command += [*FLAGS, "--format", "arrow,parquet,webdataset", "--out", str(tmp_path)]
    for wait in ("train-00000-of-00003.arrow", "train-00002-of-00003.tar"):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
            while child.poll() is None and not (tmp_path / NAME / wait).exists():
                time.sleep(0.002)
            child.send_signal(signal.SIGKILL)
        assert (tmp_path / NAME / wait).exists()
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "kept train-00000-of-00003.arrow" in result.stderr
    assert file_bytes(tmp_path / NAME) == file_bytes(picture_set)


def test_verify_finds_a_turned_label_in_a_set_whose_digests_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A generator with a fault of its own: what it writes has right digests and wrong labels."""
    from lra_data.pathfinder.generated_task import Pathfinder

    draw = Pathfinder.draw

    def faulty(
        self: Pathfinder, split: str, indices: "np.ndarray[tuple[int], np.dtype[np.int64]]", seed: int
    ) -> object:
        drawn = draw(self, split, indices, seed)
        drawn["label"][indices == 7] ^= 1
        return drawn

    with monkeypatch.context() as patched:
        patched.setattr(Pathfinder, "draw", faulty)
        lra_data.build(NAME, tmp_path, sizes={"train": 12, "validation": 2, "test": 2})
    [fault] = verify(tmp_path / NAME)
    assert fault.index == 7
    assert "found from picture and paddles" in fault.message


def test_pictures_have_their_shape_in_the_schema() -> None:
    assert picture_shapes(get_task(NAME).schema) == {"inputs": (128, 128)}
    assert picture_shapes(get_task("listops").schema) == {}


# The library leaves its files to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_shards_hold_pngs(picture_set: Path) -> None:
    expected = lra_data.generate(NAME, "train", 0, SIZES["train"])
    urls = str(picture_set / "train-{00000..00002}-of-00003.tar")
    examples = list(webdataset.WebDataset(urls, shardshuffle=False).decode("l8"))
    pictures = rows_of(expected["inputs"]).reshape(-1, 128, 128)
    for example, picture, row in zip(examples, pictures, expected.to_pylist(), strict=True):
        assert np.array_equal(example["png"], picture)
        assert example["cls"] == row["label"]
        assert example["json"] == {name: row[name] for name in row if name not in ("inputs", "label")}
    with tarfile.open(picture_set / "test-00000-of-00001.tar") as tar:
        first = tar.extractfile("pathfinder-128-easy-test-00000000.png")
        assert first is not None
        assert Image.open(io.BytesIO(first.read())).format == "PNG"
    gc.collect()


def test_the_manifest_names_what_png_bytes_depend_on(picture_set: Path) -> None:
    libraries = read_manifest(picture_set).description.libraries
    assert set(libraries) == {"pillow", "pyarrow", "zlib"}


def test_a_damaged_png_is_a_set_error(tmp_path: Path) -> None:
    task = get_task("pathfinder/32-easy")
    buffer = io.BytesIO()
    buffer.close = lambda: None  # type: ignore[method-assign]
    writer = webdataset_tar.FORMAT.open_writer(buffer, task.schema, "x")
    writer.write(task.take("train", [0]))
    writer.close()
    path = tmp_path / "x.tar"
    path.write_bytes(buffer.getvalue())
    assert len(list(webdataset_tar.FORMAT.read(path, task.schema))) == 1
    png = png_bytes(rows_of(task.take("train", [0])["inputs"]).reshape(32, 32))
    assert png in buffer.getvalue()
    path.write_bytes(buffer.getvalue().replace(png[40:60], bytes(20)))
    with pytest.raises(SetError, match="expected a WebDataset tar of this task, got: expected a PNG picture"):
        list(webdataset_tar.FORMAT.read(path, task.schema))


def test_hugging_face_reads_every_format(picture_set: Path, tmp_path: Path) -> None:
    datasets.disable_progress_bars()
    plain = datasets.load_dataset(str(picture_set), cache_dir=str(tmp_path))
    expected = lra_data.generate(NAME, "test", 0, SIZES["test"]).to_pylist()
    assert plain["test"].to_list() == expected
    assert plain["train"].features["label"].names == ["not connected", "connected"]
    tars = datasets.load_dataset(
        "webdataset", data_dir=str(picture_set), data_files={"test": "test-*.tar"}, cache_dir=str(tmp_path)
    )["test"]
    assert [np.asarray(row["png"]).ravel().tolist() for row in tars] == [row["inputs"] for row in expected]
    datasets.enable_progress_bars()


def test_a_set_of_tars_alone_is_read_as_pictures(tmp_path: Path) -> None:
    lra_data.build(
        "pathfinder/32-easy", tmp_path, formats=["webdataset"], sizes={"train": 9, "validation": 2, "test": 2}
    )
    folder = tmp_path / "pathfinder" / "32-easy"
    datasets.disable_progress_bars()
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    datasets.enable_progress_bars()
    expected = lra_data.generate("pathfinder/32-easy", "train", 0, 9).to_pylist()
    assert [np.asarray(row["png"]).ravel().tolist() for row in loaded["train"]] == [row["inputs"] for row in expected]
    assert loaded["train"].features["cls"].names == ["not connected", "connected"]


def test_polars_reads_the_parquet_files(picture_set: Path) -> None:
    frame = polars.read_parquet(picture_set / "test-*.parquet")
    assert frame.to_dicts() == lra_data.generate(NAME, "test", 0, SIZES["test"]).to_pylist()


def test_the_card_shows_the_first_pictures(picture_set: Path) -> None:
    text = (picture_set / "README.md").read_text()
    assert "![The first examples of train](preview.png)" in text
    sheet = get_task(NAME).viewer.contact_sheet(lra_data.generate(NAME, "train", 0, 24))
    assert sheet is not None
    assert np.array_equal(np.asarray(Image.open(picture_set / "preview.png")), sheet)
    header = yaml.safe_load(text.split("---\n")[1])
    assert {"name": "inputs", "list": "uint8", "length": 16384} in header["dataset_info"]["features"]
    assert "- paddle_margin_list: 2, 3" in text


def test_geometry_is_left_out_of_the_shards_by_a_flag(picture_set: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "lra_data",
        "build",
        "pathfinder",
        "--preset",
        "128-easy",
        "--no-geometry",
        "--json",
    ]
    result = subprocess.run([*command, *FLAGS, "--out", str(tmp_path)], capture_output=True, text=True, check=True)
    folder = Path(json.loads(result.stdout)["set"])
    assert folder == tmp_path / NAME
    config = dataclasses.replace(PRESETS["128-easy"].config, geometry=False)
    batch = lra_data.load(config, split="test", root=tmp_path)[0:21]
    with_geometry = lra_data.load(NAME, split="test", root=picture_set.parent.parent)[0:21]
    assert batch.equals(with_geometry.select(["inputs", "label", "index"]))
    assert verify(folder) == []
    assert sum(path.stat().st_size for path in folder.glob("*.arrow")) < sum(
        path.stat().st_size for path in picture_set.glob("*.arrow")
    )
    again = subprocess.run([*command[:-2], *FLAGS, "--out", str(tmp_path)], capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert "finished set with config" in again.stderr
