"""Every snippet of docs/loading.md, run in a process of its own beside a set that the page's own command builds."""

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tests.conftest import ROOT
from tests.support.pages import blocks

PAGE = (ROOT / "docs" / "loading.md").read_text()
# Sections by their heading; a section's snippets go on from each other. A snippet behind `<!-- not run: … -->` is not.
SECTIONS = {
    section.partition("\n")[0].lstrip("# "): blocks(section, "python") for section in re.split(r"\n(?=## )", PAGE)
}
# A snippet that begins with `# train.py` is saved as such, and the section's command runs it.
SCRIPT = "# train.py\n"
SCRIPTS = {title: code for title, snippets in SECTIONS.items() for code in snippets if code.startswith(SCRIPT)}
RUN = {
    title: kept
    for title, snippets in SECTIONS.items()
    if (kept := [code for code in snippets if not code.startswith(SCRIPT)])
}


# Imports of these take longer than what they run. The quick tests of tests/apart read through the last four.
SLOW = {"Lightning", "Hugging Face Trainer", "Accelerate", "TensorFlow", "JAX", "webdataset", "Hugging Face datasets"}


def sections(titles: Iterable[str]) -> list[ParameterSet]:
    return [pytest.param(title, marks=[pytest.mark.slow] if title in SLOW else []) for title in titles]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    (command,) = re.findall(r"```sh\n(lra-data build .*?)\n```", PAGE)
    program, *arguments = command.split()
    assert program == "lra-data"
    subprocess.run([sys.executable, "-m", "lra_data", *arguments], cwd=folder, check=True, capture_output=True)
    return folder


def test_the_page_has_snippets() -> None:
    assert len(RUN) >= 8
    assert sum(map(len, RUN.values())) >= 10
    assert RUN.keys() | SCRIPTS.keys() >= SLOW


@pytest.mark.framework
@pytest.mark.parametrize("title", sections(RUN))
def test_snippets_run(title: str, folder: Path) -> None:
    code = "\n".join(RUN[title])
    found = subprocess.run(
        # Worker processes that are forked while JAX's threads run may hang: not here, none is forked there.
        [sys.executable, "-W", "error::UserWarning:__main__", "-c", code],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert found.returncode == 0, f"{code}\n{found.stderr}"


@pytest.mark.framework
@pytest.mark.parametrize("title", sections(SCRIPTS))
def test_scripts_run(title: str, folder: Path, tmp_path: Path) -> None:
    (command,) = re.findall(rf"\n## {title}\n(?:(?!\n## ).)*?```sh\n([^\n]*train\.py)\n```", PAGE, re.DOTALL)
    program, *arguments = command.split()
    start = {"python": [sys.executable], "accelerate": [sys.executable, "-m", "accelerate.commands.accelerate_cli"]}
    (tmp_path / "train.py").write_text(SCRIPTS[title])
    (tmp_path / "data").symlink_to(folder / "data")
    found = subprocess.run(
        [*start[program], *arguments],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert found.returncode == 0, f"{SCRIPTS[title]}\n{found.stdout}\n{found.stderr}"
