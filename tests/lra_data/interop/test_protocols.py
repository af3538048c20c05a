"""Protocol views against plain copies of the foreign readers, which read exported files and raw archives.

Nothing here asks the package how a reader reads: each reader is written again from its own source, example by example,
and ids, lengths, labels and order are compared exactly.
"""

import csv
import hashlib
import io
import json
import pickle
import pickletools
import tarfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import lra_data
from lra_data import UsageError, get_task
from lra_data.corpus import Corpus
from lra_data.interop.export import export
from lra_data.interop.protocol import PROTOCOLS, get_protocol
from lra_data.interop.torch_shuffle import torch_randperm
from lra_data.loading.batch_making.protocol_rows import open_protocol
from lra_data.pathfinder.released.converted_task import open_release
from lra_data.store.row_access import Rows, VirtualRows, open_rows
from tests.lra_data.commands.test_cli import run
from tests.support.real_corpora import CIFAR_BINARY, CIFAR_PYTHON, real
from tests.support.tiny_corpora import aan_files, cifar_arrays, imdb_files, write_tar

LISTOPS_SIZES = {"train": 60, "validation": 20, "test": 20}
PATHFINDER_SIZES = {"train": 61, "validation": 21, "test": 20}
TSV_NAMES = {"train": "basic_train.tsv", "validation": "basic_val.tsv", "test": "basic_test.tsv"}
PAIR_NAMES = {"train": "train", "validation": "eval", "test": "test"}
PICKLE_NAMES = {"train": "train", "validation": "dev", "test": "test"}
HARD = "pathfinder32/curv_contour_length_14"
DESCRIBED = {
    ("s4", "retrieval"), ("s4", "text"), ("nystromformer", "listops"), ("nystromformer", "retrieval"),
    ("nystromformer", "text"), ("mega", "listops"), ("mega", "retrieval"), ("mega", "text"),
}  # fmt: skip

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Read:
    """What a foreign reader makes of one example: ids of each text before padding, and the class."""

    sides: tuple[NDArray[Any], ...]
    label: int


def read_ids(label: int, *sides: Sequence[int]) -> Read:
    return Read(tuple(np.array(side, np.int64) for side in sides), label)


def plain(expected: dict[str, list[Read]]) -> list[tuple[list[int], int]]:
    """All splits, one after the other: the ids of a single text, and the class."""
    return [(read.sides[0].tolist(), read.label) for reads in expected.values() for read in reads]


def check_view(
    view: Any,
    expected: dict[str, list[Read]],
    *,
    dtype: type[np.int32] | type[np.float32] = np.int32,
    padded_to: int | None = None,
    hides_zeros: bool,
) -> None:
    """The whole of each split, and some rows in any order, repeated ones too. Without `padded_to` a batch decides."""
    assert view.sizes == {split: len(reads) for split, reads in expected.items()}
    for split, reads in expected.items():
        count = len(reads)
        assert count > 0
        for positions in (list(range(count)), [count - 1, 0, count // 2, 0], [count // 3]):
            batch = view.take(split, positions)
            chosen = [reads[position] for position in positions]
            longest = max(len(side) for read in chosen for side in read.sides)
            shape = (len(chosen), len(chosen[0].sides), padded_to or longest)
            inputs, keep = np.zeros(shape, dtype), np.zeros(shape, np.bool_)
            for row, read in enumerate(chosen):
                for place, side in enumerate(read.sides):
                    inputs[row, place, : len(side)] = side
                    keep[row, place, : len(side)] = True
            lengths = [[len(side) for side in read.sides] for read in chosen]
            np.testing.assert_array_equal(batch.inputs, inputs, strict=True)
            np.testing.assert_array_equal(batch.keep, inputs != 0 if hides_zeros else keep, strict=True)
            np.testing.assert_array_equal(batch.lengths, np.array(lengths, np.int32), strict=True)
            np.testing.assert_array_equal(batch.labels, np.array([read.label for read in chosen]), strict=True)


# What is read: exported files of sets built here, and archives.


@dataclass(frozen=True)
class Exported:
    """A set, and the folder that holds its release files."""

    rows: Rows
    files: Path


def build_and_export(name: str, root: Path, sizes: dict[str, int], seed: int = 0) -> Exported:
    lra_data.build(name, root / "sets", sizes=sizes, seed=seed)
    rows = open_rows(root / "sets" / name)
    export(rows, root / "files")
    return Exported(rows, root / "files")


@pytest.fixture(scope="module")
def listops(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return build_and_export("listops/lra", tmp_path_factory.mktemp("listops"), LISTOPS_SIZES)


@pytest.fixture(scope="module")
def long_listops(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Expressions that both readers cut."""
    sizes = {"train": 12, "validation": 4, "test": 4}
    return build_and_export("listops/4k", tmp_path_factory.mktemp("listops-4k"), sizes)


@pytest.fixture(scope="module")
def pathfinder(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return build_and_export("pathfinder/32-hard", tmp_path_factory.mktemp("pathfinder"), PATHFINDER_SIZES)


def lay_out_release(source: Path, root: Path, *, reverse_lines: bool) -> Exported:
    """Pictures in twelve batches, whose numbers sort otherwise as strings."""
    lines = [line for path in sorted((source / "metadata").iterdir()) for line in path.read_text().splitlines()]
    for batch in range(12):
        (root / HARD / "imgs" / str(batch)).mkdir(parents=True)
        metadata = root / HARD / "metadata" / f"{batch}.npy"
        metadata.parent.mkdir(exist_ok=True)
        written = []
        for sample, line in enumerate(lines[batch::12]):
            fields = line.split(" ")
            png = (source / fields[0] / fields[1]).read_bytes()
            (root / HARD / "imgs" / str(batch) / f"sample_{sample}.png").write_bytes(png)
            written.append(" ".join([f"imgs/{batch}", f"sample_{sample}.png", str(sample), *fields[3:]]) + "\n")
        metadata.write_text("".join(reversed(written) if reverse_lines else written))
    return Exported(VirtualRows(open_release(Corpus(root, allow_partial=True)), 0), root)


@pytest.fixture(scope="module")
def released_pathfinder(pathfinder: Exported, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return lay_out_release(pathfinder.files / HARD, tmp_path_factory.mktemp("release"), reverse_lines=False)


@pytest.fixture(scope="module")
def reversed_release(pathfinder: Exported, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Lines of a batch are not in the order of its files' numbers."""
    return lay_out_release(pathfinder.files / HARD, tmp_path_factory.mktemp("reversed"), reverse_lines=True)


@pytest.fixture(scope="module")
def long_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reviews, some of which are longer than the cut."""
    files = {name: data * (1 + len(data) % 3) if "/0" not in name else data for name, data in imdb_files().items()}
    return write_tar(tmp_path_factory.mktemp("imdb") / "aclImdb.tar.gz", files)


@pytest.fixture(scope="module")
def long_papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Papers on both sides of 4,000 and of 10,000 bytes."""
    files = {
        name: data * (1 + 3 * (len(data) % 6)) if "papers_text" in name else data for name, data in aan_files().items()
    }
    return write_tar(tmp_path_factory.mktemp("aan") / "aanrelease.tar.gz", files)


@pytest.fixture(scope="module")
def dark_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures in the Python layout whose first rows are black."""
    files = {}
    for name, (labels, values) in cifar_arrays().items():
        values.reshape(-1, 3, 1024)[:, :, :40] = 0
        content = {b"batch_label": name.encode(), b"labels": labels.tolist(), b"data": values, b"filenames": []}
        files[f"cifar-10-batches-py/{name}"] = pickle.dumps(content, protocol=2)
    return write_tar(tmp_path_factory.mktemp("cifar") / "cifar-10-python.tar.gz", files)


def corpus_rows(name: str, archive: Path) -> Rows:
    return VirtualRows(get_task(name).over(Corpus(archive, allow_partial=True)), 0)


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


# lra-2020: google-research/long-range-arena.


def lra_2020_listops(path: Path) -> list[Read]:
    words = [word.replace("]", "X") for word in get_task("listops/lra").vocabulary or ()]
    assert len(words) == 15
    ids = {word: number for number, word in enumerate(words, start=1)}
    return [
        read_ids(int(row["Target"]), [ids[word] for word in listops_words(row["Source"])][:2000])
        for row in csv_rows(path)
    ]


@pytest.mark.parametrize("fixture", ["listops", "long_listops"])
def test_lra_2020_listops(fixture: str, request: pytest.FixtureRequest) -> None:
    exported = request.getfixturevalue(fixture)
    expected = {split: lra_2020_listops(exported.files / name) for split, name in TSV_NAMES.items()}
    assert any(len(read.sides[0]) == 2000 for read in expected["train"]) == (fixture == "long_listops")
    check_view(open_protocol("lra-2020", exported.rows), expected, padded_to=2000, hides_zeros=True)


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


def test_lra_2020_text(long_text: Path) -> None:
    expected = lra_2020_text(long_text)
    lengths = {len(read.sides[0]) for read in expected["train"]}
    assert max(lengths) == 1000 > min(lengths)
    check_view(
        open_protocol("lra-2020", corpus_rows("text/lra", long_text)), expected, padded_to=1000, hides_zeros=True
    )


def lra_2020_retrieval(path: Path) -> list[Read]:
    reads = []
    for line in path.read_bytes().split(b"\n")[:-1]:
        label, _, _, *texts = line.split(b"\t")
        assert len(texts) == 2
        sides = ([byte + 1 for byte in text[:10_000]][:4000] for text in texts)
        reads.append(read_ids(int(float(label)), *sides))
    return reads


def test_lra_2020_retrieval(long_papers: Path, tmp_path: Path) -> None:
    rows = corpus_rows("retrieval/by-pair", long_papers)
    export(rows, tmp_path / "files")
    expected = {
        split: lra_2020_retrieval(tmp_path / "files" / f"new_aan_pairs.{name}.tsv")
        for split, name in PAIR_NAMES.items()
    }
    lengths = {len(side) for read in expected["train"] for side in read.sides}
    assert max(lengths) == 4000 > min(lengths)
    check_view(open_protocol("lra-2020", rows), expected, padded_to=4000, hides_zeros=True)


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


@pytest.fixture(params=["tiny", "real"])
def cifar(request: pytest.FixtureRequest, dark_pictures: Path) -> Path:
    """The archive in the Python layout, written here or cut from the real one."""
    return dark_pictures if request.param == "tiny" else real(CIFAR_PYTHON)


def test_lra_2020_image(cifar: Path) -> None:
    view = open_protocol("lra-2020", corpus_rows("image/lra", cifar))
    check_view(view, lra_2020_image(cifar), padded_to=1024, hides_zeros=True)


def test_lra_2020_pathfinder_of_a_set_drawn_here(pathfinder: Exported) -> None:
    folder = pathfinder.files / HARD
    reads = [Read((grey_picture(folder / line[0] / line[1]),), int(line[3])) for line in metadata_lines(folder)]
    train, validation, _ = PATHFINDER_SIZES.values()
    ends = {"train": (0, train), "validation": (train, train + validation), "test": (train + validation, len(reads))}
    expected = {split: reads[start:stop] for split, (start, stop) in ends.items()}
    check_view(open_protocol("lra-2020", pathfinder.rows), expected, padded_to=1024, hides_zeros=True)


@pytest.mark.parametrize("fixture", ["released_pathfinder", "reversed_release"])
def test_lra_2020_pathfinder_of_a_release(fixture: str, request: pytest.FixtureRequest) -> None:
    """In the order of TensorFlow Datasets; where a part of a release is cut is for the package to say."""
    exported = request.getfixturevalue(fixture)
    folder = exported.files / HARD
    lines = metadata_lines(folder)
    # LRA data/pathfinder.py: key f"{line[0]}_{line[1]}_{number of the line}", within the split "hard".
    lines.sort(key=lambda line: md5("hard", f"{line[0]}_{line[1]}_{line[-1]}"))
    reads = [Read((grey_picture(folder / line[0] / line[1]),), int(line[3])) for line in lines]
    view = open_protocol("lra-2020", exported.rows)
    expected, start = {}, 0
    for split, size in view.sizes.items():
        expected[split] = reads[start : start + size]
        start += size
    assert start == len(reads) == sum(PATHFINDER_SIZES.values())
    check_view(view, expected, padded_to=1024, hides_zeros=True)


# s4: state-spaces/s4.


def s4_listops(folder: Path) -> dict[str, list[Read]]:
    """torchtext's build_vocab_from_iterator over the cut training words, specials first, unseen words 1."""
    tables = {split: csv_rows(folder / name) for split, name in TSV_NAMES.items()}
    cut = {split: [listops_words(row["Source"])[:2047] for row in rows] for split, rows in tables.items()}
    counts = Counter(word for words in cut["train"] for word in words)
    ordered = [word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    ids = {word: number for number, word in enumerate(["<pad>", "<unk>", "<eos>", *ordered])}
    return {
        split: [
            read_ids(int(row["Target"]), [ids.get(word, 1) for word in [*words, "<eos>"]])
            for words, row in zip(cut[split], rows, strict=True)
        ]
        for split, rows in tables.items()
    }


@pytest.mark.parametrize("fixture", ["listops", "long_listops"])
def test_s4_listops(fixture: str, request: pytest.FixtureRequest) -> None:
    exported = request.getfixturevalue(fixture)
    expected = s4_listops(exported.files)
    assert any(len(read.sides[0]) == 2048 for read in expected["train"]) == (fixture == "long_listops")
    assert max(number for read in expected["train"] for number in read.sides[0]) == 17
    check_view(open_protocol("s4", exported.rows), expected, hides_zeros=False)


def test_s4_listops_numbers_words_that_train_lacks_1(tmp_path: Path) -> None:
    exported = build_and_export("listops/mini", tmp_path, {"train": 1, "validation": 30, "test": 10}, seed=5)
    expected = s4_listops(exported.files)
    assert any(1 in read.sides[0] for read in expected["validation"])
    check_view(open_protocol("s4", exported.rows), expected, hides_zeros=False)


def random_split(lengths: list[int]) -> list[list[int]]:
    """Numbers of each part, by torch itself."""
    torch = pytest.importorskip("torch")
    parts = torch.utils.data.random_split(range(sum(lengths)), lengths, generator=torch.Generator().manual_seed(42))
    return [list(part.indices) for part in parts]


def to_tensor(grey: Bytes) -> Any:
    """torchvision's ToTensor."""
    torch = pytest.importorskip("torch")
    return torch.from_numpy(grey.copy()).to(torch.float32).div(255)


def s4_image(archive: Path) -> dict[str, list[Read]]:
    torch = pytest.importorskip("torch")
    mean, std = (torch.as_tensor(value / 255.0, dtype=torch.float32) for value in (122.6, 61.0))

    def read(picture: Bytes, label: int) -> Read:
        grey = np.asarray(Image.fromarray(picture).convert("L")).reshape(-1)
        return Read((to_tensor(grey).sub_(mean).div_(std).numpy(),), label)

    pictures = cifar_pictures(archive)
    train, validation = random_split([int(50_000 * (1.0 - 0.1)), 5_000])
    orders = {"train": train, "validation": validation, "test": list(range(10_000))}
    expected = {}
    for split, order in orders.items():
        there = pictures["test" if split == "test" else "train"]
        expected[split] = [read(*there[number]) for number in order if number in there]
    return expected


def test_s4_image(cifar: Path) -> None:
    view = open_protocol("s4", corpus_rows("image/rgb", cifar))
    check_view(view, s4_image(cifar), dtype=np.float32, hides_zeros=False)


def test_s4_image_of_the_binary_layout_is_the_same() -> None:
    expected = s4_image(real(CIFAR_PYTHON))
    view = open_protocol("s4", corpus_rows("image/rgb", real(CIFAR_BINARY)))
    check_view(view, expected, dtype=np.float32, hides_zeros=False)


@pytest.mark.parametrize("fixture", ["pathfinder", "released_pathfinder", "reversed_release"])
def test_s4_pathfinder(fixture: str, request: pytest.FixtureRequest) -> None:
    exported = request.getfixturevalue(fixture)
    folder = exported.files / HARD
    lines = metadata_lines(folder)
    part = int(0.1 * len(lines))
    train, validation, test = random_split([len(lines) - 2 * part, part, part])
    expected = {}
    for split, numbers in (("train", train), ("validation", validation), ("test", test)):
        chosen = [lines[number] for number in numbers]
        expected[split] = [
            Read((to_tensor(grey_picture(folder / line[0] / line[1])).numpy(),), int(line[3])) for line in chosen
        ]
    check_view(open_protocol("s4", exported.rows), expected, dtype=np.float32, hides_zeros=False)


@pytest.mark.parametrize("seed", [0, 42, 2**32 - 1])
@pytest.mark.parametrize("count", [0, 1, 2, 10, 623, 1000, 50_000, 200_000])
def test_permutations_are_torchs(count: int, seed: int) -> None:
    torch = pytest.importorskip("torch")
    expected = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).numpy()
    np.testing.assert_array_equal(np.asarray(torch_randperm(count, seed)), expected)


# nystromformer: mlpen/Nystromformer, by way of its pickles.


class PlainUnpickler(pickle.Unpickler):
    """Knows one name."""

    def find_class(self, module: str, name: str) -> Any:
        assert (module, name) == ("numpy", "frombuffer")
        return np.frombuffer


def load_examples(path: Path) -> list[dict[str, Any]]:
    examples = PlainUnpickler(io.BytesIO(path.read_bytes())).load()
    assert isinstance(examples, list)
    return examples


def pickles(rows: Rows, folder: Path) -> dict[str, Path]:
    """The exported file of each split."""
    written = export(rows, folder, layout="nystromformer")
    files = {}
    for split, name in PICKLE_NAMES.items():
        (files[split],) = (path for path in written if path.name.endswith(f".{name}.pickle"))
    assert sorted(folder.glob("*.pickle")) == sorted(files.values())
    return files


def nystromformer(path: Path) -> list[Read]:
    """LRADataset.create_inst before its shuffle; it pads nothing."""
    return [Read((example["input_ids_0"].astype(np.int64),), example["label"]) for example in load_examples(path)]


def test_nystromformer_image(dark_pictures: Path, tmp_path: Path) -> None:
    rows = corpus_rows("image/lra", dark_pictures)
    files = pickles(rows, tmp_path)
    assert files["train"].name == "image.train.pickle"
    expected = {split: nystromformer(path) for split, path in files.items()}
    check_view(open_protocol("nystromformer", rows), expected, hides_zeros=True)
    # The pickles hold what LRA's pipeline gave them.
    assert plain(expected) == plain(lra_2020_image(dark_pictures))
    assert all(0 in ids for ids, _ in plain(expected))


def test_nystromformer_pathfinder(pathfinder: Exported, tmp_path: Path) -> None:
    files = pickles(pathfinder.rows, tmp_path)
    assert files["train"].name == "pathfinder32-curv_contour_length_14.train.pickle"
    expected = {split: nystromformer(path) for split, path in files.items()}
    assert all(0 in ids for ids, _ in plain(expected))
    check_view(open_protocol("nystromformer", pathfinder.rows), expected, hides_zeros=True)
    folder = pathfinder.files / HARD
    assert plain(expected) == [
        (grey_picture(folder / line[0] / line[1]).tolist(), int(line[3])) for line in metadata_lines(folder)
    ]


def all_rows(family: str, request: pytest.FixtureRequest) -> Rows:
    """A small set of the family."""
    makers: dict[str, Callable[[], Rows]] = {
        "listops": lambda: request.getfixturevalue("listops").rows,
        "pathfinder": lambda: request.getfixturevalue("pathfinder").rows,
        "text": lambda: corpus_rows("text/lra", request.getfixturevalue("long_text")),
        "retrieval": lambda: corpus_rows("retrieval/by-pair", request.getfixturevalue("long_papers")),
        "image": lambda: corpus_rows("image/lra", request.getfixturevalue("corpora")["image"]),
    }
    return makers[family]()


@pytest.mark.parametrize(
    ("family", "sides", "length"),
    [("listops", 1, 2048), ("text", 1, 1024), ("retrieval", 2, 4096), ("image", 1, 1024), ("pathfinder", 1, 1024)],
)
def test_pickles_ask_for_one_name_and_have_the_form_of_the_originals(
    family: str, sides: int, length: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    rows = all_rows(family, request)
    keys = [*(f"input_ids_{place}" for place in range(sides)), "label"]
    for split, path in pickles(rows, tmp_path).items():
        asked = {
            (operation.name, argument)
            for operation, argument, _ in pickletools.genops(path.read_bytes())
            if operation.name
            in {"GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID"}
        }
        assert asked == {("GLOBAL", "numpy frombuffer")}
        examples = load_examples(path)
        assert len(examples) == rows.sizes[split]
        for example in examples:
            assert list(example) == keys
            assert isinstance(example["label"], int)
            for key in keys[:-1]:
                assert (example[key].dtype, example[key].shape) == (np.dtype(np.int32), (length,))


def test_pickles_hold_the_ids_of_lras_pipeline(
    listops: Exported, long_text: Path, long_papers: Path, tmp_path: Path
) -> None:
    """A reader padded to LRA's length, then to the next power of two, all with 0."""
    papers = corpus_rows("retrieval/by-pair", long_papers)
    export(papers, tmp_path / "tsv")
    cases: list[tuple[Rows, Callable[[str], list[Read]], int]] = [
        (listops.rows, lambda split: lra_2020_listops(listops.files / TSV_NAMES[split]), 2048),
        (corpus_rows("text/lra", long_text), lambda split: lra_2020_text(long_text)[split], 1024),
    ]
    for number, (rows, read_split, length) in enumerate(cases):
        for split, path in pickles(rows, tmp_path / str(number)).items():
            for example, read in zip(load_examples(path), read_split(split), strict=True):
                ids = read.sides[0].tolist()
                assert example["input_ids_0"].tolist() == ids + [0] * (length - len(ids))
                assert example["label"] == read.label
    for split, path in pickles(papers, tmp_path / "papers").items():
        reads = lra_2020_retrieval(tmp_path / "tsv" / f"new_aan_pairs.{PAIR_NAMES[split]}.tsv")
        for example, read in zip(load_examples(path), reads, strict=True):
            for place, side in enumerate(read.sides):
                ids = example[f"input_ids_{place}"].tolist()
                assert ids == [*side, *[0] * (4096 - len(side))]
            assert example["label"] == read.label


# What is refused, and what is said.


def test_what_is_exact_and_what_is_described() -> None:
    described = {
        (name, family) for name in PROTOCOLS for family, reading in get_protocol(name).items() if not reading.exact
    }
    assert described == DESCRIBED
    assert all(get_protocol(name)[family].differences for name, family in described)
    assert all(len(get_protocol(name)) == 5 for name in PROTOCOLS)


@pytest.mark.parametrize(("protocol", "family"), sorted(DESCRIBED))
def test_a_task_that_a_protocol_only_describes_is_refused(
    protocol: str, family: str, request: pytest.FixtureRequest
) -> None:
    rows = all_rows(family, request)
    with pytest.raises(UsageError, match=family) as caught:
        open_protocol(protocol, rows)
    assert protocol in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("protocol", "name", "hint"),
    [
        ("s4", "image/lra", "image/rgb"),
        ("lra-2020", "image/rgb", "image/lra"),
        ("nystromformer", "image/rgb", "image/lra"),
        ("s4", "pathfinder/32-easy", "hard"),
        ("s4", "pathfinder/32-intermediate", "hard"),
        ("nystromformer", "pathfinder/64-hard", "pathfinder/64-hard"),
    ],
)
def test_a_set_that_the_reader_never_read_is_refused(
    protocol: str, name: str, hint: str, corpora: dict[str, Path]
) -> None:
    rows = corpus_rows(name, corpora["image"]) if name.startswith("image") else VirtualRows(get_task(name), 0)
    with pytest.raises(UsageError) as caught:
        open_protocol(protocol, rows)
    assert hint in str(caught.value)
    assert protocol in str(caught.value)


def test_an_unknown_protocol_names_the_known_ones(listops: Exported) -> None:
    with pytest.raises(UsageError, match="unknown protocol 's5'") as caught:
        open_protocol("s5", listops.rows)
    assert all(name in str(caught.value) for name in ("lra-2020", "s4", "mega", "nystromformer"))
    result = run("info", "--protocol", "s5")
    assert (result.returncode, result.stdout) == (2, "")
    assert "lra-2020, s4, mega, nystromformer" in result.stderr


def test_a_position_outside_the_split_is_refused(listops: Exported) -> None:
    view = open_protocol("s4", listops.rows)
    with pytest.raises((IndexError, UsageError)):
        view.take("test", [LISTOPS_SIZES["test"]])


def test_the_command_line_says_where_two_protocols_differ() -> None:
    greys = ("torchvision Grayscale, which is Pillow's convert('L')", "tf.image.rgb_to_grayscale on integers")
    command = ("info", "--protocol", "s4", "--diff", "lra-2020")
    lines = run(*command).stdout.splitlines()
    image = lines[lines.index("image: s4 | lra-2020") + 1 : lines.index("listops: s4 | lra-2020")]
    assert [line.split() for line in image if line.startswith("  grey")] == [["grey", *" | ".join(greys).split()]]
    found = json.loads(run(*command, "--json").stdout)
    assert found["image"]["grey"] == list(greys)
    assert "padding" not in found["image"]
    assert found["listops"]["end mark"] == ["<eos>", "none"]
    same = json.loads(run("info", "--protocol", "s4", "--diff", "s4", "--json").stdout)
    assert not any(same.values())


def test_the_command_line_tells_a_protocol() -> None:
    facts = json.loads(run("info", "--protocol", "nystromformer", "--json").stdout)
    assert list(facts) == ["image", "listops", "pathfinder", "retrieval", "text"]
    assert facts["image"]["exact"] == "exact"
    assert facts["text"]["exact"] != "exact"
    assert "image: nystromformer" in run("info", "--protocol", "nystromformer").stdout.splitlines()
