"""The tracer: independent of the generator, and as good as the documents say.

Whatever calls `trace` is slow: its kernel takes 15 s to compile, and the generator is held by its golden digests.
"""

from pathlib import Path

import numpy as np
import pytest

from lra_data import generate
from lra_data.arrow_columns import numbers, rows_of
from lra_data.confidence import wilson_interval
from lra_data.pathfinder.checks import tracer
from lra_data.pathfinder.checks.tracer import find_markers, trace
from lra_data.pathfinder.checks.tracer_agreement import AGREEMENT
from lra_data.pathfinder.config import PRESETS, standard_config
from lra_data.pathfinder.generated_task import Pathfinder
from lra_data.pathfinder.viewer import marked_tips
from tests.support.reference_pathfinder import original_pictures
from tests.test_architecture import modules, project_imports

pytestmark = pytest.mark.long

ORIGINAL = [name for name in PRESETS if not name.endswith(("-clean", "-mini"))]


def test_it_shares_no_module_with_the_generator() -> None:
    own = {f"lra_data.pathfinder.checks.{name}" for name in ("look", "dashes", "dash_chains")}
    found = project_imports(Path(tracer.__file__), modules())
    assert found == own
    for name in own:
        assert project_imports(modules()[name], modules()) <= own


@pytest.mark.slow
@pytest.mark.parametrize("preset", ORIGINAL)
def test_it_agrees_with_labels_as_often_as_was_measured(preset: str) -> None:
    """On pictures of another seed than those that were measured, and than those it was tuned on."""
    batch = generate(f"pathfinder/{preset}", "validation", 0, 300, seed=5)
    side = PRESETS[preset].config.resolution
    agrees = trace(rows_of(batch["inputs"]).reshape(-1, side, side)) == numbers(batch["label"])
    low, high = wilson_interval(float(agrees.mean()), len(agrees), 3.29)
    assert low - 0.03 <= AGREEMENT[preset] <= high + 0.03


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["32-easy", "128-easy", "256-easy"])
def test_it_solves_the_originals_own_pictures_as_well(preset: str) -> None:
    pictures, labels = original_pictures(preset)
    side = PRESETS[preset].config.resolution
    agrees = trace(pictures.reshape(-1, side, side)) == labels
    low, high = wilson_interval(float(agrees.mean()), len(agrees), 3.29)
    assert low - 0.02 <= AGREEMENT[preset] <= high + 0.02


@pytest.mark.parametrize("preset", ["64-easy", "128-hard", "256-hard"])
def test_it_finds_the_markers(preset: str) -> None:
    side = PRESETS[preset].config.resolution
    near = 0
    for row in generate(f"pathfinder/{preset}", "test", 0, 100).to_pylist():
        found = find_markers(np.array(row["inputs"], dtype=np.uint8).reshape(side, side))
        assert found is not None
        tips = np.array(marked_tips(row))
        distances = np.hypot(*(found[:, None] - tips[None]).transpose(2, 0, 1))
        near += bool(min(distances[0, 0] + distances[1, 1], distances[0, 1] + distances[1, 0]) < 4)
    assert near >= 97


def test_a_picture_without_markers_has_no_answer() -> None:
    pictures = np.zeros((2, 64, 64), dtype=np.uint8)
    pictures[1, 10:12, 10:30] = 200
    assert find_markers(pictures[0]) is None
    assert find_markers(pictures[1]) is None


@pytest.mark.slow
def test_answers_depend_on_the_picture_alone() -> None:
    pictures = rows_of(generate("pathfinder/128-easy", "train", 0, 20)["inputs"]).reshape(-1, 128, 128)
    answers = trace(pictures)
    assert trace(pictures[::-1]).tolist() == answers[::-1].tolist()
    assert trace(pictures[7:8]).tolist() == answers[7:8].tolist()
    assert len(trace(pictures[:0])) == 0
    assert trace(np.zeros((2, 128, 128), dtype=np.uint8)).tolist() == [-1, -1]


@pytest.mark.slow
def test_other_sizes_are_traced_with_the_nearests_measures() -> None:
    """Its agreement there was not measured; it finds the markers."""
    task = Pathfinder(standard_config(192, "easy"))
    batch = task.take("train", range(60))
    assert (trace(rows_of(batch["inputs"]).reshape(-1, 192, 192)) >= 0).mean() > 0.9


def test_every_preset_was_measured_and_the_card_says_it() -> None:
    assert set(AGREEMENT) == set(PRESETS)
    assert "gives 87.5% of the labels of 128-hard" in Pathfinder(PRESETS["128-hard"].config).card.remark
