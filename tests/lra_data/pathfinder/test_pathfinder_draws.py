"""The kernel draws what docs/pathfinder_draws.md says: against the oracle, in any order, and against golden digests."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from lra_data import generate, get_task, take
from lra_data.pathfinder.config import PRESETS, Config
from lra_data.pathfinder.generated_task import Pathfinder
from lra_data.pathfinder.generator.chains import CHOICES, EXTENSIONS, TRIES
from lra_data.store.digests import LogicalDigest, row_digests
from tests.oracles.pathfinder_oracle import attempt_succeeds, draw_example

CLEAN = [name for name in PRESETS if name.endswith(("-clean", "-mini"))]
ORIGINAL = [name for name in PRESETS if name not in CLEAN]
SLOW = (
    "64-easy",
    "64-intermediate",
    "128-easy",
    "128-intermediate",
    "256-easy",
    "256-intermediate",
)  # their hard ones have the same sizes
COMPARED = ("label", "margin", "attempts", "origin", "tips", "contours", "distractors", "num_distractors")


def check_replay(config: Config, indices: range, split: str = "train", seed: int = 0) -> None:
    """The oracle draws the same row when it makes the attempt that succeeded in the kernel."""
    task = get_task(config)
    for row in task.take(split, indices, seed=seed).to_pylist():
        expected = draw_example(task.keyed_config(), seed, split, row["index"], attempt=row["attempts"] - 1)
        assert expected["inputs"].ravel().tolist() == row["inputs"], row["index"]
        assert {name: row[name] for name in COMPARED} == {name: expected[name] for name in COMPARED}


def few(preset: str, count: int) -> int:
    """How many pictures a quick test compares: the oracle draws few large ones a second."""
    return count // 8 if preset.startswith("256") else count


@pytest.mark.long
@pytest.mark.parametrize(
    "preset",
    [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in ORIGINAL],
)
def test_kernel_and_oracle_draw_the_same_pictures(preset: str) -> None:
    check_replay(PRESETS[preset].config, range(few(preset, 40)))


@pytest.mark.slow
@pytest.mark.parametrize("preset", ORIGINAL)
def test_kernel_and_oracle_draw_200_pictures_the_same(preset: str) -> None:
    check_replay(PRESETS[preset].config, range(few(preset, 40), 200))


@pytest.mark.long
@pytest.mark.parametrize(
    "preset", [pytest.param(name, marks=[] if name.startswith(("24", "32")) else [pytest.mark.slow]) for name in CLEAN]
)
def test_kernel_and_oracle_draw_the_same_clean_pictures(preset: str) -> None:
    check_replay(PRESETS[preset].config, range(few(preset, 16)), split="test", seed=2**64 - 1)


@pytest.mark.slow
@pytest.mark.parametrize("preset", CLEAN)
def test_kernel_and_oracle_draw_the_same_200_clean_pictures(preset: str) -> None:
    check_replay(PRESETS[preset].config, range(1000, 1200))


WHOLE = [
    ("32-easy", 40), ("32-intermediate", 20), ("32-hard", 8), ("64-easy", 20), ("64-intermediate", 2),
    ("128-easy", 20), ("128-intermediate", 8), ("128-hard", 1), ("256-easy", 10), ("256-hard", 3),
]  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize(
    ("preset", "count"),
    [(preset, -(-count // 4)) for preset, count in WHOLE if preset.startswith(("32", "128"))]
    + [pytest.param(*case, marks=pytest.mark.slow) for case in WHOLE],
)
def test_all_earlier_attempts_fail_in_the_oracle_too(preset: str, count: int) -> None:
    """Whole examples from attempt 0 on, and the work they cost, which a wrong attempt would change."""
    task = get_task(f"pathfinder/{preset}")
    assert isinstance(task, Pathfinder)
    drawn = task.draw("validation", np.arange(count), 5)
    for index in range(count):
        expected = draw_example(task.keyed_config(), 5, "validation", index)
        assert expected["attempts"] == drawn["attempts"][index]
        counted = [drawn["counters"][index, counter] for counter in (EXTENSIONS, CHOICES, TRIES)]
        assert counted == [expected["extensions"], expected["draws"], expected["tries"]]


def test_early_attempts_of_the_rarest_preset_fail_in_the_oracle_too() -> None:
    task = get_task("pathfinder/64-hard")
    attempts = task.take("train", [0])["attempts"][0].as_py()
    for attempt in range(min(attempts - 1, 300)):
        assert not attempt_succeeds(task.keyed_config(), 0, "train", 0, attempt)
    assert attempt_succeeds(task.keyed_config(), 0, "train", 0, attempts - 1)


@pytest.mark.long
@pytest.mark.parametrize(
    "change",
    [
        {"paddle_contrast_list": (1.0, 0.5, 0.25), "snake_contrast_list": (0.8, 0.4), "paddle_margin_list": (1, 2)},
        pytest.param(
            {"paddle_contrast_list": (1.0, 0.333), "snake_contrast_list": (0.8, 0.4), "use_single_paddles": True},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {
                "paddle_contrast_list": (1.0, 0.5), "snake_contrast_list": (0.8, 0.4), "same_contrast": True,
                "separate_contours": True, "distance_step": 4, "use_single_paddles": True, "all_angles": True,
            },
            marks=pytest.mark.slow,  # thousands of attempts a picture
        ),
        {
            "resolution": 48, "seed_distance": 8, "padding": 3, "paddle_length": 4, "paddle_thickness": 1.5,
            "antialias_scale": 4, "marker_radius": 1.25, "contour_length": 4, "distractor_length": 1,
        },
        {"num_distractor_snakes": 0, "contour_length": 2, "max_paddle_retrial": 0},
        pytest.param(
            {"resolution": 96, "num_distractor_snakes": 60, "max_distractor_contour_retrial": 0, "continuity": 4.0},
            marks=pytest.mark.slow,
        ),
    ],
)  # fmt: skip
def test_kernel_and_oracle_agree_on_other_parameters(change: dict[str, Any]) -> None:
    config = dataclasses.replace(PRESETS["64-easy"].config, **change)
    check_replay(config, range(2**63 - 9, 2**63 - 1))
    task = get_task(config)
    assert task.problems(task.take("train", range(20)), split="train", seed=0) == []


@pytest.mark.parametrize("preset", ["32-hard", "128-intermediate", "256-easy-clean"])
def test_an_example_depends_on_its_index_alone(preset: str) -> None:
    name = f"pathfinder/{preset}"
    whole = generate(name, "test", 0, 40, seed=9).to_pylist()
    for index in (39, 0, 17):
        assert take(name, "test", [index], seed=9).to_pylist() == [whole[index]]
    assert take(name, "test", [7, 3, 7], seed=9).to_pylist() == [whole[7], whole[3], whole[7]]


def test_geometry_can_be_left_out_and_asked_back() -> None:
    without = get_task(dataclasses.replace(PRESETS["128-easy"].config, geometry=False))
    batch = without.take("train", range(10, 30))
    assert batch.schema.names == ["inputs", "label", "index"]
    assert batch.equals(take("pathfinder/128-easy", "train", range(10, 30)).select(["inputs", "label", "index"]))
    assert without.problems(batch, split="train", seed=0) == []
    wrong = batch.to_pylist()
    wrong[4]["label"] = 1 - wrong[4]["label"]
    changed = batch.from_pylist(wrong, schema=batch.schema)
    assert [index for index, _ in without.problems(changed, split="train", seed=0)] == [14]


# Logical digests of rows 0 to 39 of train, seed 0. They change only with the task's version, and then a line "Data
# changes" in CHANGELOG.md says so.
GOLDEN = {
    "32-hard": "6ee5ef2b72964a45447f1b8bc2d8191af2d85ed266492eca967cb7fd864cc264",
    "32-intermediate": "3977ed407762d30ffa64331a1fc70f1e970d6b2119cedd5e9b608bf18bf3ec65",
    "32-easy": "0efa85563af49359fe01d2e287e2b0bc6b2f306da4e3c75b63c8e43a420792fc",
    "64-hard": "869fdafb8727fc7c75ae1318ce447293e61c31e36df059bf19ad176f014afcf0",
    "64-intermediate": "3af5de309fbf2ed5bc75b8df8aaaa6b091543779cbc1320107972005cf03a335",
    "64-easy": "474a75c7132186cf94fa759aed1d772cb70ad9af10d62f93ae540a1112dce139",
    "128-hard": "926f546e1c27704be57968d8d9a3c3f669b3ca7d3bed8ed0242d10248211e8f9",
    "128-intermediate": "52ac8fcfa1a47313622c9e759a992605e4ad70164dfdafd38c48b64f7174bd1a",
    "128-easy": "ca14c286a6a94fc0f97710e2b1aabed190762d46e38330448792c16b7f1e4356",
    "256-hard": "64a64ff523e02a1cce3c9db0c222a2446e818cd61b34338edf327ad81342518a",
    "256-intermediate": "34a09b705eb0f1a8350680c2b1a3a233cbc5eb881a785d9af06533721679652e",
    "256-easy": "d1143a037c3063bd664415698bbbc9a0355e50117fe8604acdc06629eba9d768",
    "32-hard-clean": "8bc35e758d12abc80717fff7fc131f17a637e97cfac9d10cc95b39137dd8b427",
    "32-intermediate-clean": "d87db97ac923a8300a35a9b7eb3cbaae49a937ee7e8c0a845d24685e469a1963",
    "32-easy-clean": "d714e87b90ffba4aa89809234aceeb3f82f4160e4f029cc00ac5324d89fa88b7",
    "64-hard-clean": "071ee53a9f06b985bde630bb87e4eee43ff4fbf1249c2f1cfbe53aa8bdd6e9c6",
    "64-intermediate-clean": "8ca4faeb84109f46c98dc70912d4c64947d7fde2e580a3e2fb256155d607c152",
    "64-easy-clean": "1d8ea537038d26ad97b4803997a1b34ce952dec565824a718473d659f51af67b",
    "128-hard-clean": "0761a09b8453de885f9970e6b81676cf6ee72254985225563e16487a90457574",
    "128-intermediate-clean": "4ef61f52bf7b1e4c687129e16857eb3665b684e61f80a44df55378bd146f4203",
    "128-easy-clean": "e619f8f783527afc8cf056b357276880998491f853d87ebdf53d9dd8fe3ff1b3",
    "256-hard-clean": "336fb58df94aab1926672c3db7407d96223bddf18aa8867ba673a8144e3ba684",
    "256-intermediate-clean": "91c005e267db6ef05a2dd9145b89252cb9b6e3cf8e5bc443ac21a5b1f887b0df",
    "256-easy-clean": "3ce6a30027fbed4a1bc7f2e4a1fb328e02a0ad05435292a5f4f75998ae275053",
    "24-mini": "708ee195c3367204a659d09246094a4a842476193a1bfde1d890bd5b23b9845f",
    "32-mini": "5afff445916f2a0758373fb5c9035fd277ad57dea9f849eaf1a53fee3b57b1dd",
}


@pytest.mark.parametrize("preset", PRESETS)
def test_golden_digests(preset: str) -> None:
    batch = generate(f"pathfinder/{preset}", "train", 0, 40)
    digest = LogicalDigest(batch.schema)
    digest.update(batch, row_digests(batch))
    assert digest.hexdigest() == GOLDEN[preset]
