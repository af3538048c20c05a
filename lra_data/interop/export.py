"""Writes a set in the layouts of others, for loaders that were made for them."""

from collections.abc import Callable, Iterator
from pathlib import Path

from lra_data.errors import UsageError
from lra_data.interop.export_tree import addition
from lra_data.interop.layouts import S4_FOLDERS, units_of
from lra_data.interop.mega_files import write_mega
from lra_data.interop.paper_lines import PaperLines
from lra_data.interop.pickles import PICKLES, write_pickle
from lra_data.interop.s4_files import write_imdb
from lra_data.paths import local_path, write_failure
from lra_data.store.row_access import Rows

_ASCII_LAYOUTS = ("lra-release", "s4")


def _ignore(message: str) -> None:
    """Nobody listens."""


def export(
    rows: Rows,
    out: Path | str,
    *,
    layout: str = "lra-release",
    ascii_only: bool = False,
    tell: Callable[[str], None] = _ignore,
    warn: Callable[[str], None] = _ignore,
) -> list[Path]:
    """The files written into `out`, a folder that may hold other sets. They appear there when all are written.

    ascii_only: in Retrieval's TSV files write each byte that is not printable ASCII as a space. tell: hears, a line
    each, what was left out or replaced. warn: hears what the layout's readers cannot read. A run that was killed leaves
    the folder as it was but for a folder `.export`, which the next one removes. Raises UsageError for a set that the
    layout never held, and for files that are there already.
    """
    units = units_of(rows.task, layout)
    if ascii_only and (rows.task.family != "retrieval" or layout not in _ASCII_LAYOUTS):
        raise UsageError(
            f"expected ASCII only for Retrieval in the layout {' or '.join(_ASCII_LAYOUTS)}, whose texts S4 and S5 "
            f"read as UTF-8, got {rows.task.name} in {layout}: leave --ascii out"
        )
    folder = local_path(out, "a folder, which may hold other sets").absolute()
    try:
        with addition(folder, tell) as added:
            added.refuse_what_is_there(units)
            written = list(_written(rows, layout, added.files, ascii_only, tell, warn))
            added.publish(units, remark=rows.task.card.shortfall)
            return [folder / path.relative_to(added.files) for path in written]
    except OSError as error:
        raise write_failure(folder, error) from error


def _written(
    rows: Rows, layout: str, folder: Path, ascii_only: bool, tell: Callable[[str], None], warn: Callable[[str], None]
) -> Iterator[Path]:
    """Write all splits into `folder`, which is empty; yields each finished file."""
    if layout == "mega":
        yield from write_mega(rows, folder, tell)
    elif layout in PICKLES:
        for split in rows.sizes:
            yield write_pickle(rows.task, layout, split, rows.batches(split), folder)
    elif layout == "s4" and rows.task.family == "text":
        yield from write_imdb(rows, folder, tell)
    else:
        if layout == "s4":
            folder = folder / S4_FOLDERS[rows.task.family]
            folder.mkdir()
        if rows.task.family == "retrieval":
            lines = PaperLines(ascii_only=ascii_only, quoted=layout == "s4")
            for split in rows.sizes:
                yield lines.write(split, rows.batches(split), folder)
            for listener, message in ((tell, lines.replaced), (warn, lines.warning)):
                if message:
                    listener(message)
        else:
            for split in rows.sizes:
                yield from rows.task.export_release(split, rows.batches(split), folder, rows.sizes)
