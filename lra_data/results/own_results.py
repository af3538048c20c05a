"""Result files of `lra-data score` as rows of the published table, so that a model is listed next to the others.

A row has one cell for each set of the benchmark. A score on another set, such as listops/mini, is not comparable, and
is refused. Not here: what a result file holds (`score.py`), and published rows.
"""

import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from lra_data import catalogue
from lra_data.errors import UsageError, brief
from lra_data.paths import local_path
from lra_data.results.published import TASKS, Row
from lra_data.results.score import FORMAT

RUN_BY = "your result file"
# The column of each set whose score is comparable to published ones.
COLUMNS = {
    "listops/lra": "listops",
    "text/lra": "text",
    "text/holdout": "text",
    "retrieval/lra-pairs": "retrieval",
    "retrieval/by-pair": "retrieval",
    "image/lra": "image",
    "pathfinder/32-hard": "pathfinder",
    "pathfinder/128-hard": "pathx",
    "pathfinder/256-hard": "path256",
}
_USED = ("task", "split", "examples", "accuracy", "low", "high", "date")


def own_rows(named: Sequence[str]) -> list[Row]:
    """A row for each model in "MODEL=FILE" texts; several files of one model fill the cells of one row.

    Raises UsageError for a text of another form, a file that is not a result file, a set that is not the benchmark's,
    and two scores for one cell.
    """
    found: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {}
    for text in named:
        model, sign, name = text.partition("=")
        if not (model and sign and name):
            raise UsageError(f"expected MODEL=FILE, such as mine=result.json, got {text!r}")
        record = _record(Path(name))
        column = _column(record, name)
        cells = found.setdefault(model, {})
        if column in cells:
            raise UsageError(f"{name}: {model} has a score for {column} already, of {cells[column][0]}: leave one out")
        cells[column] = (name, record)
    return [_row(model, cells) for model, cells in found.items()]


def _record(path: Path) -> dict[str, Any]:
    expected = "expected a result file, as `lra-data score --out FILE` and `Score.write` make it"
    try:
        record = json.loads(local_path(path, "a result file").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {expected}, got: {brief(error)}") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT or not set(_USED) <= record.keys():
        raise UsageError(f"{path}: {expected}, got JSON of another form")
    return record


def _column(record: dict[str, Any], name: str) -> str:
    task, split = record["task"], str(record["split"]).partition("[")[0]
    if task not in COLUMNS:
        raise UsageError(
            f"{name}: expected a score on a set of the benchmark ({', '.join(COLUMNS)}), got {task}: published scores "
            "are not comparable to it"
        )
    if split != "test":
        raise UsageError(f"{name}: expected a score on test, as published scores are, got one on {split}")
    return COLUMNS[task]


def _row(model: str, cells: dict[str, tuple[str, dict[str, Any]]]) -> Row:
    said = [_said(record) for _, record in cells.values()]
    values = {
        **dict.fromkeys((field.name for field in fields(Row)), ""),
        **{task: f"{100 * cells[task][1]['accuracy']:.2f}" for task in TASKS if task in cells},
        "model": model,
        "source": ", ".join(name for name, _ in cells.values()),
        "table": ", ".join(record["task"] for _, record in cells.values()),
        "run_by": RUN_BY,
        "split": "test",
        "remark": "; ".join(said) + ".",
    }
    return Row(**values)


def _said(record: dict[str, Any]) -> str:
    """The set, how much of its test split was scored, and the interval."""
    whole = catalogue.get_task(record["task"].partition("/")[0]).sizes["test"]  # all presets of a family have as many
    count = f"all {whole:,}" if record["examples"] == whole else f"{record['examples']:,} of {whole:,}"
    return (
        f"{record['task']}, {count} test examples, 95 % interval {100 * record['low']:.2f} to "
        f"{100 * record['high']:.2f}, {record['date']}"
    )
