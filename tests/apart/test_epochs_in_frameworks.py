"""Which epoch and place comes next in JAX and TensorFlow: the habits of tests/lra_data/loading/test_epochs.py.

Written from the specification alone, by someone who had not read the code that keeps count.
"""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lra_data
from lra_data.errors import UsageError
from lra_data.loading.batches import Batches
from lra_data.loading.dataset import Dataset
from lra_data.loading.frameworks.torch_batches import TorchLoader
from tests.support.epoch_loaders import BATCH, ROWS, STEPS, Indices, by_count, due, epoch_of, indices, state_at

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(small_root: Path) -> Dataset:
    return lra_data.load("listops/mini", split=f"train[:{ROWS}]", root=small_root)


def jax_loader(batches: Batches) -> Any:
    from lra_data.loading.frameworks.jax_batches import JaxLoader

    return JaxLoader(batches)


def tensorflow_loader(batches: Batches) -> Any:
    from lra_data.loading.frameworks.tf_batches import TensorFlowLoader

    return TensorFlowLoader(batches)


def tensorflow_dataset(batches: Batches) -> Any:
    return tensorflow_loader(batches).dataset()


KINDS: dict[str, Callable[[Batches], Any]] = {
    "JaxLoader": jax_loader,
    "TensorFlowLoader": tensorflow_loader,
    "TensorFlowLoader.dataset": tensorflow_dataset,
}
all_kinds = pytest.mark.parametrize("kind", KINDS)
counted = pytest.mark.parametrize("kind", ["JaxLoader", "TensorFlowLoader"])


def loader_of(kind: str, data: Dataset, **options: Any) -> Any:
    return KINDS[kind](data.batches(BATCH, shuffle=True, **options))


# 1. One pass, one epoch


@all_kinds
def test_passes_that_are_finished_left_and_taken_by_count(kind: str, data: Dataset) -> None:
    loader = loader_of(kind, data)
    assert epoch_of(data, indices(loader)) == 0
    assert epoch_of(data, by_count(loader)) == 1
    assert epoch_of(data, by_count(loader)) == 2
    assert indices(islice(iter(loader), 2)) == due(data, 3)[:2]
    assert epoch_of(data, indices(loader)) == 4
    for _ in loader:
        break
    assert epoch_of(data, indices(loader)) == 6
    assert len(loader) == STEPS


@all_kinds
def test_an_iterator_that_nothing_is_drawn_from_uses_up_no_epoch(kind: str, data: Dataset) -> None:
    loader = loader_of(kind, data)
    iter(loader)
    assert epoch_of(data, indices(loader)) == 0
    kept = [iter(loader), iter(loader)]
    assert epoch_of(data, by_count(loader)) == 1
    del kept


@all_kinds
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


@all_kinds
def test_a_loader_zipped_with_itself(kind: str, data: Dataset) -> None:
    loader = loader_of(kind, data)
    pairs = list(zip(loader, loader, strict=True))
    assert [epoch_of(data, indices(pair[side] for pair in pairs)) for side in (0, 1)] == [0, 1]


@all_kinds
def test_several_epochs_and_no_end(kind: str, data: Dataset) -> None:
    loader = loader_of(kind, data, epochs=2)
    for first in (0, 2):
        assert indices(loader) == due(data, first) + due(data, first + 1)
        assert len(loader) == 2 * STEPS
    endless = loader_of(kind, data, epochs=None)
    assert indices(islice(iter(endless), 14)) == due(data, 0) + due(data, 1) + due(data, 2)[:2]
    with pytest.raises(TypeError):
        len(endless)


# 2. The epoch that is chosen


@counted
@pytest.mark.parametrize("through", ["loader", "loader.batches", "batches"])
def test_chosen_epochs(kind: str, through: str, data: Dataset) -> None:
    batches = data.batches(BATCH, shuffle=True)
    loader = KINDS[kind](batches)
    choose = {"loader": loader, "loader.batches": loader.batches, "batches": batches}[through].set_epoch
    found = []
    for chosen in (5, 5, 2):
        choose(chosen)
        found.append(epoch_of(data, indices(loader)))
    assert found == [5, 5, 2]
    assert epoch_of(data, by_count(loader)) == 3
    for chosen in (0, 1, 5):
        choose(chosen)
        assert epoch_of(data, by_count(loader)) == chosen
    one = iter(loader)
    begun = indices(islice(one, 2))
    choose(4)
    assert epoch_of(data, begun + indices(one)) == 6
    assert epoch_of(data, indices(loader)) == 4
    assert epoch_of(data, indices(loader)) == 5


@pytest.mark.parametrize("through", ["loader", "batches"])
def test_chosen_epochs_of_a_dataset_of_tensorflow(through: str, data: Dataset) -> None:
    batches = data.batches(BATCH, shuffle=True)
    loader = tensorflow_loader(batches)
    choose = loader.set_epoch if through == "loader" else batches.set_epoch
    dataset, found = loader.dataset(), []
    for chosen in (5, 5, 2):
        choose(chosen)
        found.append(epoch_of(data, indices(dataset)))
    assert found == [5, 5, 2]
    assert epoch_of(data, indices(dataset)) == 3


def test_what_tensorflow_makes_of_its_dataset(data: Dataset) -> None:
    dataset = tensorflow_dataset(data.batches(BATCH, shuffle=True)).map(lambda batch: batch).prefetch(2)
    assert epoch_of(data, indices(dataset)) == 0
    assert epoch_of(data, indices(dataset)) == 1
    assert indices(dataset.repeat(2)) == due(data, 2) + due(data, 3)
    assert indices(dataset.take(2)) == due(data, 4)[:2]
    assert epoch_of(data, indices(dataset)) == 5


# 3. What is left, and states


@counted
def test_what_is_left(kind: str, data: Dataset) -> None:
    loader = loader_of(kind, data)
    assert loader.remaining == STEPS
    for _ in range(2):
        assert [loader.remaining for _ in loader] == [5, 4, 3, 2, 1, 0]
        assert (loader.remaining, len(loader)) == (0, STEPS)
    loader.load_state_dict(state_at(3, 2 * BATCH, data))
    assert (loader.remaining, len(loader)) == (4, STEPS)
    endless = loader_of(kind, data, epochs=None)
    with pytest.raises(TypeError):
        _ = endless.remaining


@counted
def test_states_at_each_step_in_their_old_form(kind: str, data: Dataset) -> None:
    loader = loader_of(kind, data)
    indices(loader)
    states = []
    for _ in loader:
        states.append(json.loads(json.dumps(loader.state_dict())))
    assert states[:-1] == [state_at(1, step * BATCH, data) for step in range(1, STEPS)]
    for step, state in enumerate([*states, state_at(1, ROWS, data), state_at(2, 0, data)], start=1):
        again = loader_of(kind, data)
        again.load_state_dict(state)
        assert indices(again) == (due(data, 1)[step:] or due(data, 2))
        assert epoch_of(data, indices(again)) == (2 if step < STEPS else 3)


@counted
def test_a_state_then_one_batch_or_the_epoch_of_a_loop(kind: str, data: Dataset) -> None:
    loader = loader_of(kind, data)
    loader.load_state_dict(state_at(2, 2 * BATCH, data))
    iter(loader)
    assert indices(islice(loader, 1)) == due(data, 2)[2:3]
    assert epoch_of(data, indices(loader)) == 3
    loader.load_state_dict(state_at(2, 2 * BATCH, data))
    loader.set_epoch(2)
    assert indices(loader) == due(data, 2)[2:]
    loader.set_epoch(2)
    assert epoch_of(data, indices(loader)) == 2
    loader.load_state_dict(state_at(2, 2 * BATCH, data))
    loader.set_epoch(6)
    assert epoch_of(data, indices(loader)) == 6


@all_kinds
@pytest.mark.parametrize(("epoch", "taken"), [(2, 4 * BATCH), (2, ROWS), (3, 0)])
def test_batches_with_a_state_below_any_loader(kind: str, epoch: int, taken: int, data: Dataset) -> None:
    """Whatever is made of batches begins where these would, in the middle, and once only."""
    batches = data.batches(BATCH, shuffle=True)
    batches.load_state_dict(state_at(epoch, taken, data))
    loader = KINDS[kind](batches)
    rest = taken == 4 * BATCH
    assert indices(loader) == (due(data, 2)[4:] if rest else due(data, 3))
    assert epoch_of(data, indices(loader)) == (3 if rest else 4)


@counted
def test_the_state_is_that_of_the_pass_that_began_last(kind: str, data: Dataset) -> None:
    loader = loader_of(kind, data)
    one = iter(loader)
    indices(islice(one, 4))
    two = iter(loader)
    indices(islice(two, 2))
    next(one)
    assert loader.state_dict() == state_at(1, 2 * BATCH, data)
    iter(loader)
    assert loader.state_dict() == state_at(1, 2 * BATCH, data)


def test_datasets_of_tensorflow_do_not_move_batches(data: Dataset) -> None:
    batches = data.batches(BATCH, shuffle=True)
    loader = tensorflow_loader(batches)
    dataset = loader.dataset()
    assert dataset.cardinality() == STEPS
    assert [epoch_of(data, indices(dataset)) for _ in range(2)] == [0, 1]
    assert batches.state_dict() == state_at(0, 0, data)
    assert epoch_of(data, indices(loader)) == 0


def test_the_same_state_goes_through_all_frameworks(data: Dataset) -> None:
    """One epoch, each two batches of it by another loader, with another batch size than before."""
    state = state_at(7, 0, data)
    seen: list[int] = []
    makers: list[Any] = [jax_loader, TorchLoader, tensorflow_loader, lambda batches: batches]
    for size, make in zip((5, 8, 3, 7), makers, strict=True):
        loader = make(data.batches(size, shuffle=True))
        loader.load_state_dict(state)
        seen += [index for batch in indices(islice(iter(loader), 2)) for index in batch]
        state = json.loads(json.dumps(loader.state_dict()))
    assert seen == [index for batch in due(data, 7) for index in batch][:46]


# 4. Threads and habits


@pytest.mark.parametrize("prefetch", [0, 3])
def test_eight_threads_draw_each_batch_once(prefetch: int, data: Dataset) -> None:
    loader = jax_loader(data.batches(1, shuffle=True, prefetch=prefetch))
    one = iter(loader)

    def draw(_: int) -> Indices:
        found = []
        while (batch := next(one, None)) is not None:
            found.append(np.asarray(batch.indices).tolist())
        return found

    with ThreadPoolExecutor(8) as pool:
        found = [batch for part in pool.map(draw, range(8)) for batch in part]
    assert sorted(found) == [[index] for index in range(ROWS)]
    assert loader.remaining == 0


@all_kinds
def test_passes_are_objects_and_the_last_batch_is_last(kind: str, data: Dataset) -> None:
    loader = loader_of(kind, data)
    one = iter(loader)
    assert iter(one) is one
    steps = [number for number, _ in enumerate(one) if (number + 1) % 4 == 0 or number + 1 == len(loader)]
    assert steps == [3, 5]
    assert next(one, None) is None
    next(iter(loader))  # a look
    assert sorted(index for batch in indices(loader) for index in batch) == list(range(ROWS))


@counted
def test_a_loop_over_a_pass_that_ended_is_refused(kind: str, data: Dataset) -> None:
    one = iter(loader_of(kind, data))
    assert len(indices(one)) == STEPS
    with pytest.raises(UsageError, match="got a pass that has ended"):
        indices(one)


@all_kinds
def test_as_ignite_runs(kind: str, data: Dataset) -> None:
    loader = loader_of(kind, data)
    epoch_length, iterator = len(loader), iter(loader)
    for epoch in range(3):
        found: list[Any] = []
        while len(found) < epoch_length:
            try:
                found.append(next(iterator))
            except StopIteration:
                iterator = iter(loader)
        assert epoch_of(data, indices(found)) == epoch
