"""Which epoch and which place of it comes next, in every loader, after every habit of a training loop.

Written from the specification alone, by someone who had not read the code that keeps count.
"""

import copy
import json
import pickle
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

import lra_data
from lra_data.loading.batches import Batches
from lra_data.loading.dataset import Dataset
from lra_data.loading.torch_batches import BatchSampler, TorchBatches, TorchLoader
from tests.epoch_loaders import BATCH, KINDS, ROWS, STEPS, Indices, by_count, due, epoch_of, indices, names

pytestmark = pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning")  # torchdata, of torch

Loader = Any


@pytest.fixture(scope="module")
def data(small_root: Path) -> Dataset:
    return lra_data.load("listops/mini", split=f"train[:{ROWS}]", root=small_root)


def batches_of(data: Dataset, **options: Any) -> Batches:
    return data.batches(BATCH, shuffle=True, **options)


def loader_of(kind: str, data: Dataset, **options: Any) -> Loader:
    return KINDS[kind].make(data, batches_of(data, **options))


def state_at(epoch: int, taken: int, data: Dataset) -> dict[str, Any]:
    """A state in the form that versions up to ef67265 saved, for these rows."""
    identity = batches_of(data).state_dict()["data"]
    return {"data": identity, "order": "shuffled", "seed": 0, "epoch": epoch, "taken": taken}


all_kinds = pytest.mark.parametrize("kind", KINDS)
in_process = pytest.mark.parametrize("kind", names(lambda kind: kind.workers == 0))
with_ledger = pytest.mark.parametrize("kind", names(lambda kind: kind.ledger is not None))


def batches_below(loader: Loader) -> Batches:
    """The Batches that a loader was made of."""
    if isinstance(loader, Batches):
        return loader
    if isinstance(loader, TorchLoader):
        return loader.batches
    if isinstance(loader.batch_sampler, BatchSampler):
        return loader.batch_sampler.batches
    found: Batches = loader.dataset.batches
    return found


# 1. One pass, one epoch


@all_kinds
def test_passes_that_are_finished_left_and_taken_by_count(kind: str, data: Dataset) -> None:
    loader = loader_of(kind, data)
    lengths = [len(loader)]
    assert epoch_of(data, indices(loader)) == 0
    lengths.append(len(loader))
    assert epoch_of(data, by_count(loader)) == 1
    assert epoch_of(data, by_count(loader)) == 2
    left = iter(loader)
    assert indices(islice(left, 2)) == due(data, 3)[:2]
    lengths.append(len(loader))
    del left
    assert epoch_of(data, indices(loader)) == 4
    for batch in loader:  # a loop that is left
        assert batch.indices.tolist() == due(data, 5)[0]
        break
    assert epoch_of(data, by_count(loader)) == 6
    assert epoch_of(data, indices(loader)) == 7
    assert {*lengths, len(loader)} == {STEPS}


@all_kinds
def test_a_pass_is_an_object_of_its_own(kind: str, data: Dataset) -> None:
    loader = loader_of(kind, data)
    one = iter(loader)
    assert iter(one) is one
    assert one is not loader
    assert next(one).indices.tolist() == due(data, 0)[0]
    assert iter(one) is one  # which begins nothing
    assert indices(one) == due(data, 0)[1:]
    assert list(one) == []  # and stays at its end
    two = iter(loader)
    assert KINDS[kind].one_iterator or two is not one
    assert epoch_of(data, indices(two)) == 1


@pytest.mark.parametrize("kind", names(lambda kind: not kind.undrawn_may_count))
def test_an_iterator_that_nothing_is_drawn_from_uses_up_no_epoch(kind: str, data: Dataset) -> None:
    loader = loader_of(kind, data)
    iter(loader)
    assert epoch_of(data, indices(loader)) == 0
    iter(loader)
    iter(loader)  # Lightning asks twice
    assert epoch_of(data, by_count(loader)) == 1
    kept = iter(loader)
    assert epoch_of(data, indices(loader)) == 2
    del kept


@pytest.mark.parametrize("kind", names(lambda kind: kind.undrawn_may_count))
def test_where_asking_may_count_each_pass_still_is_a_whole_epoch(kind: str, data: Dataset) -> None:
    loader = loader_of(kind, data)
    iter(loader)
    first = epoch_of(data, indices(loader))
    assert first in (0, 1)
    assert epoch_of(data, indices(loader)) == int(first) + 1


@pytest.mark.parametrize("kind", names(lambda kind: not kind.one_iterator))
def test_two_iterators_at_once_are_two_whole_epochs(kind: str, data: Dataset) -> None:
    loader = loader_of(kind, data)
    one = iter(loader)
    begun = indices(islice(one, 2))
    two = iter(loader)
    other = indices(islice(two, 3))
    begun += indices(islice(one, 2))
    other += indices(two)
    begun += indices(one)
    assert [epoch_of(data, begun), epoch_of(data, other)] == [0, 1]
    assert epoch_of(data, indices(loader)) == 2


@pytest.mark.parametrize("kind", names(lambda kind: not kind.one_iterator))
def test_a_loader_zipped_with_itself(kind: str, data: Dataset) -> None:
    pairs = [(one.indices.tolist(), two.indices.tolist()) for one, two in _twice(loader_of(kind, data))]
    assert [epoch_of(data, [pair[side] for pair in pairs]) for side in (0, 1)] == [0, 1]


def _twice(loader: Loader) -> Any:
    return zip(loader, loader, strict=True)


# 2. Lengths, and what is left


@all_kinds
def test_lengths_of_several_epochs(kind: str, data: Dataset) -> None:
    loader = loader_of(kind, data, epochs=2)
    assert len(loader) == 2 * STEPS
    assert indices(loader) == due(data, 0) + due(data, 1)
    assert len(loader) == 2 * STEPS
    assert by_count(loader) == due(data, 2) + due(data, 3)
    assert len(loader) == 2 * STEPS


@all_kinds
def test_endless_loaders_have_no_length(kind: str, data: Dataset) -> None:
    loader = loader_of(kind, data, epochs=None)
    with pytest.raises(TypeError):
        len(loader)
    ledger = KINDS[kind].ledger
    if ledger is not None:
        with pytest.raises(TypeError):
            _ = ledger(loader).remaining
    one = iter(loader)
    assert indices(islice(one, 14)) == due(data, 0) + due(data, 1) + due(data, 2)[:2]


@with_ledger
def test_what_is_left(kind: str, data: Dataset) -> None:
    ledger = KINDS[kind].ledger
    assert ledger is not None
    loader = loader_of(kind, data)
    for _ in range(2):
        one, left = iter(loader), []
        for _batch in one:
            left.append(ledger(loader).remaining)
            assert len(loader) == STEPS
        assert left == [5, 4, 3, 2, 1, 0]
        assert ledger(loader).remaining == 0
    other = loader_of(kind, data)
    assert ledger(other).remaining == STEPS
    ledger(other).load_state_dict(state_at(3, 2 * BATCH, data))
    assert (ledger(other).remaining, len(other)) == (4, STEPS)
    assert indices(other) == due(data, 3)[2:]
    assert (ledger(other).remaining, len(other)) == (0, STEPS)


def test_what_is_left_of_several_epochs(data: Dataset) -> None:
    batches = batches_of(data, epochs=3)
    left = [batches.remaining for _ in batches]
    assert left == list(reversed(range(3 * STEPS)))
    batches = batches_of(data, epochs=3)
    batches.load_state_dict(state_at(1, BATCH, data))
    assert (batches.remaining, len(batches)) == (2 * STEPS - 1, 3 * STEPS)
    assert indices(batches) == due(data, 1)[1:] + due(data, 2)


@all_kinds
def test_the_last_batch_is_last_once_an_epoch(kind: str, data: Dataset) -> None:
    """Gradients are accumulated over four batches, and over what is left at the end."""
    loader = loader_of(kind, data)
    for _ in range(2):
        steps = [i for i, _ in enumerate(loader) if (i + 1) % 4 == 0 or i + 1 == len(loader)]
        assert steps == [3, 5]


@all_kinds
def test_a_look_at_one_batch_and_then_all(kind: str, data: Dataset) -> None:
    loader = loader_of(kind, data)
    next(iter(loader))
    assert Counter(index for batch in indices(loader) for index in batch) == Counter(range(ROWS))


# 3. The epoch that is chosen


@all_kinds
@pytest.mark.parametrize("through", ["loader", "batches"])
def test_chosen_epochs(kind: str, through: str, data: Dataset) -> None:
    loader = loader_of(kind, data)
    choose = KINDS[kind].set_epoch(loader) if through == "loader" else batches_below(loader).set_epoch
    found = []
    for epoch in (5, 5, 2):
        choose(epoch)
        found.append(epoch_of(data, indices(loader)))
    assert found == [5, 5, 2]
    assert epoch_of(data, indices(loader)) == 3  # as if it had been counted on
    choose(1)
    choose(7)
    assert epoch_of(data, by_count(loader)) == 7
    choose(0)
    choose(0)
    assert epoch_of(data, by_count(loader)) == 0
    assert epoch_of(data, by_count(loader)) == 1


@all_kinds
def test_choosing_an_epoch_leaves_the_pass_that_runs(kind: str, data: Dataset) -> None:
    loader = loader_of(kind, data)
    choose = KINDS[kind].set_epoch(loader)
    one = iter(loader)
    begun = indices(islice(one, 2))
    choose(4)
    assert epoch_of(data, begun + indices(one)) == 0
    assert epoch_of(data, indices(loader)) == 4
    assert epoch_of(data, indices(loader)) == 5


@all_kinds
def test_choosing_before_each_epoch_as_accelerate_and_lightning_do(kind: str, data: Dataset) -> None:
    loader = loader_of(kind, data)
    choose = KINDS[kind].set_epoch(loader)
    for epoch in range(3):
        choose(epoch)
        assert epoch_of(data, by_count(loader)) == epoch


# 4. States


@pytest.mark.parametrize("kind", names(lambda kind: True))
def test_a_state_goes_on_in_the_first_pass_only(kind: str, data: Dataset) -> None:
    """Loaded into the `Batches` below, which all loaders have, also with workers that are kept."""
    loader = loader_of(kind, data)
    batches_below(loader).load_state_dict(json.loads(json.dumps(state_at(2, 3 * BATCH, data))))
    assert len(loader) == STEPS
    assert indices(loader) == due(data, 2)[3:]
    assert epoch_of(data, indices(loader)) == 3
    assert epoch_of(data, by_count(loader)) == 4


@all_kinds
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

    def loader() -> Loader:
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


def test_states_of_stateful_data_loader_in_their_old_form(data: Dataset) -> None:
    """Literally what ef67265 saved for epoch 2, after two batches."""

    def loader(workers: int) -> Loader:
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


# 5. `next` of batches themselves


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


# 6. Threads, copies, other processes


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
    for copied in (copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))):
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


# 7. Habits of frameworks, as plain loops


@all_kinds
def test_as_ignite_runs(kind: str, data: Dataset) -> None:
    """Its engine keeps an iterator, counts `len(data)` batches an epoch, and asks again only at the iterator's end."""
    loader = loader_of(kind, data)
    epoch_length = len(loader)
    iterator = iter(loader)
    for epoch in range(3):
        found: Indices = []
        while len(found) < epoch_length:
            try:
                found.append(next(iterator).indices.tolist())
            except StopIteration:
                iterator = iter(loader)
        assert epoch_of(data, found) == epoch


@pytest.mark.parametrize("kind", names(lambda kind: not kind.undrawn_may_count))
def test_as_lightning_runs(kind: str, data: Dataset) -> None:
    """It asks for an iterator when it sets up and again when it begins, and draws by the length."""
    loader = loader_of(kind, data)
    for epoch in range(3):
        KINDS[kind].set_epoch(loader)
        iter(loader)
        one, found = iter(loader), []
        for number in range(len(loader)):
            found.append(next(one).indices.tolist())
            assert (number + 1 == len(loader)) == (len(found) == STEPS)
        assert epoch_of(data, found) == epoch


@all_kinds
def test_as_dali_and_prefetchers_run(kind: str, data: Dataset) -> None:
    """The first batch is drawn before the loop, and each next one before this one is used."""
    loader = loader_of(kind, data)
    for epoch in range(3):
        one = iter(loader)
        ready, found = next(one, None), []
        while ready is not None:
            batch, ready = ready, next(one, None)
            found.append(batch.indices.tolist())
        assert epoch_of(data, found) == epoch


@all_kinds
def test_steps_counted_over_epochs(kind: str, data: Dataset) -> None:
    """`max_steps` loops: an endless generator over epochs, stopped in the middle, and a validation between."""
    loader, validation = loader_of(kind, data), loader_of("Batches", data)

    def endless() -> Any:
        while True:
            yield from loader

    found = []
    for step, batch in enumerate(islice(endless(), 2 * STEPS + 2)):
        found.append(batch.indices.tolist())
        if step % 5 == 4:
            assert len(indices(validation)) == STEPS
    assert found == due(data, 0) + due(data, 1) + due(data, 2)[:2]
    assert epoch_of(data, indices(loader)) == 3


# 8. Any sequence of these

DRAW = st.tuples(st.just("draw"), st.integers(1, 4))
OPERATIONS = st.lists(
    st.one_of(
        DRAW,
        DRAW,
        st.tuples(st.just("iter"), st.just(0)),
        st.tuples(st.just("finish"), st.just(0)),
        st.tuples(st.just("count"), st.just(0)),
        st.tuples(st.just("set_epoch"), st.integers(0, 4)),
        st.tuples(st.just("state"), st.sampled_from([(8, 1), (5, 1), (3, 2), (7, 3), (48, 1)])),
        st.tuples(st.just("pickle"), st.just(0)),
    ),
    max_size=14,
)


class Model:
    """Which epoch and place comes next, by the specification. `step` is what all ranks take together."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.start = (0, 0)  # of the next pass
        self.last: tuple[int, int] | None = None  # where the pass is that began last
        self.drawing = False  # `last` is the pass that is drawn from

    def iter(self) -> None:
        self.drawing = False

    def draw(self) -> range | None:
        if not self.drawing:
            self.drawing, self.last, self.start = True, self.start, (self.start[0] + 1, 0)
        assert self.last is not None
        epoch, taken = self.last
        if taken == ROWS:
            return None
        after = min(taken + self.step, ROWS)
        self.last = (epoch, after)
        return range(taken, after)

    def set_epoch(self, epoch: int) -> None:
        if epoch != self.start[0] or self.last is not None:
            self.start = (epoch, 0)
        self.last, self.drawing = None, False

    def state(self) -> tuple[int, int]:
        epoch, taken = self.last or self.start
        return (epoch + 1, 0) if taken == ROWS else (epoch, taken)


@pytest.mark.parametrize("make", [lambda it: it, TorchLoader], ids=["Batches", "TorchLoader"])
@given(operations=OPERATIONS)
@settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=40)
def test_any_sequence_of_operations(make: Any, operations: list[tuple[str, Any]], data: Dataset) -> None:
    orders: dict[int, list[int]] = {}

    def new(batch_size: int, world_size: int) -> list[Any]:
        return [
            make(data.batches(batch_size, shuffle=True, rank=rank, world_size=world_size)) for rank in range(world_size)
        ]

    def expected(model: Model) -> list[int] | None:
        places = model.draw()
        if places is None:
            return None
        assert model.last is not None
        epoch = model.last[0]
        if epoch not in orders:
            orders[epoch] = indices(data.batches(ROWS, shuffle=True, epoch=epoch))[0]
        return orders[epoch][places.start : places.stop]

    def drawn(passes: list[Any]) -> list[int] | None:
        parts = [next(one, None) for one in passes]
        if any(part is None for part in parts):
            assert all(part is None for part in parts)
            return None
        return [index for part in parts for index in part.indices.tolist()]  # type: ignore[union-attr]

    ranks, model = new(BATCH, 1), Model(BATCH)
    passes = [iter(rank) for rank in ranks]
    for name, value in operations:
        if name in ("iter", "finish", "count") or (name == "draw" and not passes):
            passes = [iter(rank) for rank in ranks]
            model.iter()
        if name == "draw":
            for _ in range(value):
                assert drawn(passes) == expected(model)
        elif name == "finish":
            while (due_now := expected(model)) is not None:
                assert drawn(passes) == due_now
            assert drawn(passes) is None
        elif name == "count":
            begun = model.start[1]
            for _ in range(-(-(ROWS - begun) // model.step)):
                assert drawn(passes) == expected(model)
        elif name == "set_epoch":
            for rank in ranks:
                rank.set_epoch(value)
            model.set_epoch(value)
            passes = []  # what an iterator gives that had not begun is not specified
        elif name in ("state", "pickle"):
            states = [json.loads(json.dumps(rank.state_dict())) for rank in ranks]
            assert all(state == states[0] for state in states)
            epoch, taken = states[0]["epoch"], states[0]["taken"]
            assert ((epoch + 1, 0) if taken == ROWS else (epoch, taken)) == model.state()
            if name == "state":
                start = model.state()
                ranks, model = new(*value), Model(value[0] * value[1])
                for rank in ranks:
                    rank.load_state_dict(states[0])
                model.start = start
            else:
                ranks = [make(pickle.loads(pickle.dumps(getattr(rank, "batches", rank)))) for rank in ranks]
                model.drawing = False
            passes = []
        lengths = {len(rank) for rank in ranks}
        assert lengths == {-(-ROWS // model.step)}
