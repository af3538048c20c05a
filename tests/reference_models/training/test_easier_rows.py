"""Trainings that begin with easier rows: which rows are read, and that a stop changes nothing."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import lra_data
from lra_data import UsageError
from reference_models import Splits, TrainConfig, preset
from reference_models.commands.shared_options import recipe_changes
from reference_models.devices import World, chosen_device
from reference_models.training.recipes import recipe, recipe_for, with_changes, written
from reference_models.training.splits import Ladder, training_loader
from tests.support.tiny_corpora import write_corpora
from tests.support.training_process import small_config, small_recipe, small_splits, small_training
from tests.support.trainings import Stop, assert_same, stop_before

EASIER: dict[str, Any] = {"easier": {"max_depth": 4}, "easier_steps": 5}
RUNGS: dict[str, Any] = {"easier": ({"max_depth": 4}, {"max_depth": 5}), "easier_steps": 5}  # two steps and three


def loader_of(recipe: TrainConfig, splits: Splits | None = None) -> Any:
    train = (splits or small_splits()).train
    world = World(0, 1, chosen_device("cpu"))
    return training_loader(small_config("linear"), recipe, train, world, num_workers=0, window=None)


def easier_split(max_depth: int) -> Any:
    config: Any = replace(lra_data.get_task("listops/mini").config, max_depth=max_depth)
    return lra_data.load(config, split="train")


@pytest.mark.parametrize(
    ("given", "starts"), [(EASIER, {0: 4, 5: None}), (RUNGS, {0: 4, 2: 5, 5: None})], ids=["one rung", "two rungs"]
)
def test_the_first_steps_read_easier_rows_and_the_others_the_train_split(
    given: dict[str, Any], starts: dict[int, int | None]
) -> None:
    """starts: the depth of the rows from a step on; None stands for the train split."""
    recipe = small_recipe(**given)
    batches = iter(loader_of(recipe))
    found = [next(batches).inputs.numpy() for _ in range(8)]
    order: dict[str, Any] = {"shuffle": True, "seed": recipe.seed, "epochs": None, "remainder": "drop", "pad_to": 127}
    for start, depth in starts.items():
        expected = iter((small_splits().train if depth is None else easier_split(depth)).batches(8, **order))
        for number in range(2):
            assert np.array_equal(found[start + number], next(expected).inputs)


def test_a_stop_in_any_stage_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = small_recipe(**RUNGS)
    small_training("linear", tmp_path / "whole", recipe=recipe, save_every=1)
    for step in (2, 3, 4, 6, 7, 10):  # the states before steps 3 and 6 are those between stages
        with monkeypatch.context() as patch:
            stop_before(patch, step)
            with pytest.raises(Stop):
                small_training("linear", tmp_path / str(step), recipe=recipe, save_every=1)
        small_training("linear", tmp_path / str(step), recipe=recipe, save_every=1)
        assert_same(tmp_path / str(step), tmp_path / "whole")


def test_without_easier_rows_there_is_one_loader() -> None:
    assert isinstance(loader_of(small_recipe(**EASIER)), Ladder)
    assert not isinstance(loader_of(small_recipe()), Ladder)


@pytest.mark.parametrize(
    ("changes", "least"),
    [
        ({"easier": {"max_depth": 4}}, 1),
        ({"easier_steps": 3}, 1),
        ({**EASIER, "easier_steps": 13}, 1),
        ({**RUNGS, "easier_steps": 1}, 2),
        ({"easier": ({"max_depth": 4}, {}), "easier_steps": 3}, 2),
        ({"easier": (), "easier_steps": 3}, 1),
    ],
)
def test_both_are_given_or_neither(changes: dict[str, Any], least: int) -> None:
    text = f"expected fields of a configuration and {least} to 12 easier_steps, or neither"
    with pytest.raises(UsageError, match=text):
        small_recipe(**changes)


def test_one_rung_is_the_mapping_itself_and_a_card_keeps_rungs() -> None:
    assert small_recipe(easier=({"max_depth": 4},), easier_steps=5) == small_recipe(**EASIER)
    assert small_recipe(**EASIER).rungs == ({"max_depth": 4},)
    recipe = small_recipe(**RUNGS)
    assert recipe.rungs == RUNGS["easier"]
    assert msgspec.convert(msgspec.json.decode(msgspec.json.encode(recipe)), TrainConfig) == recipe


def test_fields_that_the_task_does_not_have_are_refused() -> None:
    with pytest.raises(UsageError, match=r"fields of listops/mini's configuration in easier, got: .*'contour_length'"):
        loader_of(small_recipe(easier={"contour_length": 2}, easier_steps=3))


def test_the_command_line_names_fields_and_values() -> None:
    options = dict.fromkeys(TrainConfig.__dataclass_fields__)
    given = {"easier": ("contour_length=2,contrasts=[0.5, 1], name=x,y", "contour_length=3"), "easier_steps": 7}
    rungs: tuple[dict[str, Any], ...] = (
        {"contour_length": 2, "contrasts": [0.5, 1], "name": "x,y"},
        {"contour_length": 3},
    )
    assert recipe_changes({**options, **given}) == {"easier": rungs, "easier_steps": 7}
    assert written(rungs[0]) == 'contour_length=2,contrasts=[0.5, 1],name="x,y"'
    again = {**given, "easier": tuple(map(written, rungs))}
    assert recipe_changes({**options, **again}) == {"easier": rungs, "easier_steps": 7}
    assert recipe_changes({**options, "easier": (), "easier_steps": 0}) == {"easier": None, "easier_steps": 0}
    with pytest.raises(UsageError, match="--easier must be NAME=VALUE such as contour_length=2, got '2'"):
        recipe_changes({**options, "easier": ("2",)})


def test_easier_rows_keep_their_share_of_the_steps() -> None:
    usual = recipe("mini", task="pathfinder")
    assert (usual.steps, usual.easier_steps) == (4000, 1500)
    assert with_changes(usual, {"steps": 400}).easier_steps == 150
    assert with_changes(usual, {"steps": 1}).easier_steps == 1
    assert with_changes(usual, {"steps": 400, "easier_steps": 20}).easier_steps == 20
    none = with_changes(usual, {"steps": 400, "easier": None, "easier_steps": 0})
    assert (none.easier, none.easier_steps) == (None, 0)
    with pytest.raises(UsageError, match="steps must be"):
        with_changes(usual, {"steps": 0})


def test_a_converted_set_has_no_easier_rows(tmp_path: Path) -> None:
    assert with_changes(recipe("mini", task="pathfinder"), {}, generated=False).easier is None
    corpus = lra_data.Corpus(write_corpora(tmp_path)["text"], allow_partial=True)
    reviews = replace(small_splits(), train=lra_data.load("text/lra", split="train", corpus=corpus))
    world, config = World(0, 1, chosen_device("cpu")), preset("mini", task="text", attention="linear")
    recipe_with_easier = small_recipe(**EASIER)
    with pytest.raises(UsageError, match=r"expected a generated task for the recipe's easier rows, got text/lra"):
        training_loader(config, recipe_with_easier, reviews.train, world, num_workers=0, window=None)


def test_the_rate_falls_after_the_easier_steps() -> None:
    recipe = TrainConfig(steps=100, warmup=10, learning_rate=1.0, easier={"max_depth": 4}, easier_steps=60)
    assert [recipe.rate(step) for step in (5, 10, 60)] == [0.5, 1.0, 1.0]
    assert recipe.rate(80) == pytest.approx(0.5)
    assert recipe.rate(100) == 0.0


def test_longer_contours_of_pathfinder_are_learned_rung_after_rung() -> None:
    usual = recipe_for("mini", lra_data.get_task("pathfinder/32-easy"))
    assert (usual.steps, usual.easier_steps) == (3000, 1000)
    assert usual.rungs == (
        {"contour_length": 3, "num_distractor_snakes": 0},
        {"contour_length": 3},
        {"contour_length": 4},
        {"contour_length": 5},
    )
    assert recipe_for("mini", lra_data.get_task("pathfinder/24-mini")) == recipe("mini", task="pathfinder")
    assert recipe_for("mini", lra_data.get_task("listops/mini")) == recipe("mini", task="listops")
    pixels = recipe_for("mini-pixels", lra_data.get_task("pathfinder/32-hard"))
    assert pixels == recipe("mini-pixels", task="pathfinder")
    few = with_changes(usual, {"steps": 10})
    assert (few.steps, few.easier_steps, few.rungs) == (10, 3, usual.rungs[:3])
    hard = recipe_for("mini", lra_data.get_task("path-x"))
    assert [rung["contour_length"] for rung in hard.rungs] == [3, *range(3, 14)]
    for rung in hard.rungs:  # the shortest contours reach as far apart as markers must be
        config: Any = replace(lra_data.get_task("path-x").config, **rung)
        assert len(lra_data.load(config, split="train[:2]")[0:2]) == 2
