"""The documentation's pages: every public name has an entry, they build without a warning, and fetch nothing."""

import importlib
import importlib.util
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.glob("**/*.md"))
# What a browser fetches by itself. A link that a reader clicks on is not among it.
FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data", "link": "href"}
ELSEWHERE = re.compile(r"^\s*(?:https?:)?//")


def navigation(entry: Any) -> list[str]:
    """The pages in a part of the navigation."""
    if isinstance(entry, str):
        return [entry]
    return [page for one in (entry.values() if isinstance(entry, dict) else entry) for page in navigation(one)]


def test_the_navigation_has_every_page_once() -> None:
    (block,) = re.findall(r"^nav:\n(.*)", (ROOT / "mkdocs.yml").read_text(), re.M | re.S)
    assert sorted(navigation(yaml.safe_load(block))) == PAGES


@pytest.mark.parametrize("package", ["lra_data", "reference_models"])
def test_every_public_name_has_an_entry(package: str) -> None:
    entries = re.findall(rf"^::: {package}\.(\w+)$", (DOCS / "api" / f"{package}.md").read_text(), re.M)
    assert sorted(entries) == sorted(set(importlib.import_module(package).__all__) - {"__version__"})


def test_links_between_files_of_the_root_lead_somewhere() -> None:
    """Those of docs/ are checked where the pages are built."""
    for name in ("README.md", "CONTRIBUTING.md"):
        links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / name).read_text())
        assert links
        assert not [link for link in links if not (ROOT / link).exists()], name


def test_a_script_for_it_is_named_where_the_others_are() -> None:
    assert "scripts/docs " in (ROOT / "CONTRIBUTING.md").read_text()
    assert "scripts/docs" in (DOCS / "architecture.md").read_text()


class Requests(HTMLParser):
    """Collects the addresses that a page fetches, and the prose that Markdown left as it was."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.ids: list[str] = []
        self.styles = ""
        self.prose: list[str] = []
        self._inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        address = given.get(FETCHED.get(tag, ""))
        if address and not (tag == "link" and given.get("rel") == "canonical"):
            self.fetched.append(address)
        self.styles += given.get("style") or ""
        self.ids.append(given.get("id") or "")
        if tag in ("p", "pre", "code", "style", "script"):
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._inside and self._inside[-1] == tag:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if self._inside == ["p"]:
            self.prose.append(data)
        if self._inside[-1:] == ["style"]:
            self.styles += data


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("no mkdocs: scripts/docs and scripts/test --slow install it")
    folder = tmp_path_factory.mktemp("site")
    found = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr  # a warning, such as a link that leads nowhere
    return folder


def read(file: Path) -> Requests:
    page = Requests()
    page.feed(file.read_text(encoding="utf-8"))
    return page


@pytest.mark.slow
def test_pages_fetch_nothing_from_elsewhere(site: Path) -> None:
    """Scripts name addresses too: those of the theme that are used only by what no page here has."""
    pages = {file: read(file) for file in site.rglob("*.html")}
    assert {file.relative_to(site).with_suffix(".md").as_posix() for file in pages} >= set(PAGES)
    for file, page in pages.items():
        assert page.fetched, file
        assert not [address for address in page.fetched if ELSEWHERE.match(address)], file
        assert not re.search(r"url\([\"']?(?:https?:)?//", page.styles), file
        assert 'class="mermaid"' not in file.read_text(encoding="utf-8"), file
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import )[\"']?(?:https?:)?//", sheet.read_text(encoding="utf-8")), sheet
    assert (site / "search" / "search_index.json").exists()


@pytest.mark.slow
def test_lists_and_tables_are_set_as_such(site: Path) -> None:
    """GitHub reads some lists and tables that the pages' Markdown takes for prose."""
    left = [
        f"{file.relative_to(site)}: {line.strip()[:80]}"
        for file in site.rglob("*.html")
        for text in read(file).prose
        for line in text.splitlines()[1:]
        if re.match(r"\s*(?:[-*] |\||\d+\. )", line)
    ]
    assert not left


@pytest.mark.slow
def test_the_reference_shows_signatures_and_docstrings(site: Path) -> None:
    text = (site / "api" / "lra_data.html").read_text(encoding="utf-8")
    ids = read(site / "api" / "lra_data.html").ids
    for name in ("build", "load", "score", "Corpus", "SetError"):
        assert f"lra_data.{name}" in ids
    assert "One split of a set under <code>root</code>" in text
    assert "<li><strong>split</strong>: train, validation or test" in text.replace("<li>\n<p>", "<li>")
    models = (site / "api" / "reference_models.html").read_text(encoding="utf-8")
    assert 'id="reference_models.train"' in models  # found though the names are imported when they are used
