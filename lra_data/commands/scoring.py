"""`lra-data score`: what a model's predictions are worth."""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from lra_data.command_line import SET
from lra_data.commands.options import JSON_OPTION, opened, virtual_options
from lra_data.corpus import corpus_from_options
from lra_data.errors import UsageError
from lra_data.phases import of_rows, shown
from lra_data.results.published import TASKS
from lra_data.words import counted

_WIDTH = 24


@click.command(short_help="Score predictions on a set.")
@click.argument("where", metavar="SET", type=SET)
@click.argument("predictions", type=click.Path(path_type=Path))
@click.option("--split", default="test", show_default=True, help="Split, or a slice such as test[:1000].")
@click.option("--against", type=click.Path(path_type=Path), metavar="FILE", help="Predictions to compare with.")
@click.option("--no-trivial", is_flag=True, help="Leave out the trivial predictors, which read all of train.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write the result as JSON to a file.")
@JSON_OPTION
@virtual_options
def score(
    where: str,
    predictions: Path,
    split: str,
    against: Path | None,
    no_trivial: bool,
    out: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Score PREDICTIONS on SET: accuracy with its 95 % interval, the trivial predictors, and where it fails.

    PREDICTIONS is a file of labels or logits: .npy in the split's order, or .csv, .jsonl or .parquet with the columns
    label, logits, or logit_0, logit_1, …, and index for another order.

    \b
    lra-data score listops/mini predictions.csv
    lra-data score data/listops/lra a.npy --against b.npy --out result.json
    """
    from lra_data.loading.dataset import Dataset
    from lra_data.results.score import score as scored
    from lra_data.splits import parse_split

    corpus = corpus_from_options(options["corpus"], options["pairs"], options["allow_partial"])
    command = f"lra-data {shlex.join(sys.argv[1:])}"
    with shown() as tell:
        tell(f"opening {where}", 0, None)
        rows = opened(where, options["seed"], corpus)
        rows.watch = of_rows(tell, "trivial predictors: reading")
        dataset = Dataset(rows, *parse_split(split, rows.sizes))
        tell("reading the labels", 0, None)
        found = scored(dataset, predictions, against=against, trivial=not no_trivial, command=command)
    if out is not None:
        found.write(out)
    if as_json:
        click.echo(found.to_json(), nl=False)
        return
    for line in _lines(found.record):
        click.echo(line)


def _lines(record: dict[str, Any]) -> list[str]:
    """The record for people, at most 80 columns wide."""
    lines = [f"{record['task']} {record['split']}: {_share(record)}"]
    if record["trivial"]:
        name, best = next(iter(record["trivial"].items()))
        above = "above it" if record["low"] > best["accuracy"] else "not above it"
        lines += [
            f"best trivial predictor, on validation and test: {name} {best['accuracy']:.2%}",
            f"  the whole interval is {above}",
        ]
    other = record["against"]
    if other is not None:
        lines += [
            f"the other file: {_share(other)}",
            f"right in one alone: {other['only_this']:,} here, {other['only_other']:,} there; McNemar's p = "
            f"{other['p']:.3g}",
        ]
    if record["calibration"] is not None:
        measured = record["calibration"]
        lines.append(
            f"calibration error {measured['expected_calibration_error']:.4f}, log-likelihood "
            f"{-measured['negative_log_likelihood']:.4f}, Brier score {measured['brier']:.4f}"
        )
    for name, groups in record["groups"].items():
        if groups is None:
            lines.append(f"by {name}: not available, the rows do not have it")
            continue
        lines.append(f"by {name}:")
        lines += [f"  {group['group'][:_WIDTH]:<{_WIDTH}} {_share(group)}" for group in groups]
    return lines


def _share(found: dict[str, Any]) -> str:
    return (
        f"{found['accuracy']:.2%} ({found['low']:.2%} to {found['high']:.2%}), {found['correct']:,} of "
        f"{found['examples']:,}"
    )


# The columns of published.csv by the names that tasks have elsewhere.
_TASKS = {{"pathx": "path-x", "path256": "path-256"}.get(task, task): task for task in TASKS}


@click.group(no_args_is_help=False, short_help="Published scores of the benchmark, with their sources.")
def results() -> None:
    """Published scores of the Long Range Arena, with their sources."""


@results.command("list", short_help="Print published rows.")
@click.option("--task", type=click.Choice(list(_TASKS)), help="Only rows with this task's score, from the best.")
@click.option("--model", metavar="TEXT", help="Only models whose name has this text.")
@click.option(
    "--protocol",
    type=click.Choice(["test", "comparable", "all"]),
    default="comparable",
    show_default=True,
    help="Rows to print: scores on test; those also of grey pictures, without pre-training; or all.",
)
@click.option("--own", is_flag=True, help="Only rows whose source trained the model itself.")
@click.option(
    "--result",
    "own_files",
    multiple=True,
    metavar="MODEL=FILE",
    help="Your own model, and a result file of `lra-data score`. Repeatable.",
)
@click.option(
    "--format",
    "shape",
    type=click.Choice(["text", "md", "csv", "latex", "json"]),
    default="text",
    show_default=True,
    help="A table for the terminal, Markdown, CSV, LaTeX or JSON.",
)
def list_results(
    task: str | None, model: str | None, protocol: str, own: bool, own_files: tuple[str, ...], shape: str
) -> None:
    """Print published rows: scores as printed, the average under a stated rule, and the printed one.

    \b
    lra-data results list --task pathfinder --protocol test --format latex
    lra-data results list --model Mamba --protocol all --format json
    lra-data results list --task text --result mine=result.json
    """
    from lra_data.results.own_results import own_rows
    from lra_data.results.published import chosen, published
    from lra_data.results.tables import WRITERS

    column = None if task is None else _TASKS[task]
    rows = chosen(published(), task=column, model=model, protocol=protocol, own=own)
    mine = own_rows(own_files)
    if not rows and not mine:
        also = "" if protocol == "all" else ", or add --protocol all"
        raise UsageError(f"no published row matches: leave out an option{also}")
    if column is not None and (others := [row for row in mine if column not in row.scores()]):
        raise UsageError(f"{others[0].source}: expected a score for --task {task}, got none of {others[0].model}")
    click.echo(WRITERS[shape](chosen([*rows, *mine], task=column)), nl=False)


@results.command("check", short_help="Check a file of rows that you want to add.")
@click.argument("file", type=click.Path(path_type=Path))
@JSON_OPTION
def check_results(file: Path, as_json: bool) -> None:
    """Check a CSV file of rows, with the columns of lra_data/results/published.csv.

    Prints each fault, and each printed average that follows no known rule. The exit code is 1 if there is a fault.
    """
    from lra_data.results.published import NO_RULE, faults, found_rule, parsed, text_of

    wrong = faults(file)
    if as_json:
        rows = [] if wrong else parsed(text_of(file), str(file))
        no_rule = [row.id for row in rows if found_rule(row) == NO_RULE]
        click.echo(json.dumps({"faults": wrong, "rows": len(rows), "averages_without_a_rule": no_rule}, indent=1))
        sys.exit(1 if wrong else 0)
    for fault in wrong:
        click.echo(fault)
    if wrong:
        click.echo(f"{file}: {counted(len(wrong), 'fault')}")
        sys.exit(1)
    rows = parsed(text_of(file), str(file))
    for row in rows:
        if found_rule(row) == NO_RULE:
            click.echo(f"{row.id} {row.model}: the printed average, {row.average}, follows no known rule")
    click.echo(f"{file}: {counted(len(rows), 'row')}, no fault")
