"""The drawing tables: the committed ones are those the code names, and what the installed libraries draw."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from lra_data import LraDataError, SetError, get_task
from lra_data.catalogue import task_from_record
from lra_data.pathfinder.config import PRESETS, Config, standard_config
from lra_data.pathfinder.generator import drawing_tables as tables_module
from lra_data.pathfinder.generator.draw_tables import draw_tables, shift
from lra_data.pathfinder.generator.drawing_tables import COMMITTED, config_of, digest_of, drawing_tables, tables_digest
from lra_data.pathfinder.generator.patches import marker_classes


@pytest.mark.parametrize("name", COMMITTED)
def test_committed_tables_are_what_the_installed_libraries_draw(name: str) -> None:
    """A difference here means that Pillow, OpenCV or the C library draws otherwise; the committed tables stay."""
    committed, drawn = drawing_tables(config_of(name)), draw_tables(config_of(name))
    assert digest_of(committed) == COMMITTED[name]
    assert set(committed) == set(drawn)
    different = {name: int(np.count_nonzero(committed[name] != drawn[name])) for name in drawn}
    assert {name: count for name, count in different.items() if count} == {}


def test_all_difficulties_of_a_resolution_share_tables() -> None:
    for resolution in (32, 64, 128, 256):
        digests = {
            tables_digest(standard_config(resolution, difficulty, clean=clean))
            for difficulty in ("easy", "intermediate", "hard")
            for clean in (False, True)
        }
        assert digests == {COMMITTED[str(resolution)]}


def test_every_preset_has_committed_tables() -> None:
    """So that no release of Pillow or OpenCV can change a preset's pictures."""
    assert {tables_digest(preset.config) for preset in PRESETS.values()} == set(COMMITTED.values())


def test_a_damaged_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables_module, "FOLDER", tmp_path)
    tables_module._drawing_tables.cache_clear()
    with pytest.raises(LraDataError, match=r"32.npz: expected the drawing tables, got: .* install lra-data again"):
        drawing_tables(Config())
    np.savez_compressed(tmp_path / "32.npz", ring_1=np.zeros((3, 2), dtype=np.int16))
    with pytest.raises(LraDataError, match=f"expected tables with digest {COMMITTED['32']}, got"):
        drawing_tables(Config())
    tables_module._drawing_tables.cache_clear()


def test_tables_of_other_parameters_are_drawn_and_named_in_key_and_record() -> None:
    task = get_task(dataclasses.replace(Config(), paddle_length=3, contour_length=5))
    digest = digest_of(draw_tables(task.config))
    assert task.keyed_config()["tables"] == task.record()["tables"] == digest
    assert digest not in COMMITTED.values()
    assert task_from_record("pathfinder", 1, task.record()).name == task.name
    with pytest.raises(SetError, match=r"was drawn with tables 0000.*the installed Pillow and OpenCV draw"):
        task_from_record("pathfinder", 1, {**task.record(), "tables": "0" * 64})


def test_steps_are_rounded_up() -> None:
    assert shift(5, 0.0) == (0, 5)
    assert shift(5, np.pi) == (0, -5)
    assert shift(10, np.pi / 6) == (5, 9)
    assert shift(10, -np.pi / 6) == (-5, 9)
    assert shift(3, np.radians(100)) == (3, 0)  # 2.95 and -0.52


def test_marker_classes_tell_edges_apart() -> None:
    assert marker_classes(8, 2).tolist() == [0, 1, 2, 3, 5, 6, 7, 8]
    classes = marker_classes(64, 6)
    assert len(set(classes[:9])) == len(set(classes[-9:])) == 9
    assert set(classes[9:-9]) == {9}
    assert classes[0] == 0
    assert classes[-1] == 18


def test_opencvs_border_lets_few_first_paddles_by() -> None:
    """Of 360 angles, how many make the original give up at once; docs/log.md and docs/pathfinder.md say so."""
    found = {
        name: int(drawing_tables(standard_config(size))[f"leaves_{margin}"].sum())
        for name, size, margin in (("32", 32, 1), ("64", 64, 1), ("128/2", 128, 2), ("128/3", 128, 3), ("256", 256, 3))
    }
    assert found == {"32": 329, "64": 265, "128/2": 6, "128/3": 0, "256": 0}


def test_the_angles_let_by_at_32_pixels_point_to_the_upper_left() -> None:
    leaves = drawing_tables(standard_config(32))["leaves_1"]
    assert (np.flatnonzero(~leaves) - 180).tolist() == list(range(-150, -119))
