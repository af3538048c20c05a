"""Which epoch comes next, in every loader, after every habit of a training loop.

Written from the specification alone, by someone who had not read the code that keeps count.
"""

from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

import lra_data
from lra_data.errors import UsageError
from lra_data.loading.dataset import Dataset
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
    assert next(one, None) is None  # and stays at its end
    two = iter(loader)
    assert KINDS[kind].one_iterator or two is not one
    assert epoch_of(data, indices(two)) == 1


@pytest.mark.parametrize("kind", ["Batches", "TorchLoader", "TorchLoader, 2 workers"])
def test_a_loop_over_a_pass_that_ended_is_refused(kind: str, data: Dataset) -> None:
    """As a trainer does that was given `iter(loader)`: it would train one epoch, and then nothing, in silence."""
    one = iter(loader_of(kind, data))
    assert len(indices(one)) == STEPS
    with pytest.raises(UsageError, match="got a pass that has ended"):
        indices(one)


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
    found = [epoch_of(data, [pair[side] for pair in pairs]) for side in (0, 1)]
    # Workers of a loader of the user's own begin before anything is drawn, as for an `iter` from which nothing will be.
    assert found == [0, 1] or (KINDS[kind].workers and "TorchLoader" not in kind and found == [0, 0])


def _twice(loader: Any) -> Any:
    return zip(loader, loader, strict=True)


# 2. Lengths, and what is left


@few_kinds
def test_lengths_of_several_epochs(kind: str, data: Dataset) -> None:
    loader = loader_of(kind, data, epochs=2)
    assert len(loader) == 2 * STEPS
    assert indices(loader) == due(data, 0) + due(data, 1)
    assert len(loader) == 2 * STEPS
    assert by_count(loader) == due(data, 2) + due(data, 3)
    assert len(loader) == 2 * STEPS


@few_kinds
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


@few_kinds
def test_the_last_batch_is_last_once_an_epoch(kind: str, data: Dataset) -> None:
    """Gradients are accumulated over four batches, and over what is left at the end."""
    loader = loader_of(kind, data)
    for _ in range(2):
        steps = [i for i, _ in enumerate(loader) if (i + 1) % 4 == 0 or i + 1 == len(loader)]
        assert steps == [3, 5]


@few_kinds
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


@few_kinds
def test_choosing_before_each_epoch_as_accelerate_and_lightning_do(kind: str, data: Dataset) -> None:
    loader = loader_of(kind, data)
    choose = KINDS[kind].set_epoch(loader)
    for epoch in range(3):
        choose(epoch)
        assert epoch_of(data, by_count(loader)) == epoch
