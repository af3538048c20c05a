"""The parts of a task that others ask for by name: its card, its viewer and its statistics."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class TaskCard:
    """What a reader of a dataset card wants to know about a task.

    license: an identifier of the Hub, "other" where terms have no name of their own; then license_page says them.
    archives: the official archives of a corpus, by name, and where they are; empty for generated tasks.
    remark: what else the card should say of this configuration.
    shortfall: what the corpus lacks, in a sentence; empty for a whole one and for generated tasks.
    notices: sentences for whoever builds the set: what was left out of a corpus, and what was ignored in the copy.
    """

    title: str
    description: str
    label_meaning: str
    label_names: tuple[str, ...]
    source: str
    citation: str
    license: str
    license_page: str = ""
    published: str
    columns: Mapping[str, str]
    history: Mapping[int, str]
    archives: Mapping[str, str] = field(default_factory=dict)
    remark: str = ""
    shortfall: str = ""
    notices: tuple[str, ...] = ()


class Viewer(ABC):
    """Shows examples to people."""

    @abstractmethod
    def show(self, row: Mapping[str, Any]) -> str:
        """The row as a person would read it, on few lines."""

    @abstractmethod
    def explain(self, row: Mapping[str, Any]) -> str:
        """The row with every step that leads to its label."""

    def contact_sheet(self, batch: "pa.RecordBatch") -> "NDArray[np.uint8] | None":
        """The rows in one picture, uint8 (height, width, 3); None for tasks that are read as text."""
        return None

    def drawing(self, row: Mapping[str, Any]) -> "NDArray[np.uint8] | None":
        """What `explain` says, drawn: uint8 (height, width, 3); None where there is nothing to draw."""
        return None


class Statistics(ABC):
    """What `lra-data stats` measures."""

    @abstractmethod
    def measures(self, batch: "pa.RecordBatch") -> "dict[str, NDArray[np.int64]]":
        """Integers a row, by name, whose distribution is reported (length, depth, ...)."""

    @abstractmethod
    def shortcuts(self, batch: "pa.RecordBatch") -> "dict[str, NDArray[np.int64]]":
        """One integer a row, by name: what a trivial predictor looks at. Each one's best guess is scored."""

    def figures(self, batches: "Callable[[str], Iterator[pa.RecordBatch]]") -> dict[str, Any]:
        """What else is said of a whole set, by name; `batches` gives the rows of a split."""
        return {}
