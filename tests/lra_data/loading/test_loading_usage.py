"""Wrong arguments, states and environments of batches are refused with one line."""

import re
from typing import Any

import numpy as np
import pytest

import lra_data
from lra_data import UsageError
from lra_data.loading.dataset import Dataset
from lra_data.loading.frameworks.torch_batches import TorchLoader
from tests.support.orders_of_batches import KINDS, MINI, TRAIN, Options, Sets, indices, through_json


def one_line(error: UsageError) -> bool:
    return bool(str(error)) and "\n" not in str(error)


@pytest.mark.parametrize(
    "options",
    [
        *[{name: value} for name in ("epoch", "seed", "prefetch") for value in (-1, True, 1.0, "1", None)],
        {"seed": 2**64},
        *[{name: value} for name in ("epochs", "threads") for value in (0, -1, True, 1.0, "1")],
        *[{"bucket_window": value} for value in (0, -1, True, 1.0, "1")],
        *[{"window": value, "shuffle": True} for value in (0, -1, True, 1.0, "1")],
        *[{"window": 5, "shuffle": True, "shards_at_once": value} for value in (0, -1, True, 1.0, "1", None)],
        *[{"rank": value, "world_size": 3} for value in (-1, 3, True, 1.0, "1")],
        *[{"rank": 0, "world_size": value} for value in (0, -1, True, 1.0, "1")],
        {"world_size": 3},
        {"window": 5},
        {"fresh": True},
        {"remainder": None},
        {"remainder": ["keep"]},
        {"dtype": "int64"},
        {"dtype": np.uint8},
        {"dtype": ["uint8"]},
        {"pad_to_multiple_of": 0},
        {"pad_to_multiple_of": None},
        {"offset": True},
    ],
    ids=repr,
)
def test_wrong_arguments(part: Dataset, options: Options) -> None:
    with pytest.raises(UsageError) as caught:
        part.batches(4, **options)
    assert one_line(caught.value)


@pytest.mark.parametrize("batch_size", [0, -1, True, 1.0, "4", None, np.int64(0)])
def test_wrong_batch_sizes(part: Dataset, batch_size: Any) -> None:
    with pytest.raises(UsageError, match="batch_size must be an integer >= 1"):
        part.batches(batch_size)


@pytest.mark.parametrize("value", [0, 1.5, 3])
def test_shards_at_once_mean_nothing_without_a_window(part: Dataset, value: Any) -> None:
    with pytest.raises(UsageError, match=r"shards_at_once|window"):
        part.batches(4, shuffle=True, shards_at_once=value)


@pytest.mark.parametrize("name", ["window", "bucket_window"])
@pytest.mark.parametrize("value", [2**31, 2**63 - 1, 2**63, 2**70])
def test_windows_larger_than_any_number_of_rows(part: Dataset, name: str, value: int) -> None:
    """As one window, or refused in words; but never an error of NumPy's on the way."""
    large: Options = {name: value}
    due: Options = {name: 10**6}
    try:
        found = indices(part.batches(30, shuffle=True, **large))
    except UsageError:
        return
    assert found == indices(part.batches(30, shuffle=True, **due))


@pytest.mark.parametrize("epoch", [2**40, 2**62, 2**70])
@pytest.mark.parametrize("options", [{"shuffle": True}, {"fresh": True}, {"fresh": True, "bucket_window": 8}], ids=repr)
def test_epochs_beyond_all_numbers(epoch: int, options: Options) -> None:
    """Fresh examples of so late an epoch have numbers that no array holds: that is said in words."""
    split = lra_data.load(MINI, split="train[:20]")
    try:
        found = indices(split.batches(20, **options, epoch=epoch))
    except UsageError:
        return
    first = TRAIN + (epoch - 1) * 20 if "fresh" in options else 0
    assert sorted(found[0]) == list(range(first, first + 20))


@pytest.mark.parametrize("epochs", [1, 3, None])
@pytest.mark.parametrize("steps", [-1, 1.0, 1.5, "1"])
def test_wrong_numbers_of_steps_to_skip(part: Dataset, steps: Any, epochs: int | None) -> None:
    batches = part.batches(30, epochs=epochs)
    next(batches)
    before = batches.state_dict()
    with pytest.raises(UsageError) as caught:
        batches.skip(steps)
    assert one_line(caught.value)
    assert batches.state_dict() == before


@pytest.mark.parametrize("steps", [-1, 1.0, "1"])
@pytest.mark.parametrize("method", ["ahead", "places"])
def test_wrong_numbers_of_steps_to_look_ahead(part: Dataset, steps: Any, method: str) -> None:
    with pytest.raises(UsageError):
        getattr(part.batches(30), method)(steps)


def test_steps_that_numpy_counted_leave_a_state_for_json(part: Dataset) -> None:
    batches = part.batches(30)
    try:
        batches.skip(int(np.int64(1)))
        batches.skip(np.int64(1))  # type: ignore[arg-type]
    except UsageError:
        return
    assert through_json(batches.state_dict())["taken"] == 60


@pytest.mark.parametrize("epoch", [-1, True, 1.0, "1", None])
def test_wrong_epochs_leave_everything_as_it_was(part: Dataset, epoch: Any) -> None:
    batches = part.batches(30, prefetch=2)
    next(batches)
    before = batches.state_dict()
    with pytest.raises(UsageError, match=re.escape(f"epoch must be an integer >= 0, got {epoch!r}")):
        batches.set_epoch(epoch)
    assert batches.state_dict() == before
    assert batches.remaining == 3
    assert [next(batches).indices.tolist() for _ in range(3)] == indices(part.batches(30))[1:]


@pytest.mark.parametrize(
    "change",
    [
        *[{"taken": value} for value in (-1, 101, 1.0, "1", None, True, [1])],
        *[{"epoch": value} for value in (-1, 1.0, "1", None, True, [1])],
        *[{"seed": value} for value in (-1, 2**64, 1.0, "1", None, True, [1])],
        *[{"order": value} for value in ("rows", "", None, 1, ["shuffled"])],
        *[{"data": value} for value in ("0" * 32, "", None, 1, ["x"])],
        {"more": 1},
    ],
    ids=repr,
)
@pytest.mark.parametrize("workers", [False, True])
def test_states_that_were_tampered_with(part: Dataset, change: dict[str, Any], workers: bool) -> None:
    batches = part.batches(30, shuffle=True, prefetch=2)
    next(batches)
    before = batches.state_dict()
    target: Any = TorchLoader(batches) if workers else batches
    with pytest.raises(UsageError) as caught:
        target.load_state_dict({**before, **change})
    assert one_line(caught.value)
    assert batches.state_dict() == before
    assert [next(batches).indices.tolist() for _ in range(3)] == indices(part.batches(30, shuffle=True))[1:]


@pytest.mark.parametrize("state", [None, [], "state", 3, {1: 2}, ["data", "order", "seed", "epoch", "taken"]], ids=repr)
def test_things_that_are_no_state(part: Dataset, state: Any) -> None:
    with pytest.raises(UsageError) as caught:
        part.batches(30).load_state_dict(state)
    assert one_line(caught.value)


def test_states_of_other_orders_are_refused(sets: Sets, part: Dataset) -> None:
    names = list(KINDS)
    for one in names:
        for two in names:
            state = part.batches(7, **KINDS[one]).state_dict()
            if one != two:
                with pytest.raises(UsageError, match="expected a state of the order"):
                    part.batches(7, **KINDS[two]).load_state_dict(state)
    other = lra_data.load(MINI, split="train[40:140]", root=sets["small"])
    other.batches(7, shuffle=True).load_state_dict(part.batches(7, shuffle=True).state_dict())
    windows: Options = {"shuffle": True, "window": 20}
    with pytest.raises(UsageError, match="expected a state of the order"):  # the shards are other ones
        other.batches(7, **windows).load_state_dict(part.batches(7, **windows).state_dict())


@pytest.mark.parametrize("prefetch", [0, 3])
def test_a_batch_that_cannot_be_made_keeps_its_place(part: Dataset, prefetch: int) -> None:
    """Who catches the error and asks again gets no batch that the state does not count."""
    rows = part[:].to_pylist()
    lengths = [[len(row["inputs"]) for row in rows[first : first + 4]] for first in range(0, 100, 4)]
    # The first batch beyond all before it, where those behind it are shorter again.
    too_long = next(
        place for place in range(5, 20) if max(lengths[place]) > max(map(max, lengths[place + 1 : place + 4]))
    )
    batches = part.batches(4, pad_to=max(lengths[too_long]) - 1, prefetch=prefetch, threads=2)
    batches.skip(too_long - 1)
    next(batches)
    before = batches.state_dict()
    for _ in range(2):
        with pytest.raises(UsageError, match="expected sequences of at most pad_to"):
            next(batches)
        assert batches.state_dict() == before
    batches.skip(1)
    for number in (1, 2, 3):
        assert next(batches).lengths[:, 0].tolist() == lengths[too_long + number]


@pytest.mark.parametrize(
    ("rank", "world_size"),
    [("0", "0"), ("2", "2"), ("-1", "2"), ("", "2"), ("0", ""), ("1.0", "2"), ("0", "two"), ("²", "4")],
)
def test_wrong_environments(part: Dataset, monkeypatch: pytest.MonkeyPatch, rank: str, world_size: str) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", world_size)
    with pytest.raises(UsageError) as caught:
        part.batches(4)
    assert one_line(caught.value)
