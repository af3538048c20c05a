"""The positions of an epoch that each rank takes, step by step: plain arithmetic, without communication.

An epoch has positions 0 .. n - 1. A global step that begins at `start` takes the next `batch_size * world_size`
positions, rank after rank. If fewer are left, `remainder` decides:

    keep   the remaining examples are split evenly, to within one; every rank gets a batch, which may be empty
    drop   the remaining examples are left out
    pad    ranks get full batches; the epoch's first positions follow again after its last

With streams (`streams.py`), a global step has the same positions, but rank r of R takes those that are r modulo R.
"""

from dataclasses import dataclass

from lra_data.checks import whole_number
from lra_data.errors import UsageError, unknown_name

REMAINDERS = ("keep", "drop", "pad")


@dataclass(frozen=True, kw_only=True)
class RankShares:
    """The shares of an epoch of `n` positions.

    batch_size: examples per batch of one rank.
    streams: number of streams of the order, if it has any.

    Raises UsageError for ranks that could neither take whole streams nor share them evenly.
    """

    n: int
    batch_size: int
    world_size: int = 1
    remainder: str = "keep"
    streams: int | None = None

    def __post_init__(self) -> None:
        for name in ("batch_size", "world_size"):
            object.__setattr__(self, name, whole_number(name, getattr(self, name), 1))
        if self.remainder not in REMAINDERS:
            raise unknown_name("remainder", self.remainder, REMAINDERS)
        if self.streams is not None and self.streams % self.world_size and self.world_size % self.streams:
            raise UsageError(
                f"expected a number of ranks that divides the {self.streams} streams, or is a multiple of it, got "
                f"{self.world_size} ranks: each rank would read every shard; choose another streams=…, from the start"
            )

    @property
    def step(self) -> int:
        """Number of positions in a whole global step."""
        return self.batch_size * self.world_size

    def steps_from(self, start: int) -> int:
        """Number of global steps left after `start` positions; the same for all ranks."""
        left = self.n - start
        return left // self.step if self.remainder == "drop" else -(-left // self.step)

    def positions(self, start: int, rank: int) -> range:
        """The positions of a rank in the global step that begins at `start`. With pad they may exceed n; they are then
        positions modulo n.
        """
        self.check_rank(rank)
        left = self.n - start
        if self.streams is not None:
            last = start + self.step if self.remainder == "pad" else min(start + self.step, self.n)
            return range(start + (rank - start) % self.world_size, last, self.world_size)
        if left >= self.step or self.remainder == "pad":
            first = start + rank * self.batch_size
            return range(first, first + self.batch_size)
        share, more = divmod(left, self.world_size)
        first = start + rank * share + min(rank, more)
        return range(first, first + share + (rank < more))

    def check_rank(self, rank: int) -> None:
        """Raise UsageError for a rank out of range."""
        if not isinstance(rank, int) or isinstance(rank, bool) or not 0 <= rank < self.world_size:
            raise UsageError(
                f"expected a rank from 0 to {self.world_size - 1} of world size {self.world_size}, got {rank!r}"
            )

    def after(self, start: int) -> int:
        """Number of positions taken after the step that begins at `start`."""
        return min(start + self.step, self.n)
