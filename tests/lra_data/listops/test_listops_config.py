"""What a ListOps configuration refuses, and why; and what a build refuses before it begins."""

import dataclasses
from typing import Any

import numpy as np
import pytest

import lra_data
from lra_data import UsageError, get_task
from lra_data.listops.config import OPERATORS, PRESETS, Config
from lra_data.listops.law import exact_law
from lra_data.listops.task import ListOps


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"max_depth": 1}, "max_depth must be from 2 to 64, got 1"),
        ({"max_depth": 9.5}, "max_depth must be an integer, got 9.5"),
        ({"max_depth": True}, "max_depth must be an integer, got True"),
        ({"max_args": 32}, "max_args must be from 2 to 31, got 32"),
        ({"min_args": 1}, "min_args must be from 2 to 10, got 1"),
        ({"min_args": 11}, "min_args must be from 2 to 10, got 11"),
        ({"min_length": 0}, "min_length must be from 1 to 1998, got 0"),
        ({"min_length": 1999}, "min_length must be from 1 to 1998, got 1999"),
        ({"max_length": 2_000_000}, "max_length must be from 5 to 1000000, got 2000000"),
        (
            {"operators": ("MAX", "FIRST")},
            r"unknown listops operator 'FIRST'; known: MIN, MAX, MED, SM\.",
        ),
        ({"max_depth": 64, "max_args": 31, "max_length": 1_000_000}, "at most 30,000,000, got 1,984,000,000"),
        ({"operators": "MAX"}, "operators must be a tuple of names, got 'MAX'"),
        ({"operators": (None,)}, "operators must be a tuple of names"),
        ({"operators": ()}, "operators must be distinct and at least one"),
        ({"operators": ("MIN", "MIN")}, "operators must be distinct"),
        ({"max_depth": 2, "max_args": 3}, "no tree has a length between 500 and 2000"),
        ({"min_args": 10, "min_length": 1, "max_length": 5}, "an expression has 12 to"),
        ({"min_args": 9, "max_args": 9, "min_length": 502, "max_length": 505}, "only lengths 1 \\+ 10k"),
    ],
)
def test_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Config(**parameters)


def test_one_arity_reaches_its_lengths() -> None:
    config = Config(max_depth=5, min_args=3, max_args=3, min_length=12, max_length=14)
    lengths = lra_data.generate(config, "train", 0, 50)["length"].to_pylist()
    assert set(lengths) == {13}


def test_order_of_operators_does_not_matter() -> None:
    assert Config(operators=("SM", "MIN")) == Config(operators=("MIN", "SUM_MOD"))


def test_parameters_are_obeyed() -> None:
    config = Config(max_depth=6, min_args=3, max_args=5, min_length=20, max_length=90, operators=("MIN", "MED"))
    task = get_task(config)
    batch = task.generate("train", 0, 2000)
    assert task.problems(batch, split="train", seed=0) == []  # the solver checks depth, arguments, window and operators
    assert batch["depth"].to_numpy().max() == 5
    lengths = batch["length"].to_numpy()
    assert (lengths.min(), lengths.max()) == (21, 89)
    assert set(batch["root_operator"].to_pylist()) == {OPERATORS.index("MIN"), OPERATORS.index("MED")}
    looser = ListOps(dataclasses.replace(config, min_args=2, operators=OPERATORS))
    assert looser.problems(batch, split="train", seed=0) == []
    for change in ({"max_args": 4}, {"max_depth": 5}, {"max_length": 80}, {"operators": ("MIN",)}):
        assert ListOps(dataclasses.replace(config, **change)).problems(batch, split="train", seed=0), change


def test_presets_accept_what_they_should() -> None:
    acceptance = {name: exact_law(preset.config).acceptance for name, preset in PRESETS.items()}
    assert acceptance["lra"] == pytest.approx(0.0826, abs=0.0008)  # original_lra.md: 8.26 % measured
    for name in ("4k", "8k", "16k"):
        assert 0.03 < acceptance[name] < 0.05
    mini = PRESETS["mini"].config
    assert (mini.min_length, mini.max_length, mini.max_depth, mini.max_args) == (16, 128, 10, 5)
    for preset in PRESETS.values():
        assert dict(preset.sizes) == {"train": 96_000, "validation": 2_000, "test": 2_000}


def test_law_agrees_with_brute_force() -> None:
    """Depth 3, two arguments at most three: every tree enumerated with its probability."""
    config = Config(max_depth=3, min_args=2, max_args=3, min_length=4, max_length=12, operators=("MIN", "SM"))

    def trees(depth: int) -> list[tuple[int, float]]:
        """(length, probability) with the ten digits and two operators as one, and their number below."""
        if depth == config.max_depth:
            return [(1, 1.0)]
        children = trees(depth + 1)
        found = [(1, 0.75)]
        for arity in (2, 3):
            combined = [(2, 0.25 / 2)]
            for _ in range(arity):
                combined = [(length + more, p * q) for length, p in combined for more, q in children]
            found += combined
        return found

    expected = sum(p for length, p in trees(1) if 4 < length < 12)
    law = exact_law(config)
    assert law.acceptance == pytest.approx(expected, rel=1e-12)
    rows = lra_data.generate(config, "train", 0, 3000)["inputs"].to_pylist()
    repeats = len(rows) - len({tuple(row) for row in rows})
    pairs = len(rows) * (len(rows) - 1) / 2
    assert repeats == pytest.approx(pairs * law.collision, abs=5 * np.sqrt(pairs * law.collision))


def test_a_window_hit_too_rarely_is_refused_at_once() -> None:
    rare = Config(max_depth=12, max_args=2, min_length=1_100, max_length=1_200)
    with pytest.raises(UsageError, match="too rarely for 1,048,576 attempts per example"):
        lra_data.build(rare, "unused")


def test_predicted_duplicates_are_refused_at_once() -> None:
    short = Config(max_depth=3, max_args=3, min_length=4, max_length=9)
    with pytest.raises(UsageError, match=r"fewer than 1 example in two splits by chance, got [\d,.]+ for splits"):
        lra_data.build(short, "unused")
