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
    """The texts of a task for its dataset card.

    license: an identifier of the Hub; "other" for terms without a name, which are then at license_page.
    archives: addresses of the official archives of a corpus, by name; empty for generated tasks.
    remark: a further remark about this configuration.
    shortfall: a sentence about missing parts of the corpus; empty for a whole corpus and for generated tasks.
    notices: sentences for the person who builds the set: parts left out of a corpus, and items ignored in the copy.
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
        """The row in readable form, on few lines."""

    @abstractmethod
    def explain(self, row: Mapping[str, Any]) -> str:
        """The row with every step that leads to its label."""

    def contact_sheet(self, batch: "pa.RecordBatch") -> "NDArray[np.uint8] | None":
        """The rows in one picture, uint8 (height, width, 3); None for tasks that are read as text."""
        return None

    def drawing(self, row: Mapping[str, Any]) -> "NDArray[np.uint8] | None":
        """The explanation as a drawing, uint8 (height, width, 3); None for tasks that are read as text."""
        return None


class Statistics(ABC):
    """The measures of `lra-data stats`."""

    @abstractmethod
    def measures(self, batch: "pa.RecordBatch") -> "dict[str, NDArray[np.int64]]":
        """Integers per row, by name, whose distribution is reported (length, depth, ...)."""

    @abstractmethod
    def shortcuts(self, batch: "pa.RecordBatch") -> "dict[str, NDArray[np.int64]]":
        """One integer per row, by name: the feature of a trivial predictor, whose best guess is scored."""

    # The features by which `lra-data score` groups answers; `groups` gives those that the rows have.
    group_features: tuple[str, ...] = ()

    def groups(self, batch: "pa.RecordBatch") -> "dict[str, NDArray[np.int64]]":
        """One integer per row, by name: the feature of a group of rows that may be harder than others."""
        return {}

    def group_names(self, feature: str) -> Mapping[int, str] | None:
        """The names of a feature's values; None where they are numbers."""
        return None

    def figures(self, batches: "Callable[[str], Iterator[pa.RecordBatch]]") -> dict[str, Any]:
        """Further figures of a whole set, by name; `batches` gives the rows of a split."""
        return {}
