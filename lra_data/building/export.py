"""Writes a set in the layouts of others, for loaders that were made for them."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from lra_data.building.pickles import write_pickle
from lra_data.errors import UsageError, unknown_name
from lra_data.paths import local_path, write_failure
from lra_data.store.rows import Rows

# The original release's files; and the pickles of Nyströmformer and Skyformer.
LAYOUTS = ("lra-release", "nystromformer")

_SCRATCH = ".export"
# Beside the files of a set from a partial corpus, whose names cannot say it.
_INCOMPLETE = "INCOMPLETE.txt"


def export(rows: Rows, out: Path | str, *, layout: str = "lra-release") -> list[Path]:
    """The files written into `out`, a new or empty folder. They appear there when all are written.

    A run that was killed leaves nothing but a folder `.export`, which the next one removes.
    """
    if layout not in LAYOUTS:
        raise unknown_name("layout", layout, LAYOUTS)
    folder = local_path(out, "a new or empty folder").absolute()
    scratch = folder / _SCRATCH
    try:
        if folder.exists() and any(path.name != _SCRATCH for path in folder.iterdir()):
            raise UsageError(f"expected a new or empty folder, {folder} holds files: export to another")
        is_new = not folder.exists()
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        try:
            written = [path for split in rows.sizes for path in _written(rows, split, layout, scratch)]
            if rows.task.shortfall:
                (scratch / _INCOMPLETE).write_text(f"{rows.task.shortfall}\n")
            _move_all(scratch, folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            if is_new and not any(folder.iterdir()):
                folder.rmdir()
    except OSError as error:
        raise write_failure(folder, error) from error
    return [folder / path.relative_to(scratch) for path in written]


def _move_all(scratch: Path, folder: Path) -> None:
    """Give the files their places; an interrupt on the way takes them back, so that no part of an export stays."""
    moved: list[Path] = []
    try:
        for path in sorted(scratch.iterdir()):
            moved.append(path.replace(folder / path.name))
    except BaseException:
        for path in moved:
            path.replace(scratch / path.name)
        raise


def _written(rows: Rows, split: str, layout: str, folder: Path) -> Iterator[Path]:
    if layout == "nystromformer":
        yield write_pickle(rows.task, split, rows.batches(split), folder)
    else:
        yield from rows.task.export_release(split, rows.batches(split), folder, rows.sizes)
