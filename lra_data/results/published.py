"""Published scores of the Long Range Arena as data: every row with its source, and its average computed again.

Numbers are as printed. A cell is empty where a table has none, and FAIL where the model did not leave chance. Rows from
memory alone are not kept. Averages in the literature follow several rules under one name, so `found_rule` says which
one a printed average follows, and `averages` computes two under rules that are stated:

    five    mean of ListOps, Text, Retrieval, Image and Pathfinder; none if one is missing
    six     the same with Path-X, which counts as 50 where it failed; none if it is missing

Both use the corrected cells where a cell is known to be wrong (`corrections`, with the reason in `remark`), and are
empty where a correction is unknown.
"""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from lra_data.errors import UsageError, reason
from lra_data.paths import local_path
from lra_data.words import plain

TASKS = ("listops", "text", "retrieval", "image", "pathfinder", "pathx", "path256")
FIVE, SIX = TASKS[:5], TASKS[:6]
FAIL = "FAIL"
CHANCE = 50.0
# The variant of a user's own row that does not compare with the published ones; it has no averages.
NOT_COMPARABLE = "not comparable"

_WORDS = {
    "run_by": ("its authors", "quoted"),
    "pictures": ("grey", "colour"),
    "split": ("test", "validation", "unclear"),
    "pretraining": ("none", "own inputs", "Path-64"),
    "direction": ("", "bidirectional", "causal"),
    "read_in": ("paper", "repository", "translation", "digest", "notes", "slides"),
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a published table; every entry is a text, "" where nothing is printed or known.

    id: number of the row here.
    model, variant: as the source names them; the variant of a user's own row may be NOT_COMPARABLE.
    year: of the source, where the model is not the source's own.
    source, arxiv, table: where the row is printed.
    listops, …, path256: accuracy in percent, or FAIL.
    average: as printed. parameters: as printed.
    seeds, deviations: number of trainings, and their standard deviations in the order of the tasks.
    run_by: "its authors" if the source's authors trained the model, "quoted" otherwise. quoted_from: whom.
    pictures: "grey" as the benchmark's, or "colour". split: of the scores.
    pretraining: "none", on the task's "own inputs", or on "Path-64".
    direction: "bidirectional" or "causal" where the source says so.
    read_in: what was read; a translation or a digest is no ground to call a number its authors' error.
    corrections: "task=score" of cells known to be wrong, with ";" between; without a score it is not known.
    remark: what a reader must know.
    """

    id: str
    model: str
    variant: str
    year: str
    source: str
    arxiv: str
    table: str
    listops: str
    text: str
    retrieval: str
    image: str
    pathfinder: str
    pathx: str
    path256: str
    average: str
    parameters: str
    seeds: str
    deviations: str
    run_by: str
    quoted_from: str
    pictures: str
    split: str
    pretraining: str
    direction: str
    read_in: str
    corrections: str
    remark: str

    def scores(self, *, corrected: bool = True) -> dict[str, str]:
        """The cells by task, without empty ones; with the corrections, or as printed."""
        cells = {task: getattr(self, task) for task in TASKS}
        if corrected:
            cells |= self.correction
        return {task: cell for task, cell in cells.items() if cell}

    @property
    def correction(self) -> dict[str, str]:
        """The cells that replace wrong ones."""
        pairs = (part.partition("=") for part in self.corrections.split(";") if part)
        return {task: cell for task, _, cell in pairs}


def published() -> list[Row]:
    """All rows, in the order of the file."""
    text = files("lra_data.results").joinpath("published.csv").read_text(encoding="utf-8")
    return parsed(text, "published.csv")


def parsed(text: str, name: str) -> list[Row]:
    """The rows in a CSV text; raises UsageError for the first fault of `faults`."""
    found, wrong = _read(text, name)
    if wrong:
        raise UsageError(wrong[0])
    return found


def faults(path: Path) -> list[str]:
    """Everything that is wrong with a file of rows, such as one that somebody wants to add; a line each."""
    return _read(text_of(path), str(path))[1]


def text_of(path: Path) -> str:
    """The text of a file of rows; raises UsageError for one that cannot be read."""
    try:
        return local_path(path, "a file of rows").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: expected a CSV file in UTF-8, got: {reason(error)}") from error


def _read(text: str, name: str) -> tuple[list[Row], list[str]]:
    reader = csv.DictReader(io.StringIO(text))
    columns = [field.name for field in fields(Row)]
    if reader.fieldnames is None or list(reader.fieldnames) != columns:
        got = ", ".join(reader.fieldnames or ()) or "none"
        return [], [f"{name}: expected the columns {', '.join(columns)}, got {got}"]
    rows, wrong, seen = [], [], set()
    for line, entry in enumerate(reader, start=2):
        if None in entry or None in entry.values():
            given = sum(value is not None for key, value in entry.items() if key) + len(entry.get(None) or ())
            wrong.append(f"{name}, line {line}: expected {len(columns)} entries, got {given}")
            continue
        row = Row(**entry)
        rows.append(row)
        said = [*_entry_faults(row), *(["id: used twice"] if row.id in seen else [])]
        wrong += [f"{name}, line {line}, {row.model or 'a row'}: {fault}" for fault in said]
        seen.add(row.id)
    return rows, wrong


def _entry_faults(row: Row) -> list[str]:
    found = [
        f"{entry}: expected {what}, got {getattr(row, entry)!r}"
        for entry, what, holds in (
            ("id", "a whole number", str.isdecimal),
            ("model", "a name", bool),
            ("source", "a title", bool),
            ("year", "a year, or nothing", lambda text: not text or (text.isdecimal() and len(text) == 4)),
            ("average", "a number, or nothing", lambda text: not text or _number(text) is not None),
            ("seeds", "a whole number, or nothing", lambda text: not text or text.isdecimal()),
        )
        if not holds(getattr(row, entry))
    ]
    for entry, words in _WORDS.items():
        if getattr(row, entry) not in words:
            known = ", ".join(word or "nothing" for word in words)
            found.append(f"{entry}: expected one of {known}, got {getattr(row, entry)!r}")
    for task, cell in [*((task, getattr(row, task)) for task in TASKS), *row.correction.items()]:
        number = _number(cell)
        if task not in TASKS:
            found.append(f"corrections: expected task=score with one of {', '.join(TASKS)}, got {task!r}")
        elif cell not in ("", FAIL) and (number is None or not 0 <= number <= 100):
            found.append(f"{task}: expected a percentage, FAIL, or nothing, got {cell!r}")
    if not any(getattr(row, task) for task in TASKS) and not row.average:
        found.append("expected a score or an average, got neither")
    if row.corrections and not row.remark:
        found.append("remark: expected the reason of the corrections, got nothing")
    if row.run_by == "quoted" and not row.quoted_from:
        found.append("quoted_from: expected whom the source quotes, got nothing")
    return found


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


@dataclass(frozen=True)
class Averages:
    """Our two averages of a row, in percent; None where a cell is missing. The rules are in the module's text."""

    five: float | None
    six: float | None


def averages(row: Row) -> Averages:
    """The averages of the corrected cells."""
    cells = {} if row.variant == NOT_COMPARABLE else row.scores()
    counted = [_number(cells.get(task, "")) for task in FIVE]
    five = None if None in counted else sum(number for number in counted if number is not None)
    path_x = cells.get("pathx", "")
    last = CHANCE if path_x == FAIL else _number(path_x)
    return Averages(
        None if five is None else five / len(FIVE), None if five is None or last is None else (five + last) / len(SIX)
    )


def _last_digit(text: str) -> float:
    """The worth of a number's last digit; 0 for a text."""
    return 0.0 if _number(text) is None else 10.0 ** -len(text.partition(".")[2])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _filled(cells: dict[str, str], filling: float) -> list[float]:
    numbers = [_number(cells.get(task, "")) for task in SIX]
    return [filling if number is None else number for number in numbers]


# The rules that printed averages follow, by name; each takes the printed cells. The first that fits is named.
RULES: dict[str, Callable[[dict[str, str]], float | None]] = {
    "mean of the five": lambda cells: _mean_of(cells, FIVE),
    "mean of the six": lambda cells: _mean_of(cells, SIX),
    "mean of six, failed or missing as 50": lambda cells: _mean(_filled(cells, CHANCE)),
    "mean of six, missing as 0": lambda cells: _mean(_filled(cells, 0.0)),
    "mean without ListOps": lambda cells: _mean_of(cells, [task for task in SIX[1:] if task in cells]),
    "mean of what is printed": lambda cells: _mean_of(cells, [task for task in SIX if task in cells]),
}
NO_RULE, NOT_KNOWN = "none", "no scores are printed"


def _mean_of(cells: dict[str, str], tasks: Iterable[str]) -> float | None:
    numbers = [_number(cells.get(task, "")) for task in tasks]
    known = [number for number in numbers if number is not None]
    return _mean(known) if known and len(known) == len(numbers) else None


def found_rule(row: Row) -> str | None:
    """The rule that a printed average follows, rounded or cut to its digits; NO_RULE for none, None without average.

    The cells are rounded too, each by up to half of its last digit.
    """
    if not row.average:
        return None
    printed, step = float(row.average), _last_digit(row.average)
    cells = {task: cell for task, cell in row.scores(corrected=False).items() if task in SIX}
    if not cells:
        return NOT_KNOWN
    rounding = _mean([_last_digit(cell) / 2 for cell in cells.values()])
    for name, rule in RULES.items():
        mean = rule(cells)
        if mean is not None and abs(mean - printed) <= step / 2 + 1e-9:
            return name
    for name, rule in RULES.items():
        mean = rule(cells)
        if mean is not None and abs(mean - printed) <= step / 2 + rounding + 1e-9:
            return f"{name}, of unrounded cells"
    for name, rule in RULES.items():
        mean = rule(cells)
        if mean is not None and -1e-9 <= mean - printed < step:
            return f"{name}, cut"
    return NO_RULE


def chosen(
    rows: Sequence[Row], *, task: str | None = None, model: str | None = None, protocol: str = "all", own: bool = False
) -> list[Row]:
    """The rows with a task's score, from the best; of a model; of a protocol; trained by the source's authors.

    protocol: "all"; "test", scores on test; "comparable", also grey pictures and no pre-training.
    """
    found = [
        row
        for row in rows
        if (task is None or task in row.scores())
        and (model is None or plain(model) in plain(row.model))
        and (protocol == "all" or row.split == "test")
        and (protocol != "comparable" or (row.pictures, row.pretraining) == ("grey", "none"))
        and (not own or row.run_by != "quoted")
    ]
    if task is None:
        return found
    numbers = {row: _number(row.scores()[task]) for row in found}
    return sorted(found, key=lambda row: CHANCE if (number := numbers[row]) is None else number, reverse=True)


def as_dict(row: Row) -> dict[str, Any]:
    """A row with its averages and the rule of the printed one, as JSON values."""
    own = averages(row)
    return {
        **{field.name: getattr(row, field.name) for field in fields(Row)},
        "five": None if own.five is None else round(own.five, 2),
        "six": None if own.six is None else round(own.six, 2),
        "average_rule": found_rule(row),
    }
