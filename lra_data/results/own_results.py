"""Result files of `lra-data score` as rows of the published table, so that a model is listed next to the others.

A row has one cell for each column. A row that is not comparable says so after its name, and why in its remark.

Not here: what a result file holds (`score.py`), what is comparable (`comparable.py`), and published rows.
"""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from lra_data.confidence import outward
from lra_data.errors import UsageError
from lra_data.results.comparable import FULL_SETS, column, differences, draws, whole_test
from lra_data.results.published import NOT_COMPARABLE, TASKS, Row
from lra_data.results.result_files import Result, read_result

RUN_BY = "your result file"


def own_rows(named: Sequence[str]) -> list[Row]:
    """A row for each model in "MODEL=FILE" texts; several files of one model fill the cells of one row.

    Raises UsageError for a text of another form, a file that is not a result file, and two scores for one cell.
    """
    found: dict[str, dict[str, tuple[str, Result]]] = {}
    for text in named:
        model, sign, name = text.partition("=")
        if not (model and sign and name):
            raise UsageError(f"expected MODEL=FILE, such as mine=result.json, got {text!r}")
        result = read_result(Path(name))
        task, cells = column(result.task), found.setdefault(model, {})
        if task in cells:
            raise UsageError(f"{name}: {model} has a score for {task} already, of {cells[task][0]}: leave one out")
        cells[task] = (name, result)
    return [_row(model, cells) for model, cells in found.items()]


def _row(model: str, cells: dict[str, tuple[str, Result]]) -> Row:
    results = [result for _, result in cells.values()]
    reasons = differences(results)
    remarks = [
        *([f"Not comparable: {'; '.join(reasons)}"] if reasons else []),
        "; ".join(map(_said, results)),
        *(draw.capitalize() for draw in draws(results)),
    ]
    values = {
        **dict.fromkeys((field.name for field in fields(Row)), ""),
        **{task: f"{100 * cells[task][1].accuracy:.2f}" for task in TASKS if task in cells},
        "model": model,
        "variant": NOT_COMPARABLE if reasons else "",
        "source": ", ".join(name for name, _ in cells.values()),
        "table": ", ".join(result.task for result in results),
        "run_by": RUN_BY,
        "split": ", ".join(dict.fromkeys(result.split for result in results)),
        "remark": ". ".join(remarks) + ".",
    }
    return Row(**values)


def _said(result: Result) -> str:
    """The set and its score, how much of its split was scored, and the interval."""
    count = f"{result.examples:,}"
    if result.task in FULL_SETS and result.split == "test":
        whole = whole_test(result.task)
        count = f"all {whole:,}" if result.examples == whole else f"{count} of {whole:,}"
    low, high = outward(result.low, result.high)
    return (
        f"{result.task} {100 * result.accuracy:.2f}, {count} {result.split} examples, 95 % interval {low} to {high}, "
        f"{result.date}"
    )
