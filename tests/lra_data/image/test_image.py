"""Image: both upstream layouts give the same rows, in TFDS's order and splits; grey is TensorFlow's; pickles."""

import io
import pickle
import pickletools
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from PIL import Image as PillowImage

import lra_data
from lra_data import SetError, UsageError, get_task
from lra_data.corpus import Corpus
from lra_data.image.cifar import CLASSES
from lra_data.image.config import Config
from lra_data.image.grayscale import grey
from lra_data.image.plain_pickle import ForbiddenPickleError, load_plain
from lra_data.splits import SPLITS
from lra_data.task import Task
from tests.support.real_corpora import CIFAR_BINARY, CIFAR_PYTHON, real
from tests.support.tiny_corpora import cifar_arrays, cifar_binary_files, cifar_python_files, write_tar

RECORD = 3073


def image_task(archive: Path, preset: str = "lra") -> Task:
    return get_task(f"image/{preset}").over(Corpus(archive, allow_partial=True))


def all_rows(task: Task) -> dict[str, list[dict[str, Any]]]:
    return {split: task.generate(split, 0, task.sizes[split]).to_pylist() for split in SPLITS}


@pytest.mark.parametrize("preset", ["lra", "rgb"])
def test_both_layouts_give_the_same_rows(preset: str, corpora: dict[str, Path], tmp_path: Path) -> None:
    binary = write_tar(tmp_path / "binary.tar.gz", cifar_binary_files())
    rows, others = (all_rows(image_task(archive, preset)) for archive in (binary, corpora["image"]))
    assert rows == others
    values = cifar_arrays()
    for split in SPLITS:
        for row in rows[split]:
            name = "test_batch" if split == "test" else f"data_batch_{row['number'] // 10_000 + 1}"
            place = row["number"] % 10_000
            labels, planes = values[name]
            assert row["label"] == labels[place]
            colours = planes[place].reshape(3, 1024)
            if preset == "rgb":
                assert row["inputs"] == colours.T.ravel().tolist()
            else:
                assert row["inputs"] == grey(*colours).tolist()
    assert sum(len(some) for some in rows.values()) == 360
    numbers = [[row["number"] for row in rows[split]] for split in SPLITS]
    assert sorted(numbers[0] + numbers[1]) == sorted(
        10_000 * batch + place for batch in range(5) for place in range(60)
    )


@pytest.mark.long
@pytest.mark.parametrize("preset", ["lra", "rgb"])
def test_the_real_subsets(preset: str) -> None:
    """4,000 and 1,000 pictures with their places in the whole; the binary layout is read here with nothing of ours."""
    task = image_task(real(CIFAR_PYTHON), preset)
    assert task.name == f"image/{preset}-partial"
    rows = all_rows(task)
    assert rows == all_rows(image_task(real(CIFAR_BINARY), preset))
    assert {split: len(some) for split, some in rows.items()} == {"train": 3605, "validation": 395, "test": 1000}
    with tarfile.open(real(CIFAR_BINARY)) as tar:
        records = {}
        for half, name in (("train", "data_batch_1.bin"), ("test", "test_batch.bin")):
            content = tar.extractfile(f"cifar-10-batches-bin/{name}")
            assert content is not None
            records[half] = np.frombuffer(content.read(), dtype=np.uint8).reshape(-1, RECORD)
    assert records["train"][:10, 0].tolist() == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]
    assert records["train"][0, 1:6].tolist() == [59, 43, 50, 68, 98]
    for split, some in rows.items():
        half = "test" if split == "test" else "train"
        for row in some:
            record = records[half][row["number"]]
            colours = record[1:].reshape(3, 1024)
            assert row["label"] == record[0]
            assert row["inputs"] == (colours.T.ravel() if preset == "rgb" else grey(*colours)).tolist()


def test_the_order_is_tfds_and_the_splits_are_lras(tmp_path: Path) -> None:
    """Pictures that are all there but in size: 16399, 1680, 47917 come first, 13431, 9237, 17462 in validation."""
    labels = np.zeros(10_000, dtype=np.uint8)
    for name in [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]:
        records = np.zeros((10_000, RECORD), dtype=np.uint8)
        records[:, 0] = labels
        (tmp_path / name).write_bytes(records.tobytes())
    task = get_task("image").over(Corpus(tmp_path))  # whole, so nothing has to be allowed
    assert task.name == "image/lra"
    assert task.sizes == {"train": 45_000, "validation": 5_000, "test": 10_000}
    assert task.generate("train", 0, 5)["number"].to_pylist() == [16399, 1680, 47917, 17307, 27051]
    assert task.generate("validation", 0, 5)["number"].to_pylist() == [13431, 9237, 17462, 32685, 9518]
    assert task.config == Config()
    with pytest.raises(UsageError, match="expected an index from 0 to 4999 in validation of image/lra, got 5000"):
        task.take("validation", [5000])


def test_grey_is_what_the_formula_says_in_exact_arithmetic() -> None:
    """floor((0.2989 R + 0.5870 G + 0.1140 B) 255.5 / 255) in integers; float32 may round across a step."""
    rng = np.random.default_rng(0)
    r, g, b = rng.integers(0, 256, (3, 200_000)).astype(np.uint8)
    red, green, blue = (channel.astype(np.int64) for channel in (r, g, b))
    exact = (2989 * red + 5870 * green + 1140 * blue) * 511 // 5_100_000
    ours = grey(r, g, b).astype(np.int64)
    assert np.abs(ours - exact).max() <= 1
    assert (ours != exact).mean() < 1e-3
    levels = np.arange(256, dtype=np.uint8)
    assert np.array_equal(grey(levels, levels, levels), levels)


def test_pillows_grey_is_one_brighter_for_a_quarter_of_all_colours() -> None:
    colours = np.random.default_rng(2).integers(0, 256, (1000, 1000, 3)).astype(np.uint8)
    brighter = np.asarray(PillowImage.fromarray(colours).convert("L")).astype(int) - grey(*np.moveaxis(colours, -1, 0))
    assert set(np.unique(brighter).tolist()) == {0, 1}
    assert 0.26 < brighter.mean() < 0.266


def test_grey_does_not_hang_on_memory_layout() -> None:
    r, g, b = np.random.default_rng(1).integers(0, 256, (3, 64, 32)).astype(np.uint8)
    expected = grey(r, g, b)
    strided = np.stack([r, g, b], axis=-1)
    assert np.array_equal(grey(strided[..., 0], strided[..., 1], strided[..., 2]), expected)
    assert grey(r[:1, :1], g[:1, :1], b[:1, :1]) == expected[:1, :1]


@pytest.mark.slow
def test_grey_is_tensorflows_on_all_colours() -> None:
    """All 2^24 triples; the issue allows 64 that differ by 1, and there are none."""
    tensorflow = pytest.importorskip("tensorflow", reason="needs tensorflow or tensorflow-cpu")
    differing: list[tuple[int, ...]] = []
    green, blue = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8), indexing="ij")
    for level in range(256):
        red = np.full_like(green, level)
        theirs = tensorflow.image.rgb_to_grayscale(np.stack([red, green, blue], axis=-1)).numpy()[..., 0]
        ours = grey(red, green, blue)
        for place in np.argwhere(ours != theirs):
            differing.append((level, *place.tolist(), int(ours[tuple(place)]), int(theirs[tuple(place)])))
    assert differing == []


def changed_binary(tmp_path: Path, name: str, data: bytes) -> Path:
    files = cifar_binary_files()
    return write_tar(tmp_path / "c.tar.gz", files | {f"cifar-10-batches-bin/{name}.bin": data})


def record_with(label: int) -> bytes:
    return bytes([label]) + bytes(3072)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (record_with(1) * 3 + record_with(10), "expected labels from 0 to 9, got 10 at picture 3"),
        (
            record_with(1) * 2 + b"12345",
            "expected records of 3,073 bytes, got 5 bytes after 2 records: the file is cut off",
        ),
        (b"", "expected 1 to 10,000 pictures, got 0"),
        (record_with(1) * 10_001, "expected 1 to 10,000 pictures, got 10,001"),
    ],
)
def test_damaged_binary_batches(data: bytes, message: str, tmp_path: Path) -> None:
    archive = changed_binary(tmp_path, "data_batch_2", data)
    with pytest.raises(SetError) as caught:
        image_task(archive)
    assert str(caught.value) == f"{archive}: cifar-10-batches-bin/data_batch_2.bin: {message}"


def test_missing_and_doubled_batches(tmp_path: Path) -> None:
    files = {name: data for name, data in cifar_binary_files().items() if "test_batch" not in name}
    archive = write_tar(tmp_path / "c.tar.gz", files)
    with pytest.raises(SetError) as caught:
        image_task(archive)
    assert str(caught.value) == f"{archive}: expected a test batch, got none: this is not CIFAR-10"
    both = write_tar(tmp_path / "both.tar.gz", cifar_binary_files() | cifar_python_files())
    with pytest.raises(SetError, match=r"expected data_batch_1 once, got it again as .*: name one layout's folder"):
        image_task(both)


class Evil:
    """Pickles to a call of `os.system`."""

    def __reduce__(self) -> Any:
        import os

        return os.system, ("touch /tmp/lra-data-was-here",)


def python_batch(value: Any, tmp_path: Path) -> Path:
    data = value if isinstance(value, bytes) else pickle.dumps(value, protocol=2)
    return write_tar(tmp_path / "py.tar.gz", cifar_python_files() | {"cifar-10-batches-py/data_batch_1": data})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            {b"labels": [1], b"data": Evil()},
            "expected a pickle of plain values and byte arrays, got one that asks for posix.system: do not trust this "
            "file",
        ),
        (
            {b"labels": [1], b"data": np.zeros((1, 3072), dtype=np.float32)},
            "expected a pickle of plain values and byte arrays, got one that asks for an array of 'f4': do not trust "
            "this file",
        ),
        (
            {b"labels": [1], b"data": np.array([[None]], dtype=object)},
            "expected a pickle of plain values and byte arrays, got one that asks for an array of 'O8': do not trust "
            "this file",
        ),
        (
            {b"labels": [10], b"data": np.zeros((1, 3072), dtype=np.uint8)},
            "expected labels from 0 to 9, got 10 at picture 0",
        ),
        (
            {b"labels": [1, 2], b"data": np.zeros((1, 3072), dtype=np.uint8)},
            "expected data of shape (2, 3072) for as many labels, got (1, 3072)",
        ),
        ({b"labels": [1], b"data": b"text"}, "expected data of shape (1, 3072) for as many labels, got bytes"),
        ({b"labels": ["one"], b"data": 0}, "expected a list of integers as labels, got another value"),
        ({b"data": 0}, "expected a dictionary with labels and data, got another value"),
        ([1, 2], "expected a dictionary with labels and data, got another value"),
        (
            b"no pickle at all",
            "expected a pickle of plain values and byte arrays, got one that asks for the instruction b'n': do not "
            "trust this file",
        ),
        ({b"labels": [True], b"data": 0}, "expected a list of integers as labels, got another value"),
        ({b"labels": [2**70], b"data": 0}, "expected labels from 0 to 9, got a huge number at picture 0"),
        ({b"labels": [0, -1], b"data": 0}, "expected labels from 0 to 9, got -1 at picture 1"),
    ],
)  # fmt: skip
def test_python_batches_are_not_trusted(value: Any, message: str, tmp_path: Path) -> None:
    archive = python_batch(value, tmp_path)
    with pytest.raises(SetError) as caught:
        image_task(archive)
    assert str(caught.value) == f"{archive}: cifar-10-batches-py/data_batch_1: {message}"
    assert not Path("/tmp/lra-data-was-here").exists()


def test_a_cut_off_pickle(tmp_path: Path) -> None:
    data = cifar_python_files()["cifar-10-batches-py/data_batch_1"]
    for kept in (1, 50, len(data) // 2, len(data) - 1):
        with pytest.raises(SetError, match=r"data_batch_1: expected a pickle, got a damaged one"):
            image_task(python_batch(data[:kept], tmp_path))


def python_2_pickle(values: NDArray[np.uint8]) -> bytes:
    """As Python 2's cPickle wrote upstream's files: names of NumPy 1, strings instead of bytes."""
    buffer = io.BytesIO()
    shape = b"K%c" % values.shape[0] + b"M\x00\x0c" + b"\x86"
    raw = values.tobytes()
    buffer.write(
        b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01"
    )
    buffer.write(
        shape + b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    buffer.write(b"\x89T" + len(raw).to_bytes(4, "little") + raw + b"tbU\x06labels](K\x01K\x02eu.")
    return buffer.getvalue()


def test_upstreams_own_form_of_pickle_is_read() -> None:
    values = np.random.default_rng(3).integers(0, 256, (2, 3072)).astype(np.uint8)
    data = python_2_pickle(values)
    assert any(operation.name == "BINSTRING" for operation, _, _ in pickletools.genops(data))
    batch = load_plain(data)
    assert batch[b"labels"] == [1, 2]
    assert np.array_equal(batch[b"data"], values)


NUMPY_CALL = b"cnumpy.core.multiarray\n_reconstruct\n"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x80\x02}" + b")" + b"\x85" * 3_000_000 + b"K\x01s.", "tuples within tuples"),  # hashing it ends the stack
        (
            b"\x80\x02}K\x01" + b"q\x00h\x00\x86" * 60 + b"K\x01s.",
            "tuples within tuples",
        ),  # hashing it takes 2^60 steps
        (b"\x80\x02" + NUMPY_CALL + b"N}U\x0c__defaults__K\x07s\x86b.", "a change of _Name"),
        (b"\x80\x02" + NUMPY_CALL + b")\x81.", "the instruction b'\\x81'"),
        (b"\x80\x02U\x01xP0\n.", "the instruction b'P'"),
        (b"\x80\x02cbuiltins\neval\nU\x011\x85R.", "builtins.eval"),
        (b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00utf_7\x86R.", "a call of _codecs.encode"),
        (b"\x80\x02cnumpy\nndarray\nK\x01\x85R.", "a call of numpy.ndarray"),
    ],
    ids=range(8),
)
def test_instructions_that_no_batch_needs_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(ForbiddenPickleError) as caught:
        load_plain(data)
    assert str(caught.value) == message


def test_an_array_takes_no_more_memory_than_its_bytes() -> None:
    """A pickle that promises a shape of 2^60 with four bytes."""
    data = python_2_pickle(np.zeros((2, 3072), dtype=np.uint8)).replace(
        b"K\x02M\x00\x0c\x86", b"\x8a\x08" + bytes(7) + b"\x10M\x00\x0c\x86"
    )
    with pytest.raises(ForbiddenPickleError, match="an array of shape"):
        load_plain(data)


def test_a_place_in_the_memo_takes_no_memory() -> None:
    """Nine bytes for which Python's own reader in C takes 4 GB: they remember None under the number 2^28 - 1."""
    tracemalloc.start()
    try:
        assert load_plain(b"\x80\x05Nr\xff\xff\xff\x0f.") is None
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_verify_sees_blank_pictures_strangers_and_another_order(corpora: dict[str, Path]) -> None:
    task = image_task(corpora["image"])
    batch = task.generate("train", 0, 3)
    last = next(row["number"] for row in batch.to_pylist() if row["number"] >= 10_000)
    found = task.problems(batch, split="test", seed=0)
    assert any(text == f"expected a picture of test, got number {last}, which is in another split" for _, text in found)
    turned = task.problems(task.take("train", [2, 1, 0]), split="train", seed=0)
    assert turned == [(2, "expected the order of TensorFlow Datasets, got another order")]
    blank = batch.set_column(0, batch.schema.field(0), pa.array([[7] * 1024] * 3, type=batch["inputs"].type))
    assert task.problems(blank, split="train", seed=0) == [
        (place, "expected a picture, got one value") for place in range(3)
    ]


def test_classes_are_named_and_pictures_shown(corpora: dict[str, Path], tmp_path: Path) -> None:
    task = image_task(corpora["image"], "rgb")
    lra_data.build(task, tmp_path, formats=("arrow", "webdataset"))
    folder = tmp_path / "image" / "rgb-partial"
    assert (folder / "preview.png").read_bytes().startswith(b"\x89PNG")
    row = lra_data.load(folder, split="test")[0]
    assert task.viewer.show(row).startswith(CLASSES[row["label"]])
    drawn = task.viewer.drawing(row)
    assert drawn is not None
    # Each pixel is a square of 24 by 24, and its class is beneath.
    assert np.array_equal(drawn[:768:24, ::24], np.asarray(row["inputs"]).reshape(32, 32, 3))
    assert drawn[768:].any()
    sheet = task.viewer.contact_sheet(task.take("test", [0, 1]))
    assert sheet is not None
    assert sheet.shape == (100 + 18, 200, 3)
    assert sheet[100:].any()
    with pytest.raises(UsageError, match="image: channels must be 1 or 3, got 2"):
        Config(channels=2)
