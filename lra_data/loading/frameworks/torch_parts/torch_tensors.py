"""Batches as tensors, on a device. A batch made by a loader's worker carries a mark: see `torch_workers.py`."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from lra_data.loading.batch_making.collate import Batch, ProtocolBatch
from lra_data.loading.frameworks.torch_parts.torch_workers import Mark, arrive
from lra_data.shown import array_facts, as_html, as_text


class TorchBatch(NamedTuple):
    """`collate.Batch` as tensors: inputs (B, S, L) int32 or uint8, lengths (B, S) int32, labels, indices (B,) int64."""

    inputs: Tensor
    lengths: Tensor
    labels: Tensor
    indices: Tensor

    def __repr__(self) -> str:
        return as_text(type(self).__name__, array_facts(self))

    def _repr_html_(self) -> str:
        """Dtypes and shapes, for notebooks."""
        return as_html(type(self).__name__, array_facts(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return _pickled(self)


class TorchReadBatch(NamedTuple):
    """`collate.ProtocolBatch` as tensors: inputs may be float32; keep (B, S, L) bool, False for masked elements."""

    inputs: Tensor
    lengths: Tensor
    labels: Tensor
    indices: Tensor
    keep: Tensor

    def __repr__(self) -> str:
        return as_text(type(self).__name__, array_facts(self))

    def _repr_html_(self) -> str:
        """Dtypes and shapes, for notebooks."""
        return as_html(type(self).__name__, array_facts(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return _pickled(self)


def marked(batch: TorchBatch | TorchReadBatch, mark: Mark) -> TorchBatch | TorchReadBatch:
    """The batch with a mark, which is sent with it from a worker: see `torch_workers.py`."""
    batch.indices.lra_data_mark = mark  # type: ignore[attr-defined]
    return batch


def _pickled(batch: TorchBatch | TorchReadBatch) -> tuple[Any, ...]:
    mark = getattr(batch.indices, "lra_data_mark", None)
    return (type(batch), tuple(batch)) if mark is None else (arrive, (type(batch), tuple(batch), mark))


def to_torch(batch: Batch | ProtocolBatch) -> TorchBatch | TorchReadBatch:
    """The batch's arrays as tensors, without a copy."""
    kind = TorchBatch if len(batch) == len(TorchBatch._fields) else TorchReadBatch
    return kind(*map(torch.from_numpy, batch))


def to_device(batch: TorchBatch, device: torch.device | str, *, offset: int = 0) -> TorchBatch:
    """The batch on a device, its inputs as int32. A uint8 batch is transferred as uint8 and widened on the device.

    offset: number added to the values but not to the padding; `Batches.offset` is the one for a uint8 batch.
    """
    inputs, lengths, labels, indices = (tensor.to(device, non_blocking=True) for tensor in batch)
    inputs = inputs.to(torch.int32)
    if offset:
        kept = torch.arange(inputs.shape[-1], device=inputs.device) < lengths[..., None]
        inputs = (inputs + offset) * kept
    return TorchBatch(inputs, lengths, labels, indices)
