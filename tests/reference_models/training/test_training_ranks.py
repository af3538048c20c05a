"""Trainings that ranks or micro-batches share give the weights of one process."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lra_data import UsageError
from reference_models.attention.catalogue import attention_names
from reference_models.devices import World
from reference_models.model.checkpoint import (
    CARD,
)
from reference_models.training.loop import Training
from reference_models.training.trainer import train
from tests.support import training_process
from tests.support.training_process import (
    ranks_config,
    ranks_recipe,
    small_config,
    small_recipe,
    small_splits,
)
from tests.support.trainings import child, distances, final_weights

# One of each kind: without state, drawn features, hashed buckets, centroids that move, a loss of its own.
QUICK = ["linear", "compressive"]
OTHERS = [name for name in attention_names() if name not in QUICK]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Tensor]]:
    """The final weights of a model, by one process in one piece."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("alone")

    @cache
    def weights(name: str) -> dict[str, Tensor]:
        train(ranks_config(name), ranks_recipe(), small_splits(), folder / name, device="cpu")
        return final_weights(folder / name)

    return weights


@pytest.mark.parametrize("names", [QUICK, pytest.param(OTHERS, marks=pytest.mark.slow)], ids=["quick", "others"])
def test_two_ranks_are_one_process(names: list[str], alone: Callable[[str], dict[str, Tensor]], tmp_path: Path) -> None:
    process = child("ranks", tmp_path, *names, torchrun=2)
    assert "Warning" not in process.stderr
    assert {json.loads((tmp_path / name / CARD).read_text())["processes"] for name in names} == {2}
    apart = {
        f"{name} {tensor}": far
        for name in names
        for tensor, far in distances(tmp_path / name, alone(name)).items()
        if not far <= 1e-5
    }
    assert apart == {}
    expected = training_process.scores(0, 1)
    for rank in (0, 1):
        found = json.loads((tmp_path / f"{rank}.json").read_text())
        assert found["scores"].keys() == expected.keys()
        for split, score in found["scores"].items():
            assert score == pytest.approx(expected[split], abs=2e-6)
        # One that outlives the interpreter ends the process with SIGABRT, now and then.
        assert found["threads"]
        assert found["left"] == []
        for name in names:
            assert_last_step(name, torch.load(tmp_path / name / f"{rank}.pt"))


@pytest.mark.slow
@pytest.mark.parametrize("words", [(), ("compiled",)])
def test_options_of_whole_batches_and_of_steps(words: tuple[str, ...], tmp_path: Path) -> None:
    """Standardised vectors and easier rows, and compiled steps: two ranks are one process, compiled or not."""
    child("options", tmp_path / "two", *words, torchrun=2)
    child("options", tmp_path / "one")
    assert json.loads((tmp_path / "two" / CARD).read_text())["processes"] == 2
    apart = distances(tmp_path / "two", final_weights(tmp_path / "one"))
    assert {name: far for name, far in apart.items() if not far <= 1e-5} == {}


def assert_last_step(name: str, found: dict[str, Tensor]) -> None:
    """The rank without examples waits for nobody, and both have the gradients of the one example."""
    expected = training_process.last_step(training_process.new_model(name), 0, 1)
    for part, tensor in expected.items():
        # The loss of a compression is a mean of the ranks'; the second has none.
        wanted = tensor / 2 if name == "compressive" and "convolution" in part else tensor
        torch.testing.assert_close(found[part], wanted, rtol=1e-4, atol=1e-6, msg=f"{name} {part}")


# Its centroids move with every micro-batch.
@pytest.mark.parametrize(
    "name",
    QUICK + [pytest.param(name, marks=pytest.mark.slow) for name in OTHERS if name != "routing"],
)
def test_micro_batches_are_one_batch(name: str, alone: Callable[[str], dict[str, Tensor]], tmp_path: Path) -> None:
    train(ranks_config(name), ranks_recipe(accumulate=2), small_splits(), tmp_path, device="cpu")
    apart = {tensor: far for tensor, far in distances(tmp_path, alone(name)).items() if not far <= 1e-5}
    assert apart == {}


@pytest.mark.parametrize(("ranks", "accumulate"), [(3, 1), (4, 4), (16, 1)])
def test_a_batch_that_parts_do_not_divide(ranks: int, accumulate: int, tmp_path: Path) -> None:
    world = World(0, ranks, torch.device("cpu"))
    recipe = small_recipe(accumulate=accumulate)
    expected = f"expected a batch size that {ranks} ranks and {accumulate} micro-batches divide, got 8"
    with pytest.raises(UsageError) as error:
        Training(small_config("full"), recipe, small_splits(), tmp_path, world, None, num_workers=0, window=None)
    assert str(error.value) == expected
