"""The position and the end of one pass. A `Position` changes; the `BatchMaker` that it uses has no state."""

from collections.abc import Iterator

from lra_data.loading.batch_making.batch_maker import BatchMaker
from lra_data.loading.batch_making.collate import Batch, ProtocolBatch


class Position:
    """A pass from (epoch, positions taken by all ranks) to the beginning of epoch `until`; None if it has no end."""

    def __init__(self, maker: BatchMaker, epoch: int, taken: int, until: int | None) -> None:
        self.maker, self.epoch, self.taken, self.until = maker, epoch, taken, until

    def place(self, steps: int) -> tuple[int, int] | None:
        """Epoch and positions taken after the next `steps` batches; None beyond the end."""
        shares = self.maker.shares
        left = shares.steps_from(self.taken)
        if 0 <= steps < left:
            return self.epoch, self.taken + steps * shares.step
        each = shares.steps_from(0)
        if steps < 0 or each == 0:
            return None
        further, step = divmod(steps - left, each)
        epoch = self.epoch + 1 + further
        return (epoch, step * shares.step) if self.until is None or epoch < self.until else None

    @property
    def remaining(self) -> int:
        """Number of batches left, the same on all ranks; TypeError if the pass has no end."""
        if self.until is None:
            raise TypeError("batches without an end have no length")
        shares = self.maker.shares
        return shares.steps_from(self.taken) + max(self.until - self.epoch - 1, 0) * shares.steps_from(0)

    @property
    def after(self) -> int:
        """The epoch that the next pass begins with."""
        return self.epoch + 1 if self.until is None else self.until

    def take(self, place: tuple[int, int]) -> None:
        """Advance past the batch at a place."""
        self.epoch, self.taken = place[0], self.maker.shares.after(place[1])

    def rest(self) -> Iterator[Batch | ProtocolBatch]:
        """Advance to the end."""
        while (place := self.place(0)) is not None:
            yield self.maker.batch(*place)
            self.take(place)
