"""Where a loader goes on after a state, in every loader, and what its state says.

Written from the specification alone, by someone who had not read the code that keeps count.
"""

import json
import pickle
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from torchdata.stateful_dataloader import StatefulDataLoader

import lra_data
from lra_data.loading.dataset import Dataset
from lra_data.loading.frameworks.torch_batches import TorchBatches
from tests.support.epoch_loaders import (
    BATCH,
    KINDS,
    ROWS,
    STEPS,
    all_kinds,
    batches_below,
    batches_of,
    by_count,
    due,
    epoch_of,
    few_kinds,
    indices,
    loader_of,
    names,
    state_at,
    with_ledger,
)

pytestmark = pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning")  # torchdata, of torch


@pytest.fixture(scope="module")
def data(small_root: Path) -> Dataset:
    return lra_data.load("listops/mini", split=f"train[:{ROWS}]", root=small_root)


# 1. States


@all_kinds
def test_a_state_goes_on_in_the_first_pass_only(kind: str, data: Dataset) -> None:
    """Loaded into the `Batches` below, which all loaders have, also with workers that are kept."""
    loader = loader_of(kind, data)
    batches_below(loader).load_state_dict(json.loads(json.dumps(state_at(2, 3 * BATCH, data))))
    assert len(loader) == STEPS
    assert indices(loader) == due(data, 2)[3:]
    assert epoch_of(data, indices(loader)) == 3
    assert epoch_of(data, by_count(loader)) == 4


@few_kinds
def test_a_state_one_batch_and_a_new_iterator(kind: str, data: Dataset) -> None:
    loader = loader_of(kind, data)
    batches_below(loader).load_state_dict(state_at(2, 2 * BATCH, data))
    assert next(iter(loader)).indices.tolist() == due(data, 2)[2]
    assert epoch_of(data, indices(loader)) == 3


@pytest.mark.parametrize("kind", names(lambda kind: not kind.undrawn_may_count))
def test_asking_twice_keeps_the_place_of_a_state(kind: str, data: Dataset) -> None:
    loader = loader_of(kind, data)
    batches_below(loader).load_state_dict(state_at(2, 2 * BATCH, data))
    iter(loader)
    iter(loader)
    assert indices(loader) == due(data, 2)[2:]


@all_kinds
def test_a_state_and_then_the_epoch_of_a_loop(kind: str, data: Dataset) -> None:
    """`for epoch in range(begun, ...): loader.set_epoch(epoch)` goes on in the middle."""
    loader = loader_of(kind, data)
    choose = KINDS[kind].set_epoch(loader)
    batches_below(loader).load_state_dict(state_at(2, 2 * BATCH, data))
    choose(2)
    assert indices(loader) == due(data, 2)[2:]
    choose(2)
    assert epoch_of(data, indices(loader)) == 2  # asked for again, from its start
    choose(3)
    assert epoch_of(data, indices(loader)) == 3
    batches_below(loader).load_state_dict(state_at(2, 2 * BATCH, data))
    choose(6)
    assert epoch_of(data, indices(loader)) == 6
    assert epoch_of(data, indices(loader)) == 7


@all_kinds
@pytest.mark.parametrize(("epoch", "taken"), [(2, ROWS), (3, 0)])
def test_a_state_with_nothing_left_begins_the_next_epoch(kind: str, epoch: int, taken: int, data: Dataset) -> None:
    loader = loader_of(kind, data)
    batches_below(loader).load_state_dict(state_at(epoch, taken, data))
    assert epoch_of(data, indices(loader)) == 3
    assert epoch_of(data, indices(loader)) == 4


@with_ledger
def test_states_of_each_step(kind: str, data: Dataset) -> None:
    ledger = KINDS[kind].ledger
    assert ledger is not None
    loader = loader_of(kind, data)
    indices(loader)
    states = []
    for _ in loader:  # epoch 1
        state = ledger(loader).state_dict()
        assert set(state) == {"data", "order", "seed", "epoch", "taken"}
        states.append(json.loads(json.dumps(state)))
    states.append(json.loads(json.dumps(ledger(loader).state_dict())))
    for step, state in enumerate(states, start=1):
        if step < STEPS:
            assert state == state_at(1, step * BATCH, data)
        again = loader_of(kind, data)
        ledger(again).load_state_dict(state)
        assert indices(again) == (due(data, 1)[step:] or due(data, 2))


@with_ledger
def test_the_state_is_that_of_the_pass_that_began_last(kind: str, data: Dataset) -> None:
    ledger = KINDS[kind].ledger
    assert ledger is not None
    loader = loader_of(kind, data)
    one = iter(loader)
    indices(islice(one, 4))
    two = iter(loader)
    indices(islice(two, 2))
    next(one)
    assert ledger(loader).state_dict() == state_at(1, 2 * BATCH, data)
    assert ledger(loader).remaining == 4
    assert len(indices(one)) == 1
    assert ledger(loader).state_dict() == state_at(1, 2 * BATCH, data)
    three = iter(loader)  # has not begun: nothing was drawn
    assert ledger(loader).state_dict() == state_at(1, 2 * BATCH, data)
    next(three)
    assert ledger(loader).state_dict() == state_at(2, BATCH, data)


@pytest.mark.parametrize("workers", [0, 2])
def test_states_of_stateful_data_loader(workers: int, data: Dataset) -> None:
    """At any step; loaded first and then iterated by count, twice."""

    def loader() -> Any:
        return StatefulDataLoader(TorchBatches(batches_of(data)), batch_size=None, num_workers=workers)

    running = loader()
    indices(running)
    one, states = iter(running), []
    for _ in one:
        states.append(pickle.loads(pickle.dumps(running.state_dict())))
    for step in (1, 2, 5):
        again = loader()
        again.load_state_dict(states[step - 1])
        assert indices(again) == due(data, 1)[step:]
        assert epoch_of(data, by_count(again)) == 2
        assert epoch_of(data, by_count(again)) == 3


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("stopped", [False, True], ids=["after the last batch", "after StopIteration"])
def test_states_of_stateful_data_loader_with_nothing_left(workers: int, stopped: bool, data: Dataset) -> None:
    def loader(epoch: int) -> Any:
        return StatefulDataLoader(TorchBatches(batches_of(data, epoch=epoch)), batch_size=None, num_workers=workers)

    running = loader(2)
    one = iter(running)
    indices(islice(one, STEPS + stopped))
    again = loader(0)
    again.load_state_dict(pickle.loads(pickle.dumps(running.state_dict())))
    assert [epoch_of(data, indices(again)) for _ in range(2)] == [3, 4]


def test_states_of_stateful_data_loader_in_their_old_form(data: Dataset) -> None:
    """Literally what ef67265 saved for epoch 2, after two batches."""

    def loader(workers: int) -> Any:
        return StatefulDataLoader(TorchBatches(batches_of(data)), batch_size=None, num_workers=workers)

    alone = {
        "_index_sampler_state": None,
        "_sampler_iter_state": None,
        "_sampler_iter_yielded": 2,
        "_num_yielded": 2,
        "_IterableDataset_len_called": None,
        "_shared_seed": None,
        "fetcher_state": {"dataset_iter_state": state_at(2, 2 * BATCH, data), "fetcher_ended": False},
        "dataset_state": None,
        "_iterator_finished": False,
    }
    again = loader(0)
    again.load_state_dict(alone)
    assert indices(again) == due(data, 2)[2:]
    assert epoch_of(data, indices(again)) == 3

    def worker(number: int) -> dict[str, Any]:
        own = {**state_at(2, 0, data), "worker": number, "workers": 2, "made": 1}
        return {
            "worker_id": number,
            "dataset_state": None,
            "fetcher_state": {"fetcher_ended": False, "dataset_iter_state": own},
        }

    shared = {
        "_snapshot": {
            "_snapshot_step": 2,
            "_last_yielded_worker_id": 1,
            "_main_snapshot": {
                "_num_workers": 2,
                "_sampler_iter_state": None,
                "_index_sampler_state": None,
                "_sampler_iter_yielded": 2,
                "_IterableDataset_len_called": None,
                "_shared_seed": None,
                "_base_seed": 255768376620926437,
            },
            "_worker_snapshots": {"worker_0": worker(0), "worker_1": worker(1)},
        },
        "_steps_since_snapshot": 0,
        "_iterator_finished": False,
    }
    again = loader(2)
    again.load_state_dict(shared)
    assert indices(again) == due(data, 2)[2:]
    assert epoch_of(data, indices(again)) == 3
