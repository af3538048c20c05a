"""One set on the page: rows, lengths, label balance, the shortcut audit and one explained example."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lra_data.checking.set_statistics import statistics
from lra_data.errors import UsageError
from lra_data.report.charts import Chart, Series, picture_address
from lra_data.store.row_access import BuiltRows, Rows, VirtualRows

_BINS = 40
_ROWS_A_BATCH = 1000
_LONGEST_TEXT = 6_000
_EXAMPLES = 3
_LONGEST_EXAMPLE = 400
_PICTURES = 24


class FirstRows(Rows):
    """The first rows of each split of other rows."""

    def __init__(self, rows: Rows, limit: int) -> None:
        self._rows, self.task, self.seed = rows, rows.task, rows.seed
        self.sizes = {split: min(size, limit) for split, size in rows.sizes.items()}

    def _read(self, split: str) -> Iterator[pa.RecordBatch]:
        """See Rows."""
        left = self.sizes[split]
        if isinstance(self._rows, VirtualRows):  # whose batches have more rows than may be asked for
            for start in range(0, left, _ROWS_A_BATCH):
                yield self._rows.take(split, range(start, min(start + _ROWS_A_BATCH, left)))
            return
        for batch in self._rows.batches(split):
            if left <= 0:
                return
            yield batch.slice(0, left)
            left -= len(batch)

    def take(self, split: str, indices: Sequence[int]) -> pa.RecordBatch:
        """See Rows."""
        return self._rows.take(split, self._checked(split, indices))


@dataclass(frozen=True, kw_only=True)
class SetSection:
    """What the page shows of a set.

    sizes, read: number of examples by split, of the set and of those that were read.
    statistics: `lra-data stats` on the rows that were read; None if its corpus is not here.
    sheet, drawing: addresses of pictures (data:…), or "".
    examples: rows in words, for sets without pictures.
    explained: text of `lra-data explain`. explained_row: which one.
    digests: what identifies the set's content, by name.
    """

    name: str
    title: str
    description: str
    label_meaning: str
    version: int
    seed: int
    source: str
    sizes: dict[str, int]
    read: dict[str, int]
    statistics: dict[str, Any] | None
    sheet: str
    examples: tuple[str, ...]
    explained: str
    explained_row: str
    prose: bool
    drawing: str
    charts: tuple[Chart, ...]
    digests: dict[str, str]

    @property
    def anchor(self) -> str:
        """The section's id in the page."""
        return "set-" + self.name.replace("/", "-")

    @property
    def options(self) -> str:
        """What `lra-data build` and `stats` take for this set; "" for a custom configuration."""
        family, _, variant = self.name.partition("/")
        if variant.startswith("custom-"):
            return ""
        partial = variant.endswith("-partial")
        seed = f" --seed {self.seed}" if self.seed else ""
        corpus = " --corpus ARCHIVE --allow-partial" if partial else ""
        return f"{family}/{variant.removesuffix('-partial')}{seed}{corpus}"

    @property
    def whole(self) -> bool:
        """Whether every row was read."""
        return self.sizes == self.read


def set_section(rows: Rows, *, limit: int) -> SetSection:
    """Read the first `limit` rows of each split, or all for 0; raises SetError for a corpus that is not here."""
    first = FirstRows(rows, limit or max(rows.sizes.values()))
    figures = statistics(first)
    batch = first.take("train", range(min(_PICTURES, first.sizes["train"])))
    sheet = first.task.viewer.contact_sheet(batch)
    examples = [] if sheet is not None else batch.slice(0, _EXAMPLES).to_pylist()
    explained, drawing, row = _explained(first)
    return _section(
        rows,
        read=first.sizes,
        statistics=figures,
        sheet="" if sheet is None else picture_address(sheet),
        examples=tuple(_cut(first.task.viewer.show(example), _LONGEST_EXAMPLE) for example in examples),
        explained=_cut(explained, _LONGEST_TEXT),
        explained_row=f"train {row}",
        drawing="" if drawing is None else picture_address(drawing),
        charts=tuple(_histograms(first)),
    )


def absent_section(rows: Rows) -> SetSection:
    """A set whose corpus is not here: its description alone."""
    return _section(rows)


def _section(rows: Rows, **found: Any) -> SetSection:
    task = rows.task
    nothing = {
        "read": dict.fromkeys(rows.sizes, 0), "statistics": None, "sheet": "",
        "examples": (), "explained": "", "explained_row": "", "drawing": "", "charts": (),
    }  # fmt: skip
    return SetSection(
        name=task.name,
        title=task.card.title,
        description=task.card.description,
        label_meaning=task.card.label_meaning,
        version=task.version,
        seed=rows.seed,
        source=task.card.source,
        sizes=dict(rows.sizes),
        prose=task.is_document,
        digests=_digests(rows),
        **(nothing | found),
    )


def _explained(rows: Rows) -> tuple[str, NDArray[np.uint8] | None, int]:
    """The shortest of the first rows of train, explained; a set without what that needs says so."""
    batch = rows.take("train", range(min(_PICTURES, rows.sizes["train"])))
    row = min(batch.to_pylist(), key=lambda row: (len(row["inputs"]), row["index"]) if "inputs" in row else (0, 0))
    viewer = rows.task.viewer
    try:
        return viewer.explain(row), viewer.drawing(row), row["index"]
    except UsageError as error:
        return str(error), None, row["index"]


def _histograms(rows: Rows) -> Iterator[Chart]:
    """How the task's measures are distributed in train."""
    gathered: dict[str, list[NDArray[np.int64]]] = {}
    for batch in rows.batches("train"):
        for name, values in rows.task.statistics.measures(batch).items():
            gathered.setdefault(name, []).append(values)
    for name, parts in gathered.items():
        values = np.concatenate(parts)
        least, most = int(values.min()), int(values.max())
        # Whole numbers in whole bins, so that no bin has one value more than another.
        width = max(1, -(-(most - least + 1) // _BINS))
        counts = np.bincount((values - least) // width)
        middles = [least + width * place + (width - 1) / 2 for place in range(len(counts))]
        yield Chart(
            kind="bars",
            title=f"{rows.task.name}: {name} in train",
            x=name if width == 1 else f"{name}, in bins of {width:,}",
            y="examples",
            series=(Series(name="examples", x=tuple(middles), y=tuple(counts.tolist())),),
        )


def _digests(rows: Rows) -> dict[str, str]:
    if not isinstance(rows, BuiltRows):
        return {}
    shards = [shard for split in rows.sizes for shard in rows.manifest.shards_of(split, rows.format)]
    return {shard.file: shard.sha256 for shard in shards}


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]} … ({len(text) - longest:,} more characters)"
