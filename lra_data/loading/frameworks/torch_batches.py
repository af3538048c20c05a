"""Batches and examples for PyTorch. Only the modules `torch_*.py` import torch.

    batches = lra_data.load("listops/lra", split="train", root="data").batches(32, shuffle=True)
    for batch in TorchLoader(batches, num_workers=2): ...

Use `TorchLoader` to train. It gives each example exactly once over all ranks, with any number of workers. Its
`state_dict` can be resumed with another number of ranks or workers, or another batch size. `TorchBatches` is the
IterableDataset inside, for another loader such as torchdata's StatefulDataLoader; `TorchExamples` is the map-style
dataset. Worker w of N makes the batches w, w + N, …. PyTorch takes batches from its workers in turn, so the stream is
that of one process.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from lra_data.errors import UsageError
from lra_data.loading.batches import STATE, Batches
from lra_data.loading.frameworks.worker_epochs import WorkerPass, WorkerPasses
from lra_data.loading.passes.shared_twice import refuse_second_sharing
from lra_data.optional_import import require

require("torch", "torch")

from torch.utils.data import IterableDataset, get_worker_info  # noqa: E402

from lra_data.loading.frameworks.torch_parts.torch_examples import BatchSampler, TorchExample, TorchExamples  # noqa: E402
from lra_data.loading.frameworks.torch_parts.torch_loader import TorchLoader  # noqa: E402
from lra_data.loading.frameworks.torch_parts.torch_tensors import (  # noqa: E402
    TorchBatch,
    TorchReadBatch,
    marked,
    to_device,
    to_torch,
)
from lra_data.loading.frameworks.torch_parts.torch_workers import batches_arrive  # noqa: E402
from lra_data.shown import Shown  # noqa: E402

__all__ = [
    "BatchSampler",
    "TorchBatch",
    "TorchBatches",
    "TorchExample",
    "TorchExamples",
    "TorchLoader",
    "TorchReadBatch",
    "to_device",
    "to_torch",
]


class TorchBatches(Shown, IterableDataset[TorchBatch | TorchReadBatch]):
    """An IterableDataset of whole batches: give it to a DataLoader with `batch_size=None`. Each `iter` is the next
    epoch, with workers that are kept or started for it.

    Its iterators have `state_dict` and `load_state_dict`. Without workers the state is that of `Batches`. In a worker
    it is the worker's own, and can be loaded only with the same number of workers. With workers, `batches` itself does
    not advance.
    """

    def __init__(self, batches: Batches) -> None:
        super().__init__()
        self.batches = batches
        self._in_workers = WorkerPasses(batches)

    def shown_facts(self) -> dict[str, Any]:
        """See Shown."""
        return self.batches.shown_facts()

    def __getstate__(self) -> dict[str, Any]:
        self._refuse_second_sharing()
        return self.__dict__

    def __deepcopy__(self, memo: dict[int, Any]) -> "TorchBatches":
        return TorchBatches(deepcopy(self.batches, memo))

    def __len__(self) -> int:
        """Batches of a whole pass: see Batches."""
        return len(self.batches)

    @property
    def remaining(self) -> int:
        """Number of batches left: see Batches. With workers, `batches` does not advance."""
        return self.batches.remaining

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next pass, also for workers that are kept: see Batches."""
        self._refuse_second_sharing()  # Accelerate sets the epoch of each pass, in the process that iterates
        self.batches.set_epoch(epoch)

    def _refuse_second_sharing(self) -> None:
        refuse_second_sharing(lambda: self.batches.ranks)

    def __iter__(self) -> Iterator[TorchBatch | TorchReadBatch]:
        self._refuse_second_sharing()
        info = get_worker_info()
        if info is None:
            return _Stream(self.batches)
        own = self._in_workers.begin(info.id, sure=batches_arrive())
        return _WorkerStream(own, info.id, info.num_workers)


class _Stream:
    """All batches of a pass in this process."""

    def __init__(self, batches: Batches) -> None:
        self._batches, self._pass = batches, iter(batches)

    def __iter__(self) -> "_Stream":
        return self

    def __next__(self) -> TorchBatch | TorchReadBatch:
        return to_torch(next(self._pass))

    def state_dict(self) -> dict[str, Any]:
        return self._pass.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._batches.load_state_dict(state)
        self._pass = iter(self._batches)


class _WorkerStream:
    """Every N-th batch of a pass, starting with the worker's number, in the user's own DataLoader.

    Its state holds where the pass began, how many batches this worker has made, and which worker made the first batch,
    unless it was worker 0.
    """

    def __init__(self, own: WorkerPass, worker: int, workers: int) -> None:
        self._own, self._worker, self._workers = own, worker, workers
        self._made = self._first = 0

    def _step(self) -> int:
        return (self._worker - self._first) % self._workers + self._made * self._workers

    def __iter__(self) -> "_WorkerStream":
        return self

    def __next__(self) -> TorchBatch | TorchReadBatch:
        place = self._own.position.place(self._step())
        if place is None:
            raise StopIteration
        batch = to_torch(self._own.position.maker.batch(*place))
        self._made += 1
        return marked(batch, self._own.mark)

    def state_dict(self) -> dict[str, Any]:
        state = self._own.batches.state_of(self._own.position)
        first = {"first": self._first} if self._first else {}
        return {**state, "worker": self._worker, "workers": self._workers, "made": self._made, **first}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        here = {"worker": self._worker, "workers": self._workers}
        found = {name: state.get(name) for name in here}
        if found != here:
            raise UsageError(
                f"expected a state of {here}, got {found}: a StatefulDataLoader resumes with as many workers; "
                "TorchLoader with any"
            )
        self._made, self._first = state["made"], state.get("first", 0)
        place = {name: value for name, value in state.items() if name in STATE}
        first = self._own.load(place, self._step(), self._workers)
        if first is not None:
            self._made, self._first = 0, first
