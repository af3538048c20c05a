"""Published rows as a table for the terminal, Markdown, CSV, LaTeX or JSON."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lra_data import text_tables
from lra_data.latex import comment, escaped
from lra_data.results.published import TASKS, Row, as_dict

_HEADS = {
    "listops": "ListOps", "text": "Text", "retrieval": "Retrieval", "image": "Image", "pathfinder": "Pathfinder",
    "pathx": "Path-X", "path256": "Path-256",
}  # fmt: skip
RULES_SAID = (
    "Five: mean of ListOps, Text, Retrieval, Image and Pathfinder. Six: with Path-X, 50 where it failed. Both are of "
    "the corrected cells; scores are as printed, in percent. * marks what is known to be wrong: see the remark."
)


# In narrow columns. Few papers have Path-256: its column comes instead of the others' where all rows have it.
_NARROW_HEADS = {
    "listops": "List-\nOps", "text": "Text", "retrieval": "Retri-\neval", "image": "Image",
    "pathfinder": "Path-\nfinder", "pathx": "Path-X",
}  # fmt: skip
_PATHS = {"pathfinder": "Pathfinder", "pathx": "Path-X", "path256": "Path-256"}


def terminal(rows: Sequence[Row]) -> str:
    """A table of 80 columns, the rules of the averages, the sources by number, and the remarks."""
    tasks = _PATHS if all(row.path256 for row in rows) else _NARROW_HEADS
    numbers: dict[str, str] = {}
    cells, remarks = [], []
    for row in rows:
        scores = [getattr(row, task) or "–" for task in tasks]
        number = numbers.setdefault(
            f"{_source(row)}; {'' if row.run_by == 'quoted' else 'run by '}{_run(row)}", f"[{len(numbers) + 1}]"
        )
        cells.append(
            [
                text_tables.narrow(f"{_named(row)}{'*' if row.correction else ''}"),
                *scores,
                _shown(as_dict(row)["five"]),
                number,
            ]
        )
        if row.remark:
            remarks += text_tables.wrapped(f"{_named(row)} {number}: {row.remark}{_corrected(row)}")
    heads = ["model", *tasks.values(), "five", "from"]
    lines = list(text_tables.table_lines(heads, cells, right=heads[1:]))
    lines += ["", *text_tables.wrapped(RULES_SAID), ""]
    lines += text_tables.named_lines((number, source) for source, number in numbers.items())
    return "\n".join([*lines, *(["", *remarks] if remarks else [])]) + "\n"


def markdown(rows: Sequence[Row]) -> str:
    """A table, the rules of the averages, and the remarks and sources below."""
    lines = [_line(["model", *_HEADS.values(), "five", "six", "printed average", "run by", "source"])]
    lines.append(_line(["---", *["---:"] * (len(_HEADS) + 3), "---", "---"]))
    for row in rows:
        values = as_dict(row)
        cells = [_cell(row, task) for task in TASKS]
        lines.append(
            _line(
                [
                    _named(row),
                    *cells,
                    _shown(values["five"]),
                    _shown(values["six"]),
                    row.average or "–",
                    _run(row),
                    _source(row),
                ]
            )
        )
    remarks = [f"- {remark}" for remark in _remarks(rows)]
    return "\n".join([*lines, "", RULES_SAID, *(["", *remarks] if remarks else [])]) + "\n"


def as_csv(rows: Sequence[Row]) -> str:
    """All entries, the averages, and the rule of the printed one."""
    out = io.StringIO()
    if rows:
        writer = csv.DictWriter(out, list(as_dict(rows[0])), lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(as_dict, rows))
    return out.getvalue()


def latex(rows: Sequence[Row]) -> str:
    """A tabular with rules of the package booktabs."""
    lines = [
        r"\begin{tabular}{l" + "r" * (len(_HEADS) + 2) + "l}",
        r"\toprule",
        " & ".join(["Model", *_HEADS.values(), "Five", "Six", "Source"]) + r" \\",
        r"\midrule",
    ]
    for row in rows:
        values = as_dict(row)
        cells = [_cell(row, task) for task in TASKS]
        averages = [_shown(values[name]) for name in ("five", "six")]
        lines.append(" & ".join(map(escaped, [_named(row), *cells, *averages, _source(row)])) + r" \\")
    remarks = [comment(remark).rstrip("\n") for remark in _remarks(rows)]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", f"% {RULES_SAID}", *remarks]) + "\n"


def as_json(rows: Sequence[Row]) -> str:
    """A list of all entries, the averages, and the rule of the printed one."""
    return json.dumps([as_dict(row) for row in rows], indent=1, ensure_ascii=False) + "\n"


WRITERS: Mapping[str, Callable[[Sequence[Row]], str]] = {
    "text": terminal, "md": markdown, "csv": as_csv, "latex": latex, "json": as_json
}  # fmt: skip


def _cell(row: Row, task: str) -> str:
    """A score as printed, with * where it is known to be wrong."""
    return f"{getattr(row, task) or '–'}{'*' if task in row.correction else ''}"


def _remarks(rows: Sequence[Row]) -> list[str]:
    return [f"{_named(row)} ({row.source}, {row.table}): {row.remark}{_corrected(row)}" for row in rows if row.remark]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _named(row: Row) -> str:
    return f"{row.model}, {row.variant}" if row.variant else row.model


def _shown(value: Any) -> str:
    return "–" if value is None else f"{value:.2f}"


def _run(row: Row) -> str:
    return row.run_by if row.run_by != "quoted" else f"quoted: {row.quoted_from}"


def _source(row: Row) -> str:
    place = f"arXiv:{row.arxiv}" if row.arxiv else row.source
    return f"{place}, {row.table}" if row.table else place


def _corrected(row: Row) -> str:
    cells = [f"{_HEADS[task]} {cell or 'not known'}" for task, cell in row.correction.items()]
    return f" Corrected: {', '.join(cells)}." if cells else ""
