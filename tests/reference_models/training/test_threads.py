"""The number of CPU threads that trainings choose, and compiled steps."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

import lra_data
from lra_data import UsageError
from reference_models import devices
from reference_models.model.card import decode
from reference_models.model.checkpoint import CARD, STATE, read_card
from reference_models.training import trainer
from reference_models.training.splits import Splits
from reference_models.training.state import read_state
from reference_models.training.trainer import train
from tests.support.training_process import small_config, small_recipe, small_training
from tests.support.trainings import Stop, assert_same, stop_before


def measured(monkeypatch: pytest.MonkeyPatch, milliseconds: Mapping[int, float]) -> list[int]:
    """The numbers of threads that are tried, for work that takes so long with each; the chosen one is set."""
    monkeypatch.setattr(devices, "MOST_THREADS", max(milliseconds))
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def work() -> None:
        now[0] += milliseconds[torch.get_num_threads()] / 1000

    return list(devices.fastest_threads(work))


@pytest.mark.parametrize(
    ("milliseconds", "tried", "chosen"),
    [
        ({8: 40.0, 4: 30.0, 2: 20.0, 1: 25.0}, [8, 4, 2, 1], 2),
        ({8: 20.0, 4: 30.0, 2: 10.0, 1: 10.0}, [8, 4], 8),
        ({4: 2500.0, 2: 1.0, 1: 1.0}, [4], 4),
        ({1: 10.0}, [1], 1),
        ({3: 30.0, 1: 10.0}, [3, 1], 1),
    ],
)
def test_threads_are_halved_until_that_is_slower(
    milliseconds: dict[int, float], tried: list[int], chosen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert measured(monkeypatch, milliseconds) == tried
    assert torch.get_num_threads() == chosen


def test_a_training_keeps_its_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Path) -> None:
    """It measures them on a copy, so that no weight moves; continued, it has those of its state."""
    monkeypatch.setattr(devices, "MOST_THREADS", 2)
    monkeypatch.setattr(trainer, "MOST_THREADS", 2)
    events: list[Mapping[str, Any]] = []
    counts = iter([1, 2])

    def fastest(work: Any) -> dict[int, float]:
        work()
        torch.set_num_threads(next(counts))
        return {2: 0.5, 1: 0.25}

    monkeypatch.setattr(trainer, "fastest_threads", fastest)
    with monkeypatch.context() as patch:
        stop_before(patch, 8)
        with pytest.raises(Stop):
            small_training("linear", tmp_path, choose_threads=True, report=events.append)
    assert events[0] == {"phase": "uses 1 of 2 threads: 500 ms a step with 2, 250 ms a step with 1"}
    assert read_state(tmp_path / STATE)[1].threads == 1
    torch.set_num_threads(2)
    card = small_training("linear", tmp_path, choose_threads=True)
    assert card.threads == 1
    assert_same(tmp_path, whole)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
def test_compiled_steps_are_noted(tmp_path: Path, whole: Path) -> None:
    """That they compute the same is tested on two ranks, without dropout, which they draw otherwise."""
    card = small_training("linear", tmp_path, recipe=small_recipe(compile=True))
    assert card.recipe.compile
    assert '"compile": true' in (tmp_path / CARD).read_text(encoding="utf-8")
    assert not read_card(whole).recipe.compile


def test_files_that_need_a_window_are_measured_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "MOST_THREADS", 2)
    sizes = {"train": 40, "validation": 10, "test": 10}
    lra_data.build("listops/mini", tmp_path, formats=("parquet",), sizes=sizes)
    rows = {split: lra_data.load("listops/mini", split=split, root=tmp_path) for split in sizes}
    recipe = small_recipe(steps=2, warmup=0)
    train(
        small_config("linear"), recipe, Splits(**rows), tmp_path / "run", device="cpu", window=20, choose_threads=True
    )
    assert read_card(tmp_path / "run").selected_step == 2


def test_a_card_without_compile_is_one_of_eager_steps(whole: Path) -> None:
    data = (whole / CARD).read_bytes()
    assert b"compile" not in data
    assert not decode(data, whole / CARD).recipe.compile


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
def test_without_a_compiler_one_line_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import config

    monkeypatch.setattr(config.cpp, "cxx", (None, "/nonexistent"))
    torch._dynamo.reset()
    with pytest.raises(
        UsageError, match=r"that torch\.compile can compile, got .*compiler.*: install a C\+\+ compiler"
    ):
        small_training("local", tmp_path, recipe=small_recipe(compile=True))
