"""Finds the rank of this process and the number of ranks. It does not contact other ranks and imports no framework."""

import logging
import os
import sys
from typing import Any, NamedTuple

from lra_data.errors import UsageError

_logger = logging.getLogger(__name__)

# Variables for the rank and the number of ranks, for launchers that do not set RANK and WORLD_SIZE.
_LAUNCHERS = (
    # Slurm sets these only inside an srun step. SLURM_NTASKS is also set in a batch script, which runs once.
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),  # Open MPI
    ("PMI_RANK", "PMI_SIZE"),  # MPICH, Intel MPI
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),  # MVAPICH2
)
_GIVEN = "rank= and world_size="
_ASK = "pass rank=… and world_size=… to batches"


class Ranks(NamedTuple):
    """The rank of this process, 0 .. world_size - 1; source: where both numbers come from, in words."""

    rank: int
    world_size: int
    source: str


class RankNotKnownYetError(UsageError):
    """The number of ranks is known, but the rank only after the launcher has started torch.distributed."""


def find_ranks(rank: int | None = None, world_size: int | None = None) -> Ranks:
    """The rank of this process, from the first of these sources that has one: the arguments; torch.distributed, if it
    is initialised; RANK and WORLD_SIZE, as torchrun sets them; the variables of an srun step; the variables of MPI.
    Otherwise there is one rank.

    Raises UsageError if only a part is known, such as a world size without a rank.
    """
    if (rank is None) != (world_size is None):
        raise UsageError(f"expected both rank and world_size or neither, got {rank!r} and {world_size!r}: {_ASK}")
    if rank is not None and world_size is not None:
        return Ranks(rank, world_size, _GIVEN)
    return _from_torch() or _from_torchrun() or _from_launcher() or Ranks(0, 1, "no launcher")


def say_once(ranks: Ranks) -> None:
    """Log the source of a rank that was looked up, once per process: a wrong rank would silently lose examples."""
    if ranks.world_size > 1 and ranks.source != _GIVEN and ranks not in _said:
        _said.add(ranks)
        _logger.warning("rank %d of %d, from %s", ranks.rank, ranks.world_size, ranks.source)


_said: set[Ranks] = set()


def in_torch_worker() -> bool:
    """Whether this process is a worker of a PyTorch DataLoader; a worker has the rank of its parent process."""
    data = sys.modules.get("torch.utils.data")
    return data is not None and data.get_worker_info() is not None


def _from_torch() -> Ranks | None:
    distributed: Any = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    return Ranks(distributed.get_rank(), distributed.get_world_size(), "torch.distributed")


def _from_torchrun() -> Ranks | None:
    found = [os.environ.get(name) for name in ("RANK", "WORLD_SIZE")]
    if found == [None, None]:
        return None
    if found[0] is None and "LOCAL_RANK" in os.environ:
        raise RankNotKnownYetError(
            f"expected RANK or an initialised torch.distributed with WORLD_SIZE={found[1]}, got neither: iterate after "
            f"initialising torch.distributed, or {_ASK}"
        )
    if not all(text is not None and text.isdecimal() for text in found):
        raise UsageError(
            f"expected integers in RANK and WORLD_SIZE, got {found[0]!r} and {found[1]!r}: set both, or {_ASK}"
        )
    return Ranks(int(found[0] or 0), int(found[1] or 1), "RANK and WORLD_SIZE")


def _from_launcher() -> Ranks | None:
    for names in _LAUNCHERS:
        rank, size = (os.environ.get(name, "") for name in names)
        if size.isdecimal() and int(size) > 1:
            if not rank.isdecimal():
                raise UsageError(f"expected an integer in {names[0]} with {names[1]}={size}, got {rank!r}: {_ASK}")
            return Ranks(int(rank), int(size), " and ".join(names))
    return None
