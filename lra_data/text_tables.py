"""Tables and lists for people, as wide as the terminal, or 80 columns where there is none (or COLUMNS says so)."""

import shutil
import textwrap
from collections.abc import Iterable, Sequence

_LEAST = 40
_LEAST_TEXT = 8  # columns of a text that continues on the next line


def columns() -> int:
    """The width of a line."""
    return max(_LEAST, shutil.get_terminal_size((80, 24)).columns)


def wrapped(text: str) -> list[str]:
    """The lines of a text; those after the first are indented."""
    return textwrap.wrap(text, columns(), subsequent_indent="  ", break_on_hyphens=False, break_long_words=False)


def narrow(name: str, width: int = 20) -> str:
    """A name on several lines, for the first column of a table."""
    return textwrap.fill(name, width, subsequent_indent=" ", break_on_hyphens=False, break_long_words=False)


def named_lines(entries: Iterable[tuple[str, str]], *, indent: str = "  ") -> Iterable[str]:
    """Names in a column, with a text for each that continues on lines below its start."""
    entries = list(entries)
    width = max((len(name) for name, _ in entries), default=0) + len(indent) + 2
    for name, text in entries:
        begin = f"{indent}{name}".ljust(width)
        yield from textwrap.wrap(
            text, columns(), initial_indent=begin, subsequent_indent=" " * width, break_on_hyphens=False
        ) or [begin.rstrip()]


def table_lines(heads: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> Iterable[str]:
    """A table; texts that are too long continue on the next line, but not in the first column.

    right: the heads of columns of numbers.
    """
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0))
    cells = [list(heads), *map(list, rows)]
    least = 0
    for number, head in enumerate(heads):
        whole = head in (heads[0], *right)
        table.add_column(head, justify="right" if head in right else "left", no_wrap=whole, overflow="fold")
        widest = max(cell_len(line) for row in cells for line in row[number].split("\n"))
        least += 2 + (widest if whole else min(widest, _LEAST_TEXT))
    for row in cells[1:]:
        table.add_row(*row)
    # Where the terminal is too narrow, lines are longer: a number is never cut.
    console = Console(
        width=max(columns(), least - 2), color_system=None, force_terminal=False, markup=False, emoji=False
    )
    with console.capture() as capture:
        console.print(table)
    return [line.rstrip() for line in capture.get().splitlines()]
