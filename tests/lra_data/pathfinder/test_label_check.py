"""The exact check derives labels from paddles and picture, and names what was changed."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lra_data import get_task, take

PRESETS = ("32-hard", "128-easy", "256-hard-clean")


def problems_of(preset: str, row: dict[str, Any]) -> list[tuple[int, str]]:
    task = get_task(f"pathfinder/{preset}")
    return task.problems(pa.RecordBatch.from_pylist([row], schema=task.schema), split="train", seed=0)


def row_of(preset: str, index: int = 4) -> dict[str, Any]:
    return dict(take(f"pathfinder/{preset}", "train", [index]).to_pylist()[0])


@pytest.mark.parametrize("preset", PRESETS)
class TestChangedRows:
    def test_a_turned_label_is_found_and_said_what_it_is(self, preset: str) -> None:
        for index in range(20):
            row = row_of(preset, index)
            label = row["label"]
            row["label"] = 1 - label
            if row["tips"][2:4] == row["tips"][6:8]:
                # Both contours end on one pixel: the picture is the same with either label, as the original has it.
                assert problems_of(preset, row) == []
                continue
            [(found, text)] = problems_of(preset, row)
            assert found == index
            assert f"expected label {label} and origin {row['origin']}, found from picture and paddles" in text

    def test_another_origin_is_found(self, preset: str) -> None:
        row = row_of(preset)
        row["origin"] = 1 - row["origin"]
        [(_, text)] = problems_of(preset, row)
        assert f"expected label {row['label']} and origin {1 - row['origin']}" in text

    def test_any_changed_pixel_is_found(self, preset: str) -> None:
        row = row_of(preset)
        for pixel in (0, len(row["inputs"]) // 2, len(row["inputs"]) - 1):
            inputs = list(row["inputs"])
            inputs[pixel] ^= 1
            [(_, text)] = problems_of(preset, {**row, "inputs": inputs})
            assert text.startswith("expected the picture of these paddles with two markers")

    @pytest.mark.parametrize(
        ("place", "by", "message"),
        [
            (0, 1, "expected tips|expected paddle 1"),  # y of the first tail of contour 0
            (2, 50, "expected a first paddle of whole degrees"),
            (4, 1, "expected paddle 1"),
            (6, 100, "expected paddle 1 at"),
            (7, 1, "expected a contrast below 1, got 1"),
            (3, 1, "expected a contrast below 1, got 1"),
        ],
    )
    def test_a_changed_contour_is_found(self, preset: str, place: int, by: int, message: str) -> None:
        row = row_of(preset)
        contours = list(row["contours"])
        contours[place] += by
        [(_, text)] = problems_of(preset, {**row, "contours": contours})
        assert any(part in text for part in message.split("|")), text

    def test_other_changes_are_found(self, preset: str) -> None:
        row = row_of(preset)
        tips = list(row["tips"])
        tips[6] += 1
        changes: dict[str, tuple[Any, str]] = {
            "tips": (tips, "expected tips"),
            "margin": (row["margin"] + 3, "expected a margin of"),
            "num_distractors": (row["num_distractors"] + 1, "single paddles, got"),
            "distractors": (row["distractors"][:-1], "distractors"),
        }
        for name, (value, message) in changes.items():
            [(_, text)] = problems_of(preset, {**row, name: value})
            assert message in text

    def test_a_missing_distractor_is_found(self, preset: str) -> None:
        config = get_task(f"pathfinder/{preset}").config
        row = next(row for row in (row_of(preset, index) for index in range(30)) if row["num_distractors"])
        shorter = row["distractors"][: -4 * config.distractor_length]
        changed = {**row, "num_distractors": row["num_distractors"] - 1, "distractors": shorter}
        [(_, text)] = problems_of(preset, changed)
        assert text.startswith("expected the picture of these paddles")


def test_random_damage_is_found() -> None:
    """One number of a row's geometry or picture is replaced by another: no such row passes."""
    rng = np.random.default_rng(0)
    for number in range(120):
        preset = PRESETS[number % 3]
        row = row_of(preset, number)
        name = ("inputs", "contours", "distractors", "tips")[rng.integers(4)]
        values = list(row[name])
        if not values:
            continue
        place = int(rng.integers(len(values)))
        changed = int(rng.integers(0, 256))
        if name in ("contours", "distractors") and place % 4 == 2:
            changed *= 100
        if changed == values[place]:
            continue
        values[place] = changed
        assert problems_of(preset, {**row, name: values}), (preset, number, name, place)
