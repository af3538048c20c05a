"""What every X-former must do, tested on all of them unasked (`harness.py` says what their test modules declare)."""

import math
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from reference_models.attention.catalogue import attention_class, attention_names
from reference_models.contract import properties
from reference_models.contract.trial import Size, Subject
from tests.conftest import ROOT
from tests.support.harness import Options, build, cases, declared, inputs, lengths_mask

CASES = [pytest.param(name, options, id=f"{name}-{options}") for name, options in cases()]


def first(name: str) -> list[Options]:
    """As a model is made without options, as a rule."""
    found: list[Options] = declared(name, "CASES", None)[:1]
    return found


every_case = pytest.mark.parametrize(("name", "options"), CASES)
quick_case = pytest.mark.parametrize(
    ("name", "options"),
    [
        pytest.param(name, options, id=f"{name}-{options}", marks=[] if options in first(name) else pytest.mark.slow)
        for name, options in cases()
    ],
)


def test_every_model_has_tests_and_says_what_it_is() -> None:
    for name in attention_names():
        found = attention_class(name)
        assert found.family in {
            "none", "fixed pattern", "learnable pattern", "memory", "low rank", "kernel", "recurrence", "downsampling",
            "sparse", "not attention",
        }  # fmt: skip
        assert found.cost
        assert "§" in found.paper
        assert found.__doc__
        assert "torch.compile" in found.__doc__, name
        assert declared(name, "CASES", None), name


@every_case
@pytest.mark.parametrize(
    ("length", "padded", "autocast"),
    [
        (17, False, False),
        (17, True, True),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in ((17, False, True), (17, True, False), *product((1000,), (False, True), (False, True)))
        ),
    ],
)
def test_runs_forward_and_backward(name: str, options: Options, length: int, padded: bool, autocast: bool) -> None:
    size = Size((length, length // 3), length)
    properties.runs(Subject(name, options), size, padded=padded, autocast=autocast)


@every_case
def test_what_stands_under_padding_changes_nothing(name: str, options: Options) -> None:
    for lengths in ((40, 23, 1), (17, 16, 33)):
        properties.ignores_what_is_under_padding(Subject(name, options), Size(lengths, 40))


@every_case
def test_a_row_alone_equals_the_row_in_a_batch(name: str, options: Options) -> None:
    properties.ignores_the_batch(Subject(name, options), Size((37, 12, 25), 37))


@every_case
def test_in_training_too_a_row_alone_equals_the_row_in_a_batch(name: str, options: Options) -> None:
    """A model whose training depends on the batch says why, and has its own test."""
    if not declared(name, "TRAINS_ON_WHOLE_BATCHES", False):
        properties.ignores_the_batch_in_training(Subject(name, options), Size((37, 12, 25), 37))


@every_case
def test_a_constant_stays_that_constant(name: str, options: Options) -> None:
    """Fails where parts are summed with other scales or counts."""
    if declared(name, "AVERAGES", True):
        properties.averages(Subject(name, options), Size((37, 12), 37))


@every_case
def test_more_padding_changes_nothing(name: str, options: Options) -> None:
    properties.ignores_more_padding(Subject(name, options), Size((31, 14), 31))


@every_case
def test_no_mask_is_a_mask_of_ones(name: str, options: Options) -> None:
    properties.no_mask_is_a_mask_of_ones(Subject(name, options), Size((33, 33), 33))


@every_case
def test_a_sequence_of_padding_alone_is_finite(name: str, options: Options) -> None:
    properties.padding_alone_is_finite(Subject(name, options), Size((20, 20), 20))


@every_case
def test_every_parameter_gets_a_gradient(name: str, options: Options) -> None:
    properties.every_parameter_learns(Subject(name, options), Size((64, 50), 64))


@pytest.mark.slow
@every_case
def test_gradients_are_those_of_finite_differences(name: str, options: Options) -> None:
    properties.gradients_are_those_of_finite_differences(Subject(name, options), Size((7,), 9))


@every_case
def test_dense_weights_are_what_the_layer_computes(name: str, options: Options) -> None:
    subject = Subject(name, options)
    for size in (Size((40, 21), 40), Size((13, 5), 13)):
        properties.weights_have_no_padding(subject, size)
        if declared(name, "WEIGHTS_ARE_ALL", True):
            properties.weights_make_the_output(subject, size)


@every_case
def test_bf16_is_near_float32(name: str, options: Options) -> None:
    tolerance = declared(name, "BF16_TOLERANCE", 2e-2)
    properties.bfloat16_is_near(Subject(name, options), Size((48, 30), 48), tolerance=tolerance)


@every_case
def test_evaluation_is_deterministic_and_training_follows_seed_and_step(name: str, options: Options) -> None:
    properties.is_determined(Subject(name, options), Size((30, 30), 30))


@every_case
def test_a_saved_state_is_whole(name: str, options: Options) -> None:
    properties.is_saved_whole(Subject(name, options), Size((40, 23), 40))


@quick_case
def test_saved_bytes_grow_as_they_should(name: str, options: Options) -> None:
    """Bytes that autograd keeps at L, 2L, 4L: the exponent between the last two."""
    bound = declared(name, "SLOPE", None)
    chosen = declared(name, "SLOPE_OPTIONS", lambda length: options)
    found = []
    for length in (512, 1024, 2048):
        model = build(name, chosen(length), max_length=2048).train()
        model.on_step(0)
        found.append(properties.saved_bytes(model, inputs(1, length), lengths_mask([length - 3], length)))
    exponent = math.log2(found[2] / found[1])
    print(f"{name} {chosen(2048)}: {found} bytes at 512, 1024, 2048; exponent {exponent:.2f}")
    assert bound is None or exponent <= bound


SAVED_AND_LOADED = """
import sys
import torch
from tests.support.harness import build, cases, inputs, lengths_mask

folder, action = sys.argv[1:]
keep = lengths_mask([40, 23], 40)
for number, (name, options) in enumerate(cases()):
    model = build(name, options, seed=0 if action == "save" else 99)
    path = f"{folder}/{number}.pt"
    if action == "save":
        model.train()
        model.on_step(5)  # what a step changes must be saved too
        model(inputs(2, 40), keep)
        model.eval()
        torch.save({"state": model.state_dict(), "out": model(inputs(2, 40), keep)[keep]}, path)
    else:
        stored = torch.load(path, weights_only=True)
        model.load_state_dict(stored["state"])
        assert torch.equal(model(inputs(2, 40), keep)[keep], stored["out"]), (name, options)
"""


@pytest.mark.slow
def test_a_saved_model_gives_the_same_in_another_process(tmp_path: Path) -> None:
    for action, hash_seed in (("save", "1"), ("load", "2")):
        found = subprocess.run(
            [sys.executable, "-c", SAVED_AND_LOADED, str(tmp_path), action],
            cwd=ROOT,
            env={"PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.returncode == 0, found.stderr
