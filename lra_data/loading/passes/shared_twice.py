"""Raises an error if another library would divide one rank's batches among all ranks, which silently loses examples.

Accelerate does so in the loaders that `prepare` returns, Lightning in the samplers that it wraps. Such a loader is on
the call stack when it asks for our batches. This also holds in a forked worker of a loader, since the worker's stack
begins with its parent's.
"""

import sys
from collections.abc import Callable, Iterator
from typing import Any

from lra_data.errors import UsageError
from lra_data.loading.epoch.ranks import Ranks

_LIBRARIES = ("accelerate", "lightning", "lightning_fabric", "pytorch_lightning")
# Classes that divide the batches they iterate over among ranks: their library, and what to do instead.
_ACCELERATE = (
    "Accelerate",
    "leave this loader out of prepare, use a TorchLoader, or pass rank=0 and world_size=1 to batches",
)
_LIGHTNING = ("Lightning", "pass use_distributed_sampler=False to the Trainer")
_SHARERS = {
    "DataLoaderDispatcher": _ACCELERATE,
    "IterableDatasetShard": _ACCELERATE,
    "BatchSamplerShard": _ACCELERATE,
    "DistributedSamplerWrapper": _LIGHTNING,
}


def refuse_second_sharing(ranks: Callable[[], Ranks]) -> None:
    """Raise UsageError if a library divides batches that already belong to one rank. ranks: gives that rank."""
    if not any(library in sys.modules for library in _LIBRARIES):
        return
    for kind, sharer in _sharers():
        library, remedy = _SHARERS[kind]
        found = ranks()
        if found.world_size > 1:
            raise UsageError(
                f"expected the batches of all ranks, as {library} divides them, got batches of rank {found.rank} "
                f"of {found.world_size}: {remedy}"
            )
        if kind == "IterableDatasetShard" and sharer.batch_size is None:
            raise UsageError(
                "expected dispatch_batches=True, as Accelerate divides whole batches, got dispatch_batches=False "
                "and batch_size=None: use a TorchLoader"
            )


def _sharers() -> Iterator[tuple[str, Any]]:
    """The objects on the call stack that divide batches among several ranks, with the name of their class."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        one = frame.f_locals.get("self")
        if "DataLoaderShard" in _kinds(one):  # it does not divide batches itself, but its dataset may
            one = getattr(one, "dataset", None)
        for kind in _kinds(one):
            if kind in _SHARERS and _number_of_ranks(one) > 1:
                yield kind, one
                break


def _kinds(one: object) -> list[str]:
    """The names of an object's classes. `isinstance` is misleading: Accelerate's loaders pose as PyTorch's."""
    return [kind.__name__ for kind in type(one).__mro__]


def _number_of_ranks(sharer: Any) -> int:
    for owner, name in ((sharer, "num_processes"), (sharer, "num_replicas"), (sharer, "state")):
        found = getattr(owner, name, None)
        count = found if isinstance(found, int) else getattr(found, "num_processes", None)
        if isinstance(count, int):
            return count
    return 1
