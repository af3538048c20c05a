"""Writes a set in the layouts of others, for loaders that were made for them."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from lra_data.building.pickles import write_pickle
from lra_data.errors import UsageError, unknown_name
from lra_data.store.files import write_failure
from lra_data.store.rows import Rows

# The original release's files; and the pickles of Nyströmformer and Skyformer.
LAYOUTS = ("lra-release", "nystromformer")


def export(rows: Rows, out: Path | str, *, layout: str = "lra-release") -> list[Path]:
    """The files written into `out`, a new or empty folder; each of them appears whole."""
    if layout not in LAYOUTS:
        raise unknown_name("layout", layout, LAYOUTS)
    folder = Path(out)
    scratch = folder / ".export"
    written = []
    try:
        if folder.exists() and any(folder.iterdir()):
            raise UsageError(f"expected a new or empty folder, {folder} holds files: export to another")
        scratch.mkdir(parents=True, exist_ok=True)
        for split in rows.sizes:
            for path in _written(rows, split, layout, scratch):
                target = folder / path.relative_to(scratch)
                target.parent.mkdir(parents=True, exist_ok=True)
                path.replace(target)
                written.append(target)
    except OSError as error:
        raise write_failure(folder, error) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return written


def _written(rows: Rows, split: str, layout: str, folder: Path) -> Iterator[Path]:
    if layout == "nystromformer":
        yield write_pickle(rows.task, split, rows.batches(split), folder)
    else:
        yield from rows.task.export_release(split, rows.batches(split), folder, rows.sizes)
