"""The documentation's pictures are what the commands beside them make.

A command is a line or a span of code with docs/images/NAME.png in it; `lra-zoo draw` makes docs/images/xformers.
"""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT

IMAGES = "docs/images"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
SHOWN = sorted({path.relative_to(ROOT / IMAGES).as_posix() for path in (ROOT / IMAGES).rglob("*.png")})
QUICK = {"path-x.png", "explain.png"}

pytest.importorskip("torch")


def commands() -> dict[str, str]:
    """The command that makes each picture, by the picture's name."""
    lines = re.findall(r"^ {4}((?:lra-|python -m ).*)$", TEXT, re.MULTILINE)
    prose = re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]
    found: dict[str, str] = {}
    for command in [*lines, *spans]:
        name = re.search(rf"{IMAGES}/([\w-]+\.png)", command)
        if name is not None:
            found.setdefault(name[1], command.partition(" #")[0])
    return found


def differences(made: Path, committed: Path) -> float:
    """The mean difference of two pictures in grey levels."""
    again, before = (np.asarray(Image.open(path).convert("L"), dtype=float) for path in (made, committed))
    assert again.shape == before.shape
    return float(np.abs(again - before).mean())


def run(command: str) -> None:
    """As a reader would, in the repository's root."""
    done = subprocess.run(["bash", "-ec", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_each_picture_has_a_command_and_a_place() -> None:
    alone = [name for name in SHOWN if "/" not in name]
    assert sorted(commands()) == alone
    assert set(re.findall(r"images/((?:xformers/)?[\w-]+\.png)", TEXT)) == set(SHOWN)
    assert all((ROOT / IMAGES / name).stat().st_size < 150_000 for name in SHOWN)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in sorted(commands())]
)
def test_it_is_what_its_command_makes(name: str, tmp_path: Path) -> None:
    out = tmp_path / name
    run(commands()[name].replace(f"{IMAGES}/{name}", str(out)))
    # Another version of the font library moves the edges of letters.
    assert differences(out, ROOT / IMAGES / name) < 2


@pytest.mark.slow
def test_attention_patterns_are_what_is_drawn(tmp_path: Path) -> None:
    run(f"lra-zoo draw --out {tmp_path}")
    drawn = sorted(path.name for path in tmp_path.iterdir())
    assert [f"xformers/{name}" for name in drawn] == [name for name in SHOWN if "/" in name]
    for name in drawn:
        assert differences(tmp_path / name, ROOT / IMAGES / "xformers" / name) < 2
