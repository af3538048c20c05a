"""Trainings that several tests compare with."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.support.training_process import (
    small_training,
)
from tests.support.trainings import Stop, stop_before


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Sums are bit for bit the same only with the same number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished training of the linear model that nothing disturbed. Tests must not change it."""
    torch.set_num_threads(1)
    run = tmp_path_factory.mktemp("whole")
    small_training("linear", run)
    return run


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A training that stopped before step 8, with the state of step 6."""
    with monkeypatch.context() as patch:
        stop_before(patch, 8)
        with pytest.raises(Stop):
            small_training("linear", tmp_path / "stopped", save_every=3)
    return tmp_path / "stopped"
