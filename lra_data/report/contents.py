"""Gathers what a page shows: the whole site, or one set."""

import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from lra_data.errors import SetError, UsageError, brief
from lra_data.picture_files import png_versions
from lra_data.report.board import board
from lra_data.report.bundled_models import bundled_models
from lra_data.report.charts import DIGESTS
from lra_data.report.page import Page, folder_for, write_page
from lra_data.report.set_section import SetSection, absent_section, set_section
from lra_data.report.zoo_section import ZooFigures, zoo_sections
from lra_data.results.published import published
from lra_data.results.result_files import ModelResults, read_results
from lra_data.store.row_access import Rows, open_rows
from lra_data.version import VERSION

# The benchmark's tasks; a set that the user names takes the place of the one of its family and size of picture.
SITE_SETS = ("listops/lra", "text/lra", "retrieval/by-pair", "image/lra", "pathfinder/32-hard")


def write_site(
    out: Path | str,
    *,
    results: Sequence[Any] = (),
    sets: Sequence[Rows | str] = (),
    limit: int = 2000,
    date: str = "",
    command: str = "",
    figures: ZooFigures | None = None,
) -> Path:
    """Write the page of the whole benchmark to OUT/index.html and return its path.

    results: result files, or folders of them (`result_files.read_results`), for rows next to the published ones.
    sets: built sets or names of tasks for the sections on tasks, in place of the full set of their family.
    limit: number of rows read of each split, from the first; 0 for all.
    date: printed on the page; none by default, so that the same input gives the same bytes.
    command: that makes the page, for its reader. figures: what `lra-zoo report` adds.

    Raises UsageError for a file that is not a result, and without Jinja; BuildError if OUT cannot be written.
    """
    own = read_results(results)
    given = [rows if isinstance(rows, Rows) else open_rows(rows) for rows in sets]
    folder = folder_for(out)
    models = bundled_models()
    families = {rows.task.family for rows in given}
    usual = [open_rows(name) for name in SITE_SETS if name.partition("/")[0] not in families]
    sections = [set_section(rows, limit=limit) for rows in given] + [_if_here(rows, limit) for rows in usual]
    order = [name.partition("/")[0] for name in SITE_SETS]
    page = Page(
        title="Long Range Arena",
        summary="Published scores with their sources and recomputed means, the tasks, and small models of them.",
        command=command,
        date=date,
        board=board(published(), models, own),
        sets=sorted(sections, key=lambda section: order.index(section.name.partition("/")[0])),
        zoo=zoo_sections(models),
        figures=figures or ZooFigures(),
        versions=_versions(),
        digests=_digests(own),
    )
    return write_page(page, folder)


def write_set_page(
    rows: Rows,
    out: Path | str,
    *,
    results: Sequence[Any] = (),
    limit: int = 2000,
    date: str = "",
    command: str = "",
) -> Path:
    """Write the page of one set: its section, the bundled models of it, and the user's results on it; see `write_site`.

    Raises UsageError for a result on another set.
    """
    own, name = read_results(results), rows.task.name
    for entry in own:
        for result in entry.results:
            if result.task != name:
                raise UsageError(f"{brief(entry.name)}: expected results on {name}, got one on {result.task}")
    folder = folder_for(out)
    models = [model for model in bundled_models() if model.card.task == name]
    page = Page(
        title=name,
        summary=f"What the set's rows are like, seed {rows.seed}"
        + (", and the small models that were trained on it." if models else "."),
        command=command,
        date=date,
        board=board([], models, own) if own else [],
        sets=[set_section(rows, limit=limit)],
        zoo=zoo_sections(models),
        figures=ZooFigures(),
        versions=_versions(),
        digests=_digests(own),
    )
    return write_page(page, folder)


def _if_here(rows: Rows, limit: int) -> SetSection:
    """The section of a usual set; one whose corpus is not here says so."""
    try:
        return set_section(rows, limit=limit)
    except SetError:
        if not rows.task.converted:
            raise
        return absent_section(rows)


def _versions() -> dict[str, str]:
    return {"lra-data": VERSION, **png_versions()}


def _digests(results: Sequence[ModelResults]) -> Mapping[str, str]:
    rows = files("lra_data.results").joinpath("published.csv").read_bytes()
    return {
        "published.csv": hashlib.sha256(rows).hexdigest(),
        **DIGESTS,
        **{f"{entry.name}: {name}": digest for entry in results for name, digest in entry.digests.items()},
    }
