"""PyTorch's loaders give the same stream, with any number of workers, and resume."""

import multiprocessing
import pickle
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

from lra_data.loading.batch_making.batch_sources import BuiltSource, Prepared
from lra_data.loading.batch_making.collate import BatchShape
from lra_data.loading.batches import Batches
from lra_data.loading.dataset import Dataset
from lra_data.loading.frameworks.torch_batches import BatchSampler, TorchBatches, TorchExamples, TorchLoader
from tests.support.orders_of_batches import KINDS, Options, exact, indices, through_json

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


@pytest.mark.slow
def test_torch_loader_in_spawned_workers(part: Dataset) -> None:
    batches = part.batches(11, shuffle=True, bucket_window=40, epochs=2, prefetch=2)
    whole = [exact(batch) for batch in part.batches(11, shuffle=True, bucket_window=40, epochs=2)]
    assert exact(next(batches)) == whole[0]
    batches.load_state_dict(batches.state_dict())
    loader = TorchLoader(batches, num_workers=2, multiprocessing_context="spawn")
    assert delivered(loader) == whole[1:]


@more_workers_than_processors
@pytest.mark.parametrize("remainder", ["keep", "drop", "pad"])
@pytest.mark.slow
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
