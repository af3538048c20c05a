"""Parts of a build: part i of n makes the row ranges i, i + n, i + 2n, … of the plan.

A job array runs the same command n times; each run learns its number from the scheduler's variables. The parts need not
have run with the same n, since what is finished is known for each range.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

from lra_data.errors import UsageError

Item = TypeVar("Item")

RANKS = "RANK and WORLD_SIZE"

_EXPLICIT = re.compile(r"(?P<index>\d+)/(?P<count>\d+)")
_AUTOMATIC = re.compile(r"auto(/(?P<count>\d+))?")


@dataclass(frozen=True, kw_only=True)
class Part:
    """Part `index` (from 0) of `count`. source: where the numbers come from, in words."""

    index: int
    count: int
    source: str = ""

    def __post_init__(self) -> None:
        if self.count < 1 or not 0 <= self.index < self.count:
            given = f"{self.index}/{self.count}" + (f" from {self.source}" if self.source else "")
            raise UsageError(
                f"expected a part from 0/{max(self.count, 1)} to {max(self.count, 1) - 1}/{max(self.count, 1)}, got "
                f"{given}: parts are counted from 0, such as with --array=0-{max(self.count, 1) - 1}"
            )

    def of(self, items: Sequence[Item]) -> list[Item]:
        """The row ranges, or other items, that belong to this part."""
        return list(items[self.index :: self.count])


@dataclass(frozen=True, kw_only=True)
class _Scheduler:
    """The variables of one scheduler: the number of this job, of the first and the last job, and how many there are.

    base: number of the first job, if no variable tells it.
    """

    name: str
    index: str
    count: str = ""
    first: str = ""
    last: str = ""
    base: int = 0


# The first whose `index` is set decides. Job arrays come before the ranks of a parallel job, in which they may run.
_SCHEDULERS = (
    _Scheduler(
        name="a Slurm array",
        index="SLURM_ARRAY_TASK_ID",
        count="SLURM_ARRAY_TASK_COUNT",
        first="SLURM_ARRAY_TASK_MIN",
        last="SLURM_ARRAY_TASK_MAX",
    ),
    _Scheduler(name="a Kubernetes Indexed Job", index="JOB_COMPLETION_INDEX"),
    _Scheduler(name="a PBS array", index="PBS_ARRAY_INDEX"),
    _Scheduler(name="a Grid Engine array", index="SGE_TASK_ID", first="SGE_TASK_FIRST", last="SGE_TASK_LAST"),
    _Scheduler(name="an LSF array", index="LSB_JOBINDEX", last="LSB_JOBINDEX_END", base=1),
    _Scheduler(name="an AWS Batch array", index="AWS_BATCH_JOB_ARRAY_INDEX", count="AWS_BATCH_JOB_ARRAY_SIZE"),
    _Scheduler(name="Google Batch", index="BATCH_TASK_INDEX", count="BATCH_TASK_COUNT"),
    _Scheduler(name="Cloud Run", index="CLOUD_RUN_TASK_INDEX", count="CLOUD_RUN_TASK_COUNT"),
    _Scheduler(name="SkyPilot", index="SKYPILOT_NODE_RANK", count="SKYPILOT_NUM_NODES"),
    _Scheduler(name="srun", index="SLURM_PROCID", count="SLURM_STEP_NUM_TASKS"),
    _Scheduler(name="Open MPI", index="OMPI_COMM_WORLD_RANK", count="OMPI_COMM_WORLD_SIZE"),
    _Scheduler(name="MPI", index="PMI_RANK", count="PMI_SIZE"),
    _Scheduler(name=RANKS, index="RANK", count="WORLD_SIZE"),
)


def parse_part(text: str, variables: Mapping[str, str] = os.environ) -> Part:
    """The part in `3/64`, `auto` or `auto/64`.

    auto: both numbers from the scheduler's variables, the first number of a job array being part 0.
    auto/N: only the index, which must be counted from 0; right also when a few jobs of an array run again.

    Raises UsageError for other text, for a part out of range, and if no scheduler tells the numbers.
    """
    if explicit := _EXPLICIT.fullmatch(text):
        return Part(index=int(explicit["index"]), count=int(explicit["count"]))
    automatic = _AUTOMATIC.fullmatch(text)
    if automatic is None:
        raise UsageError(f"expected a part such as 3/64, auto or auto/64, got {text!r}")
    scheduler = next((known for known in _SCHEDULERS if known.index in variables), None)
    if scheduler is None:
        known = ", ".join(known.index for known in _SCHEDULERS)
        raise UsageError(f"expected one of the variables {known} with --part {text}, got none: give it as 3/64")
    index = _number(scheduler.index, variables, text)
    if automatic["count"]:
        return Part(index=index, count=int(automatic["count"]), source=scheduler.name)
    first, count = _array(scheduler, variables, text)
    return Part(index=index - first, count=count, source=scheduler.name)


def _array(scheduler: _Scheduler, variables: Mapping[str, str], text: str) -> tuple[int, int]:
    """The number of the first job, and the number of jobs."""
    first = _number(scheduler.first, variables, text) if scheduler.first in variables else scheduler.base
    count = _number(scheduler.count, variables, text) if scheduler.count in variables else None
    if scheduler.last in variables:
        last = _number(scheduler.last, variables, text)
        if count not in (None, last - first + 1):
            raise UsageError(
                f"expected a job array without gaps with --part auto, got {count} jobs from {first} to {last}: to run "
                "some parts again, give their number, such as --part auto/64"
            )
        return first, last - first + 1
    if count is None:
        raise UsageError(
            f"expected the number of parts with {scheduler.name}, which sets only {scheduler.index}: give it, such as "
            "--part auto/64"
        )
    return first, count


def _number(name: str, variables: Mapping[str, str], text: str) -> int:
    value = variables.get(name, "")
    if not value.isdecimal():
        raise UsageError(f"expected a whole number in {name} with --part {text}, got {value!r}: give it as 3/64")
    return int(value)


def compact(numbers: Iterable[int]) -> str:
    """`5,17,40-43`, as `sbatch --array` takes it."""
    pieces = []
    for _, run in groupby(enumerate(sorted(set(numbers))), key=lambda item: item[1] - item[0]):
        found = [number for _, number in run]
        pieces.append(f"{found[0]}-{found[-1]}" if len(found) > 1 else f"{found[0]}")
    return ",".join(pieces)
