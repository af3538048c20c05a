"""Result files of `lra-data score` as rows of the published table, so that a model is listed next to the others.

A row has one cell for each set of the benchmark. A score on another set, such as listops/mini, is not comparable, and
is refused. Not here: what a result file holds (`score.py`), and published rows.
"""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from lra_data.errors import UsageError
from lra_data.results.published import TASKS, Row
from lra_data.results.result_files import FULL_SETS, Result, read_result, whole_test

RUN_BY = "your result file"


def own_rows(named: Sequence[str]) -> list[Row]:
    """A row for each model in "MODEL=FILE" texts; several files of one model fill the cells of one row.

    Raises UsageError for a text of another form, a file that is not a result file, a set that is not the benchmark's,
    and two scores for one cell.
    """
    found: dict[str, dict[str, tuple[str, Result]]] = {}
    for text in named:
        model, sign, name = text.partition("=")
        if not (model and sign and name):
            raise UsageError(f"expected MODEL=FILE, such as mine=result.json, got {text!r}")
        result = read_result(Path(name))
        column = _column(result, name)
        cells = found.setdefault(model, {})
        if column in cells:
            raise UsageError(f"{name}: {model} has a score for {column} already, of {cells[column][0]}: leave one out")
        cells[column] = (name, result)
    return [_row(model, cells) for model, cells in found.items()]


def _column(result: Result, name: str) -> str:
    if result.task not in FULL_SETS:
        raise UsageError(
            f"{name}: expected a score on a set of the benchmark ({', '.join(FULL_SETS)}), got {result.task}: "
            "published scores are not comparable to it"
        )
    if result.split != "test":
        raise UsageError(f"{name}: expected a score on test, as published scores are, got one on {result.split}")
    return FULL_SETS[result.task]


def _row(model: str, cells: dict[str, tuple[str, Result]]) -> Row:
    results = [result for _, result in cells.values()]
    values = {
        **dict.fromkeys((field.name for field in fields(Row)), ""),
        **{task: f"{100 * cells[task][1].accuracy:.2f}" for task in TASKS if task in cells},
        "model": model,
        "source": ", ".join(name for name, _ in cells.values()),
        "table": ", ".join(result.task for result in results),
        "run_by": RUN_BY,
        "split": "test",
        "remark": "; ".join(map(_said, results)) + ".",
    }
    return Row(**values)


def _said(result: Result) -> str:
    """The set, how much of its test split was scored, and the interval."""
    whole = whole_test(result.task)
    count = f"all {whole:,}" if result.examples == whole else f"{result.examples:,} of {whole:,}"
    return (
        f"{result.task}, {count} test examples, 95 % interval {100 * result.low:.2f} to {100 * result.high:.2f}, "
        f"{result.date}"
    )
