"""Batches and examples for PyTorch. The only module of this package that imports torch.

    batches = lra_data.load("listops/lra", split="train", root="data").batches(32, shuffle=True)
    for batch in TorchLoader(batches, num_workers=2): ...

`TorchLoader` is the way to train: exactly once over ranks (RANK and WORLD_SIZE of torchrun), with any number of
workers, and `state_dict` that another number of ranks, workers, or another batch size goes on from. `TorchBatches` is
the IterableDataset inside, for those who bring a loader of their own, as torchdata's StatefulDataLoader;
`TorchExamples` is the map-style dataset. Worker w of N makes the batches w, w + N, …: PyTorch takes them from its
workers in turn, so the stream is that of one process.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from lra_data.loading.batches import Batches
from lra_data.loading.collate import Batch, Form, ReadBatch
from lra_data.loading.dataset import Dataset
from lra_data.loading.missing_library import require

require("torch", "torch")

import torch  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.utils.data import DataLoader, IterableDataset, get_worker_info  # noqa: E402
from torch.utils.data import Dataset as MapDataset  # noqa: E402


class TorchBatch(NamedTuple):
    """`collate.Batch` as tensors: inputs (B, S, L) int32 or uint8, lengths (B, S) int32, labels, indices (B,) int64."""

    inputs: Tensor
    lengths: Tensor
    labels: Tensor
    indices: Tensor


class TorchReadBatch(NamedTuple):
    """`collate.ReadBatch` as tensors: inputs may be float32; keep (B, S, L) bool, False for what is hidden."""

    inputs: Tensor
    lengths: Tensor
    labels: Tensor
    indices: Tensor
    keep: Tensor


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


class TorchBatches(IterableDataset[TorchBatch | TorchReadBatch]):
    """An IterableDataset of whole batches: give it to a DataLoader with `batch_size=None`.

    Its iterators have `state_dict` and `load_state_dict`. Without workers that state is `Batches`' own; in a worker it
    is the worker's, and belongs to the same number of workers. set_epoch before each pass chooses the epoch; worker
    processes that are started anew otherwise begin the same one again.
    """

    def __init__(self, batches: Batches) -> None:
        super().__init__()
        self.batches = batches
        self._passes = 0  # of this process

    def __len__(self) -> int:
        return self.batches.pass_length

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch from its start with the next pass."""
        self.batches.set_epoch(epoch)

    def __iter__(self) -> "Iterator[TorchBatch | TorchReadBatch]":
        info = get_worker_info()
        if info is None:
            return _Stream(self.batches)
        self._passes += 1
        if self._passes > 1:
            # A worker that is kept has no say in whether the last pass came to its end: all go on to the next epoch.
            self.batches.next_pass()
        return _WorkerStream(self.batches, info.id, info.num_workers)


class _Stream:
    """All batches of this process."""

    def __init__(self, batches: Batches) -> None:
        self._batches = iter(batches)

    def __iter__(self) -> "_Stream":
        return self

    def __next__(self) -> TorchBatch | TorchReadBatch:
        return to_torch(next(self._batches))

    def state_dict(self) -> dict[str, Any]:
        return self._batches.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._batches.load_state_dict(state)


class _WorkerStream:
    """Every N-th batch. A worker's `Batches` stays where the pass began until the pass is over."""

    def __init__(self, batches: Batches, worker: int, workers: int) -> None:
        self._batches, self._worker, self._workers = batches, worker, workers
        self._made = 0

    def __iter__(self) -> "_WorkerStream":
        return self

    def __next__(self) -> TorchBatch | TorchReadBatch:
        batch = self._batches.ahead(self._worker + self._made * self._workers)
        if batch is None:
            raise StopIteration
        self._made += 1
        return to_torch(batch)

    def state_dict(self) -> dict[str, Any]:
        return {**self._batches.state_dict(), "worker": self._worker, "workers": self._workers, "made": self._made}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        own = {"worker": self._worker, "workers": self._workers}
        self._batches.load_state_dict({name: value for name, value in state.items() if name not in {*own, "made"}})
        found = {name: state.get(name) for name in own}
        if found != own:
            raise ValueError(
                f"expected a state of {own}, got {found}: a StatefulDataLoader resumes with as many workers; "
                "TorchLoader with any"
            )
        self._made = state["made"]


class TorchLoader:
    """Batches as tensors, made in worker processes or, without any, in this one. Each pass is one epoch.

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
        self._loader = DataLoader(
            TorchBatches(batches),
            batch_size=None,
            num_workers=num_workers,
            pin_memory=pin_memory,
            prefetch_factor=prefetch_factor,
            multiprocessing_context=multiprocessing_context,
        )
        self._direct = num_workers == 0 and not pin_memory

    def __len__(self) -> int:
        return self.batches.pass_length

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch from its start."""
        self.batches.set_epoch(epoch)

    def __iter__(self) -> Iterator[TorchBatch | TorchReadBatch]:
        if self._direct:
            yield from map(to_torch, self.batches)
            return
        if self._loader.num_workers == 0:
            yield from self._loader
            return
        iter(self.batches)  # the pass after a finished one is the next epoch
        for batch in self._loader:
            self.batches.skip(1)
            yield batch
        self.batches.finish()

    def state_dict(self) -> dict[str, Any]:
        """See Batches."""
        return self.batches.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See Batches."""
        self.batches.load_state_dict(state)


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
    """The places of each batch, for a DataLoader's `batch_sampler`: the order of `Dataset.batches`, of this rank."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return self.batches.pass_length

    def __iter__(self) -> Iterator[list[int]]:
        batches = iter(self.batches)
        while (places := batches.places(0)) is not None:
            batches.skip(1)
            yield places.tolist()
        batches.finish()
