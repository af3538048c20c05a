"""The board: published rows, the bundled models and the user's results as rows of one table, the user's first.

Whether a row is comparable is decided by what is known of its data:

    published     scores on test, grey pictures, no pre-training (`published.chosen`, protocol "comparable")
    a user's      every score on a whole test split of the benchmark's full sets (`comparable.py`)
    bundled       none: the models were trained on small or partial sets
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from lra_data.errors import UsageError, brief
from lra_data.report.bundled_models import BundledModel
from lra_data.results.comparable import column, differences, draws
from lra_data.results.families import family_of
from lra_data.results.published import FAIL, FIVE, Row, averages, chosen, found_rule
from lra_data.results.result_files import ModelResults

# The board's columns: every task of the benchmark.
COLUMNS = {
    "listops": "ListOps", "text": "Text", "retrieval": "Retrieval", "image": "Image", "pathfinder": "Pathfinder",
    "pathx": "Path-X", "path256": "Path-256",
}  # fmt: skip

_REPOSITORY = re.compile(r"[A-Za-z0-9-]+/[A-Za-z0-9._-]+(?= )")

Protocol = Literal["comparable", "test", "other"]
Origin = Literal["published", "bundled", "yours"]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One score. printed: as the source prints it, in percent, FAIL, or "". corrected: in its place, "" if not known,
    None if the printed one holds. low, high: the 95 % interval as shares, of our own scores. data: the set, of ours.
    """

    printed: str
    corrected: str | None = None
    low: float | None = None
    high: float | None = None
    data: str = ""

    @property
    def key(self) -> float | None:
        """The number that the column is sorted by: FAIL is less than any score; None for no score."""
        text = self.printed if self.corrected is None else self.corrected
        return None if not text else -1.0 if text == FAIL else float(text)


@dataclass(frozen=True, kw_only=True)
class BoardRow:
    """One row of the board.

    five, six: our averages of the corrected cells in percent (`published.averages`). average: as printed, with `rule`,
        the rule that it follows.
    protocol: "comparable"; "test", of other pictures or with pre-training; "other". reasons: why it is not comparable.
    draws: the user's results on rows of another seed than 0.
    paper, table: of the source. link: its address, or "".
    """

    origin: Origin
    model: str
    variant: str
    family: str
    year: str
    cells: dict[str, Cell]
    five: float | None
    six: float | None
    average: str
    rule: str
    protocol: Protocol
    reasons: tuple[str, ...]
    run_by: str
    paper: str
    table: str
    link: str
    notes: tuple[str, ...]
    draws: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """The source in a few words: arXiv's number, the repository, or the title."""
        if self.origin == "yours":
            return "your result files"
        for start, before in (("https://arxiv.org/abs/", "arXiv:"), ("https://github.com/", "")):
            if self.link.startswith(start):
                return before + self.link.removeprefix(start)
        return self.paper

    @property
    def order(self) -> tuple[bool, bool, float, str, str]:
        """The user's own first; then from the best mean of five, rows without one last."""
        return self.origin != "yours", self.five is None, -(self.five or 0.0), self.model.casefold(), self.paper


def board(
    rows: Sequence[Row], models: Sequence[BundledModel] = (), results: Sequence[ModelResults] = ()
) -> list[BoardRow]:
    """All rows: the user's own, then the others from the best mean of five."""
    comparable, on_test = (set(chosen(rows, protocol=name)) for name in ("comparable", "test"))
    made = [_published(row, comparable, on_test) for row in rows]
    made += _bundled(models)
    made += [_own(entry) for entry in results]
    return sorted(made, key=lambda row: row.order)


def _published(row: Row, comparable: set[Row], on_test: set[Row]) -> BoardRow:
    own, correction = averages(row), row.correction
    cells = {task: Cell(printed=getattr(row, task), corrected=correction.get(task)) for task in COLUMNS}
    reasons = [
        *([f"scores on {row.split}" if row.split != "unclear" else "split unclear"] if row.split != "test" else []),
        *([f"{row.pictures} pictures"] if row.pictures != "grey" else []),
        *([f"pre-trained on {row.pretraining}"] if row.pretraining != "none" else []),
    ]
    notes = [
        row.remark,
        f"Seeds: {row.seeds}." if row.seeds else "",
        f"Standard deviations: {row.deviations}." if row.deviations else "",
        f"Parameters: {row.parameters}." if row.parameters else "",
        f"{row.direction.capitalize()}." if row.direction else "",
        f"Read in: {row.read_in}." if row.read_in != "paper" else "",
    ]
    return BoardRow(
        origin="published",
        model=row.model,
        variant=row.variant,
        family=family_of(row.model),
        year=row.year,
        cells=cells,
        five=own.five,
        six=own.six,
        average=row.average,
        rule=found_rule(row) or "",
        protocol="comparable" if row in comparable else "test" if row in on_test else "other",
        reasons=tuple(reasons),
        run_by="its authors" if row.run_by != "quoted" else f"quoted from {row.quoted_from}",
        paper=row.source,
        table=row.table,
        link=_link(row),
        notes=tuple(note for note in notes if note),
    )


def _link(row: Row) -> str:
    if row.arxiv:
        return f"https://arxiv.org/abs/{row.arxiv}"
    found = _REPOSITORY.match(row.source)
    return "" if found is None else f"https://github.com/{found.group()}"


def _bundled(models: Iterable[BundledModel]) -> list[BoardRow]:
    """One row for each X-former, with its score on every set that it was trained on; the best of several trainings."""
    by_name: dict[str, dict[str, BundledModel]] = {}
    for model in models:
        task = column(model.card.task)
        kept = by_name.setdefault(model.card.attention, {}).setdefault(task, model)
        if model.card.validation.accuracy > kept.card.validation.accuracy:
            by_name[model.card.attention][task] = model
    return [
        _measured(
            "bundled",
            name,
            {
                task: _cell(model.card.test.accuracy, model.card.test.low, model.card.test.high, model.card.task)
                for task, model in found.items()
            },
            year=min(model.card.date for model in found.values())[:4],
            reasons=(f"small or partial sets: {', '.join(sorted(model.card.task for model in found.values()))}",),
            paper="lra-zoo, bundled checkpoints",
            notes=("The set of each score is named under it.",),
        )
        for name, found in sorted(by_name.items())
    ]


def _own(entry: ModelResults) -> BoardRow:
    cells: dict[str, Cell] = {}
    for result in entry.results:
        task = column(result.task)
        if task in cells:
            raise UsageError(
                f"{brief(entry.name)}: expected one result of each task, got {cells[task].data} and {result.task}: "
                "a folder of results is one model; move one of the files"
            )
        cells[task] = _cell(result.accuracy, result.low, result.high, result.task)
    return _measured(
        "yours",
        entry.name,
        cells,
        year=max(result.date for result in entry.results)[:4],
        reasons=tuple(differences(entry.results)),
        paper=f"your result files of {entry.name}",
        notes=("Whether the model was pre-trained is not in a result file.",),
        drawn=tuple(draws(entry.results)),
    )


def _measured(
    origin: Origin,
    name: str,
    cells: dict[str, Cell],
    *,
    year: str,
    reasons: tuple[str, ...],
    paper: str,
    notes: tuple[str, ...],
    drawn: tuple[str, ...] = (),
) -> BoardRow:
    """A row of scores that were measured here. Averages are made only of comparable ones."""
    text = {task: cell.printed for task, cell in cells.items()}
    five = six = None
    if not reasons and all(task in text for task in FIVE):
        total = sum(float(text[task]) for task in FIVE)
        five = total / len(FIVE)
        six = (total + float(text["pathx"])) / (len(FIVE) + 1) if "pathx" in text else None
    return BoardRow(
        origin=origin,
        model=name,
        variant="bundled" if origin == "bundled" else "your results",
        family=family_of(name),
        year=year,
        cells={task: cells.get(task, Cell(printed="")) for task in COLUMNS},
        five=five,
        six=six,
        average="",
        rule="",
        protocol="other" if reasons else "comparable",
        reasons=reasons,
        run_by="lra-zoo" if origin == "bundled" else "you",
        paper=paper,
        table="",
        link="",
        notes=notes,
        draws=drawn,
    )


def _cell(accuracy: float, low: float, high: float, data: str) -> Cell:
    return Cell(printed=f"{100 * accuracy:.2f}", low=low, high=high, data=data)
