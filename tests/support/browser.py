"""A headless Chromium, and files of npm, for tests of pages; a test without one is skipped and says how to get it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[2]
SCREENSHOTS = ROOT / ".pytest_cache" / "report"


@contextmanager
def chromium() -> Iterator["Browser"]:
    """The system's Chromium, driven by Playwright, which downloads none."""
    program = os.environ.get("LRA_DATA_CHROMIUM") or shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium: apt-get install chromium, or name one in LRA_DATA_CHROMIUM")
    api = pytest.importorskip(
        "playwright.sync_api", reason="no Playwright: pip install --group browser, in the project's environment"
    )
    with api.sync_playwright() as playwright:
        # Chromium's sandbox refuses to run for root, as in containers.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


def npm_file(name: str) -> Path:
    """A file of a package of npm; the folder is node_modules, or LRA_DATA_NODE_MODULES."""
    folder = Path(os.environ.get("LRA_DATA_NODE_MODULES", ROOT / "node_modules"))
    if not (folder / name).is_file():
        pytest.skip(f"no {name} in {folder}: npm install --no-save axe-core vnu-jar, or set LRA_DATA_NODE_MODULES")
    return folder / name


def java() -> str:
    """The program java."""
    program = shutil.which("java")
    if program is None:
        pytest.skip("no java: apt-get install default-jre-headless")
    return program
