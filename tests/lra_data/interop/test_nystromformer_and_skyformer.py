"""Views and pickles of Nyströmformer, and Skyformer's pickles, against their readers and LRA's pipeline."""

import io
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lra_data.interop.export import export
from lra_data.loading.batch_making.protocol_rows import open_protocol
from lra_data.store.row_access import Rows
from tests.oracles.foreign_readers import (
    Read,
    grey_picture,
    lra_2020_image,
    lra_2020_listops,
    lra_2020_retrieval,
    lra_2020_text,
    metadata_lines,
)
from tests.support.foreign_sets import (
    BREAKS,
    HARD,
    PAIR_NAMES,
    PICKLE_NAMES,
    TSV_NAMES,
    Exported,
    all_rows,
    check_view,
    corpus_rows,
    generated,
    labels_of,
    plain,
    texts_of,
)


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


def families(papers: Rows, long_reviews: Path, corpora: dict[str, Path]) -> dict[str, Rows]:
    return {
        "listops": generated("listops/lra"),
        "pathfinder32-curv_contour_length_14": generated("pathfinder/32-hard"),
        "image": corpus_rows("image/lra", corpora["image"]),
        "text": corpus_rows("text/lra", long_reviews),
        "retrieval": papers,
    }


def lra_dataset(path: Path) -> list[dict[str, Any]]:
    """LRADataset.create_inst of both code bases: ids, a mask of what is not 0, the label."""
    found = []
    for example in pickle.loads(path.read_bytes()):
        read: dict[str, Any] = {"label": int(example["label"])}
        for place in (0, 1):
            if f"input_ids_{place}" in example:
                ids = np.array(example[f"input_ids_{place}"], dtype=np.int64)
                read |= {f"input_ids_{place}": ids, f"mask_{place}": ids != 0}
        found.append(read)
    return found


@pytest.mark.parametrize(("layout", "prefix"), [("nystromformer", ""), ("skyformer", "lra-")])
def test_pickles_have_the_names_that_each_code_base_opens(
    layout: str, prefix: str, papers: Rows, long_reviews: Path, corpora: dict[str, Path], tmp_path: Path
) -> None:
    """run_tasks.py opens `<task>.<split>.pickle`, main.py `lra-<task>.<split>.pickle`; all in one folder."""
    # lra_config.py and config.py: max_seq_len, which both code bases raise to the next power of two.
    positions = {
        "listops": 2048,
        "image": 1024,
        "pathfinder32-curv_contour_length_14": 1024,
        "retrieval": 4096,
        "text": 4096 if layout == "skyformer" else 1024,
    }
    for task, rows in families(papers, long_reviews, corpora).items():
        export(rows, tmp_path / "datasets", layout=layout)
        for split, name in PICKLE_NAMES.items():
            examples = lra_dataset(tmp_path / "datasets" / f"{prefix}{task}.{name}.pickle")
            assert [example["label"] for example in examples] == labels_of(rows, split)
            assert {example["input_ids_0"].shape for example in examples} == {(positions[task],)}
    names = [f"{prefix}{task}.{split}.pickle" for task in positions for split in ("train", "dev", "test")]
    there = sorted(path.name for path in (tmp_path / "datasets").iterdir())
    assert there == sorted([*names, "INCOMPLETE.txt"])


def ids_of(read: Read, length: int) -> list[list[int]]:
    return [[*side.tolist(), *[0] * (length - len(side))] for side in read.sides]


@pytest.mark.parametrize("layout", ["nystromformer", "skyformer"])
def test_retrievals_pickles_are_what_their_pipeline_makes_of_our_tsv(layout: str, papers: Rows, tmp_path: Path) -> None:
    export(papers, tmp_path / "tsv_data")
    export(papers, tmp_path / "pickles", layout=layout)
    prefix = "lra-" if layout == "skyformer" else ""
    for split, name in PICKLE_NAMES.items():
        read = lra_2020_retrieval(tmp_path / "tsv_data" / f"new_aan_pairs.{PAIR_NAMES[split]}.tsv")
        examples = lra_dataset(tmp_path / "pickles" / f"{prefix}retrieval.{name}.pickle")
        equal = [
            [example["input_ids_0"].tolist(), example["input_ids_1"].tolist()] == ids_of(expected, 4096)
            and example["label"] == expected.label
            for example, expected in zip(examples, read, strict=True)
        ]
        assert len(equal) == papers.sizes[split] > 0
        assert all(equal)
    assert any(byte in text for pair in texts_of(papers, "train") for text in pair for byte in BREAKS)


def test_texts_pickles_are_what_their_pipelines_make_of_the_corpus(long_reviews: Path, tmp_path: Path) -> None:
    """TensorFlow Datasets hands the bytes on as they are, so TAB, LF and CR stay here."""
    rows = corpus_rows("text/lra", long_reviews)
    for layout, prefix, kept, length in (("nystromformer", "", 1000, 1024), ("skyformer", "lra-", 4000, 4096)):
        export(rows, tmp_path, layout=layout)
        for split, name in PICKLE_NAMES.items():
            texts, labels = texts_of(rows, split), labels_of(rows, split)
            examples = lra_dataset(tmp_path / f"{prefix}text.{name}.pickle")
            assert [example["label"] for example in examples] == labels
            for example, (text,) in zip(examples, texts, strict=True):
                ids = [byte + 1 for byte in text[:kept]]
                assert example["input_ids_0"].tolist() == [*ids, *[0] * (length - len(ids))]
        assert max(len(text) for (text,) in texts_of(rows, "train")) > kept
    expected = lra_2020_text(long_reviews)
    first = [ids_of(read, 1024)[0] for read in expected["train"]]
    assert [example["input_ids_0"].tolist() for example in lra_dataset(tmp_path / "text.train.pickle")] == first
