"""Views of the original's protocol against its readers, which read exported files and raw archives."""

from pathlib import Path

import pytest

from lra_data.interop.export import export
from lra_data.loading.batch_making.protocol_rows import open_protocol
from tests.oracles.foreign_readers import (
    Read,
    grey_picture,
    lra_2020_image,
    lra_2020_listops,
    lra_2020_retrieval,
    lra_2020_text,
    md5,
    metadata_lines,
)
from tests.support.foreign_sets import HARD, PAIR_NAMES, PATHFINDER_SIZES, TSV_NAMES, Exported, check_view, corpus_rows


@pytest.mark.parametrize("fixture", ["listops", "long_listops"])
def test_lra_2020_listops(fixture: str, request: pytest.FixtureRequest) -> None:
    exported = request.getfixturevalue(fixture)
    expected = {split: lra_2020_listops(exported.files / name) for split, name in TSV_NAMES.items()}
    assert any(len(read.sides[0]) == 2000 for read in expected["train"]) == (fixture == "long_listops")
    check_view(open_protocol("lra-2020", exported.rows), expected, padded_to=2000, hides_zeros=True)


def test_lra_2020_text(long_text: Path) -> None:
    expected = lra_2020_text(long_text)
    lengths = {len(read.sides[0]) for read in expected["train"]}
    assert max(lengths) == 1000 > min(lengths)
    check_view(
        open_protocol("lra-2020", corpus_rows("text/lra", long_text)), expected, padded_to=1000, hides_zeros=True
    )


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
