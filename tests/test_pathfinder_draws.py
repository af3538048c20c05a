"""The kernel draws what docs/pathfinder_draws.md says: against the oracle, in any order, and against golden digests."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from lra_data import generate, get_task, take
from lra_data.pathfinder.config import PRESETS, Config
from lra_data.pathfinder.generated import Pathfinder
from lra_data.pathfinder.kernel import CHOICES, EXTENSIONS, TRIES
from lra_data.store.digests import LogicalDigest, row_digests
from tests.oracles.pathfinder_oracle import attempt_succeeds, draw_example

ORIGINAL = [name for name in PRESETS if not name.endswith("-clean")]
CLEAN = [name for name in PRESETS if name.endswith("-clean")]
COMPARED = ("label", "margin", "attempts", "origin", "tips", "contours", "distractors", "num_distractors")


def check_replay(config: Config, indices: range, split: str = "train", seed: int = 0) -> None:
    """The oracle draws the same row when it makes the attempt that succeeded in the kernel."""
    task = get_task(config)
    for row in task.take(split, indices, seed=seed).to_pylist():
        expected = draw_example(task.keyed_config(), seed, split, row["index"], attempt=row["attempts"] - 1)
        assert expected["inputs"].ravel().tolist() == row["inputs"], row["index"]
        assert {name: row[name] for name in COMPARED} == {name: expected[name] for name in COMPARED}


@pytest.mark.parametrize("preset", ORIGINAL)
def test_kernel_and_oracle_draw_the_same_pictures(preset: str) -> None:
    check_replay(PRESETS[preset].config, range(200))


@pytest.mark.parametrize("preset", CLEAN)
def test_kernel_and_oracle_draw_the_same_clean_pictures(preset: str) -> None:
    check_replay(PRESETS[preset].config, range(15), split="test", seed=2**64 - 1)


@pytest.mark.slow
@pytest.mark.parametrize("preset", CLEAN)
def test_kernel_and_oracle_draw_the_same_200_clean_pictures(preset: str) -> None:
    check_replay(PRESETS[preset].config, range(1000, 1200))


@pytest.mark.parametrize(
    ("preset", "count"),
    [
        ("32-easy", 40), ("32-intermediate", 20), ("32-hard", 8), ("64-easy", 20), ("64-intermediate", 2),
        ("128-easy", 20), ("128-intermediate", 8), ("128-hard", 1), ("256-easy", 10), ("256-hard", 3),
    ],
)  # fmt: skip
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


@pytest.mark.parametrize(
    "change",
    [
        {"paddle_contrast_list": (1.0, 0.5, 0.25), "snake_contrast_list": (0.8, 0.4), "paddle_margin_list": (1, 2)},
        {"paddle_contrast_list": (1.0, 0.333), "snake_contrast_list": (0.8, 0.4), "use_single_paddles": True},
        {
            "paddle_contrast_list": (1.0, 0.5), "snake_contrast_list": (0.8, 0.4), "same_contrast": True,
            "separate_contours": True, "distance_step": 4, "use_single_paddles": True,
        },
        {
            "resolution": 48, "seed_distance": 8, "padding": 3, "paddle_length": 4, "paddle_thickness": 1.5,
            "antialias_scale": 4, "marker_radius": 1.25, "contour_length": 4, "distractor_length": 1,
        },
        {"num_distractor_snakes": 0, "contour_length": 2, "max_paddle_retrial": 0},
        {"resolution": 96, "num_distractor_snakes": 60, "max_distractor_contour_retrial": 0, "continuity": 4.0},
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
    "32-hard": "c46bb6ec93e16259d81d4dac06078bafeae9dd46c25580dba3eee5560596052f",
    "32-intermediate": "ffdf70c34b323b7fb030d829af8d0b441a4388c649e6cf58c4a0db8fbd7c78d3",
    "32-easy": "150133c4e6b4d580ee8bd1132f08bb6a5959245951132533754dd6756e246015",
    "64-hard": "81e66f39f1e390b8a663482c3e2edaaaab5494db25b04aeef44a44697f85a8d8",
    "64-intermediate": "dd2b52348592ce0bd6701f2ec21fb413d077afbdcb3698ce75bd02ae0d445e35",
    "64-easy": "b49e9271a2c540c190fc1fd26bc086432f00cc3fe6ccaeeb01df457b680175a0",
    "128-hard": "610a241e72d4e85c63cae163af1183ebf2cbc2188498ae786635f7f6c4ba5686",
    "128-intermediate": "aa36977017cd53c962898e26bde3342a5183661f1e3920b5efa51c403e44acc5",
    "128-easy": "5f07752cb97d1fc9948469d22a42944fc265775b7026d7c06a7b1da7ea074f2b",
    "256-hard": "c4793bd1a8631e8d0afd278d19b8f3dfd622c58178ec7c15a2d4ada794accca0",
    "256-intermediate": "1d762bc103023dd238bc2578adcc38e60442c4dffbdcd37192526be2e77707ef",
    "256-easy": "7ed821eaab581a186c132ce500a8a6429a40a06078c1508bcb43f76f7e1541f0",
    "32-hard-clean": "c4efa71482948e98924af011ffc26f1b289de2fc7aede10ad7746ef4740045ce",
    "32-intermediate-clean": "a59fd9250bf53edde88eef97e901379232d91d23048c42e4b4fe8fc3d72edc0f",
    "32-easy-clean": "9e504fbe47fa484e9adc47cbf4949df0b3d544b198256554f5e5ebfca7eb6af1",
    "64-hard-clean": "e439f5ea8a1fb7ac2f69da2b1ec41941da665490d1aaefcd586a0ec4349df390",
    "64-intermediate-clean": "c7fae1aefeddc4dc7133a5d7e6d691bf8cd30ec9c72dc62c1a563bc40c661dc8",
    "64-easy-clean": "0f6e95f27852e3cb84aa80394619122fd278ce3caa907e88ab046dadab1c6405",
    "128-hard-clean": "abff56e864b575d8ae83331940c585897a7f98ed956a3cfa7149ddfba76bfda2",
    "128-intermediate-clean": "aa96c1fe3ebebd172d224ac32a58060f1d0e33ce4d277df5ab2840605a3f57ff",
    "128-easy-clean": "2326e297554be60f3788109f006d7c609ce455f591f9d6a7448fb881562b4fd9",
    "256-hard-clean": "bf21c2f31c96b367fa877b3ca8f0fc3c9e2909e37e5d78fd943938e156ad1009",
    "256-intermediate-clean": "a124d040290a1dcec30e163be720f5571c929418ebd5cf99270976856265f388",
    "256-easy-clean": "25ff73101d5c7f02b79c2d0e6b5e7c1e19b264da4e8bc9d5bb7268e924d76bbf",
}


@pytest.mark.parametrize("preset", PRESETS)
def test_golden_digests(preset: str) -> None:
    batch = generate(f"pathfinder/{preset}", "train", 0, 40)
    digest = LogicalDigest(batch.schema)
    digest.update(batch, row_digests(batch))
    assert digest.hexdigest() == GOLDEN[preset]
