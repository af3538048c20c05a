"""Options that several commands of `lra-data` share, and how values are printed."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from lra_data.corpus import Corpus
from lra_data.errors import UsageError

if TYPE_CHECKING:
    from lra_data.store.row_access import Rows

JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
CORPUS_OPTION = click.option("--corpus", metavar="PATH", help="The corpus of a converted task: its archive or folder.")
PAIRS_OPTION = click.option("--pairs", metavar="DIR", help="The id lists of Retrieval, if its pairs are those.")
PARTIAL_OPTION = click.option("--allow-partial", is_flag=True, help="Accept a corpus that is not whole.")
SEED_OPTION = click.option("--seed", type=int, default=0, show_default=True, help="Seed of a virtual set.")


def virtual_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say which set is meant where it was never written."""
    for option in (PARTIAL_OPTION, PAIRS_OPTION, CORPUS_OPTION, SEED_OPTION):
        command = option(command)
    return command


def opened(where: str, seed: int, corpus: Corpus | None) -> "Rows":
    """The rows of a set or of a task; a task that converts a corpus reads the one that is named, or the cached one."""
    from lra_data.store.row_access import BuiltRows, VirtualRows, open_rows

    rows = open_rows(where, seed=seed)
    if isinstance(rows, BuiltRows) and (corpus is not None or seed not in (0, rows.seed)):
        raise UsageError(
            f"expected no --corpus, --pairs, --allow-partial or --seed for {where}, which has its rows: leave them out"
        )
    return rows if corpus is None else VirtualRows(rows.task.over(corpus), seed)


def one_line(value: Any) -> str:
    """A value on one line, for people."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {one_line(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return " ".join(str(item) for item in value)
    return str(value)
