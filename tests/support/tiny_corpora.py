"""Small corpora in the upstream formats, made here: what the tests convert where no real archive is at hand.

They are partial, with the ids and places that files have in the whole corpus.
"""

import io
import pickle
import random
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lra_data import get_task
from lra_data.text.task import Text

WORDS = ("film", "the", "a", "plot", "was", "dull", "fine", "of", "and", "acting", "é", "—", "<br /><br />", "end.")


def write_tar(path: Path, files: Mapping[str, bytes], *, mode: str = "w:gz") -> Path:
    """An archive of these files, in their order."""
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def imdb_files() -> dict[str, bytes]:
    """40 reviews in each of the four folders, some held out by each of two seeds; and files to be passed over."""
    rng = random.Random(1)
    task = get_task("text/holdout")
    assert isinstance(task, Text)
    held_out = {name for seed in (0, 1) for name in sorted(task.held_out(seed))[::200]}
    files = {"aclImdb/README": b"about", "aclImdb/train/urls_neg.txt": b"urls", "aclImdb/train/labeledBow.feat": b"0"}
    for half in ("train", "test"):
        for label, ratings in (("neg", (1, 2, 3, 4)), ("pos", (7, 8, 9, 10))):
            numbers = {int(name.partition("/")[2]) for name in held_out if name.startswith(label)}
            numbers |= set(rng.sample(range(12_500), 40 - len(numbers)))
            for number in sorted(numbers):
                text = " ".join(rng.choices(WORDS, k=rng.randint(20, 200)))
                files[f"aclImdb/{half}/{label}/{number}_{rng.choice(ratings)}.txt"] = text.encode()
    return files | {"aclImdb/train/unsup/0_0.txt": b"nobody knows"}


def cifar_arrays() -> dict[str, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    """Labels uint8 (60,) and values uint8 (60, 3072) of each of the six batches."""
    rng = np.random.default_rng(2)
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    return {
        name: (rng.integers(0, 10, 60).astype(np.uint8), rng.integers(0, 256, (60, 3072)).astype(np.uint8))
        for name in names
    }


def cifar_binary_files() -> dict[str, bytes]:
    """The binary layout: a byte for the label, then the three planes."""
    return {
        f"cifar-10-batches-bin/{name}.bin": np.hstack([labels[:, None], values]).tobytes()
        for name, (labels, values) in cifar_arrays().items()
    }


def cifar_python_files() -> dict[str, bytes]:
    """The Python layout: a pickled dictionary a batch."""
    return {
        f"cifar-10-batches-py/{name}": pickle.dumps(
            {b"batch_label": name.encode(), b"labels": labels.tolist(), b"data": values, b"filenames": []}, protocol=2
        )
        for name, (labels, values) in cifar_arrays().items()
    }


def aan_files() -> dict[str, bytes]:
    """120 papers of 2000 to 2009, 100 of them with a text, and a thousand links among them, newer to older."""
    rng = random.Random(3)
    papers = sorted(f"P0{rng.randrange(10)}-{1000 + number}" for number in range(120))
    links = {tuple(sorted(rng.sample(papers, 2), reverse=True)) for _ in range(1000)}
    lines = [f"{citing} ==> {cited}\n" for citing, cited in sorted(links)]
    files = {f"aan/papers_text/{paper}.txt": _paper(rng) for paper in papers[:100]}
    files |= {
        "aan/papers_text/P00-9999.txt": b"",
        "aan/papers_text/P00-1000.body": b"part of a text",
        "aan/papers_text/notes": b"stray",
        "aan/release/2009/acl.txt": b"P09-0001 ==> P08-0001\n",
        "aan/release/2010/acl.txt": "".join([lines[0], f"{papers[0]} ==> {papers[0]}\n", *lines]).encode(),
    }
    records = [f"id = {{{paper}}}\nauthor = {{A; B}}\ntitle = {{T}}\nyear = {{200{paper[2]}}}\n" for paper in papers]
    return files | {"aan/release/2010/acl-metadata.txt": "\n".join(records).encode("latin-1")}


def _paper(rng: random.Random) -> bytes:
    text = " ".join(rng.choices(WORDS, k=rng.randint(50, 300))).encode()
    return text + bytes(rng.choices([9, 13, 0, 0xE9, 65], k=3))


def write_corpora(folder: Path) -> dict[str, Path]:
    """The archive of each family that converts a corpus."""
    return {
        "text": write_tar(folder / "aclImdb.tar.gz", imdb_files()),
        "image": write_tar(folder / "cifar-10-python.tar.gz", cifar_python_files()),
        "retrieval": write_tar(folder / "aanrelease.tar.gz", aan_files()),
    }
