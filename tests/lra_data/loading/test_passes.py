"""Passes, copies and pickles of batches, and inputs widened from uint8."""

import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import lra_data
from lra_data import UsageError
from lra_data.corpus import Corpus
from lra_data.loading.batches import Batches
from lra_data.loading.dataset import Dataset
from lra_data.loading.frameworks.torch_batches import TorchLoader, to_device
from tests.support.orders_of_batches import (
    KINDS,
    MINI,
    Options,
    Sets,
    exact,
    fixtures_are_shared,
    indices,
    joined,
    order_options,
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("epochs", [1, 2])
def test_the_next_pass_is_the_next_epoch(part: Dataset, kind: str, epochs: int) -> None:
    due = [indices(part.batches(30, **KINDS[kind], epoch=epoch)) for epoch in range(6)]
    batches = part.batches(30, **KINDS[kind], epochs=epochs)
    for first in range(0, 4, epochs):
        assert indices(batches) == joined(due[first : first + epochs])
        assert (len(batches), batches.remaining) == (4 * epochs, 0)
    batches.set_epoch(1)
    assert indices(batches) == joined(due[1 : 1 + epochs])
    batches.set_epoch(0)
    next(batches)
    assert indices(batches) == joined(due[epochs : 2 * epochs])  # a pass that was left is over


@pytest.mark.parametrize("prefetch", [0, 2])
def test_states_at_the_end_of_an_epoch(part: Dataset, prefetch: int) -> None:
    """Inside the loop nothing is left of the pass; behind it the next pass is due, whichever process goes on."""
    batches = part.batches(30, shuffle=True, epoch=1)
    for _ in range(len(batches)):
        next(batches)
    inside = batches.state_dict()
    assert next(batches, None) is None
    behind = batches.state_dict()
    assert (inside["epoch"], inside["taken"]) == (1, len(part))
    assert (behind["epoch"], behind["taken"], batches.epoch) == (2, 0, 2)
    due = indices(part.batches(30, shuffle=True, epoch=2))
    again = part.batches(30, shuffle=True, prefetch=prefetch)
    again.load_state_dict(inside)
    assert (again.remaining, again.epoch) == (4, 2)
    assert indices(again) == due
    again.load_state_dict(behind)
    assert indices(again) == due
    assert indices(batches) == due


def test_a_state_of_an_earlier_epoch_ends_with_that_epoch(part: Dataset) -> None:
    """One pass is one epoch, also for who goes back to an old checkpoint in the same process."""
    batches = part.batches(30, shuffle=True)
    next(batches)
    state = batches.state_dict()
    rest = indices(part.batches(30, shuffle=True))[1:]
    for _ in range(2):
        list(batches)
    batches.load_state_dict(state)
    assert indices(batches) == rest


def test_endless_runs(part: Dataset) -> None:
    batches = part.batches(30, shuffle=True, epochs=None)
    due = joined(indices(part.batches(30, shuffle=True, epoch=epoch)) for epoch in range(5))
    assert [next(batches).indices.tolist() for _ in due] == due
    state = batches.state_dict()
    again = part.batches(30, shuffle=True, epochs=None, prefetch=2)
    again.load_state_dict(state)
    assert next(again).indices.tolist() == next(batches).indices.tolist()
    with pytest.raises(TypeError, match="batches without an end have no length"):
        len(batches)


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("epochs", [1, 3, None])
def test_epochs_without_any_step_end(sets: Sets, epochs: int | None, prefetch: int) -> None:
    for name, remainder in (("train[:20]", "drop"), ("train[9:9]", "keep"), ("train[9:9]", "pad")):
        split = lra_data.load(MINI, split=name, root=sets["many"])
        batches = split.batches(21, remainder=remainder, epochs=epochs, prefetch=prefetch)
        assert batches.ahead(0) is None
        assert batches.places(10**9) is None
        for _ in range(2):
            assert list(batches) == []
        with pytest.raises(UsageError, match="expected to skip"):
            batches.skip(1)


@pytest.mark.parametrize("prefetch", [0, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_pickles_go_on_where_they_were(part: Dataset, kind: str, prefetch: int) -> None:
    virtual = lra_data.load(MINI, split="train[40:140]")
    for split in (part, virtual) if "window" not in KINDS[kind] else (part,):
        batches = split.batches(13, **KINDS[kind], prefetch=prefetch, epochs=2)
        one = iter(batches)
        for step in range(10):
            copy = pickle.loads(pickle.dumps(batches))
            assert copy.remaining == batches.remaining == 16 - step
            rest = [exact(copy.__next__()) for _ in range(copy.remaining)]
            assert rest[0] == exact(next(batches))
        assert rest[1:] == [exact(batch) for batch in one]
        again = pickle.loads(pickle.dumps(batches))  # of a pass that is over
        assert [exact(batch) for batch in again] == [exact(batch) for batch in batches]


def test_pickled_datasets(part: Dataset) -> None:
    virtual = lra_data.load(MINI, split="train[40:140]")
    for split in (part, virtual, lra_data.load(MINI, split="train[3:3]")):
        copy = pickle.loads(pickle.dumps(split))
        assert (copy.identity, len(copy), copy.selected) == (split.identity, len(split), split.selected)
        assert copy[:].equals(split[:])
        batches = split.batches(30, shuffle=True)
        assert [exact(batch) for batch in copy.batches(30, shuffle=True)] == [exact(batch) for batch in batches]
        again = pickle.loads(pickle.dumps(copy))
        assert again.batches(30, shuffle=True).state_dict() == split.batches(30, shuffle=True).state_dict()


@given(
    options=order_options(),
    shape=st.fixed_dictionaries(
        {},
        optional={
            "max_length": st.integers(1, 130),
            "pad_to_multiple_of": st.integers(1, 70),
            "offset": st.integers(0, 300),
        },
    ),
    batch_size=st.integers(1, 40),
)
@settings(fixtures_are_shared, max_examples=25)
def test_uint8_is_widened_to_the_same(part: Dataset, options: Options, shape: Options, batch_size: int) -> None:
    wide = part.batches(batch_size, **options, **shape)
    narrow = part.batches(batch_size, **options, **shape, dtype="uint8")
    assert (wide.offset, narrow.offset) == (0, shape.get("offset", 0))
    check_widened(narrow, wide)


def check_widened(narrow: Batches, wide: Batches) -> None:
    for one, two in zip(TorchLoader(narrow), wide, strict=True):
        assert one.inputs.dtype == torch.uint8
        moved = to_device(one, "cpu", offset=narrow.offset)  # type: ignore[arg-type]
        assert exact(moved) == exact(two)


@pytest.mark.parametrize("name", ["text/holdout", "retrieval/by-pair", "image/rgb"])
@pytest.mark.parametrize("shape", [{}, {"max_length": 100, "pad_to": 128}, {"offset": 0}])
def test_bytes_and_pixels_are_widened_to_the_same(name: str, shape: Options, corpora: dict[str, Path]) -> None:
    family = name.partition("/")[0]
    split = lra_data.load(name, split="test[:9]", corpus=Corpus(corpora[family], allow_partial=True))
    narrow, wide = split.batches(4, **shape, dtype="uint8"), split.batches(4, **shape)
    assert narrow.offset == shape.get("offset", int(family != "image"))
    check_widened(narrow, wide)
