"""The epochs of the workers when `TorchBatches` is in the user's own DataLoader.

A batch made by a worker carries a mark. When the process that iterates unpickles the batch, the mark tells that a batch
of the pass was drawn, so its epoch has begun.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

from torch.utils.data import default_convert

from lra_data.loading.frameworks.worker_epochs import Notes

Mark = tuple[str, str]


def batches_arrive() -> bool:
    """Whether the loader passes our batches on unchanged, with their marks: true unless it has a collate_fn."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code.co_name == "_worker_loop" and "collate_fn" in frame.f_locals:
            return frame.f_locals["collate_fn"] is default_convert
    return False


# For each dataset object, the passes whose batches arrived in this process.
_arrived: dict[str, set[str]] = {}


def arrive(kind: Callable[..., Any], fields: tuple[Any, ...], mark: Mark) -> Any:
    """Unpickle a marked batch. Batches that a loader discards when it begins another pass do not count as drawn."""
    name, token = mark
    if token not in _arrived.setdefault(name, set()) and not _thrown_away():
        _arrived[name].add(token)
        Notes(name, os.getpid()).write_drawn(token)
    return kind(*fields)


def _thrown_away() -> bool:
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code.co_name == "_reset":
            return True
        if frame.f_code.co_name == "__next__":
            return False
    return False
