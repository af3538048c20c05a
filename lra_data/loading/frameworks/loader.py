"""The members that every loader takes from its `Batches`."""

from collections.abc import Callable, Iterator, Mapping
from threading import Lock
from typing import Any, Generic, TypeVar

from lra_data.loading.batches import Batches, Pass
from lra_data.loading.passes.position import Position
from lra_data.shown import Shown

T = TypeVar("T")


class Loader(Shown):
    """The length, the epochs and the state of `Batches`."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def shown_facts(self) -> dict[str, Any]:
        """See Shown."""
        return self.batches.shown_facts()

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

    def state_dict(self) -> dict[str, Any]:
        """The state; it counts delivered batches, not batches held ready: see Batches."""
        return self.batches.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue in the next pass where another loader was: see Batches."""
        self.batches.load_state_dict(state)


class ConvertedPass(Generic[T]):
    """A pass whose batches are converted as they are delivered. Threads may share it."""

    def __init__(self, one: Pass, convert: Callable[[Any], T]) -> None:
        self._pass, self._convert = one, convert

    def __iter__(self) -> "ConvertedPass[T]":
        self._pass.refuse_second_use()
        return self

    def __next__(self) -> T:
        return self._convert(next(self._pass))


class CountedPass(Generic[T]):
    """A pass whose batches are made ahead elsewhere; each is counted when it is delivered. Threads may share it.

    opened: gives an iterator of the batches that start at a position.
    """

    def __init__(self, one: Pass, opened: Callable[[Position], Iterator[T]]) -> None:
        self._pass, self._open, self._lock = one, opened, Lock()
        self._delivered: Iterator[T] | None = None

    def __iter__(self) -> "CountedPass[T]":
        self._pass.refuse_second_use()
        return self

    def __next__(self) -> T:
        with self._lock:
            position, first = self._pass.begin()
            try:
                if self._delivered is None:
                    self._delivered = self._open(position)
                batch = next(self._delivered)
            except StopIteration:
                self._delivered = iter(())
                self._pass.end()
                raise
            except BaseException:
                if first:
                    self._pass.withdraw()
                    self._delivered = None
                raise
            self._pass.skip(1)
            return batch
