"""Loops of other libraries, written out, and any sequence of what a loop may do.

Written from the specification alone, by someone who had not read the code that keeps count.
"""

import json
import pickle
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lra_data
from lra_data.loading.dataset import Dataset
from lra_data.loading.frameworks.torch_batches import TorchLoader
from tests.support.epoch_loaders import (
    BATCH,
    KINDS,
    ROWS,
    STEPS,
    Indices,
    due,
    epoch_of,
    few_kinds,
    indices,
    loader_of,
    names,
)

pytestmark = pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning")  # torchdata, of torch


@pytest.fixture(scope="module")
def data(small_root: Path) -> Dataset:
    return lra_data.load("listops/mini", split=f"train[:{ROWS}]", root=small_root)


# 1. Habits of frameworks, as plain loops


@few_kinds
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


@few_kinds
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


@few_kinds
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


# 2. Any sequence of these

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
