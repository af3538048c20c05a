"""LRA's own readers, and the parts of others that several tests need, over exported files and raw archives.

Each reader is written again from its own source, example by example. Nothing here asks the package how a reader reads.
"""

import csv
import hashlib
import pickle
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lra_data import get_task

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Read:
    """What a foreign reader makes of one example: ids of each text before padding, and the class."""

    sides: tuple[NDArray[Any], ...]
    label: int


def read_ids(label: int, *sides: Sequence[int]) -> Read:
    return Read(tuple(np.array(side, np.int64) for side in sides), label)


def members(archive: Path) -> dict[str, bytes]:
    found = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile():
                content = tar.extractfile(member)
                assert content is not None
                found[member.name] = content.read()
    return found


def cifar_pictures(archive: Path) -> dict[str, dict[int, tuple[Bytes, int]]]:
    """By half and upstream number: values (32, 32, 3), turned as torchvision turns them, and the class."""
    found: dict[str, dict[int, tuple[Bytes, int]]] = {"train": {}, "test": {}}
    files = members(archive)
    for path, data in files.items():
        name = path.rpartition("/")[2]
        if name.startswith("data_batch_") or name == "test_batch":
            half, first = ("test", 0) if name == "test_batch" else ("train", 10_000 * (int(name[-1]) - 1))
            content = pickle.loads(data, encoding="bytes")
            pictures = np.asarray(content[b"data"]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
            for place, (picture, label) in enumerate(zip(pictures, content[b"labels"], strict=True)):
                found[half][first + place] = (picture, int(label))
    return found


def csv_rows(path: Path) -> list[dict[str, str]]:
    """As pandas reads it for Hugging Face: TAB, quoting, the header's names."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def listops_words(source: str) -> list[str]:
    return source.replace("]", "X").replace("(", "").replace(")", "").split()


def metadata_lines(folder: Path) -> list[list[str]]:
    paths = sorted((folder / "metadata").glob("*.npy"), key=lambda path: int(path.stem))
    return [[*line.split(), str(n)] for path in paths for n, line in enumerate(path.read_text().splitlines(), start=1)]


def grey_picture(path: Path) -> Bytes:
    with Image.open(path) as image:
        return np.asarray(image.convert("L")).reshape(-1)


def md5(split: str, key: object) -> bytes:
    return hashlib.md5(f"{split}{key}".encode(), usedforsecurity=False).digest()


def lra_2020_listops(path: Path) -> list[Read]:
    words = [word.replace("]", "X") for word in get_task("listops/lra").vocabulary or ()]
    assert len(words) == 15
    ids = {word: number for number, word in enumerate(words, start=1)}
    return [
        read_ids(int(row["Target"]), [ids[word] for word in listops_words(row["Source"])][:2000])
        for row in csv_rows(path)
    ]


def lra_2020_text(archive: Path) -> dict[str, list[Read]]:
    files = members(archive)
    expected = {}
    for split in ("train", "test"):
        paths = [path for path in files if path.startswith((f"aclImdb/{split}/neg/", f"aclImdb/{split}/pos/"))]
        paths.sort(key=lambda path: md5(split, path))
        expected[split] = [
            read_ids(int(path.split("/")[2] == "pos"), [byte + 1 for byte in files[path]][:1000]) for path in paths
        ]
    return {"train": expected["train"], "validation": expected["test"], "test": expected["test"]}


def lra_2020_retrieval(path: Path) -> list[Read]:
    reads = []
    for line in path.read_bytes().split(b"\n")[:-1]:
        label, _, _, *texts = line.split(b"\t")
        assert len(texts) == 2
        sides = ([byte + 1 for byte in text[:10_000]][:4000] for text in texts)
        reads.append(read_ids(int(float(label)), *sides))
    return reads


def tensorflow_grey(picture: Bytes) -> NDArray[np.int32]:
    """tf.image.rgb_to_grayscale: uint8 to float32 in [0, 1], a weighted sum, back by 255.5 and cut off."""
    unit = picture.reshape(1024, 3) * np.float32(1 / 255.0)
    weighed = unit * np.array([0.2989, 0.5870, 0.1140], np.float32)
    levels = np.multiply(np.add.reduce(weighed, axis=1), np.float32(255.5))
    assert levels.dtype == np.float32
    levels_cut: NDArray[np.int32] = levels.astype(np.uint8).astype(np.int32)
    return levels_cut


def lra_2020_image(archive: Path) -> dict[str, list[Read]]:
    pictures = cifar_pictures(archive)
    train = sorted(range(50_000), key=lambda number: md5("train", number))
    orders = {"train": train[:45_000], "validation": train[45_000:]}
    orders["test"] = sorted(range(10_000), key=lambda number: md5("test", number))
    expected = {}
    for split, order in orders.items():
        there = pictures["test" if split == "test" else "train"]
        present = [there[number] for number in order if number in there]
        expected[split] = [Read((tensorflow_grey(picture),), label) for picture, label in present]
    return expected


def random_split(lengths: list[int]) -> list[list[int]]:
    """Numbers of each part, by torch itself."""
    torch = pytest.importorskip("torch")
    parts = torch.utils.data.random_split(range(sum(lengths)), lengths, generator=torch.Generator().manual_seed(42))
    return [list(part.indices) for part in parts]


def to_tensor(grey: Bytes) -> Any:
    """torchvision's ToTensor."""
    torch = pytest.importorskip("torch")
    return torch.from_numpy(grey.copy()).to(torch.float32).div(255)
