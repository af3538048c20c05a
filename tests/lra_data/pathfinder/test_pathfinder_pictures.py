"""Contact sheets, drawings and statistics, as functions and through the command line."""

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from lra_data import get_task, take
from lra_data.arrow_columns import rows_of
from lra_data.checking.set_statistics import statistics
from lra_data.pathfinder.viewer import (
    CONNECTED,
    CONTOUR_COLOURS,
    DISTRACTOR_COLOUR,
    MARKER_COLOUR,
    NOT_CONNECTED,
    marked_tips,
)
from lra_data.picture_files import png_bytes, read_png
from lra_data.picture_words import TEXT_COLOUR, Entry, with_legend
from lra_data.store.row_access import VirtualRows
from tests.support.commands import run

pytestmark = pytest.mark.long


def test_contact_sheet_shows_every_picture_framed_by_its_label() -> None:
    task = get_task("path-x")
    batch = task.take("train", range(7))
    sheet = task.viewer.contact_sheet(batch)
    assert sheet is not None
    assert sheet.shape == (132 + 18, 7 * 132, 3)
    for number, (picture, label) in enumerate(zip(rows_of(batch["inputs"]), batch["label"].to_pylist(), strict=True)):
        cell = sheet[:, 132 * number : 132 * (number + 1)]
        assert tuple(cell[0, 0]) == (CONNECTED if label else NOT_CONNECTED)
        assert np.array_equal(cell[2:130, 2:-2, 1], picture.reshape(128, 128))
        # Beneath it are its index and label, in the colour of its frame.
        caption = cell[132:].reshape(-1, 3)
        assert tuple(caption[caption.sum(axis=1).argmax()]) == (CONNECTED if label else NOT_CONNECTED)
        assert not caption[cell[132:].reshape(-1, 3).sum(axis=1) == 0].any()
    # "3 connected" of one example is "4 connected" of the next, but for the index.
    words = [sheet[132:, 132 * number : 132 * (number + 1)] for number in range(7)]
    same = [pair for pair in combinations(range(7), 2) if batch["label"][pair[0]] == batch["label"][pair[1]]]
    for one, other in same:
        assert np.array_equal(words[one][:, 12:], words[other][:, 12:])
        assert not np.array_equal(words[one], words[other])


def test_small_pictures_are_enlarged_and_rows_filled_evenly() -> None:
    task = get_task("pathfinder/32-easy")
    sheet = task.viewer.contact_sheet(task.take("train", range(14)))
    assert sheet is not None
    assert sheet.shape == (2 * (100 + 33), 7 * 100, 3)  # "12 not connected" needs two lines


def test_drawing_colours_contours_distractors_and_markers() -> None:
    task = get_task("path-x")
    row = task.take("train", [3]).to_pylist()[0]
    image = task.viewer.drawing(row)
    assert image is not None
    assert image.shape[1:] == (1024, 3)
    legend = image[1024:]
    image = image[:1024]
    assert {*CONTOUR_COLOURS, DISTRACTOR_COLOUR, MARKER_COLOUR, TEXT_COLOUR} <= {
        tuple(colour) for colour in legend.reshape(-1, 3).tolist()
    }
    colours = {tuple(colour) for colour in image.reshape(-1, 3).tolist()}
    assert {*CONTOUR_COLOURS, DISTRACTOR_COLOUR, MARKER_COLOUR} <= colours
    # The ends of both contours have their contour's colour.
    contours = np.array(row["contours"]).reshape(2, -1, 4)
    for contour, colour in zip(contours, CONTOUR_COLOURS, strict=True):
        for y, x, *_ in contour[[0, -1]].tolist():
            assert tuple(image[y * 8 + 4, x * 8 + 4]) == colour
    for y, x in marked_tips(row):
        assert row["inputs"][y * 128 + x] >= 250  # near an edge the disc is cut, and the filter less than full


def test_the_verdict_names_the_contours_of_the_markers() -> None:
    task = get_task("path-x")
    rows = task.take("train", range(7)).to_pylist()
    for label, words in ((1, "both markers are ends of contour "), (0, "one marker is an end of contour ")):
        row = next(row for row in rows if row["label"] == label)
        verdict = task.viewer.explain(row).splitlines()[0]
        assert verdict.startswith(words)
        assert verdict.endswith(f"so the label is {label}, {'connected' if label else 'not connected'}")


def test_a_legend_takes_as_many_lines_as_it_needs() -> None:
    picture = np.full((10, 200, 3), 7, dtype=np.uint8)
    entries = [Entry(f"part {number}", (number, 0, 0)) for number in range(1, 9)]
    heights = [with_legend(picture, "A title", entries[:count]).shape[0] for count in (0, 1, 8)]
    assert heights == sorted(set(heights))
    whole = with_legend(picture, "A long title that has to be broken on several lines of text", entries)
    assert np.array_equal(whole[:10], picture)
    assert {(number, 0, 0) for number in range(1, 9)} <= {tuple(colour) for colour in whole.reshape(-1, 3).tolist()}


def test_png_files_come_back_and_damaged_ones_are_named() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (24, 24), dtype=np.uint8)
    data = png_bytes(picture)
    assert np.array_equal(read_png(data), picture)
    for damaged, message in ((b"", "got an empty file"), (data[:200], "got"), (b"GIF89a" + bytes(90), "got cannot")):
        with pytest.raises(ValueError, match=f"expected a PNG picture, {message}"):
            read_png(damaged)
    for place in range(len(data)):  # no single flipped byte comes back as another picture
        broken = bytearray(data)
        broken[place] ^= 0x55
        try:
            back = read_png(bytes(broken))
        except ValueError:
            continue
        assert np.array_equal(back, picture)


def test_show_writes_a_contact_sheet(tmp_path: Path) -> None:
    path = tmp_path / "new" / "sheet.png"  # in a folder that the command makes
    result = run("show", "pathfinder/64-easy", "--num", "4", "--start", "2", "--split", "test", "--out", str(path))
    assert f"wrote {path}" in result.stdout
    assert result.stdout.count("64 x 64 pixels") == 4
    expected = get_task("pathfinder/64-easy").viewer.contact_sheet(take("pathfinder/64-easy", "test", range(2, 6)))
    assert expected is not None
    assert np.array_equal(read_png(path.read_bytes()), expected)
    rows = run("show", "pathfinder/64-easy", "--num", "1", "--json").stdout
    assert json.loads(rows)["num_distractors"] >= 0


def test_explain_writes_a_drawing(tmp_path: Path) -> None:
    path = tmp_path / "new" / "one.png"
    result = run("explain", "path-x", "train", "3", "--out", str(path))
    row = take("path-x", "train", [3]).to_pylist()[0]
    (y, x), _ = marked_tips(row)
    assert f"marker on ({y}, {x}), the first end of contour {row['origin']}" in result.stdout
    expected = get_task("path-x").viewer.drawing(row)
    assert expected is not None
    assert np.array_equal(read_png(path.read_bytes()), expected)


@pytest.mark.parametrize("command", [("show", "listops"), ("explain", "listops", "train", "0")])
def test_text_has_no_picture_file(command: tuple[str, ...]) -> None:
    result = run(*command, "--out", "x.png")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "expected no --out for listops/lra, whose examples are text" in result.stderr


@pytest.mark.parametrize(
    ("examples", "low", "high"), [(1000, 0.75, 0.64), pytest.param(4000, 0.8, 0.56, marks=pytest.mark.slow)]
)
def test_statistics_tell_what_a_reader_asks_and_what_gives_labels_away(examples: int, low: float, high: float) -> None:
    """The original's easy sets give the label away by the markers' distance; the clean ones do not."""
    found = {}
    for preset in ("256-easy", "256-easy-clean"):
        rows = VirtualRows(get_task(f"pathfinder/{preset}"), 0)
        rows.sizes = {"train": examples, "validation": examples // 4, "test": examples // 4}
        found[preset] = statistics(rows)
    measures = found["256-easy"]["splits"]["train"]["measures"]
    assert set(measures) == {
        "pixels > 0", "pixels > 16", "pixels > 127", "marker distance", "path length", "distractors", "attempts",
    }  # fmt: skip
    assert 0.02 < measures["pixels > 0"]["mean"] / 256**2 < 0.04
    # Five steps of paddle_length + 2 margins, less what turns cost, and a first paddle.
    assert 50 < measures["path length"]["mean"] < 66
    original, clean = (found[preset]["trivial_predictors"]["marker distance"] for preset in found)
    assert original["low"] > low
    assert clean["high"] < high
    for name, score in found["256-easy-clean"]["trivial_predictors"].items():
        assert score["low"] < 0.55, name
