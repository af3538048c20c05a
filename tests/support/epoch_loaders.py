"""Every loader that runs in this process or in PyTorch's workers, in one table: what tests of epochs go through."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from _pytest.mark import ParameterSet
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

from lra_data.loading.batches import Batches
from lra_data.loading.dataset import Dataset
from lra_data.loading.frameworks.torch_batches import BatchSampler, TorchBatches, TorchExamples, TorchLoader

ROWS, BATCH, STEPS = 48, 8, 6
Indices = list[list[int]]


def indices(batches: Iterable[Any]) -> Indices:
    """The examples' numbers, batch by batch."""
    return [np.asarray(batch.indices).tolist() for batch in batches]


@cache
def due(data: Dataset, epoch: int) -> Indices:
    """What the spec calls the content of an epoch: batches that begin with it and are iterated once."""
    return indices(data.batches(BATCH, shuffle=True, epoch=epoch, rank=0, world_size=1))


def state_at(epoch: int, taken: int, data: Dataset) -> dict[str, Any]:
    """A state in the form that versions up to ef67265 saved, for these rows."""
    identity = data.batches(BATCH, shuffle=True).state_dict()["data"]
    return {"data": identity, "order": "shuffled", "seed": 0, "epoch": epoch, "taken": taken}


def by_count(loader: Any) -> Indices:
    """A pass as Lightning and ignite take it: `len(loader)` batches, and StopIteration is never seen."""
    return indices(batch for _, batch in zip(range(len(loader)), loader, strict=False))


def epoch_of(data: Dataset, found: Indices, among: Iterable[int] = range(9)) -> int | str:
    """Which epoch these batches are, whole and in order; what came instead, in words."""
    for epoch in among:
        if due(data, epoch) == found:
            return epoch
    return f"no whole epoch, but {len(found)} batches of {sum(map(len, found))} rows: {found}"


def users_own(batch: Any) -> Any:
    """A collate_fn of the user's: batches come out of it as other objects."""
    return type(batch)(*(part.clone() for part in batch))


@dataclass(frozen=True)
class Kind:
    """make: the loader over batches of a split. set_epoch: of the loader that `make` gave."""

    make: Callable[[Dataset, Batches], Any]
    set_epoch: Callable[[Any], Callable[[int], None]]
    # What is left over of an iterator that nothing was drawn from may count where batches do not come back unchanged.
    undrawn_may_count: bool = False
    # PyTorch has one iterator for workers that are kept.
    one_iterator: bool = False
    # The object whose `remaining` and state are the loader's.
    ledger: Callable[[Any], Any] | None = None
    workers: int = 0


def _ours(workers: int) -> Kind:
    return Kind(
        lambda _, batches: TorchLoader(batches, num_workers=workers),
        lambda loader: loader.set_epoch,
        ledger=lambda loader: loader,
        workers=workers,
    )


def _of_dataset(loader: Any) -> Callable[[int], None]:
    return loader.dataset.set_epoch  # type: ignore[no-any-return]


def _theirs(**options: Any) -> Callable[[Dataset, Batches], Any]:
    def make(_: Dataset, batches: Batches) -> Any:
        return DataLoader(TorchBatches(batches), batch_size=None, **options)

    return make


def _stateful(workers: int) -> Kind:
    return Kind(
        lambda _, batches: StatefulDataLoader(TorchBatches(batches), batch_size=None, num_workers=workers),
        _of_dataset,
        workers=workers,
    )


def _sampled(workers: int) -> Kind:
    def make(data: Dataset, batches: Batches) -> Any:
        examples = TorchExamples(data)
        sampler = BatchSampler(batches)
        return DataLoader(examples, batch_sampler=sampler, collate_fn=examples.collate, num_workers=workers)

    def sampler(loader: Any) -> Any:
        return loader.batch_sampler

    return Kind(
        make,
        lambda loader: loader.batch_sampler.set_epoch,
        undrawn_may_count=workers > 0,
        ledger=None if workers else sampler,
        workers=workers,
    )


KINDS = {
    "Batches": Kind(
        lambda _, batches: batches,
        lambda loader: loader.set_epoch,
        ledger=lambda loader: loader,
    ),
    "TorchLoader": _ours(0),
    "TorchLoader, 2 workers": _ours(2),
    "DataLoader": Kind(_theirs(), _of_dataset),
    "DataLoader, 2 new workers": Kind(_theirs(num_workers=2), _of_dataset, workers=2),
    "DataLoader, 2 kept workers": Kind(
        _theirs(num_workers=2, persistent_workers=True), _of_dataset, one_iterator=True, workers=2
    ),
    "DataLoader, own collate_fn": Kind(_theirs(collate_fn=users_own), _of_dataset),
    "DataLoader, own collate_fn, 2 new workers": Kind(
        _theirs(collate_fn=users_own, num_workers=2), _of_dataset, undrawn_may_count=True, workers=2
    ),
    "DataLoader, own collate_fn, 2 kept workers": Kind(
        _theirs(collate_fn=users_own, num_workers=2, persistent_workers=True),
        _of_dataset,
        undrawn_may_count=True,
        one_iterator=True,
        workers=2,
    ),
    "BatchSampler": _sampled(0),
    "BatchSampler, 2 workers": _sampled(2),
    "StatefulDataLoader": _stateful(0),
    "StatefulDataLoader, 2 workers": _stateful(2),
}


# With workers: ours, and the one that PyTorch keeps, for loops that differ little. The first is for the quick tests.
_FEW = ["TorchLoader, 2 workers", "DataLoader, 2 kept workers"]


def names(chosen: Callable[[Kind], bool]) -> list[ParameterSet]:
    """The kinds for which this holds; those with workers that PyTorch starts are slow."""
    return [
        pytest.param(name, marks=[pytest.mark.slow] if kind.workers and name != _FEW[0] else [])
        for name, kind in KINDS.items()
        if chosen(kind)
    ]


all_kinds = pytest.mark.parametrize("kind", names(lambda _: True))
few_kinds = pytest.mark.parametrize("kind", names(lambda kind: not kind.workers or kind in map(KINDS.get, _FEW)))
with_ledger = pytest.mark.parametrize("kind", names(lambda kind: kind.ledger is not None))


def batches_of(data: Dataset, **options: Any) -> Batches:
    return data.batches(BATCH, shuffle=True, **options)


def loader_of(kind: str, data: Dataset, **options: Any) -> Any:
    return KINDS[kind].make(data, batches_of(data, **options))


def batches_below(loader: Any) -> Batches:
    """The Batches that a loader was made of."""
    if isinstance(loader, Batches):
        return loader
    if isinstance(loader, TorchLoader):
        return loader.batches
    if isinstance(loader.batch_sampler, BatchSampler):
        return loader.batch_sampler.batches
    found: Batches = loader.dataset.batches
    return found
