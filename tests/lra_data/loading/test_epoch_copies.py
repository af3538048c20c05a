"""Passes that threads share, copies of loaders in the middle of a pass, and `next` of batches themselves.

Written from the specification alone, by someone who had not read the code that keeps count.
"""

import copy
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from torch.utils.data import DataLoader

import lra_data
from lra_data.loading.batches import Batches
from lra_data.loading.dataset import Dataset
from lra_data.loading.frameworks.torch_batches import TorchBatches, TorchLoader
from tests.support.epoch_loaders import (
    BATCH,
    KINDS,
    ROWS,
    Indices,
    batches_of,
    by_count,
    due,
    epoch_of,
    indices,
    state_at,
)

pytestmark = pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning")  # torchdata, of torch


@pytest.fixture(scope="module")
def data(small_root: Path) -> Dataset:
    return lra_data.load("listops/mini", split=f"train[:{ROWS}]", root=small_root)


# 1. `next` of batches themselves


def test_next_draws_from_the_pass_that_iter_gave_last(data: Dataset) -> None:
    batches = batches_of(data)
    first, second = due(data, 0), due(data, 1)
    assert [next(batches).indices.tolist() for _ in range(2)] == first[:2]  # of a first pass
    one = iter(batches)
    assert next(batches).indices.tolist() == second[0]
    assert next(one).indices.tolist() == second[1]
    assert next(batches).indices.tolist() == second[2]
    assert indices(one) == second[3:]
    with pytest.raises(StopIteration):
        next(batches)
    assert epoch_of(data, indices(batches)) == 2


def test_a_first_pass_and_a_loop(data: Dataset) -> None:
    batches = batches_of(data)
    assert next(batches).indices.tolist() == due(data, 0)[0]  # for shapes, say
    assert epoch_of(data, indices(batches)) == 1
    batches.set_epoch(0)
    assert epoch_of(data, indices(batches)) == 0


# 2. Threads, copies, other processes


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("Batches", {}),
        ("Batches", {"prefetch": 3, "threads": 2}),
        ("TorchLoader", {}),
        ("TorchLoader", {"prefetch": 3}),
        ("TorchLoader, 2 workers", {}),
    ],
)
@pytest.mark.parametrize("what", ["a pass", "the loader"])
def test_eight_threads_draw_each_batch_once(kind: str, what: str, options: dict[str, Any], data: Dataset) -> None:
    loader = KINDS[kind].make(data, data.batches(1, shuffle=True, **options))
    if what == "the loader" and not isinstance(loader, Batches):
        pytest.skip("only Batches has `next` of its own")
    for epoch in range(2):
        one = iter(loader)
        drawn_from = one if what == "a pass" else loader
        together = threading.Barrier(8)

        def draw(source: Any = drawn_from, together: threading.Barrier = together) -> Indices:
            together.wait()
            found = []
            while (batch := next(source, None)) is not None:
                found.append(batch.indices.tolist())
            return found

        with ThreadPoolExecutor(8) as pool:
            found = [batch for part in pool.map(lambda _: draw(), range(8)) for batch in part]
        assert sorted(found) == [[index] for index in range(ROWS)]
        assert KINDS[kind].ledger is not None
        assert loader.remaining == 0
        assert epoch_of(data, indices(KINDS["Batches"].make(data, batches_of(data, epoch=epoch)))) == epoch


@pytest.mark.parametrize("prefetch", [0, 3])
def test_pickled_in_the_middle(prefetch: int, data: Dataset) -> None:
    batches = batches_of(data, prefetch=prefetch)
    indices(batches)
    one = iter(batches)
    indices(islice(one, 2))
    again: Batches = pickle.loads(pickle.dumps(batches))
    assert again.state_dict() == batches.state_dict() == state_at(1, 2 * BATCH, data)
    assert again.remaining == batches.remaining == 4
    assert next(pickle.loads(pickle.dumps(batches))).indices.tolist() == due(data, 1)[2]  # `next` goes on
    assert epoch_of(data, indices(again)) == 2  # `iter` begins, in a copy as in the original
    assert indices(one) == due(data, 1)[2:]  # which no copy moves
    assert epoch_of(data, indices(batches)) == 2


@pytest.mark.parametrize("workers", [0, 2])
def test_the_batches_of_a_loader_pickled_in_the_middle(workers: int, data: Dataset) -> None:
    loader = TorchLoader(batches_of(data), num_workers=workers)
    one = iter(loader)
    indices(islice(one, 3))
    again: Batches = pickle.loads(pickle.dumps(loader.batches))
    assert again.state_dict() == state_at(0, 3 * BATCH, data)
    assert epoch_of(data, indices(TorchLoader(again))) == 1
    assert indices(one) == due(data, 0)[3:]
    assert epoch_of(data, indices(loader)) == 1


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))], ids=["deep", "pickle"])
def test_copies_of_torch_batches(copied: Any, data: Dataset) -> None:
    for begun in (False, True):
        original = TorchBatches(batches_of(data))
        one: Any = iter(())
        if begun:
            one = iter(original)
            indices(islice(one, 2))
        other = copied(original)
        assert [epoch_of(data, indices(other)) for _ in range(2)] == [begun, begun + 1]
        other.set_epoch(6)
        assert epoch_of(data, indices(other)) == 6
        assert indices(one) == (due(data, 0)[2:] if begun else [])
        assert epoch_of(data, indices(original)) == int(begun)


def test_copies_of_a_state_that_was_loaded(data: Dataset) -> None:
    ways: list[Callable[[Any], Any]] = [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))]
    for copied in ways:
        batches = batches_of(data)
        batches.load_state_dict(state_at(2, 4 * BATCH, data))
        for other in (copied(batches), copied(TorchBatches(batches)), batches):
            assert indices(other) == due(data, 2)[4:]
            assert epoch_of(data, indices(other)) == 3


def test_copied_torch_batches_in_workers(data: Dataset) -> None:
    """As Lightning's and Accelerate's copies of a DataLoader do: the dataset goes into another one."""
    original = TorchBatches(batches_of(data))
    loader: Any = DataLoader(copy.deepcopy(original), batch_size=None, num_workers=2, persistent_workers=True)
    assert [epoch_of(data, indices(loader)) for _ in range(2)] == [0, 1]
    loader.dataset.set_epoch(5)
    assert epoch_of(data, indices(loader)) == 5
    assert epoch_of(data, indices(original)) == 0


def test_two_data_loaders_over_one_dataset(data: Dataset) -> None:
    """Each pass of either is a whole epoch."""
    dataset = TorchBatches(batches_of(data))
    loaders: list[Any] = [DataLoader(dataset, batch_size=None, num_workers=workers) for workers in (0, 2)]
    for _ in range(2):
        for loader in loaders:
            assert epoch_of(data, indices(loader)) in range(4)


@pytest.mark.slow
def test_spawned_workers(data: Dataset) -> None:
    """Workers that share nothing with this process but what is sent to them; kept, chosen, gone on with."""
    dataset = TorchBatches(batches_of(data))
    loader: Any = DataLoader(
        dataset, batch_size=None, num_workers=1, multiprocessing_context="spawn", persistent_workers=True
    )
    assert epoch_of(data, by_count(loader)) == 0
    assert epoch_of(data, indices(loader)) == 1
    for epoch in (5, 5, 2):
        dataset.set_epoch(epoch)
        assert epoch_of(data, indices(loader)) == epoch
    dataset.batches.load_state_dict(state_at(4, 2 * BATCH, data))
    assert indices(loader) == due(data, 4)[2:]
    assert epoch_of(data, indices(loader)) == 5
