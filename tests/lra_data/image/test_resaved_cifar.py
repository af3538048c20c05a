"""CIFAR-10's batches as Python 3 and any NumPy save them again: the same rows, and still nothing that is run."""

import io
import pickle
import pickletools
import random
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lra_data import SetError, get_task
from lra_data.corpus import Corpus
from lra_data.image.plain_pickle import ForbiddenPickleError, load_plain
from lra_data.task import Task
from tests.support.real_corpora import CIFAR_PYTHON, real
from tests.support.tiny_corpora import cifar_arrays, cifar_python_files, write_tar

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
Batch = dict[Any, Any]


def batches(change: Callable[[Batch], Batch]) -> dict[str, bytes]:
    """All six batches, changed and saved again, each with another of the six protocols."""
    files = {}
    for protocol, (name, (labels, values)) in zip(PROTOCOLS, cifar_arrays().items(), strict=True):
        batch = {b"batch_label": b"", b"labels": labels.tolist(), b"data": values, b"filenames": [b"a_s_1.png"] * 60}
        files[f"cifar-10-batches-py/{name}"] = pickle.dumps(change(batch), protocol=protocol)
    return files


def text_keys(batch: Batch) -> Batch:
    """What `pickle.load(…, encoding="latin1")` gives."""
    return {
        "batch_label": "", "labels": batch[b"labels"], "data": batch[b"data"], "filenames": ["a_s_1.png"] * 60,
    }  # fmt: skip


FORMS: dict[str, Callable[[Batch], Batch]] = {
    "keys as bytes": lambda batch: batch,
    "keys as text": text_keys,
    "a mix": lambda batch: text_keys(batch) | {b"note": "é", 7: None},
    "labels as an array": lambda batch: text_keys(batch) | {"labels": np.array(batch[b"labels"])},
    "labels as a small array": lambda batch: text_keys(batch) | {"labels": np.array(batch[b"labels"], dtype=np.uint8)},
    "labels of another byte order": lambda batch: text_keys(batch) | {"labels": np.array(batch[b"labels"], ">i4")},
    "labels as numpy's numbers": lambda batch: text_keys(batch) | {"labels": list(np.array(batch[b"labels"]))},
    "labels as a tuple": lambda batch: text_keys(batch) | {"labels": tuple(batch[b"labels"])},
    "data by columns": lambda batch: text_keys(batch) | {"data": np.asfortranarray(batch[b"data"])},
    "data as a view": lambda batch: text_keys(batch) | {"data": np.repeat(batch[b"data"], 2, axis=1)[:, ::2]},
    "names as arrays": lambda batch: text_keys(batch) | {
        "filenames": np.array(["a_s_1.png"] * 60), "old": np.array([b"a"]),
    },
}  # fmt: skip


def image_task(raw: Path) -> Task:
    return get_task("image").over(Corpus(raw, allow_partial=True))


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return image_task(write_tar(tmp_path_factory.mktemp("cifar") / "c.tar", cifar_python_files(), mode="w"))


@pytest.mark.parametrize("form", FORMS)
def test_batches_that_were_saved_again_give_the_same_rows(form: str, expected: Task, tmp_path: Path) -> None:
    task = image_task(write_tar(tmp_path / "c.tar", batches(FORMS[form]), mode="w"))
    assert task.identity() == expected.identity()
    assert task.generate("test", 0, 60).equals(expected.generate("test", 0, 60))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_names_of_either_numpy(protocol: int) -> None:
    """NumPy 1 wrote `numpy.core`, NumPy 2 writes `numpy._core`; a pickle of the one is read like that of the other."""
    labels, values = cifar_arrays()["test_batch"]
    data = pickle.dumps({"data": values[:2], "labels": list(labels[:2].astype(np.int64))}, protocol=protocol)
    for old, new in ((b"numpy._core.", b"numpy.core."), (b"numpy.core.", b"numpy._core.")):
        renamed = rename(data, old, new)
        batch = load_plain(renamed)
        assert batch["labels"] == labels[:2].tolist()
        assert np.array_equal(batch["data"], values[:2])


def rename(data: bytes, old: bytes, new: bytes) -> bytes:
    """Another name for a module: in a line up to protocol 3, from 4 on with its length before it, in a frame."""
    if old not in data:
        return data
    if data[1] < 4 or data[:1] != b"\x80":
        return data.replace(old, new)
    whole = pickletools.optimize(data)
    start = whole.index(b"\x95") + 9
    pieces = (whole[:2] + whole[start:]).split(old)
    joined = pieces[0]
    for piece in pieces[1:]:
        length = joined[-1] + len(new) - len(old)
        joined = joined[:-1] + bytes([length]) + new + piece
    return joined


@pytest.mark.long
def test_the_real_batches_saved_again(tmp_path: Path) -> None:
    """As people do it: loaded with latin1 and with bytes, dumped with the default and the highest protocol."""
    archive = real(CIFAR_PYTHON)
    task = image_task(archive)
    for number, (encoding, protocol) in enumerate((("latin1", 2), ("latin1", 5), ("bytes", pickle.DEFAULT_PROTOCOL))):
        folder = tmp_path / str(number)
        folder.mkdir()
        with tarfile.open(archive) as tar:
            for name in ("data_batch_1", "test_batch"):
                content = tar.extractfile(f"cifar-10-batches-py/{name}")
                assert content is not None
                batch = pickle.load(content, encoding=encoding)
                (folder / name).write_bytes(pickle.dumps(batch, protocol=protocol))
        again = image_task(folder)
        assert again.identity()["corpus"] == task.identity()["corpus"] | {"recognised": []}
        assert again.generate("validation", 0, 395).equals(task.generate("validation", 0, 395))


def fault(batch: Any, tmp_path: Path, protocol: int = 5) -> str:
    data = batch if isinstance(batch, bytes) else pickle.dumps(batch, protocol=protocol)
    archive = write_tar(tmp_path / "c.tar", {"cifar-10-batches-py/data_batch_1": data}, mode="w")
    with pytest.raises(SetError) as caught:
        image_task(archive)
    return str(caught.value).removeprefix(f"{archive}: cifar-10-batches-py/data_batch_1: ")


VALUES = np.zeros((1, 3072), dtype=np.uint8)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (
            {"labels": [1], "data": VALUES.astype(np.int64)},
            "expected data of bytes, uint8, got int64: save the pictures",
        ),
        (
            {"labels": [1], "data": VALUES.astype(np.float32)},
            "expected a pickle of plain values and byte arrays, got one",
        ),
        (
            {"labels": np.array([0.5]), "data": VALUES},
            "expected a pickle of plain values and byte arrays, got one that",
        ),
        (
            {"labels": [np.float64(1)], "data": VALUES},
            "expected a pickle of plain values and byte arrays, got one that",
        ),
        (
            {"labels": [np.True_], "data": VALUES},
            "expected a pickle of plain values and byte arrays, got one that asks",
        ),
        ({"labels": np.array([[1]]), "data": VALUES}, "expected a list of integers as labels, got another value"),
        ({"labels": np.array([10]), "data": VALUES}, "expected labels from 0 to 9, got 10 at picture 0"),
        ({"labels": [np.int8(-1)], "data": VALUES}, "expected labels from 0 to 9, got -1 at picture 0"),
        ({"labels": [1], b"labels": [1], "data": VALUES}, "expected labels once, got it as bytes and as text: remove"),
        ({"label": [1], "data": VALUES}, "expected a dictionary with labels and data, got another value"),
        ({"labels": [1], "data": np.zeros((1, 3, 32, 32), dtype=np.uint8)}, "expected data of shape (1, 3072) for as"),
        (
            {"labels": [1], "data": np.zeros(1, dtype=[("a", "u1")])},
            "expected a pickle of plain values and byte arrays, got one that asks for an array of 'V1'",
        ),
    ],
    ids=range(12),
)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_other_values_are_one_line(batch: Any, message: str, protocol: int, tmp_path: Path) -> None:
    assert fault(batch, tmp_path, protocol).startswith(message)


class Evil:
    def __reduce__(self) -> Any:
        return exec, ("open('/tmp/lra-data-was-here', 'w')",)


BUFFER_CALL = b"\x80\x05cnumpy._core.numeric\n_frombuffer\n"
U1 = b"cnumpy\ndtype\n\x8c\x02u1\x85R"


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (pickle.dumps({"labels": [Evil()]}, protocol=5), ForbiddenPickleError, "builtins.exec"),
        (pickle.dumps({"labels": [Evil()]}, protocol=2), ForbiddenPickleError, "__builtin__.exec"),
        (b"\x80\x05\x96" + b"\0" * 6 + b"\x7f\0.", EOFError, "the pickle ends within an array"),
        (b"\x80\x05\x96" + b"\xff" * 8 + b".", EOFError, "the pickle ends within an array"),
        (b"\x80\x05\x97.", ForbiddenPickleError, "the instruction b'\\x97'"),
        (b"\x80\x05\x98.", ForbiddenPickleError, "the instruction b'\\x98'"),
        (
            BUFFER_CALL + b"(C\x04aaaa" + U1 + b"(\x8a\x08" + bytes(7) + b"\x10K\x04t\x8c\x01CtR.",
            ForbiddenPickleError,
            "an array of shape (1152921504606846976, 4) with 4 bytes",
        ),
        (
            BUFFER_CALL + b"(C\x04aaaa" + U1 + b"J\xff\xff\xff\xffJ\xfc\xff\xff\xff\x86\x8c\x01CtR.",
            ForbiddenPickleError,
            "an array of shape (-1, -4) with 4 bytes",
        ),
        (
            BUFFER_CALL + b"(C\x04aaaa" + U1 + b"K\x04\x85\x8c\x01KtR.",
            ForbiddenPickleError,
            "an array that is not one of plain bytes",
        ),
        (
            BUFFER_CALL + b"(C\x04aaaaNK\x04\x85\x8c\x01CtR.",
            ForbiddenPickleError,
            "an array that is not one of plain bytes",
        ),
        (b"\x80\x02c__builtin__\nbytes\nK\x07\x85R.", ForbiddenPickleError, "a call of __builtin__.bytes"),
        (
            b"\x80\x02cnumpy\ndtype\n\x8c\x02i8\x85R(K\x03\x8c\x01<)NNtb.",
            ForbiddenPickleError,
            "an array of several fields, or of another order of bytes",
        ),
        (b"\x80\x02cnumpy\ndtype\n\x8c\x0aS999999999\x85R.", ForbiddenPickleError, "an array of 'S999999999'"),
        (b"\x80\x02cnumpy._core.numeric\nload\n.", ForbiddenPickleError, "numpy._core.numeric.load"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", ForbiddenPickleError, "os.system"),
    ],
    ids=range(15),
)
def test_nothing_unsafe_became_possible(data: bytes, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        load_plain(data)
    assert str(caught.value) == message
    assert not Path("/tmp/lra-data-was-here").exists()


def test_changed_bytes_end_in_expected_errors_only() -> None:
    """Damage at random: a value, or one of the errors that the reader of batches names."""
    rng = random.Random(7)
    labels, values = cifar_arrays()["test_batch"]
    batch = {"labels": np.array(labels[:3], dtype=np.int64), "data": values[:3, :40], "n": [np.int64(3)], b"e": b""}
    wholes = [pickle.dumps(batch, protocol=protocol) for protocol in PROTOCOLS]
    seen = 0
    for _ in range(6_000):
        data = bytearray(rng.choice(wholes))
        for _ in range(rng.choice((1, 1, 2, 4))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            load_plain(bytes(data))
        except (ForbiddenPickleError, pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError,
                AttributeError, MemoryError, OverflowError):  # fmt: skip
            seen += 1
    assert seen > 500
    assert load_plain(wholes[-1])["n"] == [3]
    assert pickle.load(io.BytesIO(wholes[-1]))["n"] == [3]
