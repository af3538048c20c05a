"""Batches and examples for PyTorch. The only module of this package that imports torch.

    batches = lra_data.load("listops/lra", split="train", root="data").batches(32, shuffle=True)
    for batch in TorchLoader(batches, num_workers=2): ...

`TorchLoader` is the way to train: exactly once over ranks (RANK and WORLD_SIZE of torchrun), with any number of
workers, and `state_dict` that another number of ranks, workers, or another batch size goes on from. `TorchBatches` is
the IterableDataset inside, for those who bring a loader of their own, as torchdata's StatefulDataLoader;
`TorchExamples` is the map-style dataset. Worker w of N makes the batches w, w + N, …: PyTorch takes them from its
workers in turn, so the stream is that of one process.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy, deepcopy
from functools import partial
from threading import Lock
from typing import Any, NamedTuple

from lra_data.errors import UsageError
from lra_data.loading.batches import STATE, Batches, Pass
from lra_data.loading.collate import Batch, Form, ReadBatch
from lra_data.loading.course import Course
from lra_data.loading.dataset import Dataset
from lra_data.loading.missing_library import require
from lra_data.loading.shared_twice import refuse_second_sharing
from lra_data.loading.worker_epochs import WorkerPass, WorkerPasses

require("torch", "torch")

import torch  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.utils.data import DataLoader, IterableDataset, get_worker_info  # noqa: E402
from torch.utils.data import Dataset as MapDataset  # noqa: E402

from lra_data.loading.torch_workers import Mark, arrive, batches_arrive  # noqa: E402


class TorchBatch(NamedTuple):
    """`collate.Batch` as tensors: inputs (B, S, L) int32 or uint8, lengths (B, S) int32, labels, indices (B,) int64."""

    inputs: Tensor
    lengths: Tensor
    labels: Tensor
    indices: Tensor

    def __reduce__(self) -> tuple[Any, ...]:
        return _pickled(self)


class TorchReadBatch(NamedTuple):
    """`collate.ReadBatch` as tensors: inputs may be float32; keep (B, S, L) bool, False for what is hidden."""

    inputs: Tensor
    lengths: Tensor
    labels: Tensor
    indices: Tensor
    keep: Tensor

    def __reduce__(self) -> tuple[Any, ...]:
        return _pickled(self)


def _marked(batch: TorchBatch | TorchReadBatch, mark: Mark) -> TorchBatch | TorchReadBatch:
    """The batch with a mark, which goes along when a worker sends it: see `torch_workers.py`."""
    batch.indices.lra_data_mark = mark  # type: ignore[attr-defined]
    return batch


def _pickled(batch: TorchBatch | TorchReadBatch) -> tuple[Any, ...]:
    mark = getattr(batch.indices, "lra_data_mark", None)
    return (type(batch), tuple(batch)) if mark is None else (arrive, (type(batch), tuple(batch), mark))


def to_torch(batch: Batch | ReadBatch) -> TorchBatch | TorchReadBatch:
    """The batch's arrays as tensors, without a copy."""
    kind = TorchBatch if len(batch) == len(TorchBatch._fields) else TorchReadBatch
    return kind(*map(torch.from_numpy, batch))


def to_device(batch: TorchBatch, device: torch.device | str, *, offset: int = 0) -> TorchBatch:
    """The batch on a device, its inputs as int32. A batch of uint8 travels as such and is widened there.

    offset: added to the values but not to the padding; `Batches.offset` says what a batch of uint8 needs.
    """
    inputs, lengths, labels, indices = (tensor.to(device, non_blocking=True) for tensor in batch)
    inputs = inputs.to(torch.int32)
    if offset:
        kept = torch.arange(inputs.shape[-1], device=inputs.device) < lengths[..., None]
        inputs = (inputs + offset) * kept
    return TorchBatch(inputs, lengths, labels, indices)


class TorchLoader:
    """Batches as tensors, made in worker processes or, without any, in this one. Each `iter` is the next epoch.

    num_workers: processes; with 0 use `prefetch` of `Dataset.batches` to overlap. pin_memory, prefetch_factor,
    multiprocessing_context: as DataLoader's. The state counts batches that were delivered, whatever workers have ready.
    """

    def __init__(
        self,
        batches: Batches,
        *,
        num_workers: int = 0,
        pin_memory: bool = False,
        prefetch_factor: int | None = None,
        multiprocessing_context: str | None = None,
    ) -> None:
        self.batches = batches
        self._loader = partial(
            DataLoader,
            batch_size=None,
            num_workers=num_workers,
            pin_memory=pin_memory,
            prefetch_factor=prefetch_factor,
            multiprocessing_context=multiprocessing_context,
        )
        self._loader(_CourseBatches(batches.next_pass))  # options that cannot be fail here
        self._num_workers, self._pin_memory = num_workers, pin_memory

    def __repr__(self) -> str:
        return f"TorchLoader({self.batches!r}, num_workers={self._num_workers})"

    def __len__(self) -> int:
        """Batches of a whole pass: see Batches."""
        return len(self.batches)

    @property
    def remaining(self) -> int:
        """Batches that are left: see Batches."""
        return self.batches.remaining

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next pass: see Batches."""
        self.batches.set_epoch(epoch)

    def __iter__(self) -> Iterator[TorchBatch | TorchReadBatch]:
        if self._num_workers:
            return _WorkersPass(iter(self.batches), self._loader)
        if self._pin_memory:
            return iter(self._loader(_PassBatches(iter(self.batches))))
        return map(to_torch, iter(self.batches))

    def state_dict(self) -> dict[str, Any]:
        """See Batches."""
        return self.batches.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See Batches."""
        self.batches.load_state_dict(state)


class _PassBatches(IterableDataset[TorchBatch | TorchReadBatch]):
    """One pass, in this process."""

    def __init__(self, one: Pass) -> None:
        self._pass = one

    def __iter__(self) -> Iterator[TorchBatch | TorchReadBatch]:
        return map(to_torch, self._pass)


class _CourseBatches(IterableDataset[TorchBatch | TorchReadBatch]):
    """One pass, in worker processes: worker w of N makes every N-th batch from w on."""

    def __init__(self, course: Callable[[], Course]) -> None:
        self._course = course

    def __iter__(self) -> Iterator[TorchBatch | TorchReadBatch]:
        info = get_worker_info()
        if info is None:
            raise AssertionError("made for worker processes")
        return _WorkerStream(self._course(), info.id, info.num_workers)


class _WorkersPass:
    """One pass whose batches worker processes make. It counts them when they are delivered."""

    def __init__(self, one: Pass, loader: Callable[[Any], Any]) -> None:
        self._pass, self._loader, self._lock = one, loader, Lock()
        self._delivered: Iterator[TorchBatch | TorchReadBatch] | None = None

    def __iter__(self) -> "_WorkersPass":
        return self

    def __next__(self) -> TorchBatch | TorchReadBatch:
        with self._lock:
            course, first = self._pass.begin()
            try:
                if self._delivered is None:
                    self._delivered = iter(self._loader(_CourseBatches(partial(copy, course))))
                batch = next(self._delivered)
            except StopIteration:
                self._pass.end()
                raise
            except BaseException:
                if first:
                    self._pass.withdraw()
                    self._delivered = None
                raise
            self._pass.skip(1)
            return batch


class TorchBatches(IterableDataset[TorchBatch | TorchReadBatch]):
    """An IterableDataset of whole batches: give it to a DataLoader with `batch_size=None`. Each `iter` is the next
    epoch, with workers that are kept or started for it.

    Its iterators have `state_dict` and `load_state_dict`. Without workers that state is `Batches`' own; in a worker it
    is the worker's, and belongs to the same number of workers. With workers `batches` itself does not move.
    """

    def __init__(self, batches: Batches) -> None:
        super().__init__()
        self.batches = batches
        self._in_workers = WorkerPasses(batches)

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
        """Batches that are left: see Batches. With workers `batches` does not move."""
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
        return _WorkerStream(own.course, info.id, info.num_workers, own)


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
    """Every N-th batch of a pass. A state of it is where the pass began, and how many this worker has made."""

    def __init__(self, course: Course, worker: int, workers: int, own: WorkerPass | None = None) -> None:
        self._course, self._worker, self._workers, self._own = course, worker, workers, own
        self._made = 0

    def __iter__(self) -> "_WorkerStream":
        return self

    def __next__(self) -> TorchBatch | TorchReadBatch:
        place = self._course.place(self._worker + self._made * self._workers)
        if place is None:
            raise StopIteration
        batch = to_torch(self._course.maker.batch(*place))
        self._made += 1
        return batch if self._own is None else _marked(batch, self._own.mark)

    def state_dict(self) -> dict[str, Any]:
        if self._own is None:
            raise AssertionError("TorchLoader counts what it delivers itself")
        state = self._own.batches.state_of(self._course)
        return {**state, "worker": self._worker, "workers": self._workers, "made": self._made}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if self._own is None:
            raise AssertionError("TorchLoader counts what it delivers itself")
        here = {"worker": self._worker, "workers": self._workers}
        found = {name: state.get(name) for name in here}
        if found != here:
            raise UsageError(
                f"expected a state of {here}, got {found}: a StatefulDataLoader resumes with as many workers; "
                "TorchLoader with any"
            )
        self._course = self._own.load({name: value for name, value in state.items() if name in STATE})
        self._made = state["made"]


class TorchExample(NamedTuple):
    """One example: inputs (S, L) int32 or uint8, lengths (S,) int32, label and index int64 without axes."""

    inputs: Tensor
    lengths: Tensor
    labels: Tensor
    indices: Tensor


class TorchExamples(MapDataset[TorchExample]):
    """A split as a map-style dataset, for a DataLoader with a sampler of its own; `collate` pads.

    DataLoader(examples, batch_size=32, shuffle=True, collate_fn=examples.collate). With
    `batch_sampler=BatchSampler(batches)` it gives the batches of `Dataset.batches`.
    """

    def __init__(self, dataset: Dataset, form: Form | None = None) -> None:
        self._source, self._form, self._length = dataset.source(), form or Form(), len(dataset)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, place: int) -> TorchExample:
        return self.__getitems__([place])[0]

    def __getitems__(self, places: Sequence[int]) -> list[TorchExample]:
        """The examples at these places, what DataLoader calls for a batch."""
        import numpy as np

        asked = np.array([range(self._length)[place] for place in places], dtype=np.int64)
        unpadded = Form(max_length=self._form.max_length, offset=self._form.offset, dtype=self._form.dtype)
        prepared = self._source.prepare(asked, unpadded)
        return [
            TorchExample(*(tensor[0] for tensor in to_torch(prepared.batch(row, row + 1)))) for row in range(len(asked))
        ]

    def collate(self, examples: Sequence[TorchExample]) -> TorchBatch:
        """Examples as one batch, padded with 0 as the form says."""
        longest = max(example.inputs.shape[-1] for example in examples)
        width = self._form.width(longest)
        inputs = examples[0].inputs.new_zeros(len(examples), examples[0].inputs.shape[0], width)
        for row, example in enumerate(examples):
            inputs[row, :, : example.inputs.shape[-1]] = example.inputs
        rest = (torch.stack([example[field] for example in examples]) for field in (1, 2, 3))
        return TorchBatch(inputs, *rest)


class BatchSampler:
    """The places of each batch, for a DataLoader's `batch_sampler`: the order of `Dataset.batches`, of this rank.

    Each `iter` is the next epoch. A loader with workers asks for places ahead: the state counts places, not batches.
    """

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def __len__(self) -> int:
        """Batches of a whole pass: see Batches."""
        return len(self.batches)

    @property
    def remaining(self) -> int:
        """Batches that are left: see Batches."""
        return self.batches.remaining

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next pass: see Batches."""
        self.batches.set_epoch(epoch)

    def __iter__(self) -> Iterator[list[int]]:
        return _Places(iter(self.batches))

    def state_dict(self) -> dict[str, Any]:
        """See Batches."""
        return self.batches.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See Batches."""
        self.batches.load_state_dict(state)


class _Places:
    """One pass, of places."""

    def __init__(self, one: Pass) -> None:
        self._pass, self._lock = one, Lock()

    def __iter__(self) -> "_Places":
        return self

    def __next__(self) -> list[int]:
        with self._lock:
            course, _ = self._pass.begin()
            place = course.place(0)
            if place is None:
                self._pass.end()
                raise StopIteration
            self._pass.skip(1)
            places: list[int] = course.maker.places(*place).tolist()
            return places
