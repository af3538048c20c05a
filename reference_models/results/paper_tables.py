"""The rows of finished models for a paper: LaTeX with rules of the package booktabs, and CSV.

Nothing is ranked: no row is bold, since the intervals of neighbours overlap. The LaTeX has what the reader of a paper
needs, and in comments the commands that make it; the CSV has every entry of a row.
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from lra_data import latex
from reference_models.model.card import Card
from reference_models.results.rows import CONTROL, names, rows, same_rows
from reference_models.results.tables import percent_interval

_NONE = "–"


def as_latex(cards: Iterable[Card], command: str) -> str:
    """A tabular for each task, sorted by accuracy, with the trivial predictors below its models.

    command: the command line that prints it, for a comment.

    Raises UsageError for models that were scored on different rows of one task.
    """
    parts = [latex.comment(f"{command}\nNeeds \\usepackage{{booktabs}}.")]
    parts += [_tabular(task, list(found)) for task, found in groupby(rows(cards), key=lambda row: str(row["task"]))]
    return "\n".join(parts)


def as_csv(cards: Iterable[Card]) -> str:
    """A line for each row. trivial and published, which have several values, are a column for each value."""
    flat = [_flat(row) for row in rows(cards)]
    heads = list(dict.fromkeys(name for row in flat for name in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, heads, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return out.getvalue()


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if name == "trivial":
            flat[name] = json.dumps(value)
        elif isinstance(value, Mapping):
            flat |= {f"{name}_{key}": each for key, each in value.items()}
        else:
            flat[name] = value
    return flat


def _tabular(task: str, found: Sequence[Mapping[str, Any]]) -> str:
    same_rows((name, task, row["identity"]) for name, row in zip(names(found), found, strict=True))
    heads = ["Model", "Parameters", "Steps", r"Accuracy (\%)", r"95\,\% interval", "Above no attention"]
    lines = [
        " & ".join(
            [
                latex.escaped(name),
                f"{row['parameters']:,}",
                f"{row['steps']:,}",
                f"{100 * row['accuracy']:.2f}",
                percent_interval(row),
                _against(row),
            ]
        )
        for name, row in zip(names(found), found, strict=True)
    ]
    trivial = {name: share for row in found for name, share in row["trivial"].items()}
    shares = sorted(trivial.items(), key=lambda each: (-each[1], each[0]))
    below = [f"{latex.escaped(name)} & & & {100 * share:.2f} & &" for name, share in shares]
    made = dict.fromkeys(f"{row['command']}  # seed {row['seed']}, {row['date']}, {row['device']}" for row in found)
    return (
        latex.comment("\n".join([f"{task}, test split of {found[0]['examples']:,} examples; made by", *made]))
        + "\\begin{tabular}{lrrrcl}\n\\toprule\n"
        + "".join(f"{line} \\\\\n" for line in [" & ".join(heads)])
        + "\\midrule\n"
        + "".join(f"{line} \\\\\n" for line in lines)
        + ("\\midrule\n" + "".join(f"{line} \\\\\n" for line in below) if below else "")
        + "\\bottomrule\n\\end{tabular}\n"
        + latex.comment("Intervals: Wilson, 95 %, rounded outward. No rank is claimed where intervals overlap.")
    )


def _against(row: Mapping[str, Any]) -> str:
    if row["model"] == CONTROL or row["above_control"] is None:
        return latex.escaped(_NONE)
    return "yes" if row["above_control"] else "no"
