"""Options that several `lra-data` commands share, and how values are printed."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from lra_data.corpus import Corpus
from lra_data.errors import UsageError

if TYPE_CHECKING:
    from lra_data.store.row_access import Rows

JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
CORPUS_OPTION = click.option("--corpus", metavar="PATH", help="Archive or folder of the corpus, for a converted task.")
PAIRS_OPTION = click.option("--pairs", metavar="DIR", help="Folder of id lists, for Retrieval's published pairs.")
PARTIAL_OPTION = click.option("--allow-partial", is_flag=True, help="Accept an incomplete corpus.")
SEED_OPTION = click.option("--seed", type=int, default=0, show_default=True, help="Seed of generated examples.")


def virtual_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options for a task that was not built: its seed and its corpus."""
    for option in (PARTIAL_OPTION, PAIRS_OPTION, CORPUS_OPTION, SEED_OPTION):
        command = option(command)
    return command


def opened(where: str, seed: int, corpus: Corpus | None) -> "Rows":
    """The rows of a set or of a task. A task that converts a corpus reads the given one, or else the cached one."""
    from lra_data.store.row_access import BuiltRows, VirtualRows, open_rows

    rows = open_rows(where, seed=seed)
    if isinstance(rows, BuiltRows) and (corpus is not None or seed not in (0, rows.seed)):
        raise UsageError(
            f"{where} is a built set and takes no --corpus, --pairs, --allow-partial or --seed: leave them out"
        )
    return rows if corpus is None else VirtualRows(rows.task.over(corpus), seed)


def one_line(value: Any) -> str:
    """A value on one line, for people."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {one_line(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return " ".join(str(item) for item in value)
    return str(value)
