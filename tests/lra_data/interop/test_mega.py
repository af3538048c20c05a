"""Views and files of Mega against its readers, restated here and in tests/oracles/fairseq_reader.py."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lra_data.interop.code_bases import get_protocol
from lra_data.interop.export import export
from lra_data.interop.torch_pictures import normalised
from lra_data.loading.batch_making.protocol_rows import open_protocol
from lra_data.store.row_access import Rows
from tests.oracles.fairseq_reader import END, TextExample, read_dictionary, read_lra_image, read_lra_text
from tests.oracles.foreign_readers import Read, cifar_pictures, grey_picture, metadata_lines, random_split
from tests.support.foreign_sets import HARD, SPLITS, check_view, corpus_rows, generated, labels_of, texts_of, unbroken

MEGA_NAMES = {"train": "train", "validation": "valid", "test": "test"}


@pytest.fixture(scope="module")
def mega_image(corpora: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mega") / "cifar10"
    export(corpus_rows("image/rgb", corpora["image"]), folder, layout="mega")
    return folder


def data_process_cifar10(archive: Path) -> dict[str, list[Read]]:
    """data_process.py: torchvision's Grayscale, random_split with seed 42, then `lra-image` with 0.48 and 0.24."""
    torch = pytest.importorskip("torch")

    pictures = cifar_pictures(archive)
    train, valid = random_split([45_000, 5_000])
    expected: dict[str, list[Read]] = {}
    for split, order in (("train", train), ("valid", valid), ("test", list(range(10_000)))):
        there = pictures["test" if split == "test" else "train"]
        expected[split] = []
        for number in order:
            if number in there:
                picture, label = there[number]
                grey = np.asarray(Image.fromarray(picture).convert("L")).reshape(-1)
                pixels = torch.tensor(grey.tolist(), dtype=torch.float32).div(255.0).sub(0.48).div(0.24)
                expected[split].append(Read((pixels.numpy(),), label))
    return expected


def test_mega_reads_image(mega_image: Path, corpora: dict[str, Path]) -> None:
    assert {path.name for path in mega_image.iterdir()} == {"input", "label", "INCOMPLETE.txt"}
    expected = data_process_cifar10(corpora["image"])
    for split, reads in expected.items():
        read = read_lra_image(mega_image, split, (0.48, 0.24))
        assert [label for _, label in read] == [one.label for one in reads]
        for (pixels, _), one in zip(read, reads, strict=True):
            np.testing.assert_array_equal(pixels.numpy(), one.sides[0], strict=True)
    ours = {split: expected[MEGA_NAMES[split]] for split in SPLITS}
    view = open_protocol("mega", corpus_rows("image/rgb", corpora["image"]))
    check_view(view, ours, dtype=np.float32, hides_zeros=False)


def test_mega_reads_pathfinder(tmp_path: Path) -> None:
    """As data_process.py parts the files of the release: metadata by number, line by line, then seed 42."""
    rows = generated("pathfinder/32-hard")
    export(rows, tmp_path / "release")
    export(rows, tmp_path / "mega", layout="mega")
    folder = tmp_path / "release" / HARD
    lines = metadata_lines(folder)
    tenth = int(len(lines) * 0.1)
    parts = random_split([len(lines) - 2 * tenth, tenth, tenth])
    expected: dict[str, list[Read]] = {}
    for split, numbers in zip(SPLITS, parts, strict=True):
        read = read_lra_image(tmp_path / "mega", MEGA_NAMES[split], (0.5, 0.5))
        assert [label for _, label in read] == [int(lines[number][3]) for number in numbers]
        expected[split] = []
        for (pixels, label), number in zip(read, numbers, strict=True):
            grey = grey_picture(folder / lines[number][0] / lines[number][1])
            np.testing.assert_array_equal(np.rint((pixels.numpy() * 0.5 + 0.5) * 255), grey)
            expected[split].append(Read((pixels.numpy(),), label))
    check_view(open_protocol("mega", rows), expected, dtype=np.float32, hides_zeros=False)
    assert not list((tmp_path / "mega").glob("*.pixels"))


@pytest.mark.parametrize("family", ["image", "pathfinder"])
def test_the_protocol_says_that_megas_pictures_are_exact_without_its_shuffle(family: str) -> None:
    reading = get_protocol("mega")[family]
    assert reading.exact
    assert "--no-shuffle" in reading.order


@pytest.mark.parametrize(("mean", "deviation"), [(0.48, 0.24), (0.5, 0.5)])
def test_every_grey_value_becomes_torchs_float(mean: float, deviation: float, tmp_path: Path) -> None:

    (tmp_path / "input").mkdir()
    (tmp_path / "label").mkdir()
    (tmp_path / "input" / "train.src").write_text(" ".join(map(str, range(256))) + "\n")
    (tmp_path / "label" / "train.label").write_text("0\n")
    [(pixels, _)] = read_lra_image(tmp_path, "train", (mean, deviation))
    values = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(normalised(values, mean, deviation), pixels.numpy(), strict=True)


def words_of(example: TextExample, words: list[str]) -> list[list[str]]:
    return [[words[number] for number in side] for side in example.sides]


def test_mega_reads_listops(tmp_path: Path) -> None:
    rows = generated("listops/lra")
    export(rows, tmp_path, layout="mega")
    words = read_dictionary(tmp_path / "src-bin" / "dict.txt")
    vocabulary = rows.task.vocabulary
    assert vocabulary is not None
    for split, name in MEGA_NAMES.items():
        examples = read_lra_text(tmp_path, name, 2002)
        assert [example.label for example in examples] == labels_of(rows, split)
        for example, (ids,) in zip(examples, texts_of(rows, split), strict=True):
            assert words_of(example, words) == [[*(vocabulary[number - 1] for number in ids), "</s>"]]


def test_mega_reads_text_byte_for_byte(long_reviews: Path, tmp_path: Path) -> None:
    rows = corpus_rows("text/lra", long_reviews)
    export(rows, tmp_path, layout="mega")
    for split, name in MEGA_NAMES.items():
        examples = read_lra_text(tmp_path, name, 4002)
        assert [example.label for example in examples] == labels_of(rows, split)
        for example, (text,) in zip(examples, texts_of(rows, split), strict=True):
            assert example.sides == ([*(4 + byte for byte in text), END][:4002],)
    assert max(len(text) for (text,) in texts_of(rows, "train")) > 4002


def test_mega_reads_retrieval(papers: Rows, tmp_path: Path) -> None:
    """Two folders with one dictionary; the bytes are those of LRA's files, from which Mega has its pairs."""
    told: list[str] = []
    export(papers, tmp_path, layout="mega", tell=told.append)
    num_cut = num_texts = 0
    for split, name in MEGA_NAMES.items():
        examples, pairs = read_lra_text(tmp_path, name, 4002), texts_of(papers, split)
        assert [example.label for example in examples] == labels_of(papers, split)
        for example, pair in zip(examples, pairs, strict=True):
            assert example.sides == tuple([*(4 + byte for byte in unbroken(text)), END][:4002] for text in pair)
        num_cut += sum(len(text) > 4002 for pair in pairs for text in pair)
        num_texts += 2 * len(pairs)
    assert num_cut > 0
    assert told == [f"cut {num_cut:,} of {num_texts:,} texts after 4,002 bytes, which is all that Mega keeps of a text"]
