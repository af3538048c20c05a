"""Configurations of Pathfinder: LRA's parameters, what is refused and why, and how other resolutions are scaled."""

import dataclasses
from typing import Any

import pytest

import lra_data
from lra_data import UsageError, get_task
from lra_data.pathfinder.config import PRESETS, Config, standard_config
from tests.support.commands import run

# Of LRA's builders (data/pathfinder.py:26-44, 114-131, 201-218, 288-303): what differs between resolutions.
PUBLISHED = {
    32: (1, 7, 1.5, 1.0, 2, 0.5, (1,), (2.0,), (0.75,)),
    64: (1, 12, 2.5, 1.8, 5, 1.0, (1,), (0.8,), (1.0,)),
    128: (1, 20, 3.0, 1.8, 5, 1.5, (2, 3), (0.9,), (1.0,)),
    256: (22, 27, 5.0, 1.8, 5, 2.0, (3,), (1.0,), (1.0,)),
}
# Distractors' length and number at 6, 9 and 14 paddles a contour.
DISTRACTORS = {
    32: ((2, 10), (3, 6), (4, 5)),
    64: ((2, 11), (3, 7), (4, 5)),
    128: ((2, 17), (3, 11), (4, 8)),
    256: ((2, 15), (3, 10), (4, 7)),
}


@pytest.mark.parametrize("resolution", PUBLISHED)
def test_presets_are_the_published_parameters(resolution: int) -> None:
    for place, (difficulty, length) in enumerate((("easy", 6), ("intermediate", 9), ("hard", 14))):
        config = PRESETS[f"{resolution}-{difficulty}"].config
        found = (
            config.padding, config.seed_distance, config.marker_radius, config.continuity, config.paddle_length,
            config.paddle_thickness, config.paddle_margin_list, config.snake_contrast_list, config.paddle_contrast_list,
        )  # fmt: skip
        assert found == PUBLISHED[resolution]
        assert config.contour_length == length
        assert (config.distractor_length, config.num_distractor_snakes) == DISTRACTORS[resolution][place]
        assert (config.antialias_scale, config.max_paddle_retrial, config.max_distractor_contour_retrial) == (2, 2, 4)
        switches = (config.use_single_paddles, config.all_angles, config.separate_contours, config.same_contrast)
        assert not any(switches)
        assert config.distance_step == 0


def test_clean_presets_differ_in_four_fields() -> None:
    for name in PRESETS:
        if not name.endswith(("-clean", "-mini")):
            config, clean = PRESETS[name].config, PRESETS[f"{name}-clean"].config
            assert clean.all_angles
            assert clean.separate_contours
            assert clean.same_contrast
            assert clean.distance_step >= 1
            original = {"all_angles": False, "separate_contours": False, "same_contrast": False, "distance_step": 0}
            assert dataclasses.replace(clean, **original) == config


def test_names() -> None:
    assert get_task("pathfinder").name == "pathfinder/32-hard"
    assert get_task("path-x").name == "pathfinder/128-hard"
    assert len([name for name in lra_data.task_names() if name.startswith("pathfinder/")]) == 26
    assert get_task("pathfinder/mini").name == "pathfinder/24-mini"
    assert get_task("path-x").sizes == {"train": 160_000, "validation": 20_000, "test": 20_000}
    with pytest.raises(UsageError, match=r"unknown task 'path-y'. Did you mean 'path-x'\? Known: image, "):
        get_task("path-y")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed_distance": 8}, "wider than 4 x seed_distance = 32 pixels .* got 32: .* lower seed_distance"),
        ({"paddle_thickness": 0.3}, r"an integer, the thickness .* got 0.3 x 2 = 0.6"),
        ({"antialias_scale": 3}, r"got 0.5 x 3 = 1.5"),
        ({"padding": 0}, "padding must be 1 to 15, got 0"),
        ({"contour_length": 1}, "contour_length must be 2 to"),
        ({"contour_length": 6.5}, "contour_length must be an integer, got 6.5"),
        ({"contour_length": True}, "contour_length must be an integer, got True"),
        ({"continuity": "x"}, "continuity must be a number, got 'x'"),
        ({"paddle_margin_list": ()}, "paddle_margin_list must be a tuple of 1 to 16 numbers"),
        ({"paddle_margin_list": (1, 1)}, "distinct margins"),
        ({"paddle_margin_list": (0,)}, "paddle_margin_list must be 1 to"),
        ({"paddle_contrast_list": (0.1234,)}, "at most three decimals, got 0.1234"),
        ({"snake_contrast_list": (9.0,)}, "snake_contrast_list must be 0.001 to 8, got 9"),
        ({"snake_contrast_list": (8.0,), "paddle_contrast_list": (1.5,)}, "products of contrasts up to 8, got 12"),
        ({"geometry": 1}, "geometry must be true or false, got 1"),
        ({"resolution": 4096}, "resolution must be 8 to 2048"),
    ],
)
def test_impossible_settings_are_refused_with_the_reason(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        dataclasses.replace(Config(), **change)


def test_a_paddle_that_never_finds_room_is_refused_before_the_build() -> None:
    config = dataclasses.replace(Config(), paddle_length=6, paddle_margin_list=(3,))
    with pytest.raises(UsageError, match="expected room for a paddle of 6 pixels with margin 3 in the 4 pixels"):
        get_task(config).check_buildable({"train": 1, "validation": 1, "test": 1})


def test_a_setting_that_almost_never_succeeds_ends_with_its_acceptance() -> None:
    config = dataclasses.replace(Config(), contour_length=200)
    with pytest.raises(lra_data.BuildError, match=r"got none; measured acceptance 0.0e\+00 \(0 of 1,048,576 attempts"):
        get_task(config).take("train", [0])


def test_numbers_of_either_kind_are_the_same_configuration() -> None:
    assert Config(continuity=1, snake_contrast_list=(2,)) == Config()
    assert get_task(Config(continuity=1)).preset == "32-hard"


def test_geometry_is_no_part_of_the_key() -> None:
    without = get_task(Config(geometry=False))
    assert without.name == "pathfinder/32-hard"
    assert without.keyed_config() == get_task("pathfinder").keyed_config()
    assert without.record()["geometry"] is False


@pytest.mark.parametrize(("resolution", "base"), [(24, 32), (40, 32), (48, 64), (96, 128), (192, 256), (512, 256)])
def test_other_resolutions_are_scaled_from_the_nearest_and_can_be_drawn(resolution: int, base: int) -> None:
    config, standard = standard_config(resolution, "easy"), standard_config(base, "easy")
    ratio = resolution / base
    assert abs(config.seed_distance - standard.seed_distance * ratio) <= 0.5
    assert abs(config.paddle_length - standard.paddle_length * ratio) <= 0.5
    assert abs(config.marker_radius - standard.marker_radius * ratio) <= 0.25
    assert config.contour_length == standard.contour_length
    assert config.num_distractor_snakes == standard.num_distractor_snakes
    task = get_task(config)
    assert task.variant.startswith("custom-")
    batch = task.take("train", range(4))
    assert task.problems(batch, split="train", seed=0) == []


def test_doubling_doubles_every_length() -> None:
    config, double = standard_config(256), standard_config(512)
    for name in ("padding", "seed_distance", "marker_radius", "paddle_length", "paddle_thickness"):
        assert getattr(double, name) == 2 * getattr(config, name)
    assert double.paddle_margin_list == (6,)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--preset", "64-easy", "--res", "64"], "expected either --preset or --res, got both"),
        (["--preset", "64-easy", "--difficulty", "easy"], "expected either --preset or --difficulty, got both"),
        (
            ["--difficulty", "harder"],
            "unknown pathfinder difficulty 'harder'. Did you mean 'hard'? Known: easy, intermediate, hard",
        ),
        (["--paddle-margin-list", "1,x"], "paddle_margin_list must be integers separated by commas"),
        (["--allow-partial"], "together with --from-release, got only --allow-partial"),
        (["--from-release", "nowhere", "--contour-length", "6"], "expected no --contour-length with --from-release"),
        (["--from-release", "nowhere"], "nowhere: expected a folder, found none: unpack"),
    ],
)
def test_wrong_flags(flags: list[str], message: str) -> None:
    result = run("build", "pathfinder", *flags)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_flags_choose_a_preset_and_override_it(tmp_path: Any) -> None:
    sizes = ("--train", "4", "--validation", "2", "--test", "2", "--out", str(tmp_path))
    assert run("build", "pathfinder", "--res", "64", "--difficulty", "easy", *sizes).returncode == 0
    assert run("build", "pathfinder", "--difficulty", "easy", "--clean", *sizes).returncode == 0
    assert "already complete" in run("build", "pathfinder", "--resolution", "64", "--difficulty", "easy", *sizes).stdout
    assert "--resolution" not in run("build", "path-x", "--help").stdout
    assert run("build", "path-x", "--contour-length", "5", *sizes).returncode == 0
    built = sorted(path.name for path in (tmp_path / "pathfinder").iterdir())
    assert built[:2] == ["32-easy-clean", "64-easy"]
    assert built[2] == get_task(dataclasses.replace(get_task("path-x").config, contour_length=5)).variant
