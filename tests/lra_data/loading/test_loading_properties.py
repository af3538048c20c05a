"""The order of an epoch against a plain restatement of it, on any ranks, after any kills, and in PyTorch's loaders."""

import json
import multiprocessing
import pickle
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

import lra_data
from lra_data import UsageError
from lra_data.building import shard_job as building_shards
from lra_data.corpus import Corpus
from lra_data.loading.batch_making.batch_sources import BuiltSource, Prepared
from lra_data.loading.batch_making.collate import BatchShape
from lra_data.loading.batches import Batches
from lra_data.loading.dataset import Dataset
from lra_data.loading.epoch.windowed import Bucketed, Windowed
from lra_data.loading.frameworks.torch_batches import BatchSampler, TorchBatches, TorchExamples, TorchLoader, to_device
from tests.conftest import ALL_FORMATS
from tests.oracles import loading_oracle as oracle

MINI = "listops/mini"
MANY = {"train": 331, "validation": 1, "test": 5}
BLOCK = 16
TRAIN = lra_data.get_task(MINI).sizes["train"]

Options = dict[str, Any]
Sets = dict[str, Path]

# One of each kind of order, for tests that do not draw them.
KINDS: dict[str, Options] = {
    "rows": {},
    "shuffled": {"shuffle": True, "seed": 3},
    "windowed": {"shuffle": True, "window": 23, "shards_at_once": 2, "seed": 4},
    "bucketed rows": {"bucket_window": 50},
    "bucketed": {"shuffle": True, "bucket_window": 40, "seed": 1},
    "bucketed windows": {"shuffle": True, "window": 60, "bucket_window": 33},
}

fixtures_are_shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture(scope="module")
def sets(small_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Sets:
    """`small`: two train shards of one record batch each; `many`: seven of three record batches."""
    many = tmp_path_factory.mktemp("many")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building_shards, "BATCH_ROWS", BLOCK)
        lra_data.build(MINI, many, num_shards=7, sizes=MANY, formats=ALL_FORMATS)
    return {"small": small_root, "many": many}


@pytest.fixture(scope="module")
def rows(sets: Sets) -> list[dict[str, Any]]:
    """All train rows of `small`, whose first are those of `many`: the same examples, counted on."""
    return list(lra_data.load(MINI, split="train", root=sets["small"])[:].to_pylist())


@pytest.fixture(scope="module")
def part(sets: Sets) -> Dataset:
    return lra_data.load(MINI, split="train[40:140]", root=sets["many"])


def order_of(root: Path, data: Dataset, rows: Sequence[dict[str, Any]], options: Options) -> oracle.Order:
    """The oracle's order for the arguments of `batches`, with shards as the manifest says."""
    shards = {}
    block = 64
    first, last = data.selected.start, data.selected.stop
    for shard in json.loads((root / MINI / "manifest.json").read_text())["shards"]:
        if shard["split"] == data.split:
            shards[shard["start"]] = min(shard["stop"], last) - max(shard["start"], first)
    names = ("shuffle", "window", "shards_at_once", "bucket_window", "seed")
    return oracle.Order(
        **{name: options[name] for name in names if name in options},
        shards=tuple(count for _, count in sorted(shards.items()) if count > 0),
        block=block,
        lengths=tuple(len(rows[index]["inputs"]) for index in data.selected),
    )


def made(first: int, count: int) -> list[dict[str, Any]]:
    """Rows of train, the split's or beyond it."""
    return list(lra_data.generate(MINI, "train", first, first + count).to_pylist())


def check_contents(batch: Any, rows: Sequence[dict[str, Any]] | Mapping[int, dict[str, Any]]) -> None:
    """Every field is what the rows with the batch's indices hold, padded with zeros."""
    due = [rows[index] for index in batch.indices.tolist()]
    width = max((len(row["inputs"]) for row in due), default=0)
    assert batch.inputs.shape == (len(due), 1, width)
    assert batch.lengths.tolist() == [[len(row["inputs"])] for row in due]
    assert batch.labels.tolist() == [row["label"] for row in due]
    assert batch.inputs[:, 0].tolist() == [row["inputs"] + [0] * (width - len(row["inputs"])) for row in due]


def indices(batches: Iterable[Any]) -> list[list[int]]:
    return [batch.indices.tolist() for batch in batches]


def exact(batch: Any) -> tuple[Any, ...]:
    """A batch as something that compares byte for byte."""
    parts = [np.asarray(part) for part in batch]
    return tuple((part.dtype.str, part.shape, part.tobytes()) for part in parts)


def joined(parts: Iterable[list[Any]]) -> list[Any]:
    return [one for part in parts for one in part]


def through_json(state: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads(json.dumps(state)))


@st.composite
def order_options(draw: st.DrawFn, *, window: bool | None = None) -> Options:
    """Arguments of `batches` for any kind of order; window: with or without one for sure."""
    options: Options = {"seed": draw(st.sampled_from([0, 1, 77, 2**64 - 1]))}
    if draw(st.booleans()):
        options["bucket_window"] = draw(st.sampled_from([1, 2, 15, 16, 17, 40, 331, 5000]))
    if window or (window is None and draw(st.booleans())):
        options |= {
            "shuffle": True,
            "window": draw(st.sampled_from([1, 2, 7, 16, 47, 60, 331, 5000])),
            "shards_at_once": draw(st.integers(1, 9)),
        }
    elif draw(st.booleans()):
        options["shuffle"] = True
    return options


@st.composite
def slices(draw: st.DrawFn) -> tuple[int, int]:
    """Bounds in `many`, often empty, of one row, or the whole split."""
    first = draw(st.integers(0, MANY["train"]))
    length = draw(st.one_of(st.integers(0, 3), st.integers(0, MANY["train"])))
    return draw(st.sampled_from([(first, min(first + length, MANY["train"])), (0, MANY["train"])]))


# 1. What stands in which batch


@given(
    bounds=slices(),
    format_name=st.sampled_from(ALL_FORMATS),
    data=st.data(),
    batch_size=st.one_of(st.integers(1, 40), st.sampled_from([100, 400, 2**40])),
    world_size=st.one_of(st.integers(1, 6), st.just(400)),
    remainder=st.sampled_from(["keep", "drop", "pad"]),
    epoch=st.integers(0, 3),
    epochs=st.integers(1, 3),
)
@settings(fixtures_are_shared, max_examples=60)
def test_batches_are_the_oracles(
    sets: Sets,
    rows: list[dict[str, Any]],
    bounds: tuple[int, int],
    format_name: str,
    data: st.DataObject,
    batch_size: int,
    world_size: int,
    remainder: str,
    epoch: int,
    epochs: int,
) -> None:
    if remainder == "pad":
        batch_size, world_size = min(batch_size, 100), min(world_size, 6)
    options = data.draw(order_options(window=None if format_name == "arrow" else True))
    split = lra_data.load(MINI, split=f"train[{bounds[0]}:{bounds[1]}]", root=sets["many"], format_name=format_name)
    order = order_of(sets["many"], split, rows, options)
    seen = Counter[int]()
    ranks = range(world_size) if world_size <= 6 else (0, 1, 2, 199, 330, 331, 399)
    for rank in ranks:
        batches = split.batches(
            batch_size,
            **options,
            remainder=remainder,
            rank=rank,
            world_size=world_size,
            epoch=epoch,
            epochs=epochs,
        )
        due = oracle.stream(
            order,
            len(split),
            batch_size=batch_size,
            rank=rank,
            world_size=world_size,
            remainder=remainder,
            epoch=epoch,
            epochs=epochs,
            first_index=bounds[0],
        )
        assert len(batches) == len(due)
        found = list(batches)
        assert indices(found) == due
        for batch in found[:3] + found[-2:]:
            check_contents(batch, rows)
        seen.update(index for batch in due for index in batch)
    if remainder == "keep" and len(ranks) == world_size:
        assert seen == Counter(dict.fromkeys(range(*bounds), epochs))


@given(data=st.data(), format_name=st.sampled_from(ALL_FORMATS), bounds=st.tuples(*[st.integers(0, 1500)] * 2))
@settings(fixtures_are_shared, max_examples=12)
def test_batches_of_two_shards_are_the_oracles(
    sets: Sets, rows: list[dict[str, Any]], data: st.DataObject, format_name: str, bounds: tuple[int, int]
) -> None:
    options = data.draw(order_options(window=None if format_name == "arrow" else True))
    name = f"train[{min(bounds)}:{max(bounds)}]"
    split = lra_data.load(MINI, split=name, root=sets["small"], format_name=format_name)
    order = order_of(sets["small"], split, rows, options)
    found = list(split.batches(97, **options, epoch=5, prefetch=2, threads=2))
    assert indices(found) == oracle.stream(order, len(split), batch_size=97, epoch=5, first_index=min(bounds))
    for batch in found:
        check_contents(batch, rows)


@given(
    first=st.sampled_from([0, 40, 1000]),
    n=st.integers(0, 60),
    options=order_options(window=False),
    batch_size=st.integers(1, 30),
    world_size=st.integers(1, 3),
    fresh=st.booleans(),
)
@settings(fixtures_are_shared, max_examples=20)
def test_virtual_batches_and_fresh_ones_are_the_oracles(
    rows: list[dict[str, Any]], first: int, n: int, options: Options, batch_size: int, world_size: int, fresh: bool
) -> None:
    split = lra_data.load(MINI, split=f"train[{first}:{first + n}]")
    numbered: dict[int, dict[str, Any]] = {}
    for rank in range(world_size):
        ranks: Options = {"rank": rank, "world_size": world_size}
        due = []
        for epoch in (1, 2):
            begin = TRAIN + (epoch - 1) * n if fresh else first
            numbered.update(zip(range(begin, begin + n), made(begin, n) if fresh else rows[begin:], strict=False))
            lengths = tuple(len(numbered[index]["inputs"]) for index in range(begin, begin + n))
            order = oracle.Order(**options, lengths=lengths)
            due += oracle.stream(order, n, batch_size=batch_size, **ranks, epoch=epoch, first_index=begin)
        found = list(split.batches(batch_size, **options, **ranks, epoch=1, epochs=2, fresh=fresh))
        assert indices(found) == due
        for batch in found:
            check_contents(batch, numbered)


@given(
    shards=st.lists(st.integers(1, 30), max_size=8),
    block=st.integers(1, 12),
    window=st.integers(1, 80),
    at_once=st.integers(1, 9),
    bucket_window=st.integers(1, 90),
    epoch=st.integers(0, 2**40),
    data=st.data(),
)
@settings(deadline=None, max_examples=60)
def test_any_shards_and_blocks(
    shards: list[int], block: int, window: int, at_once: int, bucket_window: int, epoch: int, data: st.DataObject
) -> None:
    """The two orders by themselves, for shards that no build has, at positions in any sequence."""
    n = sum(shards)
    lengths = data.draw(st.lists(st.integers(1, 5), min_size=n, max_size=n))
    asked = np.array(data.draw(st.permutations(range(n)))[:20], dtype=np.int64)
    starts = np.cumsum([0, *shards])
    order = Windowed(starts, block=block, window=window, at_once=at_once, seed=1, epoch=epoch)
    due = oracle.windowed(shards, block, window, at_once, 1, epoch)
    assert order(asked).tolist() == [due[position] for position in asked.tolist()]
    table = np.array(lengths, dtype=np.int32)
    sorted_order = Bucketed(order, lambda places: table[places], n=n, window=bucket_window, seed=1, epoch=epoch)
    due = oracle.bucketed(due, lengths, bucket_window, 1, epoch)
    assert sorted(due) == list(range(n))
    assert sorted_order(asked).tolist() == [due[position] for position in asked.tolist()]


@pytest.mark.parametrize(("remainder", "rank"), [("keep", 0), ("drop", 1), ("pad", 2)])
def test_an_epoch_of_many_blocks_of_positions(remainder: str, rank: int) -> None:
    """More positions than are put in order at a time, with whole steps and a last one."""
    split = lra_data.load(MINI, split="train[7:9_507]")
    share: Options = {"remainder": remainder, "rank": rank, "world_size": 3, "epoch": 1}
    due = oracle.stream(oracle.Order(shuffle=True, seed=9), 9_500, batch_size=700, **share, first_index=7)
    assert len(due) == 4 + (remainder != "drop")
    assert indices(split.batches(700, shuffle=True, seed=9, **share)) == due


# 2. Kills, and other ranks and batch sizes after them


@given(
    bounds=slices(),
    options=order_options(),
    turns=st.lists(
        st.tuples(st.integers(1, 6), st.integers(1, 30), st.integers(0, 4), st.sampled_from(ALL_FORMATS)), max_size=5
    ),
    last=st.tuples(st.integers(1, 6), st.integers(1, 40), st.sampled_from(ALL_FORMATS)),
    prefetch=st.sampled_from([0, 2]),
)
@settings(fixtures_are_shared, max_examples=40)
def test_exactly_once_over_kills_new_ranks_batch_sizes_and_formats(
    sets: Sets,
    rows: list[dict[str, Any]],
    bounds: tuple[int, int],
    options: Options,
    turns: list[tuple[int, int, int, str]],
    last: tuple[int, int, str],
    prefetch: int,
) -> None:
    state: dict[str, Any] | None = None
    seen: list[int] = []
    order: list[int] = []
    for world_size, batch_size, steps, wanted in [*turns, (last[0], last[1], 10**6, last[2])]:
        format_name = wanted if "window" in options else "arrow"
        name = f"train[{bounds[0]}:{bounds[1]}]"
        split = lra_data.load(MINI, split=name, root=sets["many"], format_name=format_name)
        order = [bounds[0] + place for place in order_of(sets["many"], split, rows, options).epoch(len(split), 2)]
        ranks = [
            split.batches(batch_size, **options, epoch=2, rank=rank, world_size=world_size, prefetch=prefetch)
            for rank in range(world_size)
        ]
        if seen and len(seen) == len(order):
            break  # a state with nothing left starts the next epoch
        for batches in ranks:
            if state is not None:
                batches.load_state_dict(state)
        for _ in range(min(steps, ranks[0].remaining)):
            parts = [next(batches) for batches in ranks]
            check_contents(parts[0], rows)
            seen += [index for batch in parts for index in batch.indices.tolist()]
            states = [batches.state_dict() for batches in ranks]
            assert all(one == states[0] for one in states)
        assert {batches.remaining for batches in ranks} == {ranks[0].remaining}
        state = through_json(ranks[0].state_dict())
        assert seen == order[: len(seen)]
    assert seen == order


# 3. Resuming at every step


@pytest.mark.parametrize(("prefetch", "remainder"), [(0, "keep"), (3, "keep"), (2, "drop"), (1, "pad")])
@pytest.mark.parametrize("kind", KINDS)
def test_resuming_at_every_step_gives_the_same_bytes(part: Dataset, kind: str, prefetch: int, remainder: str) -> None:
    options: Options = {**KINDS[kind], "rank": 1, "world_size": 2, "epochs": 2, "remainder": remainder}
    whole = [exact(batch) for batch in part.batches(7, **options)]
    after = [exact(batch) for batch in part.batches(7, **options, epoch=2)]
    ahead: Options = {"prefetch": prefetch, "threads": 2 if prefetch else 1}
    running = part.batches(7, **options, **ahead)
    for step in range(len(whole) + 1):
        again = part.batches(7, **options, **ahead)
        again.load_state_dict(through_json(running.state_dict()))
        assert (len(again), again.remaining) == (len(whole), len(whole) - step or len(after))
        assert [exact(batch) for batch in again] == (whole[step:] or after)
        if step < len(whole):
            assert exact(next(running)) == whole[step]
    assert next(running, None) is None


@pytest.mark.parametrize("prefetch", [0, 3])
def test_going_back_and_forth_leaves_nothing_of_the_past(part: Dataset, prefetch: int) -> None:
    """load_state_dict, skip and set_epoch while batches are prepared ahead."""
    whole = [[exact(batch) for batch in part.batches(7, shuffle=True, epoch=epoch)] for epoch in range(2)]
    batches = part.batches(7, shuffle=True, prefetch=prefetch, threads=2)
    start = batches.state_dict()
    for step in (3, 1, 8, 0):
        for due in whole[0][:step]:
            assert exact(next(batches)) == due
        batches.skip(2)
        assert exact(next(batches)) == whole[0][step + 2]
        batches.set_epoch(1)
        assert exact(next(batches)) == whole[1][0]
        assert batches.epoch == 1
        batches.load_state_dict(start)


# 4. Looking ahead


@given(
    options=order_options(),
    n=st.integers(0, 30),
    batch_size=st.integers(1, 12),
    remainder=st.sampled_from(["keep", "drop", "pad"]),
    epochs=st.sampled_from([1, 3, None]),
    moves=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5)), max_size=8),
    prefetch=st.sampled_from([0, 2]),
)
@settings(fixtures_are_shared, max_examples=60)
def test_ahead_places_and_skip_agree_with_next(
    sets: Sets,
    options: Options,
    n: int,
    batch_size: int,
    remainder: str,
    epochs: int | None,
    moves: list[tuple[int, int]],
    prefetch: int,
) -> None:
    split = lra_data.load(MINI, split=f"train[40:{40 + n}]", root=sets["many"])
    same: Options = {**options, "remainder": remainder, "rank": 1, "world_size": 2, "epoch": 1}
    finite = [exact(batch) for batch in split.batches(batch_size, **same, epochs=epochs or 120)]
    batches = split.batches(batch_size, **same, epochs=epochs, prefetch=prefetch)
    at = 0
    for look, move in moves:
        before = batches.state_dict()
        found, places = batches.ahead(look), batches.places(look)
        assert batches.state_dict() == before
        if at + look < len(finite):
            assert found is not None
            assert places is not None
            assert exact(found) == finite[at + look]
            assert (places + 40).tolist() == found.indices.tolist()
        else:
            assert (found, places) == (None, None)
        if at + move > len(finite):
            with pytest.raises(UsageError, match=r"expected to skip (at most|no batch)"):
                batches.skip(move)
            assert batches.state_dict() == before
            continue
        batches.skip(move)
        at += move
        one = next(batches, None)
        assert (one is not None) == (at < len(finite))
        if one is not None:
            assert exact(one) == finite[at]
            at += 1
        elif epochs is not None:
            assert batches.remaining == 0


# 5. Passes


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


# 6. PyTorch

# PyTorch counts this machine's processors, and its StatefulDataLoader calls something that PyTorch has given up.
more_workers_than_processors = pytest.mark.filterwarnings("ignore:This DataLoader will create")
old_call = pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")


def delivered(loader: Iterable[Any], steps: int | None = None) -> list[tuple[Any, ...]]:
    """The next batches of a new pass; the loader is let go before the last one is looked at."""
    found = []
    for batch in loader:
        found.append(exact(batch))
        if len(found) == steps:
            break
    return found


@more_workers_than_processors
@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_torch_loader_gives_the_same_stream_and_goes_on_with_other_workers(part: Dataset, workers: int) -> None:
    options: Options = {"shuffle": True, "window": 20, "rank": 0, "world_size": 2}
    whole = [[exact(batch) for batch in part.batches(5, **options, epoch=epoch)] for epoch in range(3)]
    loader = TorchLoader(part.batches(5, **options), num_workers=workers)
    assert delivered(loader, 4) == whole[0][:4]
    state = through_json(loader.state_dict())
    assert (state["epoch"], state["taken"]) == (0, 40)
    assert (len(loader), loader.remaining) == (len(whole[0]), len(whole[0]) - 4)
    other = TorchLoader(part.batches(5, **options), num_workers=(workers + 2) % 4)
    other.load_state_dict(state)
    assert delivered(other) == whole[0][4:]
    assert delivered(other) == whole[1]
    assert delivered(loader) == whole[1]  # the pass that was left is over
    loader.set_epoch(2)
    assert delivered(loader) == whole[2]
    state = loader.state_dict()
    loader.load_state_dict(state)
    assert (state["epoch"], state["taken"], len(loader)) == (3, 0, len(whole[0]))


def test_torch_loader_in_spawned_workers(part: Dataset) -> None:
    batches = part.batches(11, shuffle=True, bucket_window=40, epochs=2, prefetch=2)
    whole = [exact(batch) for batch in part.batches(11, shuffle=True, bucket_window=40, epochs=2)]
    assert exact(next(batches)) == whole[0]
    batches.load_state_dict(batches.state_dict())
    loader = TorchLoader(batches, num_workers=2, multiprocessing_context="spawn")
    assert delivered(loader) == whole[1:]


@more_workers_than_processors
@pytest.mark.parametrize("remainder", ["keep", "drop", "pad"])
def test_more_workers_than_batches(part: Dataset, remainder: str) -> None:
    for batch_size in (60, 100, 101):
        options: Options = {"remainder": remainder, "shuffle": True}
        loader = TorchLoader(part.batches(batch_size, **options), num_workers=3)
        for epoch in range(2):
            assert delivered(loader) == [exact(batch) for batch in part.batches(batch_size, **options, epoch=epoch)]


def test_plain_data_loader_with_workers_that_are_kept(part: Dataset) -> None:
    whole = [[exact(batch) for batch in part.batches(9, shuffle=True, epoch=epoch)] for epoch in range(3)]
    for workers, kept in ((0, False), (2, True), (2, False)):
        loader: Any = DataLoader(
            TorchBatches(part.batches(9, shuffle=True)), batch_size=None, num_workers=workers, persistent_workers=kept
        )
        assert [delivered(loader) for _ in range(3)] == whole


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_kept_workers_after_a_pass_that_was_left_agree_on_the_epoch(part: Dataset, steps: int) -> None:
    """5 batches on 2 workers: when two were delivered, one worker has reached its end and the other one has not."""
    whole = [[exact(batch) for batch in part.batches(20, shuffle=True, epoch=epoch)] for epoch in range(2)]
    loader: Any = DataLoader(
        TorchBatches(part.batches(20, shuffle=True)), batch_size=None, num_workers=2, persistent_workers=True
    )
    assert delivered(loader, steps) == whole[0][:steps]
    assert delivered(loader) == whole[1]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("ours", [True, False])
def test_length_of_a_loader_before_each_pass(part: Dataset, ours: bool, workers: int) -> None:
    """A progress bar asks for it; PyTorch warns of more batches than that."""
    batches = part.batches(20)
    loader: Any = (
        TorchLoader(batches, num_workers=workers)
        if ours
        else DataLoader(TorchBatches(batches), batch_size=None, num_workers=workers)
    )
    for _ in range(2):
        expected = len(loader)
        assert len(delivered(loader)) == expected


@old_call
@pytest.mark.parametrize("workers", [0, 2])
def test_stateful_data_loader_at_every_step(part: Dataset, workers: int) -> None:
    options: Options = {"shuffle": True, "window": 30, "epoch": 1}
    whole = [exact(batch) for batch in part.batches(17, **options)]

    def stateful() -> Any:
        return StatefulDataLoader(TorchBatches(part.batches(17, **options)), batch_size=None, num_workers=workers)

    running = stateful()
    states = [pickle.loads(pickle.dumps(running.state_dict()))]
    found = []
    for batch in running:
        found.append(exact(batch))
        states.append(pickle.loads(pickle.dumps(running.state_dict())))
    assert found == whole
    for step, state in enumerate(states[:-1]):
        again = stateful()
        again.load_state_dict(state)
        assert delivered(again) == whole[step:]
    if not workers:
        again = stateful()
        again.load_state_dict(states[-1])
        assert delivered(again) == [exact(batch) for batch in part.batches(17, **{**options, "epoch": 2})]


def test_batch_sampler_gives_the_same_batches(part: Dataset) -> None:
    examples = TorchExamples(part)
    batches = part.batches(9, shuffle=True, rank=1, world_size=2)
    loader: Any = DataLoader(examples, batch_sampler=BatchSampler(batches), collate_fn=examples.collate)
    for epoch in range(2):
        due = part.batches(9, shuffle=True, rank=1, world_size=2, epoch=epoch)
        assert delivered(loader) == [exact(batch) for batch in due]


def _rest_of(batches: Batches, answers: Any) -> None:
    batches.load_state_dict(batches.state_dict())
    answers.put(indices(batches))


@pytest.mark.parametrize("kind", ["shuffled", "bucketed"])
def test_a_forked_process_goes_on_although_threads_prepared_batches(part: Dataset, kind: str) -> None:
    """Threads do not survive a fork: a child that waited for them would wait for ever."""
    batches = part.batches(7, **KINDS[kind], prefetch=3, threads=2)
    due = indices(part.batches(7, **KINDS[kind]))
    assert next(batches).indices.tolist() == due[0]
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    child = context.Process(target=_rest_of, args=(batches, answers))
    child.start()
    child.join(2.5)
    try:
        assert child.exitcode == 0
        assert answers.get() == due[1:]
    finally:
        child.kill()
        child.join()
        child.close()
    assert next(batches).indices.tolist() == due[1]


def test_workers_forked_while_a_thread_prepares(part: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that a thread holds at the fork is never let go in the child."""
    quick = BuiltSource.prepare

    def slow(source: BuiltSource, places: NDArray[np.int64], shape: BatchShape) -> Prepared:
        time.sleep(0.3)
        return quick(source, places, shape)

    monkeypatch.setattr(BuiltSource, "prepare", slow)
    batches = part.batches(50, prefetch=1, epochs=3)
    loader: Any = DataLoader(TorchBatches(batches), batch_size=None, num_workers=1, timeout=4)
    next(batches)
    next(batches)  # the thread goes on to the next epoch
    assert len(delivered(loader, 2)) == 2


# 7. Copies


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


# 8. uint8


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


# 9. Wrong use


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
