"""Makes the page: one HTML file with its styles, scripts, pictures and numbers inside, which asks for nothing else.

The same input gives the same bytes: no date is printed unless it is given. By the page's policy (Content-Security-
Policy), a browser runs only the page's own scripts and loads nothing, so a name in a user's file can do no harm.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from lra_data.confidence import outward
from lra_data.errors import UsageError
from lra_data.optional_import import require
from lra_data.paths import local_path, write_failure
from lra_data.report.board import COLUMNS, BoardRow
from lra_data.report.charts import SCRIPT, STYLE, UPLOT_VERSION, Chart, uplot
from lra_data.report.set_section import SetSection
from lra_data.report.zoo_section import TaskModels, ZooFigures
from lra_data.results.families import FAMILIES
from lra_data.store.atomic_files import write_whole

PAGE = "index.html"


@dataclass(frozen=True, kw_only=True)
class Page:
    """What the page shows; an empty part is left out.

    title: of the page. summary: what it is, in a sentence. command: that made it, or "". date: that it names, or "".
    versions: of libraries, by name. digests: SHA-256 of what was read, by name.
    """

    title: str
    summary: str
    command: str
    date: str
    board: Sequence[BoardRow]
    sets: Sequence[SetSection]
    zoo: Sequence[TaskModels]
    figures: ZooFigures
    versions: Mapping[str, str]
    digests: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where rows of the board come from. number: its place in the list of sources."""

    number: int
    title: str
    link: str
    rows: int


def folder_for(out: Path | str) -> Path:
    """The folder for a page, made if it does not exist. Called before anything long, so that wrong use fails early.

    Raises UsageError for a file and without Jinja, BuildError for a place that cannot be written.
    """
    require("jinja2", "report")
    folder = local_path(out, "a folder for the page")
    if folder.is_file():
        raise UsageError(f"{folder}: expected a folder for the page, got a file: choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_failure(folder, error) from error
    return folder


def write_page(page: Page, folder: Path) -> Path:
    """Write FOLDER/index.html, whole or not at all, and return its path; raises BuildError if it cannot be written."""
    write_whole(folder / PAGE, render(page).encode())
    return folder / PAGE


def render(page: Page) -> str:
    """The page's HTML. Every name and text is escaped by Jinja."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("lra_data.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    styles = [uplot(STYLE), _own("report.css")]
    scripts = [uplot(SCRIPT), _own("charts.js"), _own("board.js")]
    charts: dict[str, Chart] = {}

    def placed(chart: Chart) -> str:
        """The id of a chart, whose values go to the end of the page."""
        name = f"chart-{len(charts)}"
        charts[name] = chart
        return name

    environment.filters["spans"] = code_spans
    environment.globals["outward"] = outward
    return environment.get_template("page.html").render(
        page=page,
        columns=COLUMNS,
        families=[family for family in FAMILIES if any(row.family == family for row in page.board)],
        years=sorted({row.year for row in page.board if row.year}, reverse=True),
        sources=_sources(page.board),
        styles=styles,
        scripts=scripts,
        policy=_policy(styles, scripts),
        placed=placed,
        chart_values=lambda: _inside_script({name: chart.to_json() for name, chart in charts.items()}),
        uplot_version=UPLOT_VERSION,
    )


def code_spans(text: str) -> str:
    """A text as HTML, escaped, whose spans between backticks are code; a single backtick stays one."""
    from markupsafe import Markup

    parts = re.split(r"`([^`]+)`", text)
    return Markup("").join(Markup("<code>{}</code>").format(part) if at % 2 else part for at, part in enumerate(parts))


def _own(name: str) -> str:
    return files("lra_data.report").joinpath("templates", name).read_text(encoding="utf-8")


def _policy(styles: Sequence[str], scripts: Sequence[str]) -> str:
    """The Content-Security-Policy: these styles and scripts, pictures inside the page, and nothing else."""

    def hashes(texts: Sequence[str]) -> str:
        digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
        return " ".join(f"'sha256-{digest}'" for digest in digests)

    return f"default-src 'none'; img-src data:; style-src {hashes(styles)}; script-src {hashes(scripts)}"


def _inside_script(values: Mapping[str, Any]) -> str:
    """JSON that no browser takes for the end of its script element, or for a comment in it."""
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _sources(rows: Sequence[BoardRow]) -> dict[str, Source]:
    """The sources by title, in alphabetical order."""
    counts: dict[str, int] = {}
    links: dict[str, str] = {}
    for row in rows:
        counts[row.paper] = counts.get(row.paper, 0) + 1
        links[row.paper] = row.link
    return {
        title: Source(number=number, title=title, link=links[title], rows=counts[title])
        for number, title in enumerate(sorted(counts, key=str.casefold), start=1)
    }
